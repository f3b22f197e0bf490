"""Reading a log back: every segment in order, batch by batch, and the judgement of its tail.

What does not continue the chain is either the torn tail of the last segment or a reason to
refuse: see invariant 3 of the package. A segment with an index is not read itself, so damage to
what a message holds is noticed by who reads that message; the last segment always is. Memory
holds one batch, or one index, at a time.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from broker.wal.bounds import read_bounds
from broker.wal.disk import Disk
from broker.wal.errors import CorruptLog
from broker.wal.frame import (
    END,
    FRAME,
    HEADER,
    Frame,
    Header,
    parse_frame,
    parse_header,
    segment_name,
    segment_names,
)
from broker.wal.index import Indexed, IndexWriter, read_index
from broker.wal.record import Batch, MalformedBatch, decode
from broker.wal.space import Space

_CHUNK_BYTES = 1 << 20


@dataclass(slots=True)
class Position:
    """How far a log was read: its last batch, that frame's crc, and the place behind it."""

    number: int = 0
    chain: int = 0
    name: str = ""
    offset: int = 0


def recover(
    disk: Disk,
    directory: str,
    space: Space,
    replay: Callable[[Batch], None],
    report: Callable[[str], None],
) -> Position:
    """Replay a directory's log and cut a torn tail off; where it ends."""
    position = Position()
    index = IndexWriter(disk, directory)
    try:
        _recover(disk, directory, position, index, space, replay, report)
        index.seal()
    finally:
        index.abandon()
    return position


def _recover(
    disk: Disk,
    directory: str,
    position: Position,
    index: IndexWriter,
    space: Space,
    replay: Callable[[Batch], None],
    report: Callable[[str], None],
) -> None:
    names = segment_names(disk.list_directory(directory))
    bounds = read_bounds(disk, directory)
    bounds.check_segments(names)
    for name in names:
        reader = SegmentReader(disk, directory, name, index)
        try:
            if name == names[-1]:
                # What a killed process left in memory becomes durable, what a failed sync left
                # there is forgotten: from here on reading tells what the disk holds.
                disk.sync(reader.fd)
                disk.drop_cache(reader.fd)
            reader.enter(position)
            space.begin(name, reader.header.first_batch, HEADER.size)
            for batch, octets in reader.batches(position, is_last=name == names[-1]):
                space.add(batch.number, octets, batch.published_octets(), batch.references())
                replay(batch)
            if name == names[-1]:
                bounds.check_end(position.number, name, position.offset)
                reader.cut_tail(position, report)
        finally:
            disk.close(reader.fd)


class SegmentReader:
    """One segment, being read. Only ``cut_tail`` writes."""

    header: Header
    payload = b""  # of the frame that was scanned last

    def __init__(
        self, disk: Disk, directory: str, name: str, index: IndexWriter | None = None
    ) -> None:
        self.disk = disk
        self.directory = directory
        self.index = index
        self.name = name
        self.fd = disk.open(os.path.join(directory, name))

    def enter(self, position: Position) -> None:
        """Check that this segment follows what was read, and stand before its first frame."""
        header = parse_header(self.disk.read(self.fd, HEADER.size, 0))
        if isinstance(header, str):
            raise CorruptLog(self.name, 0, header)
        first = header.first_batch
        if self.name != segment_name(first):
            raise CorruptLog(self.name, 0, f"the file's name does not say batch {first}")
        if position.name:
            if first != position.number + 1:
                reason = (
                    f"batch {position.number + 1} is damaged or missing, "
                    f"and the next segment begins with batch {first}"
                )
                raise CorruptLog(position.name, position.offset, reason)
            if header.chain != position.chain:
                raise CorruptLog(self.name, 0, f"this does not continue {position.name}")
        self.header = header
        position.number = first - 1
        position.chain = header.crc
        position.name = self.name
        position.offset = HEADER.size

    def batches(self, position: Position, *, is_last: bool = True) -> Iterator[tuple[Batch, int]]:
        """The batches that continue the chain, each with its size on disk."""
        if not is_last:
            indexed = read_index(self.disk, self.directory, self.name, self.header)
            if indexed is not None and self._fits(indexed, position):
                return self._indexed(indexed, position)
        return self._scanned(position)

    def _fits(self, indexed: list[Indexed], position: Position) -> bool:
        """Whether an index continues the chain, and the segment is as long as it says."""
        number, chain, end = position.number, position.chain, position.offset
        for frame, _ in indexed:
            if frame.number != number + 1 or frame.chain != chain:
                return False
            number, chain = frame.number, frame.crc
            end += FRAME.size + frame.length
        return end <= self.disk.size(self.fd)

    def _indexed(self, indexed: list[Indexed], position: Position) -> Iterator[tuple[Batch, int]]:
        for frame, head in indexed:
            yield self._step(frame, head, position)

    def _step(self, frame: Frame, head: bytes, position: Position) -> tuple[Batch, int]:
        """Decode a frame and stand behind it."""
        batch = self._decode(frame, head, position.offset)
        octets = FRAME.size + frame.length
        position.number = frame.number
        position.chain = frame.crc
        position.offset += octets
        return batch, octets

    def _scanned(self, position: Position) -> Iterator[tuple[Batch, int]]:
        if self.index is not None:
            self.index.begin(self.name, self.header.first_batch, self.header.salt)
        size = self.disk.size(self.fd)
        while True:
            at = position.offset
            octets = self.disk.read(self.fd, FRAME.size, at)
            frame = parse_frame(octets, self.header.salt)
            if (
                frame is None
                or frame.number != position.number + 1
                or frame.chain != position.chain
                or frame.length > size - at - FRAME.size
            ):
                return
            payload = self.disk.read(self.fd, frame.length, at + FRAME.size)
            if zlib.crc32(payload) != frame.payload_crc:
                return
            self.payload = payload
            batch, length = self._step(frame, payload, position)
            if self.index is not None:
                self.index.add(octets, payload[: batch.head_octets])
            yield batch, length

    def _decode(self, frame: Frame, payload: bytes, offset: int) -> Batch:
        is_first = frame.number == self.header.first_batch
        if frame.is_snapshot != is_first:
            raise CorruptLog(self.name, offset, "a segment has one snapshot, its first batch")
        try:
            return decode(frame.number, frame.is_snapshot, payload, frame.length)
        except MalformedBatch as error:
            raise CorruptLog(self.name, offset, f"batch {frame.number}: {error}") from None

    def is_torn(self, position: Position) -> bool:
        """Judge what is behind the last good frame of the log: whether a write was cut short."""
        at, lost = position.offset, position.number + 1
        if lost == self.header.first_batch:
            # The snapshot was durable before the segment got its name.
            raise CorruptLog(self.name, at, f"batch {lost}, the snapshot, is damaged")
        later = self.later_frame(position)
        if later is not None:
            reason = f"batch {lost} is damaged; batch {later[1].number} shows it was durable"
            raise CorruptLog(self.name, at, reason)
        return bool(self.disk.read(self.fd, len(END), at).strip(b"\0"))

    def cut_tail(self, position: Position, report: Callable[[str], None]) -> None:
        """Cut off what is behind the last good frame of the log."""
        at = position.offset
        size = self.disk.size(self.fd)
        if self.is_torn(position):
            broken = f"{self.name}.{at}.broken"
            self._copy_tail(at, size, broken)
            report(
                f"{self.name}, offset {at}: cut off a torn batch {position.number + 1}, which was "
                f"never confirmed; its remains are in {broken}"
            )
        if size > at:
            self.disk.truncate(self.fd, at)
            self.disk.sync(self.fd)

    def later_frame(self, position: Position) -> tuple[int, Frame] | None:
        """The next frame that was written when the batch after this position was durable.

        It comes with its offset. Its header alone is the proof.
        """
        at, lost = position.offset, position.number + 1
        mark = self.header.salt.to_bytes(4, "little")
        while True:
            chunk = self.disk.read(self.fd, _CHUNK_BYTES, at)
            found = chunk.find(mark)
            while found >= 0:
                frame = parse_frame(chunk, self.header.salt, found)
                if frame is not None and frame.number > lost and frame.durable >= lost:
                    return at + found, frame
                found = chunk.find(mark, found + 1)
            if len(chunk) < _CHUNK_BYTES:
                return None
            at += len(chunk) - FRAME.size + 1

    def _copy_tail(self, at: int, size: int, name: str) -> None:
        fd = self.disk.open(os.path.join(self.directory, name), create=True)
        try:
            for offset in range(at, size, _CHUNK_BYTES):
                chunk = self.disk.read(self.fd, min(_CHUNK_BYTES, size - offset), offset)
                written = 0
                while written < len(chunk):
                    to = offset - at + written
                    written += self.disk.write(fd, [memoryview(chunk)[written:]], to)
        finally:
            self.disk.close(fd)
        self.disk.sync_directory(self.directory)
