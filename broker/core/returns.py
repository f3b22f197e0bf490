"""How often messages of a queue came back undone, and the delivery limit.

Invariants: a message is counted only while the queue has it; the count of one that the log keeps
is in the log, too, so that it outlives a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from broker.core.deadletter import DELIVERY_LIMIT
from broker.core.message import Message

if TYPE_CHECKING:
    from broker.core.queue import Queue


class Returns(dict[int, int]):
    """Returns by message id; false as long as nothing came back, which is what deliveries ask."""

    __slots__ = ("queue",)

    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self.queue = queue

    def count(self, messages: Iterable[Message]) -> list[Message]:
        """Count once more; those above the delivery limit are dropped, the others returned."""
        queue, broker = self.queue, self.queue.broker
        kept, spent = [], []
        limit = queue.settings.delivery_limit
        for message in messages:
            count = self.get(message.id, 0) + 1
            if limit is not None and count > limit:
                spent.append(message)
                continue
            self[message.id] = count
            if message.batch and queue.durable:
                broker.log.count(queue.id, message.id, count)
                broker.wake()
            kept.append(message)
        if spent:
            queue.unacked -= len(spent)
            queue.drop(spent, DELIVERY_LIMIT)
        return kept

    def stamp(self, messages: list[Message]) -> list[Message]:
        """The messages with x-delivery-count; copies, as other queues may hold the originals."""
        return [
            message.with_header("x-delivery-count", self[message.id])
            if message.id in self
            else message
            for message in messages
        ]

    def forget(self, message_ids: Iterable[int]) -> None:
        """Messages are gone."""
        for message_id in message_ids:
            self.pop(message_id, None)
