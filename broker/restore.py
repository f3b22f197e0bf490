"""Rebuilds the model from the log: the only place that knows both.

Batches come in order. What a batch settles may have been published in any batch before, and a
message may come again under its id, copied forward for the queues that still hold it; so
messages are kept by queue and id until the log ends, and only then put on their queues.

Invariant: after ``finish`` the log's references on each batch equal the messages that queues
hold from it.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from broker.core.broker import Broker
from broker.core.message import Message
from broker.core.operations import apply, decode_operation
from broker.core.queue import Queue
from protocol.content import body_size, peek_content

if TYPE_CHECKING:
    from broker.wal import Batch, Log


class Restore:
    """One replay."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._snapshot_seen = False
        self._messages: dict[int, dict[int, Message]] = {}  # queue id -> message id -> message
        self._counts: dict[tuple[int, int], int] = {}  # (queue id, message id) -> returns
        self._highest_id = 0

    def replay(self, batch: Batch) -> None:
        """Take in the next batch."""
        self._apply(batch)
        for _, queue_ids in batch.routes:
            for queue_id in queue_ids:  # also of queues that only held unacked messages any more
                self.broker.next_queue_id = max(self.broker.next_queue_id, queue_id + 1)
        for row, message_id, published_ms, content in zip(
            batch.publish_route, batch.publish_id, batch.publish_ms, batch.contents, strict=True
        ):
            address, queue_ids = batch.routes[row]
            _, priority, ttl_ms = peek_content(content)
            message = Message(
                message_id,
                address,
                content,
                body_size(content),
                published_ms,
                ttl_ms,
                priority,
                batch.number,
            )
            for queue_id in queue_ids:
                self._messages.setdefault(queue_id, {})[message_id] = message
        if batch.publish_id:
            self._highest_id = max(self._highest_id, *batch.publish_id)
        for queue_id, message_id, count in batch.counts:
            self._counts[queue_id, message_id] = count
        for queue_id, message_ids in batch.settles:
            messages = self._messages.get(queue_id, {})
            for message_id in message_ids:
                messages.pop(message_id, None)
                self._counts.pop((queue_id, message_id), None)

    def _apply(self, batch: Batch) -> None:
        # Each segment restates the topology; the first statement and what followed it suffice.
        if batch.is_snapshot and self._snapshot_seen:
            return
        self._snapshot_seen = self._snapshot_seen or batch.is_snapshot
        for octets in batch.operations:
            apply(self.broker, decode_operation(octets))

    def finish(self, log: Log) -> int:
        """Put what is left on its queues, and tell the log what it has to keep; the count."""
        broker = self.broker
        broker.now_ms = time.time_ns() // 1_000_000
        broker.next_message_id = self._highest_id + 1
        references: Counter[int] = Counter()
        for queue in self._queues():
            queue.used()  # while the broker was down nobody could use it
            queue.backlog.recovered_below = broker.next_message_id
            messages = self._messages.pop(queue.id, {})
            for message_id in sorted(messages):
                count = self._counts.get((queue.id, message_id), 0)
                queue.recover(messages[message_id], count)
            references.update(message.batch for message in messages.values())
        for batch, count in references.items():
            log.retain(batch, count)
        return references.total()

    def _queues(self) -> list[Queue]:
        return [queue for vhost in self.broker.vhosts.values() for queue in vhost.keepers()]
