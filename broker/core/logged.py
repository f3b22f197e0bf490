"""Which messages outside memory a queue holds, and where: ids in runs, not one by one.

Recovery collects in it what a queue turns out to hold; a store that has its own order keeps in
it where its messages are.

Invariants of ``Logged``:

* Its runs do not overlap, and stand in order of id: each begins behind the end of the one before.
* The messages of a run are in one place (`broker.core.paging`). ``dead`` are those that were
  settled in its middle.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from broker.core.message import HAS_TTL
from broker.core.paging import (
    NEVER,
    PAGE_BYTES_MAX,
    PAGE_MESSAGES_MAX,
    Page,
    compact,
    compact_places,
)

_SIZE = (1 << 32) - 1
_Row = tuple[int, int, int]  # id, place, detail


class Run:
    """Messages of one place, with their details (see ``broker.core.message``)."""

    __slots__ = ("dead", "details", "ids", "place")

    def __init__(self, place: int, ids: Sequence[int], details: array[int]) -> None:
        self.place = place
        self.ids = compact(ids)
        self.details: Sequence[int] = details
        if details and details.count(details[0]) == len(details):
            self.details = _Same(details[0])
        self.dead: set[int] | None = None

    def cut(self, start: int, end: int) -> None:
        """Only the messages at these indexes are left."""
        self.ids = self.ids[start:end]
        if not isinstance(self.details, _Same):
            self.details = self.details[start:end]

    def settle(self, first: int, last: int) -> None:
        """Messages with ids from the first to the last are gone."""
        start, end = bisect_left(self.ids, first), bisect_right(self.ids, last)
        if start == 0:
            self.cut(end, len(self.ids))
        elif end == len(self.ids):
            self.cut(0, start)
        elif start < end:
            self.dead = self.dead or set()
            self.dead.update(self.ids[start:end])

    def split(self, message_id: int) -> Run | None:
        """Those behind an id leave this run for one of their own, if there are any."""
        self.bury()
        at = bisect_right(self.ids, message_id)
        if at == len(self.ids):
            return None
        rest = Run(self.place, self.ids, array("Q"))
        rest.details = self.details
        rest.cut(at, len(self.ids))
        self.cut(0, at)
        return rest

    def bury(self) -> None:
        """Take the dead out."""
        if self.dead:
            kept = [at for at, id_ in enumerate(self.ids) if id_ not in self.dead]
            if not isinstance(self.details, _Same):
                self.details = array("Q", [self.details[at] for at in kept])
            self.ids = compact([self.ids[at] for at in kept])
            self.dead = None

    def __len__(self) -> int:
        return len(self.ids)


class _Same(Sequence[int]):
    """As many details as there are messages, all equal."""

    __slots__ = ("detail",)

    def __init__(self, detail: int) -> None:
        self.detail = detail

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        return self if isinstance(at, slice) else self.detail

    def __len__(self) -> int:
        return 1


class Logged:
    """See the module."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._firsts: list[int] = []  # where each run begins, or began
        self._highest = -1

    def add(self, place: int, ids: Sequence[int], details: array[int]) -> None:
        """Messages of one place, in order of id; some may be here, as older copies."""
        if ids[0] > self._highest:
            self._firsts.append(ids[0])
            self.runs.append(Run(place, ids, details))
            self._highest = ids[-1]
            return
        self.settle(ids)
        start = 0
        while start < len(ids):
            at = self._open(ids[start])
            last = at == len(self.runs)
            end = len(ids) if last else bisect_left(ids, self._firsts[at], start)
            self._firsts.insert(at, ids[start])
            self.runs.insert(at, Run(place, ids[start:end], details[start:end]))
            start = end
        self._highest = max(self._highest, ids[-1])

    def _open(self, message_id: int) -> int:
        """Where a run that begins with a message goes; one that goes on behind it is split."""
        at = bisect_right(self._firsts, message_id)
        while at < len(self.runs):
            self.runs[at].bury()
            if self.runs[at]:
                break
            del self.runs[at], self._firsts[at]
        if at:
            rest = self.runs[at - 1].split(message_id)
            if rest is not None:
                self._firsts.insert(at, rest.ids[0])
                self.runs.insert(at, rest)
        return at

    def settle(self, ids: Sequence[int]) -> None:
        """Messages are gone, in any order; those that are not here are of no interest."""
        if max(ids) - min(ids) == len(ids) - 1:
            self._settle(min(ids), max(ids))
            return
        for message_id in ids:
            self._settle(message_id, message_id)

    def _settle(self, first: int, last: int) -> None:
        at = max(0, bisect_right(self._firsts, first) - 1)
        while at < len(self.runs) and self._firsts[at] <= last:
            self.runs[at].settle(first, last)
            at += 1

    def finish(self) -> None:
        """Nothing comes any more: drop what is dead."""
        for run in self.runs:
            run.bury()
        self.runs = [run for run in self.runs if len(run)]

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    def pages(self, highest_priority: int = 0) -> list[tuple[int, Page]]:
        """All messages in pages with their priority, in order of id for each priority.

        What is above the highest priority counts as that; 0 for a queue without priorities.
        """
        pages: list[tuple[int, Page]] = []
        rows: list[_Row] = []  # of runs too short for a page
        for run in self.runs:
            if isinstance(run.details, _Same) and len(run) >= PAGE_MESSAGES_MAX // 4:
                pages += _pages_of_rows(rows, highest_priority)
                rows = []
                pages += _pages_of_run(run, highest_priority)
            else:
                details = run.details
                rows += [(id_, run.place, details[at]) for at, id_ in enumerate(run.ids)]
                if len(rows) >= PAGE_MESSAGES_MAX:
                    pages += _pages_of_rows(rows, highest_priority)
                    rows = []
        return pages + list(_pages_of_rows(rows, highest_priority))


def _pages_of_run(run: Run, highest_priority: int) -> Iterator[tuple[int, Page]]:
    detail = run.details[0]
    size = detail & _SIZE
    step = max(1, min(PAGE_MESSAGES_MAX, PAGE_BYTES_MAX // max(1, size)))
    for at in range(0, len(run.ids), step):
        ids = run.ids[at : at + step]
        priority = min(_priority(detail), highest_priority)
        yield priority, _page(ids, (run.place,), size * len(ids), (detail,))


def _pages_of_rows(rows: list[_Row], highest_priority: int) -> Iterator[tuple[int, Page]]:
    def level(row: _Row) -> int:
        return min(_priority(row[2]), highest_priority)

    for priority, some in groupby(sorted(rows, key=level), key=level):
        piece: list[_Row] = []
        size = 0
        for row in some:
            piece.append(row)
            size += row[2] & _SIZE
            if size >= PAGE_BYTES_MAX or len(piece) >= PAGE_MESSAGES_MAX:
                yield priority, _page_of_rows(piece, size)
                piece, size = [], 0
        if piece:
            yield priority, _page_of_rows(piece, size)


def _page_of_rows(rows: list[_Row], size: int) -> Page:
    ids, places, details = zip(*rows, strict=True)
    return _page(compact(ids), compact_places(list(places)), size, details)


def _page(ids: Sequence[int], places: Sequence[int], size: int, details: Iterable[int]) -> Page:
    # When one with an expiration expires only its content tells: look at once.
    expires = any(detail & HAS_TTL for detail in details)
    return Page(ids, places, size, 0 if expires else NEVER)


def _priority(detail: int) -> int:
    return detail >> 32 & 0xFF
