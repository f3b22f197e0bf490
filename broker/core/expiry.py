"""Which ready messages of one queue expire when.

A message expires when the lower of the queue's message TTL and its own expiration, counted
from publishing, has passed while it is ready. Unacked messages do not expire; a requeued one
whose time has passed does so at once.

RabbitMQ expires messages only when they reach the head. Here they go wherever they stand, so
that a short expiration behind a long one neither holds memory nor is delivered late.

Invariants:

* With a queue TTL alone, deadlines grow with message ids: looking at the oldest message of the
  backlog suffices, and nothing is kept a message.
* A message with an expiration of its own stands in ``_own`` while it is ready. ``_heap`` may hold
  stale entries; it is rebuilt when they are the greater part. One in a page is not in ``_own``:
  its page knows when to look (`broker.core.paging`).
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from broker.core.message import Message
from broker.core.paging import NEVER

if TYPE_CHECKING:
    from broker.core.backlogs import AnyBacklog

REBUILD_MIN = 1000  # heap entries from which rebuilding is considered


class Expiry:
    """See the module."""

    __slots__ = ("_heap", "_own", "queue_ttl_ms")

    def __init__(self, queue_ttl_ms: int | None) -> None:
        self.queue_ttl_ms = queue_ttl_ms
        self._own: dict[int, Message] = {}
        self._heap: list[tuple[int, int]] = []  # deadline, message id

    def deadline_ms(self, message: Message) -> int | None:
        """When the message expires; None for never."""
        ttl_ms = self.queue_ttl_ms
        if message.ttl_ms >= 0 and (ttl_ms is None or message.ttl_ms < ttl_ms):
            ttl_ms = message.ttl_ms
        return None if ttl_ms is None else message.published_ms + ttl_ms

    def add(self, message: Message) -> int | None:
        """A message became ready; its deadline."""
        deadline_ms = self.deadline_ms(message)
        if deadline_ms is not None and message.ttl_ms >= 0:
            self._own[message.id] = message
            heappush(self._heap, (deadline_ms, message.id))
        return deadline_ms

    def take(self, messages: Iterable[Message]) -> None:
        """Messages are no longer ready."""
        if not self._heap:
            return
        for message in messages:
            if message.ttl_ms >= 0:
                self._own.pop(message.id, None)
        if len(self._heap) > max(REBUILD_MIN, 2 * len(self._own)):
            self._heap = [
                (self.deadline_ms(message) or 0, message_id)
                for message_id, message in self._own.items()
            ]
            heapify(self._heap)

    def clear(self) -> None:
        """No message is ready any more."""
        self._own.clear()
        self._heap.clear()

    def expire(self, backlog: AnyBacklog, now_ms: int, count: int) -> list[Message]:
        """Remove from the backlog what has expired, and return it in order of id.

        About so many at the most; a few more where pages are looked at.
        """
        expired: list[Message] = []
        if self.queue_ttl_ms is not None:
            latest_ms = now_ms - self.queue_ttl_ms
            while len(expired) < count:
                oldest = backlog.oldest()
                if oldest is None or oldest.published_ms > latest_ms:
                    break
                expired.append(backlog.take_oldest())
        self.take(expired)
        while self._heap and self._heap[0][0] <= now_ms and len(expired) < count:
            message = self._own.pop(heappop(self._heap)[1], None)
            if message is not None:
                backlog.remove(message)
                expired.append(message)
        if backlog.deadline_ms <= now_ms:
            expired += backlog.take_expired(now_ms, count)
        return sorted(expired, key=lambda message: message.id)

    def next_due_ms(self, backlog: AnyBacklog) -> int | None:
        """When there is something to expire next; None for never."""
        due_ms = self._heap[0][0] if self._heap else None
        if backlog.deadline_ms != NEVER:
            due_ms = min(due_ms or NEVER, backlog.deadline_ms)
        oldest = backlog.oldest() if self.queue_ttl_ms is not None else None
        if oldest is not None and self.queue_ttl_ms is not None:
            expires_ms = oldest.published_ms + self.queue_ttl_ms
            due_ms = expires_ms if due_ms is None else min(due_ms, expires_ms)
        return due_ms
