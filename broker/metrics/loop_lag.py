"""How late the event loop is: a timer asks to be called every tenth of a second, and looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from broker.core.counters import Spread

INTERVAL_S = 0.1


class Timer(Protocol):
    """A pending call."""

    def cancel(self) -> None:
        """Do not call."""


class LoopLag:
    """See the module; ``late_us`` is how much later than asked for it was called."""

    def __init__(
        self,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        self.late_us = Spread()
        self._clock = clock
        self._call_later = call_later
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._due_s = self._clock() + INTERVAL_S
        self._timer = self._call_later(INTERVAL_S, self._called)

    def _called(self) -> None:
        self.late_us.add(int((self._clock() - self._due_s) * 1e6))
        self.start()

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
