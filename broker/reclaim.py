"""Copy-forward: an old message that nobody takes must not pin the disk.

The log frees segments from its head, when nothing in them is live. If the head is mostly dead
but not free (``Log.stale_head``), its live messages are published once more, under their ids
and for the queues that still hold them, and their old references released.

Invariant: ``Message.batch`` is the batch of the newest copy, and that batch counts exactly one
reference for each queue that holds the message. So a copy names all holders at once, and is
made only when no acks are waiting for the tick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from broker.core.broker import Broker
from broker.core.message import Message
from broker.core.queue import Queue
from broker.wal import Log

INTERVAL_S = 0.1
COPY_BYTES_MAX = 8 << 20  # at most so much an interval: publishers keep most of the disk

Unacked = Callable[[], Iterable[tuple[Queue, Message]]]


def copy_forward(broker: Broker, log: Log, unacked: Unacked) -> int:
    """Copy live messages out of a stale head; how many were copied.

    ``unacked`` gives the deliveries that channels hold. The caller has settled grouped acks.
    """
    head = log.stale_head()
    if head is None:
        return 0
    copied, size = 0, 0
    for message, queues in _holders(broker, unacked, head).items():
        if size > COPY_BYTES_MAX:
            break
        old = message.batch
        message.batch = log.gathering
        row = log.route(message.address, tuple(queue.id for queue in queues))
        log.publish(row, message.id, message.published_ms, message.content)
        for queue in queues:
            if queue.counts and message.id in queue.counts:
                log.count(queue.id, message.id, queue.counts[message.id])
        log.release([old] * len(queues))
        size += len(message.content)
        copied += 1
    if copied:
        broker.wake()
    return copied


def _holders(broker: Broker, unacked: Unacked, head: int) -> dict[Message, list[Queue]]:
    """Messages in batches up to ``head``, each with the durable queues that hold it."""
    holders: dict[Message, list[Queue]] = {}
    for vhost in broker.vhosts.values():
        for queue in vhost.keepers():
            if queue.durable:
                for message in queue.stored():
                    if 0 < message.batch <= head:
                        holders.setdefault(message, []).append(queue)
    for queue, message in unacked():
        if queue.durable and 0 < message.batch <= head:
            holders.setdefault(message, []).append(queue)
    return holders
