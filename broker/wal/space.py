"""Which segments there are, how much of each is live, and which one may go.

Invariant: a segment goes only from the head, when it has no live reference and the batch that
took the last one away is durable. The last segment never goes: it is being written.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Segment:
    """A segment's account.

    ``octets`` is all it holds, ``published`` what its messages take, ``offsets`` where its
    frames begin, one for each batch.
    """

    name: str
    first_batch: int
    last_batch: int
    octets: int = 0
    published: int = 0
    references: int = 0
    live: int = 0
    released_in: int = 0  # the batch in which it last lost a reference
    offsets: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def live_octets(self) -> int:
        """An estimate: all messages of a segment count as equally large."""
        return self.published * self.live // self.references if self.references else 0


class Space:
    """The segments in order."""

    def __init__(self, segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self.segments: list[Segment] = []
        self._firsts: list[int] = []

    def begin(self, name: str, first_batch: int, octets: int) -> None:
        """A segment begins, with a header of so many octets."""
        self.segments.append(Segment(name, first_batch, first_batch, octets))
        self._firsts.append(first_batch)

    def add(self, number: int, octets: int, published: int, references: int) -> None:
        """A batch is added to the last segment. Its references are live only by ``retain``."""
        segment = self.segments[-1]
        segment.last_batch = number
        segment.offsets.append(segment.octets)
        segment.octets += octets
        segment.published += published
        segment.references += references

    def retain(self, batch: int, references: int) -> None:
        """A batch holds this many live references more."""
        segment = self._find(batch)
        assert segment is not None, "a batch of no segment"
        segment.live += references

    def release(self, batches: Iterable[int], released_in: int) -> None:
        """References are gone, one for each item, once the batch ``released_in`` is durable."""
        self.release_many(Counter(batches).items(), released_in)

    def release_many(self, references: Iterable[tuple[int, int]], released_in: int) -> None:
        """The same of pairs: a batch, and how many references on it are gone."""
        for batch, references_gone in references:
            segment = self._find(batch)
            if segment is not None:  # else its segment went already, and this is of no interest
                segment.live -= references_gone
                segment.released_in = released_in

    def place(self, batch: int) -> tuple[str, int]:
        """The segment and the offset of a batch's frame."""
        segment = self._find(batch)
        assert segment is not None, "a batch of no segment"
        return segment.name, segment.offsets[batch - segment.first_batch]

    def _find(self, batch: int) -> Segment | None:
        at = bisect_right(self._firsts, batch) - 1
        return self.segments[at] if at >= 0 else None

    def reclaimable(self, durable: int) -> list[Segment]:
        """The segments that may go: from the head on, never the last."""
        free: list[Segment] = []
        for segment in self.segments[:-1]:
            if segment.live or segment.released_in > durable:
                break
            free.append(segment)
        return free

    def forget(self, count: int) -> None:
        """The first segments are gone."""
        del self.segments[:count], self._firsts[:count]

    def is_head_stale(self) -> bool:
        """Whether to copy the head's live messages: less than half of the log is live.

        Copying forward then costs at most as much writing as it frees. A segment more is allowed:
        the last one cannot be freed.
        """
        head = self.segments[0]
        if head is self.segments[-1] or not head.live:
            return False
        used = sum(segment.octets for segment in self.segments)
        live = sum(segment.live_octets for segment in self.segments)
        return 2 * live + self.segment_bytes < used

    def batches_of_head(self, after: int, octets: int) -> int:
        """The last of the head's batches after one that make up so many octets: at least one."""
        head = self.segments[0]
        first = max(0, after + 1 - head.first_batch)
        offsets = head.offsets
        if first >= len(offsets):
            return head.last_batch
        end = bisect_right(offsets, offsets[first] + octets)
        return head.first_batch + max(first, end - 2)
