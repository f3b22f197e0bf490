"""How many lines somebody outside can have written: a flood fills no disk and hides nobody else.

A record that a peer can cause at will names its address: ``extra={"source": host}``. Of each kind
of line (its category and text, or ``kind`` in ``extra``), so many are written for one source in
``PERIOD_S``, and ten times as many for all sources together. What is above that is counted, and
told in one line when the time is over.

Records without a source, such as changes an operator makes, are never held back.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

PERIOD_S = 10.0
OF_ALL = 10  # times what one source may cause
SOURCES_MAX = 1000  # addresses that are told apart; lines of others are held back

_log = logging.getLogger("leveret.log")


@dataclass
class _Kind:
    """Lines of one kind in this period."""

    begun_s: float
    written: int = 0
    written_for: Counter[str] = field(default_factory=Counter)
    held_back: Counter[str] = field(default_factory=Counter)
    last: logging.LogRecord | None = None  # of those held back


class Limiter(logging.Filter):
    """One for all outputs: what it decides about a record holds for each."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.lines_max: int | None = None
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        facts = vars(record)
        if "source" not in facts or self.lines_max is None:
            return True
        if "admitted" not in facts:
            key = record.name, facts.get("kind", record.msg)
            facts["admitted"] = self._admit(record, key, facts["source"], self.lines_max)
        admitted: bool = facts["admitted"]
        return admitted

    def _admit(
        self, record: logging.LogRecord, key: tuple[str, str], source: str, most: int
    ) -> bool:
        now_s = self._clock()
        kind = self._kinds.get(key)
        if kind is not None and now_s - kind.begun_s >= PERIOD_S:
            self._tell(self._kinds.pop(key), now_s)
            kind = None
        if kind is None:
            kind = self._kinds[key] = _Kind(now_s)
        if kind.written_for[source] < most and kind.written < OF_ALL * most:
            kind.written_for[source] += 1
            kind.written += 1
            return True
        if source in kind.held_back or len(kind.held_back) < SOURCES_MAX:
            kind.held_back[source] += 1
        else:
            kind.held_back["others"] += 1
        kind.last = record
        return False

    def report(self) -> None:
        """Tell of what was held back in periods that are over; to be called from time to time."""
        now_s = self._clock()
        over = [key for key, kind in self._kinds.items() if now_s - kind.begun_s >= PERIOD_S]
        for key in over:
            self._tell(self._kinds.pop(key), now_s)

    def _tell(self, kind: _Kind, now_s: float) -> None:
        if kind.last is None:
            return
        ((source, most),) = kind.held_back.most_common(1)
        _log.log(
            kind.last.levelno,
            "%d more lines like this in the last %d s, %d of them because of %s: %s: %s",
            kind.held_back.total(),
            round(now_s - kind.begun_s),
            most,
            source or "a client",
            kind.last.name.removeprefix("leveret."),
            kind.last.getMessage(),
        )
