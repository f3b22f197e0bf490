"""What the process does again and again, whether or not a client asks for anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol


class Job(NamedTuple):
    """``work`` is to be done every ``interval_s``, for the first time after one of them."""

    interval_s: float
    work: Callable[[], object]


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """It is not to come."""


class Upkeep:
    """See the module. ``call_later`` is the event loop's.

    Invariant: each job has one timer, set anew when its work is done.
    """

    def __init__(
        self, jobs: Sequence[Job], call_later: Callable[[float, Callable[[], None]], Timer]
    ) -> None:
        self._jobs = jobs
        self._call_later = call_later
        self._timers: dict[Job, Timer] = {}

    async def start(self) -> None:
        """Begin with the first interval of each job."""
        for job in self._jobs:
            self._wait(job)

    async def stop(self) -> None:
        """Do no more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _wait(self, job: Job) -> None:
        self._timers[job] = self._call_later(job.interval_s, partial(self._do, job))

    def _do(self, job: Job) -> None:
        job.work()
        self._wait(job)
