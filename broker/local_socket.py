"""The Unix socket in the data directory, for administration without a password on this machine.

Owns: its name, its mode and how both ends come by it. The broker's end serves the management API
on it and takes whoever connects for an administrator, so:

* Invariant: the socket has mode 0600 from the moment it exists. The kernel lets its owner and root
  connect, nobody else.

A cookie file as Erlang has would be the other way. It would be a secret to create, to keep out of
backups and to compare, and the TCP listener would have to be on. The kernel's check needs none.

The address of a Unix socket has room for 107 octets, fewer than a path may have: both ends name it
through a descriptor of its directory.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "admin.sock"
MODE = 0o600


def listen(directory: Path) -> socket.socket:
    """Make the socket and listen; the caller holds the directory's lock, so an old one is stale."""
    (directory / NAME).unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux gives the file the mode of the socket, less the umask; a chmod afterwards would
        # leave a moment in between.
        os.fchmod(made.fileno(), MODE)
        with _address(directory) as address:
            made.bind(address)
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def connect(directory: Path, timeout_s: float | None) -> socket.socket:
    """Connect to the broker that uses this data directory."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(timeout_s)
        with _address(directory) as address:
            made.connect(address)
    except OSError:
        made.close()
        raise
    return made


def owner(directory: Path) -> int | None:
    """Give the user id of a socket here, None without one; its broker may have ended since."""
    try:
        found = (directory / NAME).lstat()
    except OSError:
        return None
    return found.st_uid if stat.S_ISSOCK(found.st_mode) else None


@contextmanager
def _address(directory: Path) -> Iterator[str]:
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)
