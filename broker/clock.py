"""The model's time: the system clock without its jumps.

Times in the model are milliseconds since the epoch, because they have to mean something after a
restart. But a queue that expires an hour after its last use must not be gone, with its messages,
because somebody set the clock. So time goes on at the pace of the machine's monotonic clock, and
makes up for a difference to the system clock at a tenth of that pace.

Invariant: it never goes back, and never faster than eleven tenths of real time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

CATCH_UP = 10  # makes up for at most one in so many nanoseconds
_JUMP_NS = 1_000_000_000

_log = logging.getLogger("leveret.clock")


class Clock:
    """See the module. The two functions give nanoseconds."""

    def __init__(
        self,
        system: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._system = system
        self._monotonic = monotonic
        self._read_at = monotonic()
        self._now = system()
        self._differs = False

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        read_at = self._monotonic()
        passed = read_at - self._read_at
        self._read_at = read_at
        self._now += passed
        difference = self._system() - self._now
        most = passed // CATCH_UP
        self._now += max(-most, min(most, difference))
        if (abs(difference) > _JUMP_NS) != self._differs:
            self._noticed(difference)
        return self._now // 1_000_000

    def _noticed(self, difference: int) -> None:
        self._differs = not self._differs
        if self._differs:
            _log.warning(
                "the system clock was set by %+.0f s; the broker follows at a tenth of its pace, "
                "or at once if it is restarted",
                difference / 1e9,
            )
        else:
            _log.info("the broker's time is the system's again")
