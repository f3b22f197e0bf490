"""Delayed retry: a message that comes back to its queue waits before it is ready again.

Arguments (RabbitMQ 4.3 has the first three for quorum queues; here every queue takes them):

* ``x-delayed-retry-type``: ``disabled``, ``all``, ``failed`` (basic.reject, or the channel or
  connection was lost) or ``returned`` (basic.nack, basic.recover)
* ``x-delayed-retry-min``, ``x-delayed-retry-max``: milliseconds
* ``x-delayed-retry-strategy``: ``linear`` (the minimum times the number of returns) or
  ``exponential`` (the minimum, doubled with each return); at most the maximum

Invariants: a waiting message is neither ready nor unacked, counts in no length, and does not
expire while it waits. After a restart it waits once more, for the whole delay of its count.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from broker.core.message import Message

if TYPE_CHECKING:
    from broker.core.queue import Queue

DEFAULT_MIN_MS = 1000
DEFAULT_MAX_MS = 3_600_000


class Retry:
    """The waiting messages of one queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._heap: list[tuple[int, int, Message]] = []  # due (ms), message id, message

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Message]:
        for _, _, message in self._heap:
            yield message

    def oldest(self) -> Message | None:
        """The message of the lowest id; looks at all that wait."""
        return min(self, key=lambda message: message.id, default=None)

    def delay_ms(self, count: int) -> int:
        """How long a message waits that came back for the ``count``-th time."""
        settings = self._queue.settings
        least = settings.retry_min_ms or DEFAULT_MIN_MS
        most = settings.retry_max_ms or DEFAULT_MAX_MS
        if settings.retry_strategy == "exponential":
            return min(least << min(count - 1, 62), most)
        return min(least * count, most)

    def hold(self, message: Message, count: int) -> None:
        """A message came back: let it wait."""
        due_ms = self._queue.broker.now_ms + self.delay_ms(count)
        heappush(self._heap, (due_ms, message.id, message))
        self._queue.broker.timers.at(due_ms, self._due)

    def _due(self) -> None:
        queue = self._queue
        now_ms = queue.broker.now_ms
        while self._heap and self._heap[0][0] <= now_ms and not queue.deleted:
            queue.make_ready(heappop(self._heap)[2])
        queue.wake()

    def clear(self) -> list[Message]:
        """Drop everything; the messages there were."""
        messages = list(self)
        self._heap.clear()
        return messages
