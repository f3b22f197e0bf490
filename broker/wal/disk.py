"""The disk, as the log sees it: the operating system's calls, in one place to replace in tests.

Every method may raise ``OSError``. Nothing is durable before the call that says so returns, and
a name (created, renamed or unlinked) not before ``sync_directory`` does.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence

from broker.wal.errors import DirectoryInUse

Buffer = bytes | memoryview


class Disk:
    """The real one: files of the operating system."""

    # One call that writes and syncs: a thread that returns from a call waits for the interpreter
    # lock, so a second call would double that wait.
    _write_flags = getattr(os, "RWF_DSYNC", 0)

    def make_directory(self, path: str) -> None:
        """Create a directory, and those above it, unless it exists."""
        os.makedirs(path, exist_ok=True)

    def list_directory(self, path: str) -> list[str]:
        """Names in a directory."""
        return os.listdir(path)

    def lock(self, path: str) -> int:
        """Become the only process that holds this file; a descriptor to close to let go."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise DirectoryInUse(
                    f"{os.path.dirname(path)} is in use by another broker"
                ) from None
            raise
        return fd

    def open(self, path: str, *, create: bool = False) -> int:
        """A descriptor to read and write a file; with ``create`` an empty new one."""
        flags = os.O_RDWR | os.O_CLOEXEC
        if create:
            flags |= os.O_CREAT | os.O_TRUNC
        return os.open(path, flags, 0o600)

    def close(self, fd: int) -> None:
        """Let go of a descriptor."""
        os.close(fd)

    def size(self, fd: int) -> int:
        """Octets in a file."""
        return os.fstat(fd).st_size

    def read(self, fd: int, length: int, offset: int) -> bytes:
        """Octets of a file: fewer than asked only at its end."""
        octets = os.pread(fd, length, offset)
        while len(octets) < length:  # the kernel gives at most 2 GiB at a time
            more = os.pread(fd, length - len(octets), offset + len(octets))
            if not more:
                break
            octets += more
        return octets

    def write(self, fd: int, parts: Sequence[Buffer], offset: int) -> int:
        """Write durably; how many octets, which may be fewer than given."""
        if self._write_flags:
            try:
                return os.pwritev(fd, parts, offset, self._write_flags)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
                self._write_flags = 0  # a kernel or file system without it
        written = os.pwritev(fd, parts, offset)
        self.sync(fd)
        return written

    def save(self, fd: int, octets: Buffer, offset: int) -> None:
        """Write all of it; not durable by itself."""
        rest = memoryview(octets)
        while rest:
            written = os.pwrite(fd, rest, offset)
            rest, offset = rest[written:], offset + written

    def expect_read(self, fd: int, length: int, offset: int) -> None:
        """These octets will be read soon: the system may fetch them meanwhile."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)

    def sync(self, fd: int) -> None:
        """Make what was written to a file, and its size, durable."""
        getattr(os, "fdatasync", os.fsync)(fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut a file; not durable by itself."""
        os.ftruncate(fd, length)

    def drop_cache(self, fd: int) -> None:
        """Have the next read come from the disk: after a failed sync memory may hold more."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, at once."""
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


REAL_DISK = Disk()
