"""Reading single messages back from frames that are on the disk.

A frame's head (`broker.wal.record`) tells where each content is. Who wants a good part of a frame
has its checksum verified; who wants one message of many has only that message read, and the
head checked for what it must say.

Invariants: what is kept between calls is bounded (``HEADS_MAX`` heads, one payload, ``FILES_MAX``
descriptors), and a segment that is retired is let go of first (``forget``).
"""

from __future__ import annotations

import os
import zlib
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from operator import lt

from broker.wal.disk import Disk
from broker.wal.errors import CorruptLog
from broker.wal.frame import FRAME, HEADER, Frame, parse_frame, parse_header
from broker.wal.record import Batch, MalformedBatch, Stored, decode, head_octets

HEADS_MAX = 64
FILES_MAX = 8
PAYLOAD_BYTES_MAX = 16 << 20  # of the frame read last; a larger one is not kept
GOOD_PART = 16  # a 16th of a frame or more: the whole frame is read and verified
SPAN_GAP_BYTES = 4096  # reading on over less costs less than another call
_PROBE_BYTES = 1 << 15


class _Head:
    """A decoded head, and the rows of its messages."""

    def __init__(self, frame: Frame, batch: Batch) -> None:
        self.frame = frame
        self.batch = batch
        self.offsets = list(accumulate(batch.content_length, initial=batch.head_octets))
        self.verified = False
        ids = batch.publish_id
        self._sorted = all(map(lt, ids, ids[1:]))
        self._rows = {} if self._sorted else {id_: row for row, id_ in enumerate(ids)}

    def row(self, message_id: int) -> int | None:
        """The row of a message; None if it is not in this frame."""
        if not self._sorted:
            return self._rows.get(message_id)
        ids = self.batch.publish_id
        row = bisect_left(ids, message_id)
        return row if row < len(ids) and ids[row] == message_id else None


class _File:
    """An open segment."""

    def __init__(self, disk: Disk, path: str, name: str) -> None:
        self.fd = disk.open(path)
        try:
            header = parse_header(disk.read(self.fd, HEADER.size, 0))
            if isinstance(header, str):
                raise CorruptLog(name, 0, header)
        except Exception:
            disk.close(self.fd)
            raise
        self.salt = header.salt


class Reader:
    """See the module. All methods may raise ``CorruptLog`` and ``OSError``."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self.disk = disk
        self.directory = directory
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._heads: OrderedDict[tuple[str, int], _Head] = OrderedDict()
        self._payload: tuple[tuple[str, int], bytes] | None = None

    def read(
        self, name: str, offset: int, number: int, ids: Sequence[int], *, verify: bool = False
    ) -> list[Stored]:
        """Messages of the batch whose frame is at an offset of a segment, in order of ``ids``."""
        head = self._head(name, offset, number)
        batch = head.batch
        rows: list[int] = []
        for message_id in ids:
            row = head.row(message_id)
            if row is None:
                raise CorruptLog(name, offset, f"message {message_id} is not in batch {number}")
            rows.append(row)
        verify = verify or len(rows) * GOOD_PART >= len(batch.publish_id)
        contents = self._contents(name, offset, head, rows, verify=verify)
        addresses = [address for address, _ in batch.routes]
        route, times, details = batch.publish_route, batch.publish_ms, batch.publish_detail
        return [
            Stored(addresses[route[row]], times[row], details[row], content)
            for row, content in zip(rows, contents, strict=True)
        ]

    def expect(self, name: str, offset: int, length: int) -> None:
        """So many octets behind an offset will be wanted soon."""
        self.disk.expect_read(self._file(name).fd, length, offset)

    def forget(self, names: Sequence[str]) -> None:
        """Segments are going."""
        for name in names:
            file = self._files.pop(name, None)
            if file is not None:
                self.disk.close(file.fd)
        gone = set(names)
        for key in [key for key in self._heads if key[0] in gone]:
            del self._heads[key]
        if self._payload is not None and self._payload[0][0] in gone:
            self._payload = None

    def close(self) -> None:
        """Let go of all files."""
        self.forget(list(self._files))

    def _file(self, name: str) -> _File:
        file = self._files.get(name)
        if file is None:
            if len(self._files) >= FILES_MAX:
                _, oldest = self._files.popitem(last=False)
                self.disk.close(oldest.fd)
            file = self._files[name] = _File(self.disk, os.path.join(self.directory, name), name)
        else:
            self._files.move_to_end(name)
        return file

    def _head(self, name: str, offset: int, number: int) -> _Head:
        key = name, offset
        head = self._heads.get(key)
        if head is not None:
            self._heads.move_to_end(key)
            return head
        file = self._file(name)
        octets = self.disk.read(file.fd, _PROBE_BYTES, offset)
        frame = parse_frame(octets, file.salt)
        if frame is None or frame.number != number:
            raise CorruptLog(name, offset, f"batch {number} is not there any more")
        length = head_octets(octets[FRAME.size : FRAME.size + frame.length])
        if length == 0:  # a head whose lengths alone are longer than the probe
            length = frame.length
        if length + FRAME.size > len(octets):
            octets = self.disk.read(file.fd, FRAME.size + min(length, frame.length), offset)
        try:
            payload = octets[FRAME.size : FRAME.size + frame.length]
            batch = decode(number, frame.is_snapshot, payload, frame.length)
        except MalformedBatch as error:
            raise CorruptLog(name, offset, f"batch {number}: {error}") from None
        if len(self._heads) >= HEADS_MAX:
            self._heads.popitem(last=False)
        head = self._heads[key] = _Head(frame, batch)
        return head

    def _contents(
        self, name: str, offset: int, head: _Head, rows: list[int], *, verify: bool
    ) -> list[bytes]:
        payload = self._payload_of(name, offset, head, verify=verify)
        ends = head.offsets
        if payload is not None:
            return [payload[ends[row] : ends[row + 1]] for row in rows]
        start = offset + FRAME.size
        fd = self._file(name).fd
        contents: dict[int, bytes] = {}
        for first, last in _spans(sorted(set(rows)), ends):
            base = ends[first]
            octets = self.disk.read(fd, ends[last + 1] - base, start + base)
            if len(octets) < ends[last + 1] - base:
                raise CorruptLog(name, offset, f"batch {head.frame.number} is cut short")
            for row in range(first, last + 1):
                contents[row] = octets[ends[row] - base : ends[row + 1] - base]
        return [contents[row] for row in rows]

    def _payload_of(self, name: str, offset: int, head: _Head, *, verify: bool) -> bytes | None:
        """The frame's payload, if it is at hand or is to be verified and was not yet."""
        key, frame = (name, offset), head.frame
        if self._payload is not None and self._payload[0] == key:
            return self._payload[1]
        if head.verified or not verify:
            return None
        payload = self.disk.read(self._file(name).fd, frame.length, offset + FRAME.size)
        if len(payload) < frame.length or zlib.crc32(payload) != frame.payload_crc:
            raise CorruptLog(name, offset, f"batch {frame.number} is damaged")
        head.verified = True
        if len(payload) <= PAYLOAD_BYTES_MAX:
            self._payload = key, payload
        return payload


def _spans(rows: list[int], ends: list[int]) -> list[tuple[int, int]]:
    """Ascending rows as few runs from the first to the last row, to be read at once."""
    spans: list[tuple[int, int]] = []
    for row in rows:
        if spans and ends[row] - ends[spans[-1][1] + 1] < SPAN_GAP_BYTES:
            spans[-1] = spans[-1][0], row
        else:
            spans.append((row, row))
    return spans
