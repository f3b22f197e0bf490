"""The index of a segment: its frames without the contents of messages, in a file beside it.

It tells a restart what is in a segment without reading what the messages hold. It is a help,
never a source: it is not synced, a fault in writing it is of no consequence, and one that is
missing, unfinished or damaged is made again from the segment.

    index     magic 8s "LEVIDX\\n\\0" | version u32 | salt u32 | first batch u64, then entries, then
              a trailer: entries u32 | 0xffffffff u32 | crc u32
    entry     head length u32, the frame as in the segment (44 octets), head (`broker.wal.record`)
              crc: CRC-32 of everything before it. The salt is the segment's: an index fits one
              segment only.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct
from typing import NamedTuple

from broker.wal.disk import Disk
from broker.wal.frame import FRAME, VERSION, Frame, Header, parse_frame

INDEX_MAGIC = b"LEVIDX\n\0"
_START = Struct("<8sIIQ")
_ENTRY = Struct("<I")
_TRAILER = Struct("<III")
_END_OF_ENTRIES = 0xFFFFFFFF
_BUFFER_BYTES = 1 << 20


def index_name(segment: str) -> str:
    """The file of a segment's index."""
    return segment.removesuffix(".log") + ".index"


class IndexWriter:
    """Writes the index of one segment after the other, as their frames are written."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self.disk = disk
        self.directory = directory
        self._fd: int | None = None
        self._parts: list[bytes] = []
        self._buffered = 0
        self._end = 0
        self._entries = 0
        self._crc = 0

    def begin(self, segment: str, first_batch: int, salt: int) -> None:
        """Go on with the index of another segment."""
        self.seal()
        self._end = self._entries = self._crc = 0
        with suppress(OSError):
            path = os.path.join(self.directory, index_name(segment))
            self._fd = self.disk.open(path, create=True)
            self._put(_START.pack(INDEX_MAGIC, VERSION, salt, first_batch))

    def add(self, frame: bytes, head: bytes) -> None:
        """A frame was written to the segment."""
        if self._fd is None:
            return
        self._put(_ENTRY.pack(len(head)))
        self._put(frame)
        self._put(head)
        self._entries += 1
        if self._buffered > _BUFFER_BYTES:
            self._flush()

    def _put(self, octets: bytes) -> None:
        self._parts.append(octets)
        self._buffered += len(octets)

    def _flush(self) -> None:
        octets = b"".join(self._parts)
        self._parts.clear()
        self._buffered = 0
        self._crc = zlib.crc32(octets, self._crc)
        self._save(octets)

    def _save(self, octets: bytes) -> None:
        if self._fd is None:
            return
        try:
            self.disk.save(self._fd, octets, self._end)
        except OSError:
            self.abandon()
        self._end += len(octets)

    def seal(self) -> None:
        """The segment is complete, and so is its index."""
        if self._fd is None:
            return
        self._put(_TRAILER.pack(self._entries, _END_OF_ENTRIES, 0)[:-4])
        self._flush()
        self._save(self._crc.to_bytes(4, "little"))
        self.abandon()

    def abandon(self) -> None:
        """Leave the index as it is. An unfinished one is never trusted."""
        self._parts.clear()
        self._buffered = 0
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):
                self.disk.close(fd)


class Indexed(NamedTuple):
    """A frame of a segment, as its index tells it."""

    frame: Frame
    head: bytes


def read_index(disk: Disk, directory: str, segment: str, header: Header) -> list[Indexed] | None:
    """What the index of a segment says; None if there is none that can be trusted."""
    octets = _read_file(disk, os.path.join(directory, index_name(segment)))
    if len(octets) < _START.size + _TRAILER.size:
        return None
    if zlib.crc32(memoryview(octets)[:-4]) != int.from_bytes(octets[-4:], "little"):
        return None
    if _START.unpack_from(octets) != (INDEX_MAGIC, VERSION, header.salt, header.first_batch):
        return None
    entries, _, _ = _TRAILER.unpack_from(octets, len(octets) - _TRAILER.size)
    found = list(_entries(octets, header.salt))
    return found if len(found) == entries else None


def _entries(octets: bytes, salt: int) -> Iterator[Indexed]:
    at, end = _START.size, len(octets) - _TRAILER.size
    while at < end:
        (length,) = _ENTRY.unpack_from(octets, at)
        at += _ENTRY.size
        frame = parse_frame(octets, salt, at)
        at += FRAME.size
        if frame is None or at + length > end:
            return
        yield Indexed(frame, octets[at : at + length])
        at += length


def _read_file(disk: Disk, path: str) -> bytes:
    try:
        fd = disk.open(path)
    except OSError:
        return b""
    try:
        return disk.read(fd, disk.size(fd), 0)
    except OSError:
        return b""
    finally:
        disk.close(fd)
