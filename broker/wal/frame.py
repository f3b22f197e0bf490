"""The octets of a segment: its header and the headers of its frames.

The package's docstring is the format's reference.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from struct import Struct
from typing import NamedTuple

from broker.wal.errors import UnknownVersion

MAGIC = b"LEVERET\n"
VERSION = 2
HEADER = Struct("<8sIQIII")
FRAME = Struct("<IIQQQIII")
SNAPSHOT = 1
END = bytes(FRAME.size)

BATCH_MAX = 1 << 63

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


class Chain:
    """What each frame says of the one before it; frames are composed in the order of the log."""

    def __init__(self, crc: int, random: Callable[[int], bytes]) -> None:
        self.crc = crc  # of the last frame
        self.salt = 0
        self._random = random

    def segment(self, first_batch: int, snapshot: bytes) -> bytes:
        """The beginning of the next segment: a header and a snapshot batch."""
        self.salt = int.from_bytes(self._random(4), "little")
        header, self.crc = encode_header(first_batch, self.salt, self.crc)
        return header + self.frame(first_batch, first_batch - 1, snapshot, SNAPSHOT) + snapshot

    def frame(self, number: int, durable: int, payload: bytes, flags: int = 0) -> bytes:
        """The header of the next frame."""
        header, self.crc = encode_frame(number, durable, payload, self.crc, self.salt, flags)
        return header
