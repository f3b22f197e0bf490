"""What a batch holds, and its octets: the payload of a frame.

A payload is seven counts (operations, routes, queues of all routes, publishes, counts, settle
runs, settled ids; u32 each), then columns of that many integers, then the octets themselves:

    operation length u32
    route address length u32 | route queues u32, then queue u64 of all routes in order
    publish row of the route table u32 | length of content u32 | message id u64 | time ms u64 |
            detail u64
    count queue u64 | message id u64 | times u32
    settle queue u64 | run length u32, then message id u64 of all runs in order
    operations | addresses | contents

All but the contents is the head. It is kept once more in the index of a segment, from which a
log is recovered without reading what the messages hold. A detail is an integer of the owner's, for
what it wants to know of a message without reading it.

Columns cost a fraction of one record after the other: the ``array`` module moves a whole column
at once, so nothing is done in Python for each message but slicing its content.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from struct import Struct
from typing import NamedTuple

Route = tuple[bytes, tuple[int, ...]]

_COUNTS = Struct("<7I")
_PUBLISH_COLUMNS = 4 + 4 + 8 + 8 + 8
_BIG_ENDIAN = sys.byteorder == "big"


class Stored(NamedTuple):
    """A message as it was logged."""

    address: bytes
    published_ms: int
    detail: int
    content: bytes


class MalformedBatch(ValueError):
    """A payload that no version of this module wrote."""


@dataclass(slots=True)
class Batch:
    """The head of a batch. Publish columns are parallel; a settle is a queue and its messages."""

    number: int
    is_snapshot: bool
    operations: list[bytes]
    routes: list[Route]
    publish_route: array[int]
    publish_id: array[int]
    publish_ms: array[int]
    publish_detail: array[int]
    content_length: array[int]
    counts: list[tuple[int, int, int]]
    settles: list[tuple[int, array[int]]]
    head_octets: int  # where the contents begin in the payload
    content_octets: int  # of all contents together
    row_counts: dict[int, int]  # how many of the messages have which route

    def contents(self, payload: bytes) -> list[bytes]:
        """What its messages hold, cut from the whole payload."""
        ends = accumulate(self.content_length, initial=self.head_octets)
        return [payload[start:end] for start, end in pairwise(ends)]

    def references(self) -> int:
        """How many queues its messages went to, all together."""
        return _references(self.row_counts, self.routes)

    def published_octets(self) -> int:
        """What its messages take."""
        return self.content_octets + _PUBLISH_COLUMNS * len(self.content_length)


class Gathering:
    """The batch that is being gathered, column by column."""

    def __init__(self) -> None:
        self.operations: list[bytes] = []
        self.routes: dict[Route, int] = {}
        self.publish_route: list[int] = []
        self.publish_id: list[int] = []
        self.publish_ms: list[int] = []
        self.publish_detail: list[int] = []
        self.contents: list[bytes] = []
        self.count_queue: list[int] = []
        self.count_id: list[int] = []
        self.count_times: list[int] = []
        self.settle_queue: list[int] = []
        self.settle_length: list[int] = []
        self.settle_id: array[int] = array("Q")

    def __bool__(self) -> bool:
        """Whether there is something to write."""
        return bool(self.publish_id or self.settle_id or self.operations or self.count_id)

    def references(self) -> int:
        """How many queues its messages go to, all together."""
        return _references(_distinct(self.publish_route), list(self.routes))

    def published_octets(self) -> int:
        """What its messages take."""
        return sum(map(len, self.contents)) + _PUBLISH_COLUMNS * len(self.contents)

    def read(self, message_ids: Sequence[int]) -> list[Stored]:
        """Messages it holds."""
        rows = {message_id: row for row, message_id in enumerate(self.publish_id)}
        addresses = [address for address, _ in self.routes]
        return [
            Stored(
                addresses[self.publish_route[row]],
                self.publish_ms[row],
                self.publish_detail[row],
                self.contents[row],
            )
            for row in map(rows.__getitem__, message_ids)
        ]

    def encode(self) -> bytes:
        """The payload."""
        return b"".join([self.head(), *self.contents])

    def head(self) -> bytes:
        """The payload without the contents, which follow it."""
        addresses = [address for address, _ in self.routes]
        queue_ids = [queue_ids for _, queue_ids in self.routes]
        route_queues = [queue_id for ids in queue_ids for queue_id in ids]
        return b"".join(
            [
                _COUNTS.pack(
                    len(self.operations),
                    len(addresses),
                    len(route_queues),
                    len(self.publish_id),
                    len(self.count_id),
                    len(self.settle_queue),
                    len(self.settle_id),
                ),
                _column("I", map(len, self.operations)),
                _column("I", map(len, addresses)),
                _column("I", map(len, queue_ids)),
                _column("Q", route_queues),
                _column("I", self.publish_route),
                _column("I", map(len, self.contents)),
                _column("Q", self.publish_id),
                _column("Q", self.publish_ms),
                _column("Q", self.publish_detail),
                _column("Q", self.count_queue),
                _column("Q", self.count_id),
                _column("I", self.count_times),
                _column("Q", self.settle_queue),
                _column("I", self.settle_length),
                _column("Q", self.settle_id),
                *self.operations,
                *addresses,
            ]
        )


def _references(row_counts: dict[int, int], routes: Sequence[Route]) -> int:
    return sum(len(routes[row][1]) * times for row, times in row_counts.items())


def _distinct(rows: Sequence[int]) -> dict[int, int]:
    """Each row and how often it occurs; nearly always there is one."""
    if rows and rows.count(rows[0]) == len(rows):
        return {rows[0]: len(rows)}
    return Counter(rows)


def _column(code: str, values: Iterable[int]) -> bytes:
    column = array(code, values)
    if _BIG_ENDIAN:
        column.byteswap()
    return column.tobytes()


class _Reader:
    """A head and how far it was read. Counts are checked before anything is allocated."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.view = memoryview(payload)
        self.at = _COUNTS.size

    def column(self, code: str, count: int) -> array[int]:
        """The next ``count`` integers."""
        column: array[int] = array(code)
        end = self.at + count * column.itemsize
        if end > len(self.payload):
            raise MalformedBatch("a column runs over the end")
        column.frombytes(self.view[self.at : end])
        if _BIG_ENDIAN:
            column.byteswap()
        self.at = end
        return column

    def cut(self, lengths: array[int]) -> list[bytes]:
        """The next octets, in pieces."""
        end = self.at + sum(lengths)
        if end > len(self.payload):
            raise MalformedBatch("octets run over the end")
        payload = self.payload
        pieces = [payload[a:b] for a, b in pairwise(accumulate(lengths, initial=self.at))]
        self.at = end
        return pieces


def decode(number: int, is_snapshot: bool, payload: bytes, octets: int) -> Batch:
    """The head of a payload of so many octets, of which at least the head is given.

    Raises ``MalformedBatch``.
    """
    if len(payload) < _COUNTS.size:
        raise MalformedBatch("no counts")
    operations, routes, route_queues, publishes, counts, settles, settled = _COUNTS.unpack_from(
        payload
    )
    reader = _Reader(payload)
    operation_length = reader.column("I", operations)
    address_length = reader.column("I", routes)
    queues_of_route = reader.column("I", routes)
    queue_ids = reader.column("Q", route_queues)
    publish_route = reader.column("I", publishes)
    content_length = reader.column("I", publishes)
    publish_id = reader.column("Q", publishes)
    publish_ms = reader.column("Q", publishes)
    publish_detail = reader.column("Q", publishes)
    count_columns = reader.column("Q", counts), reader.column("Q", counts)
    times = reader.column("I", counts)
    settle_queue = reader.column("Q", settles)
    settle_length = reader.column("I", settles)
    settle_id = reader.column("Q", settled)
    row_counts = _distinct(publish_route)
    if any(row >= routes for row in row_counts):
        raise MalformedBatch("a message without a route")
    cut_operations = reader.cut(operation_length)
    addresses = reader.cut(address_length)
    content_octets = sum(content_length)
    if reader.at + content_octets != octets:
        raise MalformedBatch("contents do not fill the payload")
    return Batch(
        number=number,
        is_snapshot=is_snapshot,
        operations=cut_operations,
        routes=[
            (address, tuple(ids))
            for address, ids in zip(addresses, _runs(queue_ids, queues_of_route), strict=True)
        ],
        publish_route=publish_route,
        publish_id=publish_id,
        publish_ms=publish_ms,
        publish_detail=publish_detail,
        content_length=content_length,
        counts=list(zip(*count_columns, times, strict=True)),
        settles=list(zip(settle_queue, _runs(settle_id, settle_length), strict=True)),
        head_octets=reader.at,
        content_octets=content_octets,
        row_counts=row_counts,
    )


def head_octets(payload: bytes) -> int:
    """The head's length as its columns say, or 0 if more of it is needed to tell."""
    if len(payload) < _COUNTS.size:
        return 0
    operations, routes, route_queues, publishes, counts, settles, settled = _COUNTS.unpack_from(
        payload
    )
    columns = 4 * operations + 8 * routes + 8 * route_queues + _PUBLISH_COLUMNS * publishes
    columns += 20 * counts + 12 * settles + 8 * settled
    if len(payload) < _COUNTS.size + 4 * operations + 4 * routes:
        return 0
    reader = _Reader(payload)
    lengths = sum(reader.column("I", operations)) + sum(reader.column("I", routes))
    octets: int = _COUNTS.size + columns + lengths
    return octets


def _runs(column: array[int], lengths: array[int]) -> list[array[int]]:
    """A column cut into runs that fill it exactly."""
    if sum(lengths) != len(column):
        raise MalformedBatch("runs do not fill their column")
    return [column[a:b] for a, b in pairwise(accumulate(lengths, initial=0))]
