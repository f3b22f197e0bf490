"""Disk work, one piece at a time: at once while the disk is quick, else on a thread of its own.

A sync of 0.1 ms costs less than handing it to a thread and back; one of 5 ms would stall every
client meanwhile. A moving estimate of what syncs took lately decides.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

INLINE_MAX_S = 0.001
# With the default of 5 ms the thread, back from a sync of 0.1 ms, waits up to 5 ms for a busy
# loop to hand it the interpreter: confirms take 16 ms instead of 1.3.
SWITCH_INTERVAL_S = 0.0002

Done = Callable[[Exception | None], None]


class _Job:
    __slots__ = ("done", "elapsed_s", "error", "work")

    def __init__(self, work: Callable[[], None], done: Done) -> None:
        self.work = work
        self.done = done
        self.error: Exception | None = None
        self.elapsed_s = 0.0


class Worker:
    """At most one job at a time. ``done`` is called on the loop's thread, with what went wrong."""

    def __init__(self, clock: Callable[[], float], call_in_loop: Callable[..., Any]) -> None:
        self.clock = clock
        self.call_in_loop = call_in_loop
        self.estimate_s = 0.0
        self.total_us = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._current: _Job | None = None
        self._ended = False

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return self._current is not None

    def run(self, work: Callable[[], None], done: Done, *, large: bool = False) -> None:
        """Do a job. If it is done before this returns, so is the call of ``done``."""
        assert self._current is None, "one at a time"
        self._current = job = _Job(work, done)
        if self._ended or (self.estimate_s < INLINE_MAX_S and not large):
            self._do(job)
            self._finish(job)
            return
        if self._thread is None:
            sys.setswitchinterval(min(SWITCH_INTERVAL_S, sys.getswitchinterval()))
            self._thread = threading.Thread(target=self._serve, name="wal", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._do(job)
            with suppress(RuntimeError):  # the loop is closed already: ``join`` finishes the job
                self.call_in_loop(self._finish, job)

    def _do(self, job: _Job) -> None:
        start = self.clock()
        try:
            job.work()
        except Exception as error:  # whatever it was, it was not written
            job.error = error
        job.elapsed_s = self.clock() - start

    def _finish(self, job: _Job) -> None:
        if job is not self._current:
            return  # ``join`` came first
        self._current = None
        self.total_us += int(job.elapsed_s * 1e6)
        self.estimate_s += (job.elapsed_s - self.estimate_s) / 8
        job.done(job.error)

    def join(self) -> None:
        """Wait for the job under way and end the thread. Later jobs are done at once."""
        self._ended = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
        if self._current is not None:
            self._finish(self._current)
