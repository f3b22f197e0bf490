"""The last lines of the log, in memory: what a live tail shows.

Owns: ``Recent``, a handler beside the outputs. Lines are numbered from 1 without gaps, so somebody
who looks now and then asks for what came ``after`` the last number seen; somebody who wants each at
once subscribes.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from broker.logs.formats import TIMES, category, one_line
from broker.logs.levels import LEVELS

LINES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """One record. The message is one line; of a traceback it has the exception."""

    seq: int
    time: str
    level: str
    category: str
    message: str


class Recent(logging.Handler):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[Line] = deque(maxlen=LINES_MAX)
        self._subscribers: dict[object, Callable[[Line], None]] = {}
        self.last = 0  # number of the newest line

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record and tell the subscribers."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({record.exc_info[1]!r})"
        self.last += 1
        time = str(TIMES["rfc3339_space"](record.created))
        line = Line(self.last, time, record.levelname.lower(), category(record), one_line(text))
        self._lines.append(line)
        for tell in list(self._subscribers.values()):
            try:
                tell(line)
            except Exception:
                self.handleError(record)

    def after(self, seq: int = 0, level: str = "debug") -> list[Line]:
        """Lines numbered above ``seq`` that are at least as severe as ``level``, oldest first."""
        least = LEVELS[level]
        lines = list(self._lines)
        return [line for line in lines if line.seq > seq and LEVELS[line.level] >= least]

    def subscribe(self, tell: Callable[[Line], None]) -> Callable[[], None]:
        """Call ``tell`` with each line from now on, in the thread that logs; gives what ends it."""
        key = object()
        self._subscribers[key] = tell

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe
