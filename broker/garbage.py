"""The decisions about memory that nobody uses any more, and their one timer.

Cycles
======

Reference counting frees nearly everything here. What it cannot free, cycles left by exceptions
and by sessions with their channels, is rare; but each automatic collection walks every object
made since the last one, and every queued message is such an object: with a million of them a
full collection stops the broker for half a second, and filling a queue costs 2.6 times as much
CPU as without collections. So automatic collection is off, and every ``INTERVAL_S`` either

* there are few messages and queues: a full collection, which then takes about 10 ms, or
* there are many: only what was made since the last time is looked at, if that is little, and then
  everything is moved out of the collector's sight (``gc.freeze``, which takes constant time). It is
  looked at again once there is less.

Invariant: no collection ever walks more than ``WALK_MAX`` messages, or ``NEW_MAX`` new objects.

Freed memory
============

Message bodies come from malloc, which keeps what is freed as long as anything lives behind it:
after a million messages of 1 KiB were drained the process still had 1.1 GB. ``malloc_trim``
gives it back, in about 0.2 ms a megabyte; it is called when much was freed since the last time.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress

from broker.core.broker import Broker
from broker.core.queue import Queue

INTERVAL_S = 10.0
WALK_MAX = 20_000  # queued messages that a collection may walk over
QUEUE_WEIGHT = 10  # a queue is as much to walk over as so many messages
NEW_MAX = 100_000  # objects made since the last collection that one may walk over
TRIM_BYTES = 64 << 20  # so many octets less in queues than at their most since the last trim


def start() -> None:
    """Turn automatic collection off, and hide what the start of the program made."""
    gc.disable()
    gc.collect()
    gc.freeze()


class Collector:
    """The timer's work."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._most_bytes = 0  # in queues since the last trim
        self._malloc_trim: Callable[[int], object] | None = None
        with suppress(AttributeError, OSError):  # only glibc has it
            self._malloc_trim = ctypes.CDLL(None).malloc_trim

    def collect(self) -> None:
        """Collect cycles as far as that is quick, and give back what was freed."""
        queues = [q for vhost in self._broker.vhosts.values() for q in vhost.queues.values()]
        if self._is_much(queues):
            if gc.get_count()[0] <= NEW_MAX:
                gc.collect()
            gc.freeze()
            gc.collect(0)  # walks nothing; begins to count anew
        else:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        self._trim(sum(queue.backlog.size_bytes for queue in queues))

    @staticmethod
    def _is_much(queues: list[Queue]) -> bool:
        weight = QUEUE_WEIGHT * len(queues)
        # Counting the messages of very many queues would itself take long.
        return weight > WALK_MAX or (
            weight + sum(len(queue) + queue.unacked for queue in queues) > WALK_MAX
        )

    def _trim(self, size_bytes: int) -> None:
        self._most_bytes = max(self._most_bytes, size_bytes)
        if self._malloc_trim is not None and self._most_bytes - size_bytes > TRIM_BYTES:
            self._malloc_trim(0)
            self._most_bytes = size_bytes
