"""The file at the tail of a log, which frames are appended to.

A ``SegmentWriter`` owns the directory's files while the log is open. Its methods are disk work:
they are called one at a time, by whichever thread the log has do it, and return when what they
did is durable.
"""

from __future__ import annotations

import os
from contextlib import suppress

from broker.wal import bounds
from broker.wal.bounds import Bounds, write_bounds
from broker.wal.disk import Buffer, Disk
from broker.wal.frame import FRAME, HEADER, segment_name, segment_names
from broker.wal.index import IndexWriter, index_name

SPARES_MAX = 2
# A write into octets that exist syncs in half the time of one that makes the file grow (90
# instead of 150-200 us for up to 64 KiB), so a small write takes zeros along for the next ones.
EXTEND_BYTES = 1 << 18
_ZEROS = memoryview(bytes(EXTEND_BYTES))


class SegmentWriter:
    """The files of an open log: the segment at the tail, and the spares."""

    def __init__(self, disk: Disk, directory: str, segment_bytes: int) -> None:
        self.disk = disk
        self.directory = directory
        self.segment_bytes = segment_bytes
        self.spares: list[str] = []
        self._bounds = Bounds()
        self._fd: int | None = None
        self._index = IndexWriter(disk, directory)
        self._end = 0  # where the next frame goes
        self._size = 0  # of the file: what is behind _end are zeros, or remains of a spare

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def tidy(self) -> None:
        """At opening: adopt the spares that were left, and drop what is of no value."""
        names = set(self.disk.list_directory(self.directory))
        for name in sorted(names):
            if name.endswith(".spare") and len(self.spares) < SPARES_MAX:
                self.spares.append(name)
            elif name.endswith((".spare", ".new")) or (
                name.endswith(".index") and name.removesuffix(".index") + ".log" not in names
            ):
                self.disk.unlink(self._path(name))
        for first in segment_names(list(names))[:1]:
            self._bounds = Bounds(int(first.removesuffix(".log")))
        if bounds.NAME not in names:
            self.disk.close(self.disk.open(self._path(bounds.NAME), create=True))
        # The process before may have been killed between a rename and its sync: see ``retire``.
        self.disk.sync_directory(self.directory)

    def begin(self, first_batch: int, octets: bytes, salt: int) -> None:
        """Go on in a new segment that begins with these octets: header and snapshot."""
        self.close()
        if self.spares:
            draft = self.spares.pop()
            self._fd = self.disk.open(self._path(draft))
        else:
            draft = f"{first_batch:020d}.new"
            self._fd = self.disk.open(self._path(draft), create=True)
        self._size = self.disk.size(self._fd)
        self._end = 0
        self._append([octets])
        self.disk.rename(self._path(draft), self._path(segment_name(first_batch)))
        self.disk.sync_directory(self.directory)
        self._note(Bounds(self._bounds.first or first_batch, first_batch))
        self._index.begin(segment_name(first_batch), first_batch, salt)
        start = HEADER.size + FRAME.size
        self._index.add(octets[HEADER.size : start], octets[start:])

    def _note(self, bounds: Bounds) -> None:
        self._bounds = bounds
        write_bounds(self.disk, self.directory, bounds)

    def append(self, frame: bytes, payload: bytes, head: bytes) -> None:
        """Write a frame at the end, durably. ``head`` is the part of the payload to index."""
        self._append([frame, payload])
        self._index.add(frame, head)

    def _append(self, parts: list[bytes]) -> None:
        assert self._fd is not None
        length = sum(map(len, parts))
        padding = FRAME.size
        if self._end + length + padding > self._size and length <= EXTEND_BYTES:
            padding = EXTEND_BYTES
        written = self._write([*parts, _ZEROS[:padding]], length)
        self._size = max(self._size, self._end + written)
        self._end += length

    def _write(self, parts: list[Buffer], needed: int) -> int:
        """Write durably at least what is needed: on a full disk the padding may not fit."""
        assert self._fd is not None
        written = self.disk.write(self._fd, parts, self._end)
        if written < needed:
            rest = memoryview(b"".join(parts))
            while written < needed:
                written += self.disk.write(self._fd, [rest[written:]], self._end + written)
        return written

    def retire(self, names: list[str], first_batch: int) -> None:
        """Segments from the head on are not needed any more; that of this batch is the first."""
        self._note(self._bounds._replace(first=first_batch))
        for name in names:
            self._retire(name)
            # Durable before anything else happens: a segment must not go before those in front
            # of it, nor a spare be written over while a crash can bring its old name back.
            self.disk.sync_directory(self.directory)

    def _retire(self, name: str) -> None:
        path = self._path(name)
        if len(self.spares) < SPARES_MAX and self._size_of(path) <= 2 * self.segment_bytes:
            spare = name.removesuffix(".log") + ".spare"
            self.disk.rename(path, self._path(spare))
            self.spares.append(spare)
        else:
            self.disk.unlink(path)
        with suppress(OSError):  # there may be none, and ``tidy`` removes what is left
            self.disk.unlink(self._path(index_name(name)))

    def _size_of(self, path: str) -> int:
        fd = self.disk.open(path)
        try:
            return self.disk.size(fd)
        finally:
            self.disk.close(fd)

    def end(self, last_batch: int) -> None:
        """Nothing will be appended any more."""
        self._note(self._bounds._replace(end=last_batch))

    def close(self) -> None:
        """Let go of the segment, which is complete."""
        self._index.seal()
        if self._fd is not None:
            self.disk.close(self._fd)
            self._fd = None
