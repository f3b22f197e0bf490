"""A log file that is begun anew when it is large or old.

Owns: ``RotatingFile``. Finished files are called ``leveret.log.1`` (the newest), ``.2`` and so on.
"""

import datetime
import logging
import logging.handlers
import math
import time
from pathlib import Path

from broker.config.schedule import Schedule


class RotatingFile(logging.handlers.RotatingFileHandler):
    """Rotates at a size, at certain times, or both; keeps ``count`` finished files."""

    def __init__(
        self, place: Path, size_bytes: int | None, schedule: Schedule | None, count: int
    ) -> None:
        # A file left by an earlier run may be due already: what counts is its last line.
        begun_s = place.stat().st_mtime if place.exists() else time.time()
        super().__init__(place, maxBytes=size_bytes or 0, backupCount=count, encoding="utf-8")
        self._schedule = schedule
        self._due_s = self._next_s(begun_s)

    def _next_s(self, after_s: float) -> float:
        if self._schedule is None:
            return math.inf
        after = datetime.datetime.fromtimestamp(after_s)
        return self._schedule.next_after(after).timestamp()

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802
        """Whether the line ``record`` belongs in the next file."""
        if record.created < self._due_s:
            return bool(super().shouldRollover(record))
        self._due_s = self._next_s(record.created)
        return True
