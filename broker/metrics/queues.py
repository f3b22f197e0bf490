"""Metrics of queues: RabbitMQ's families whose names begin with ``queue_``.

Each generator is one family of ``/metrics/detailed?family=``. Over all objects the same columns are
added up.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

from broker.core.paging import MESSAGE_BYTES
from broker.memory import paged_out
from broker.metrics.family import (
    COUNTER,
    GAUGE,
    Column,
    Labels,
    Scope,
    Step,
    Steps,
    by_object,
    parts,
)

if TYPE_CHECKING:
    from broker.core.queue import Queue


CONSUMERS = "Consumers on a queue"


class Held(NamedTuple):
    """A queue, and what it holds besides what it has in memory, ready."""

    queue: Queue
    unacked_bytes: int
    paged_out: int  # messages
    paged_out_bytes: int

    @property
    def ready(self) -> int:
        """Ready messages in memory."""
        return len(self.queue) - self.paged_out

    @property
    def ready_bytes(self) -> int:
        """Octets of their bodies."""
        return self.queue.backlog.size_bytes - self.paged_out_bytes


class Inflow(NamedTuple):
    """What came to one queue from one exchange."""

    queue: Queue
    exchange: str
    messages: int


def queues_of(scope: Scope) -> list[Queue]:
    """All queues of the vhosts that are asked for."""
    wanted = scope.vhosts
    return [
        queue
        for vhost in scope.server.broker.vhosts.values()
        if wanted is None or vhost.name in wanted
        for queue in vhost.queues.values()
    ]


def queue_labels(queue: Queue) -> Labels:
    """RabbitMQ's labels of a queue."""
    return {"vhost": queue.vhost, "queue": queue.name}


def type_label(kind: str) -> str:
    """RabbitMQ's label of a type of queue."""
    return f"rabbit_{kind}_queue"


def _inflow_labels(inflow: Inflow) -> Labels:
    vhost = inflow.queue.vhost
    return {
        "queue_vhost": vhost,
        "queue": inflow.queue.name,
        "exchange_vhost": vhost,
        "exchange": inflow.exchange,
    }


def _queue_exchange_labels(inflow: Inflow) -> Labels:
    queue = inflow.queue
    return {"vhost": queue.vhost, "exchange": inflow.exchange, "queue": queue.name}


def _age_s(queue: Queue) -> float | None:
    age_ms = queue.oldest_age_ms
    return None if age_ms is None else age_ms / 1000


def _capacity(held: Held) -> float:
    """Whether what arrives now could be delivered at once: a sample of RabbitMQ's share of time."""
    return 1.0 if held.queue.consumers and not held.queue.backlog else 0.0


_QUEUE_COARSE: tuple[Column[Queue], ...] = (
    Column("queue_messages_ready", GAUGE, "Messages ready to be delivered to consumers", len),
    Column(
        "queue_messages_unacked",
        GAUGE,
        "Messages delivered to consumers but not yet acknowledged",
        lambda queue: queue.unacked,
    ),
    Column(
        "queue_messages",
        GAUGE,
        "Sum of ready and unacknowledged messages - total queue depth",
        lambda queue: len(queue) + queue.unacked,
    ),
    Column(
        "queue_oldest_message_age_seconds",
        GAUGE,
        "How long the oldest message in the queue has waited to be delivered",
        _age_s,
        own=True,
        combine=max,
    ),
)

_QUEUE_CONSUMERS: tuple[Column[Queue], ...] = (
    Column("queue_consumers", GAUGE, CONSUMERS, lambda queue: len(queue.consumers)),
)

_QUEUE: tuple[Column[Held], ...] = (
    Column("queue_consumers", GAUGE, CONSUMERS, lambda held: len(held.queue.consumers)),
    Column("queue_consumer_capacity", GAUGE, "Consumer capacity", _capacity),
    Column("queue_consumer_utilisation", GAUGE, "Same as consumer capacity", _capacity),
    Column(
        "queue_process_memory_bytes",
        GAUGE,
        "Memory in bytes that the queue's ready messages need, about",
        lambda held: held.ready_bytes + MESSAGE_BYTES * held.ready,
    ),
    Column(
        "queue_messages_ram",
        GAUGE,
        "Ready and unacknowledged messages stored in memory",
        lambda held: held.ready + held.queue.unacked,
    ),
    Column(
        "queue_messages_ram_bytes",
        GAUGE,
        "Size of ready and unacknowledged messages stored in memory",
        lambda held: held.ready_bytes + held.unacked_bytes,
    ),
    Column(
        "queue_messages_ready_ram",
        GAUGE,
        "Ready messages stored in memory",
        lambda held: held.ready,
    ),
    Column(
        "queue_messages_unacked_ram",
        GAUGE,
        "Unacknowledged messages stored in memory",
        lambda held: held.queue.unacked,
    ),
    Column(
        "queue_messages_paged_out",
        GAUGE,
        "Messages paged out to disk",
        lambda held: held.paged_out,
    ),
    Column(
        "queue_messages_paged_out_bytes",
        GAUGE,
        "Size in bytes of messages paged out to disk",
        lambda held: held.paged_out_bytes,
    ),
    Column(
        "queue_messages_bytes",
        GAUGE,
        "Size in bytes of ready and unacknowledged messages",
        lambda held: held.queue.backlog.size_bytes + held.unacked_bytes,
    ),
    Column(
        "queue_messages_ready_bytes",
        GAUGE,
        "Size in bytes of ready messages",
        lambda held: held.queue.backlog.size_bytes,
    ),
    Column(
        "queue_messages_unacked_bytes",
        GAUGE,
        "Size in bytes of all unacknowledged messages",
        lambda held: held.unacked_bytes,
    ),
    Column(
        "queue_disk_writes_total",
        COUNTER,
        "Total number of times queue wrote messages to disk",
        lambda held: held.queue.counters.persistent,
    ),
)

_QUEUE_DELIVERY: tuple[Column[Queue], ...] = (
    Column(
        "queue_get_ack_total",
        COUNTER,
        "Total number of messages fetched from a queue with basic.get in manual acknowledgement "
        "mode",
        lambda queue: queue.counters.get,
    ),
    Column(
        "queue_get_total",
        COUNTER,
        "Total number of messages fetched from a queue with basic.get in automatic acknowledgement "
        "mode",
        lambda queue: queue.counters.get_no_ack,
    ),
    Column(
        "queue_messages_delivered_ack_total",
        COUNTER,
        "Total number of messages delivered from a queue to consumers in manual acknowledgement "
        "mode",
        lambda queue: queue.counters.deliver,
    ),
    Column(
        "queue_messages_delivered_total",
        COUNTER,
        "Total number of messages delivered from a queue to consumers in automatic acknowledgement "
        "mode",
        lambda queue: queue.counters.deliver_no_ack,
    ),
    Column(
        "queue_messages_redelivered_total",
        COUNTER,
        "Total number of messages redelivered from a queue to consumers",
        lambda queue: queue.counters.redeliver,
    ),
    Column(
        "queue_messages_acked_total",
        COUNTER,
        "Total number of messages acknowledged by consumers on a queue",
        lambda queue: queue.counters.ack,
    ),
    Column(
        "queue_get_empty_total",
        COUNTER,
        "Total number of times basic.get operations fetched no message on a queue",
        lambda queue: queue.counters.get_empty,
    ),
)

_INFLOW: tuple[Column[Inflow], ...] = (
    Column(
        "queue_messages_published_total",
        COUNTER,
        "Total number of messages published to queues",
        lambda inflow: inflow.messages,
    ),
)


_QUEUE_EXCHANGE: tuple[Column[Inflow], ...] = (
    Column(
        "queue_exchange_messages_published_total",
        COUNTER,
        "Total number of messages published into a queue through an exchange",
        lambda inflow: inflow.messages,
    ),
)

_QUEUE_INFO: tuple[Column[Queue], ...] = (
    Column("queue_info", GAUGE, "Always 1; the labels tell what kind of queue it is", lambda _: 1),
)


def _info_labels(queue: Queue) -> Labels:
    return {**queue_labels(queue), "queue_type": type_label(queue.type), "membership": "leader"}


def queue_coarse_metrics(scope: Scope) -> Steps:
    """How many messages each queue has, and since when."""
    return by_object(scope, _QUEUE_COARSE, queues_of(scope), queue_labels)


def queue_consumer_count(scope: Scope) -> Steps:
    """How many consumers each queue has."""
    return by_object(scope, _QUEUE_CONSUMERS, queues_of(scope), queue_labels)


def queue_metrics(scope: Scope) -> Steps:
    """What else there is to say about a queue."""
    unacked: dict[Queue, int] = {}
    for session in list(scope.server.sessions):
        for channel in list(session.channels.values()):
            for deliveries in parts(list(channel.held())):
                for message, holder in deliveries:
                    queue = holder.queue
                    unacked[queue] = unacked.get(queue, 0) + message.size
                yield None
    held: list[Held] = []
    for queues in parts(queues_of(scope)):
        held += [Held(queue, unacked.get(queue, 0), *paged_out(queue)) for queue in queues]
        yield None
    yield from by_object(scope, _QUEUE, held, lambda one: queue_labels(one.queue))


def queue_delivery_metrics(scope: Scope) -> Steps:
    """What left each queue."""
    return by_object(scope, _QUEUE_DELIVERY, queues_of(scope), queue_labels)


def channel_queue_exchange_metrics(scope: Scope) -> Steps:
    """What came to each queue, by exchange; all channels together."""
    inflows = yield from _inflows(scope)
    yield from by_object(scope, _INFLOW, inflows, _inflow_labels)


def queue_exchange_metrics(scope: Scope) -> Steps:
    """The same under the name of RabbitMQ 4, where the labels are shorter."""
    inflows = yield from _inflows(scope)
    yield from by_object(scope, _QUEUE_EXCHANGE, inflows, _queue_exchange_labels)


def queue_info(scope: Scope) -> Steps:
    """What kind of queue each is."""
    yield from by_object(scope, _QUEUE_INFO, queues_of(scope), _info_labels)


def _inflows(scope: Scope) -> Generator[Step, None, list[Inflow]]:
    inflows: list[Inflow] = []
    for queues in parts(queues_of(scope)):
        for queue in queues:
            counted = queue.counters.incoming
            inflows += [Inflow(queue, exchange, count) for exchange, count in counted.items()]
        yield None
    return inflows
