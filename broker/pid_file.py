"""The file with the process's id, for scripts that wait for it: `rabbitmqctl wait FILE`.

Owns: `pid_file`. The file appears before the broker recovers anything, so that whoever waits can
tell a long start from one that failed, and goes when the process ends in order, as RabbitMQ's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.config import ConfigError


@contextmanager
def pid_file(place: str | None) -> Iterator[None]:
    """Write the file, if one is asked for, and remove it at the end."""
    if place is None:
        yield
        return
    path = Path(place)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{os.getpid()}\n")
    except OSError as error:
        reason = f"leveret.pid_file {path} cannot be written ({error.strerror})"
        raise ConfigError([reason]) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
