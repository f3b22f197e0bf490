"""Counters over time: the last two samples of everything, and a history of what is looked at.

Invariants:

* A row that equals the one before is not stored: the value at a time is that of the last row not
  after it. Before the first row it is 0.
* A history is bounded: ``RETENTION`` says how many rows of which step it keeps.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

Row = Sequence[int]
Retention = tuple[tuple[int, int], ...]  # (step in ms, rows), finest first

DETAILED: Retention = ((5_000, 121),)
BASIC: Retention = (*DETAILED, (60_000, 61))
GLOBAL: Retention = (*BASIC, (600_000, 49), (1_800_000, 49))


class Window(NamedTuple):
    """What part of a history a client asks for: so far back, in steps of so much."""

    age_ms: int
    step_ms: int


class History:
    """Rows of the past, see the module."""

    __slots__ = ("_tiers",)

    def __init__(self, retention: Retention) -> None:
        self._tiers = [
            (step_ms, deque[tuple[int, Row]](maxlen=count)) for step_ms, count in retention
        ]

    def add(self, at_ms: int, row: Row) -> None:
        """What holds from now on."""
        packed = array("q", row)
        finest = True
        for step_ms, rows in self._tiers:
            is_due = finest or not rows or at_ms // step_ms > rows[-1][0] // step_ms
            if is_due and (not rows or rows[-1][1] != packed):
                rows.append((at_ms, packed))
            finest = False

    def at(self, times_ms: Sequence[int], column: int) -> list[int]:
        """The values of one column at some times."""
        oldest_ms = min(times_ms)
        for step_ms, rows in self._tiers:
            reaches = len(rows) < (rows.maxlen or 0) or (rows and rows[0][0] <= oldest_ms)
            if reaches or step_ms == self._tiers[-1][0]:
                break
        known = list(rows)
        starts = [at_ms for at_ms, _ in known]
        found = [bisect_right(starts, time_ms) for time_ms in times_ms]
        return [known[number - 1][1][column] if number else 0 for number in found]


class Track:
    """What is known of one object: its last two rows, and perhaps its history."""

    __slots__ = (
        "_before",
        "_before_ms",
        "at_ms",
        "changed_ms",
        "history",
        "looked_ms",
        "row",
        "slot_ms",
    )

    def __init__(self) -> None:
        self.at_ms = 0
        self.slot_ms = 0  # the time that the history knows the row by
        self.row: Row = ()
        self.changed_ms = 0  # when the row was last another one
        self._before_ms = 0
        self._before: Row = ()
        self.history: History | None = None
        self.looked_ms = 0  # when somebody last asked for its history

    def add(self, at_ms: int, row: Row, interval_ms: int = 1) -> None:
        """A sample, taken about when an interval begins.

        Clients ask for the values when intervals begin. By the moments they were taken at, one
        interval would now and then have two samples and the next one none: a false pause.
        """
        self._before_ms, self._before = self.at_ms, self.row
        self.at_ms, self.row = at_ms, row
        self.slot_ms = (at_ms + interval_ms // 2) // interval_ms * interval_ms
        if row != self._before:
            self.changed_ms = at_ms
        if self.history is not None:
            self.history.add(self.slot_ms, row)

    @property
    def idle(self) -> bool:
        """Whether nothing changed between the last samples."""
        return self.changed_ms < self.at_ms

    def rate(self, column: int) -> float:
        """How fast a column grew between the last two samples, per second."""
        if not self._before:
            return 0.0
        elapsed_ms = self.at_ms - self._before_ms
        if elapsed_ms <= 0:
            return 0.0
        return round((self.row[column] - self._before[column]) * 1000 / elapsed_ms, 3)

    def details(self, column: int, window: Window | None) -> dict[str, Any]:
        """The rate of a column, and if asked for samples of it, as RabbitMQ shows them."""
        shown: dict[str, Any] = {"rate": self.rate(column)}
        if window is None:
            return shown
        newest_ms = self.slot_ms // window.step_ms * window.step_ms
        count = window.age_ms // window.step_ms + 1
        times = [newest_ms - number * window.step_ms for number in range(count)]
        values = self.history.at(times, column) if self.history is not None else [0] * count
        elapsed_s = (times[0] - times[-1]) / 1000
        return {
            "avg": sum(values) / count,
            "avg_rate": (values[0] - values[-1]) / elapsed_s if elapsed_s else 0.0,
            **shown,
            "samples": [
                {"sample": value, "timestamp": time_ms}
                for time_ms, value in zip(times, values, strict=True)
            ],
        }
