"""One segment file: its header, the frames in it, and the end that is written to.

A ``SegmentWriter`` owns the directory's files while the log is open. Its methods are disk work:
they are called one at a time, by whichever thread the log has do it, and return when what they
did is durable.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from broker.wal.disk import Buffer, Disk
from broker.wal.errors import UnknownVersion

MAGIC = b"LEVERET\n"
VERSION = 1
HEADER = Struct("<8sIQIII")
FRAME = Struct("<IIQQQIII")
SNAPSHOT = 1
END = bytes(FRAME.size)

BATCH_MAX = 1 << 63

SPARES_MAX = 2
# A write into octets that exist syncs in half the time of one that makes the file grow (90
# instead of 150-200 us for up to 64 KiB), so a small write takes zeros along for the next ones.
EXTEND_BYTES = 1 << 18
_ZEROS = memoryview(bytes(EXTEND_BYTES))

_SEGMENT_NAME = re.compile(r"\d{20}\.log")


class Header(NamedTuple):
    """What a segment's first octets say."""

    first_batch: int
    salt: int
    chain: int
    crc: int


class Frame(NamedTuple):
    """What stands in front of a payload."""

    number: int
    is_snapshot: bool
    durable: int
    length: int
    chain: int
    payload_crc: int
    crc: int


def segment_name(first_batch: int) -> str:
    """The file of the segment that begins with a batch."""
    return f"{first_batch:020d}.log"


def segment_names(names: Sequence[str]) -> list[str]:
    """The segments among the names in a directory, in the order of the log."""
    return sorted(name for name in names if _SEGMENT_NAME.fullmatch(name))


def encode_header(first_batch: int, salt: int, chain: int) -> tuple[bytes, int]:
    """A segment header and its crc, which begins the chain of its frames."""
    return _with_crc(HEADER.pack(MAGIC, VERSION, first_batch, salt, chain, 0))


def encode_frame(
    number: int, durable: int, payload: bytes, chain: int, salt: int, flags: int = 0
) -> tuple[bytes, int]:
    """A frame header and its crc, which the next frame names as its chain."""
    crc = zlib.crc32(payload)
    return _with_crc(FRAME.pack(salt, flags, number, durable, len(payload), chain, crc, 0))


def parse_header(octets: bytes) -> Header | str:
    """A segment header, or what is wrong with it.

    Every version keeps the layout of the header, so that an unknown one can be told from damage.
    """
    if len(octets) < HEADER.size:
        return "the segment header is cut short"
    magic, version, first_batch, salt, chain, crc = HEADER.unpack_from(octets)
    if magic != MAGIC:
        return "this is not a segment, or its header is damaged"
    if zlib.crc32(octets[: HEADER.size - 4]) != crc:
        return "the segment header is damaged"
    if version != VERSION:
        raise UnknownVersion(version, VERSION)
    if not 0 < first_batch < BATCH_MAX:
        return f"{first_batch} is no batch number"
    return Header(first_batch, salt, chain, crc)


def parse_frame(octets: bytes, salt: int, offset: int = 0) -> Frame | None:
    """The frame header at an offset, None if there is none of this segment."""
    if len(octets) - offset < FRAME.size:
        return None
    mark, flags, number, durable, length, chain, payload_crc, crc = FRAME.unpack_from(
        octets, offset
    )
    if mark != salt or zlib.crc32(octets[offset : offset + FRAME.size - 4]) != crc:
        return None
    return Frame(number, bool(flags & SNAPSHOT), durable, length, chain, payload_crc, crc)


def _with_crc(octets: bytes) -> tuple[bytes, int]:
    fields = octets[:-4]
    crc = zlib.crc32(fields)
    return fields + crc.to_bytes(4, "little"), crc


class SegmentWriter:
    """The files of an open log: the segment at the tail, and the spares."""

    def __init__(self, disk: Disk, directory: str, segment_bytes: int) -> None:
        self.disk = disk
        self.directory = directory
        self.segment_bytes = segment_bytes
        self.spares: list[str] = []
        self._fd: int | None = None
        self._end = 0  # where the next frame goes
        self._size = 0  # of the file: what is behind _end are zeros, or remains of a spare

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def tidy(self) -> None:
        """At opening: adopt the spares that were left, and drop what is of no value."""
        for name in sorted(self.disk.list_directory(self.directory)):
            if name.endswith(".spare") and len(self.spares) < SPARES_MAX:
                self.spares.append(name)
            elif name.endswith((".spare", ".new")):
                self.disk.unlink(self._path(name))
        # The process before may have been killed between a rename and its sync: see ``retire``.
        self.disk.sync_directory(self.directory)

    def begin(self, first_batch: int, octets: bytes) -> None:
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
        self.append([octets])
        self.disk.rename(self._path(draft), self._path(segment_name(first_batch)))
        self.disk.sync_directory(self.directory)

    def append(self, parts: list[bytes]) -> None:
        """Write a frame at the end, durably."""
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

    def retire(self, names: list[str]) -> None:
        """Segments from the head on are not needed any more."""
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

    def _size_of(self, path: str) -> int:
        fd = self.disk.open(path)
        try:
            return self.disk.size(fd)
        finally:
            self.disk.close(fd)

    def close(self) -> None:
        """Let go of the segment."""
        if self._fd is not None:
            self.disk.close(self._fd)
            self._fd = None
