"""Room on the disk that is kept for the log, so that acks can still be logged when it is full.

Publishers are blocked by the disk alarm long before, but others may fill the disk within the
second between two looks. The room is an allocated file. The call that finds the disk full empties
it and is done once more; the alarm is raised at once, and stays until the room could be taken
again. When the room is used up too, the log fails as it does without it.

Invariants:

* Only a call that found no space is repeated, once, and whole: nothing of the failed one is
  trusted. A sync is never repeated.
* The file is touched by the process that holds the log's lock only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from broker.wal.disk import Buffer, Disk

Result = TypeVar("Result")

NAME = "reserve"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Reserve(Disk):
    """The log's disk. ``on_spent`` is called, on any thread, when the room had to be given up."""

    def __init__(self, octets: int, on_spent: Callable[[], None]) -> None:
        self.octets = octets
        self.spent = False
        self._on_spent = on_spent
        self._fd: int | None = None
        self._held = 0  # octets that the file has now

    def lock(self, path: str) -> int:
        """See ``Disk``. From here on the directory is ours, and the file that we left there."""
        held = super().lock(path)
        try:
            self._fd = os.open(
                os.path.join(os.path.dirname(path), NAME),
                os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
                0o600,
            )
            self._held = os.fstat(self._fd).st_size
        except OSError:
            self._fd = None  # without it the log does as well as it can
        return held

    def take(self, free_octets: int) -> None:
        """Take the room, if so much and more is free; what was spent is whole again then."""
        if self._fd is None or self._held == self.octets:
            return
        try:
            os.ftruncate(self._fd, min(self._held, self.octets))
            if free_octets < self.octets - self._held:
                return
            if self.octets:
                os.posix_fallocate(self._fd, 0, self.octets)
            os.fsync(self._fd)
        except OSError:  # others were faster
            with suppress(OSError):
                self._empty()
            return
        self._held = self.octets
        self.spent = False

    def _empty(self) -> None:
        assert self._fd is not None
        self._held = 0
        os.ftruncate(self._fd, 0)
        os.fsync(self._fd)  # some file systems give space back only then

    def write(self, fd: int, parts: Sequence[Buffer], offset: int) -> int:
        """See ``Disk``."""
        return self._with_room(partial(super().write, fd, parts, offset))

    def open(self, path: str, *, create: bool = False) -> int:
        """See ``Disk``."""
        return self._with_room(partial(super().open, path, create=create))

    def rename(self, old: str, new: str) -> None:
        """See ``Disk``."""
        self._with_room(partial(super().rename, old, new))

    def _with_room(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except OSError as error:
            if error.errno not in _NO_SPACE or not self._held:
                raise
            self._empty()
            self.spent = True
            self._on_spent()
            return call()
