"""Well-behaved clients in a process of their own, and how they are served.

Two pairs of publisher and consumer: one with persistent messages, confirms and acks, one with
transient messages. The time of each message is measured from its publish to its delivery.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe

from conformance.wire import Connection

GAP_S = 0.004  # between two messages of a pair


@dataclass(frozen=True)
class Served:
    """How messages fared in some time; milliseconds."""

    count: int
    p50: float
    p99: float
    most: float
    failure: str = ""


class WellBehaved:
    """The process; ``served`` tells of the messages since it was last asked."""

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(url, theirs), daemon=True)
        self._process.start()
        assert self._pipe.poll(30), "the well-behaved clients do not start"
        self._pipe.recv()

    def served(self) -> Served:
        """What happened since the last call."""
        self._pipe.send("served")
        assert self._pipe.poll(30), "the well-behaved clients are gone"
        served: Served = self._pipe.recv()
        return served

    def end(self) -> None:
        """Stop."""
        with suppress(OSError):
            self._pipe.send("end")
        self._process.join(10)


def _run(url: str, pipe: Pipe) -> None:
    pairs = [_Pair(url, delivery_mode=mode) for mode in (1, 2)]
    pipe.send("ready")
    while pipe.recv() == "served":
        times = sorted(ms for pair in pairs for ms in pair.take())
        failure = "; ".join(pair.failure for pair in pairs if pair.failure)
        if not times:
            pipe.send(Served(0, 0.0, 0.0, 0.0, failure or "nothing was delivered"))
            continue
        last = len(times) - 1
        pipe.send(Served(len(times), times[last // 2], times[int(last * 0.99)], times[-1], failure))
    for pair in pairs:
        pair.ending = True


class _Pair:
    """One publisher and consumer; one message at a time, at a steady pace."""

    def __init__(self, url: str, delivery_mode: int) -> None:
        self.failure = ""
        self.ending = False
        self._times: list[float] = []
        self._mode = delivery_mode
        self._publisher = Connection(url).channel()
        self._consumer = Connection(url).channel()
        self._queue = self._publisher.declare(durable=delivery_mode == 2)
        self._publisher.call("confirm.select")
        self._consumer.consume(self._queue)
        threading.Thread(target=self._go, daemon=True).start()

    def take(self) -> list[float]:
        """The times since the last call."""
        times, self._times = self._times, []
        return times

    def _go(self) -> None:
        try:
            number = 0
            while not self.ending:
                number += 1
                began = time.perf_counter()
                self._publisher.publish("", self._queue, str(number), delivery_mode=self._mode)
                content = self._consumer.expect_content(body=str(number))
                self._times.append((time.perf_counter() - began) * 1000)
                self._consumer.send("basic.ack", delivery_tag=content["delivery_tag"])
                self._publisher.expect_confirms(number)
                time.sleep(GAP_S)
        except BaseException as error:
            self.failure = repr(error)
        finally:
            with suppress(Exception):
                self._publisher.call("queue.delete", queue=self._queue)
            self._publisher.connection.drop()
            self._consumer.connection.drop()
