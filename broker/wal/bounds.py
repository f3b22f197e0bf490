"""How far the log goes: its first and last segment, so that one lost at either end is noticed.

One lost in the middle breaks the chain; nothing else tells of the others. The file ``bounds`` is
one record, small enough never to be torn:

    magic 8s "BOUNDS1\\n" | first segment u64 | last segment u64 | end u64 | crc u32

Segments are given by their first batch. The end is the last batch of a log that was closed, and 0
of an open one: behind an end nothing can be a torn write.

Invariants:

* A segment is noted as the last when it has its name, and before a batch in it is confirmed; the
  first one when those before it are not needed any more, and before they go. So what the record
  says is there, unless it was lost.
* A record that is missing or damaged says nothing.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from broker.wal.disk import Disk
from broker.wal.errors import CorruptLog
from broker.wal.frame import segment_name

NAME = "bounds"
_MAGIC = b"BOUNDS1\n"
_RECORD = Struct("<8sQQQI")


class Bounds(NamedTuple):
    """What the record says; zeros for nothing."""

    first: int = 0
    last: int = 0
    end: int = 0

    def check_segments(self, names: Sequence[str]) -> None:
        """``CorruptLog`` if the first or the last segment is missing."""
        for first_batch in (self.first, self.last):
            name = segment_name(first_batch)
            if first_batch and name not in names:
                reason = f"this segment is missing; to start without it, remove the file {NAME!r}"
                raise CorruptLog(name, 0, reason)

    def check_end(self, number: int, name: str, offset: int) -> None:
        """``CorruptLog`` if the log ends with this batch, and went on when it was closed."""
        if number < self.end:
            reason = f"batch {number + 1} is damaged or missing; the log was closed after it"
            raise CorruptLog(name, offset, reason)


def read_bounds(disk: Disk, directory: str) -> Bounds:
    """The bounds of a log."""
    if NAME not in disk.list_directory(directory):
        return Bounds()
    fd = disk.open(os.path.join(directory, NAME))
    try:
        octets = disk.read(fd, _RECORD.size, 0)
    finally:
        disk.close(fd)
    if len(octets) < _RECORD.size:
        return Bounds()
    magic, first, last, end, crc = _RECORD.unpack(octets)
    is_sound = magic == _MAGIC and crc == zlib.crc32(octets[:-4])
    return Bounds(first, last, end) if is_sound else Bounds()


def write_bounds(disk: Disk, directory: str, bounds: Bounds) -> None:
    """Make them durable; the file is there."""
    fields = _RECORD.pack(_MAGIC, *bounds, 0)[:-4]
    octets = fields + zlib.crc32(fields).to_bytes(4, "little")
    fd = disk.open(os.path.join(directory, NAME))
    try:
        written = 0
        while written < len(octets):
            written += disk.write(fd, [octets[written:]], written)
    finally:
        disk.close(fd)
