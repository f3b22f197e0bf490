"""How long a channel's deliveries have been unacked, as precisely as a consumer timeout needs.

Keeping a time for each delivery would cost on every one of them. Instead ``_marks`` says from
which delivery tag on deliveries left at which time, with at most one mark a second. A delivery
between two marks counts as made at the later one, so none ever seems older than it is.

Invariant: there are at most ``MARKS_MAX`` marks. When they would become more, every second one
goes, which makes ages less precise the older they are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping

MARK_MS = 1000
MARKS_MAX = 4096
_LAST = 1 << 62  # behind every time


class Ages:
    """The ages of one channel's deliveries."""

    __slots__ = ("_extended", "_marks")

    def __init__(self) -> None:
        self._marks: deque[tuple[int, int]] = deque()  # delivery tag, delivered at (ms)
        self._extended: dict[int, int] = {}  # delivery tag -> extended at (ms)

    def note(self, tag: int, now_ms: int) -> None:
        """Deliveries from ``tag`` on leave now. Hot: one call for each batch of deliveries."""
        marks = self._marks
        if not marks or now_ms - marks[-1][1] >= MARK_MS:
            if len(marks) >= MARKS_MAX:
                self._marks = marks = deque(list(marks)[::2])
            marks.append((tag, now_ms))

    def returned(self, tag: int, now_ms: int) -> None:
        """Deliveries from ``tag`` on are unacked again: if they were forgotten, count from now."""
        if not self._marks:
            self._marks.append((tag, now_ms))

    def extend(self, tags: Iterable[int], now_ms: int) -> None:
        """Count the age of these deliveries from now."""
        for tag in tags:
            self._extended[tag] = now_ms

    def forget_settled(self, unacked: Mapping[int, object]) -> None:
        """Keep only what tells the age of these deliveries, which are in order of their tags."""
        marks = self._marks
        if not unacked:
            marks.clear()
            self._extended.clear()
            return
        oldest = next(iter(unacked))
        while len(marks) > 1 and marks[1][0] <= oldest:
            marks.popleft()
        if len(self._extended) > len(unacked):
            self._extended = {tag: at_ms for tag, at_ms in self._extended.items() if tag in unacked}

    @property
    def oldest_ms(self) -> int:
        """No delivery was made before."""
        return self._marks[0][1] if self._marks else _LAST

    def delivered_ms(self, tag: int) -> int:
        """When a delivery left, or was extended."""
        extended_ms = self._extended.get(tag)
        if extended_ms is not None:
            return extended_ms
        marks = self._marks
        behind = bisect_right(marks, (tag, _LAST))
        if behind and marks[behind - 1][0] == tag:
            return marks[behind - 1][1]
        return marks[behind][1] if behind < len(marks) else marks[-1][1] + MARK_MS
