"""Where disk work is done, and who hears of it."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest

from broker.wal.worker import INLINE_MAX_S, Worker


class Clock:
    """A clock that the work moves."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture(autouse=True)
def switch_interval() -> Iterator[None]:
    """Leave the interpreter as it was."""
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


class Bench:
    """A worker, a clock, and a loop that runs what was called when told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.calls: Queue[tuple[Callable[..., None], tuple[Any, ...]]] = Queue()
        self.worker = Worker(self.clock, lambda function, *args: self.calls.put((function, args)))
        self.done: deque[Exception | None] = deque()
        self.threads: list[threading.Thread] = []

    def take(self, seconds: float) -> Callable[[], None]:
        """Work that takes this long."""

        def work() -> None:
            self.threads.append(threading.current_thread())
            self.clock.now += seconds

        return work

    def run(self, seconds: float = 0.0, *, large: bool = False) -> None:
        """Have it done."""
        self.worker.run(self.take(seconds), self.done.append, large=large)

    def loop_once(self) -> None:
        """What the event loop does with a call from another thread."""
        function, args = self.calls.get(timeout=10)
        function(*args)


def test_quick_work_is_done_at_once() -> None:
    """On a quick disk the caller has the result when the call returns."""
    bench = Bench()
    bench.run(0.0001)
    assert list(bench.done) == [None]
    assert bench.threads == [threading.current_thread()]
    assert not bench.worker.busy
    assert bench.worker.total_us == 100


def test_slow_work_moves_to_a_thread_and_back() -> None:
    """After slow syncs the loop is not stalled any more; after quick ones no thread is needed."""
    bench = Bench()
    bench.run(20 * INLINE_MAX_S)
    bench.run(0.0)
    assert bench.worker.busy
    assert len(bench.done) == 1, "the result comes through the loop"
    bench.loop_once()
    assert not bench.worker.busy
    assert list(bench.done) == [None, None]
    assert bench.threads[1] is not threading.current_thread()
    assert sys.getswitchinterval() < 0.001
    while bench.worker.estimate_s >= INLINE_MAX_S:
        bench.run(0.0)
        bench.loop_once()
    bench.run(0.0)
    assert bench.threads[-1] is threading.current_thread()
    bench.worker.join()


def test_large_work_goes_to_the_thread() -> None:
    """A long write is not done in the loop, however quick the disk is."""
    bench = Bench()
    bench.run(large=True)
    bench.loop_once()
    assert bench.threads[0] is not threading.current_thread()
    bench.worker.join()


@pytest.mark.parametrize("large", [False, True])
def test_failures_are_handed_over(large: bool) -> None:
    """Whatever the work raises is the result."""
    bench = Bench()
    error = OSError(5, "input/output error")

    def fail() -> None:
        raise error

    bench.worker.run(fail, bench.done.append, large=large)
    if large:
        bench.loop_once()
    assert list(bench.done) == [error]
    bench.worker.join()


def test_join_finishes_what_is_under_way() -> None:
    """The result is known when ``join`` returns, and the loop does not hear of it twice."""
    bench = Bench()
    bench.run(large=True)
    bench.worker.join()
    assert list(bench.done) == [None]
    bench.loop_once()
    assert list(bench.done) == [None]
    bench.run(large=True)
    assert list(bench.done) == [None, None], "after the end all work is done at once"


def test_join_works_when_the_loop_is_closed() -> None:
    """A loop that takes no calls any more does not lose the result."""
    bench = Bench()

    def refuse(*args: object) -> None:
        raise RuntimeError("Event loop is closed")

    bench.worker.call_in_loop = refuse
    bench.run(large=True)
    bench.worker.join()
    assert list(bench.done) == [None]


def test_one_job_at_a_time() -> None:
    """A second job is the caller's mistake."""
    bench = Bench()
    bench.run(large=True)
    with pytest.raises(AssertionError):
        bench.run()
    bench.worker.join()
