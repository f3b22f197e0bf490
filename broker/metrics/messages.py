"""Metrics of all messages: RabbitMQ's families ``global_...``, by protocol and type of queue.

Unlike the sums over objects these never fall: what was counted for objects that are gone stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from broker.core.counters import Deliveries, Publishes
from broker.core.deadletter import DELIVERY_LIMIT, EXPIRED, MAXLEN, REJECTED
from broker.metrics.clients import channels_of
from broker.metrics.family import COUNTER, GAUGE, Labels, Scope, Steps, family, parts
from broker.metrics.queues import queues_of, type_label

if TYPE_CHECKING:
    from broker.core.queue import Queue

PROTOCOL: Labels = {"protocol": "amqp091"}
QUEUE_TYPES = ("classic", "quorum", "stream")

_PUBLISHED: tuple[tuple[str, str, Callable[[Publishes], int]], ...] = (
    (
        "messages_received",
        "Total number of messages received from publishers",
        lambda counted: counted.publish,
    ),
    (
        "messages_routed",
        "Total number of messages routed to queues or streams",
        lambda counted: counted.routed,
    ),
    (
        "messages_unroutable_dropped",
        "Total number of messages published as non-mandatory into an exchange and dropped as "
        "unroutable",
        lambda counted: counted.drop_unroutable,
    ),
    (
        "messages_unroutable_returned",
        "Total number of messages published as mandatory into an exchange and returned to the "
        "publisher as unroutable",
        lambda counted: counted.return_unroutable,
    ),
)

_DELIVERED: tuple[tuple[str, str, Callable[[Deliveries], int]], ...] = (
    (
        "messages_delivered",
        "Total number of messages delivered to consumers",
        lambda counted: counted.deliver_get,
    ),
    (
        "messages_delivered_consume_auto_ack",
        "Total number of messages delivered to consumers using basic.consume with automatic "
        "acknowledgment",
        lambda counted: counted.deliver_no_ack,
    ),
    (
        "messages_delivered_consume_manual_ack",
        "Total number of messages delivered to consumers using basic.consume with manual "
        "acknowledgment",
        lambda counted: counted.deliver,
    ),
    (
        "messages_delivered_get_auto_ack",
        "Total number of messages delivered to consumers using basic.get with automatic "
        "acknowledgment",
        lambda counted: counted.get_no_ack,
    ),
    (
        "messages_delivered_get_manual_ack",
        "Total number of messages delivered to consumers using basic.get with manual "
        "acknowledgment",
        lambda counted: counted.get,
    ),
    (
        "messages_get_empty",
        "Total number of times basic.get operations fetched no message",
        lambda counted: counted.get_empty,
    ),
    (
        "messages_redelivered",
        "Total number of messages redelivered to consumers",
        lambda counted: counted.redeliver,
    ),
    (
        "messages_acknowledged",
        "Total number of messages acknowledged by consumers",
        lambda counted: counted.ack,
    ),
)

_ENDED = (
    (EXPIRED, "expired", "message TTL exceeded"),
    (REJECTED, "rejected", "basic.reject or basic.nack"),
    (MAXLEN, "maxlen", "overflow drop-head or reject-publish-dlx"),
    (DELIVERY_LIMIT, "delivery_limit", "delivery-limit exceeded"),
)


_STRATEGIES = (
    ("classic", "at_most_once"),
    ("classic", "disabled"),
    ("quorum", "at_least_once"),
    ("quorum", "at_most_once"),
    ("quorum", "disabled"),
)


def global_metrics(scope: Scope) -> Steps:
    """Messages in all."""
    yield from _published(scope)
    yield from _delivered(scope)
    yield from _dead_lettered(scope)
    yield _sizes(scope)
    queues = queues_of(scope)
    publishers = sum(1 for channel in channels_of(scope) if channel.counters.tallies)
    for name, text, count in (
        ("publishers", "Current number of publishers", publishers),
        ("consumers", "Current number of consumers", consumers(queues)),
    ):
        yield family(f"{scope.prefix}global_{name}", GAUGE, text, [(PROTOCOL, count)])


def consumers(queues: Iterable[Queue]) -> int:
    """How many consumers these queues have."""
    return sum(len(queue.consumers) for queue in queues)


def _published(scope: Scope) -> Steps:
    broker = scope.server.broker
    counted = Publishes()
    counted.add([broker.totals.publishes])
    for vhost in list(broker.vhosts.values()):
        counted.add(exchange.publishes for exchange in vhost.exchanges.values())
        yield None
    for name, text, read in _PUBLISHED:
        samples = [(PROTOCOL, read(counted))]
        yield family(f"{scope.prefix}global_{name}_total", COUNTER, text, samples)
    received, confirmed = broker.totals.received_confirm, broker.totals.confirmed
    for channel in channels_of(scope):
        received += channel.confirms.counted
        confirmed += channel.counters.confirmed
    for name, text, count in (
        (
            "messages_received_confirm",
            "Total number of messages received from publishers expecting confirmations",
            received,
        ),
        ("messages_confirmed", "Total number of messages confirmed to publishers", confirmed),
    ):
        yield family(f"{scope.prefix}global_{name}_total", COUNTER, text, [(PROTOCOL, count)])


def _delivered(scope: Scope) -> Steps:
    counted = {kind: Deliveries() for kind in QUEUE_TYPES}
    for kind, gone in scope.server.broker.totals.deliveries.items():
        counted[kind].add([gone])
    queues = queues_of(scope)
    for part in parts(queues):
        for queue in part:
            counted[queue.type].add([queue.counters])
        yield None
    for name, text, read in _DELIVERED:
        samples = [
            ({**PROTOCOL, "queue_type": type_label(kind)}, read(deliveries))
            for kind, deliveries in counted.items()
        ]
        yield family(f"{scope.prefix}global_{name}_total", COUNTER, text, samples)


def _strategy_labels(kind: str, strategy: str) -> Labels:
    return {"queue_type": type_label(kind), "dead_letter_strategy": strategy}


def _sizes(scope: Scope) -> Metric:
    counted = scope.server.broker.body_sizes
    text = "Size of messages received from publishers"
    metric = HistogramMetricFamily(f"{scope.prefix}message_size_bytes", text, labels=[*PROTOCOL])
    bounds = [*map(floatToGoString, counted.BOUNDS), "+Inf"]
    buckets = list(zip(bounds, accumulate(counted.buckets), strict=True))
    metric.add_metric(list(PROTOCOL.values()), buckets, counted.total)
    return metric


def _dead_lettered(scope: Scope) -> Steps:
    totals = scope.server.broker.totals
    yield family(
        f"{scope.prefix}global_messages_dead_lettered_confirmed_total",
        COUNTER,
        "Total number of messages dead-lettered and confirmed by target queues",
        [(_strategy_labels("quorum", "at_least_once"), totals.letters_taken)],
    )
    for reason, name, text in _ENDED:
        samples = [
            (
                _strategy_labels(kind, strategy),
                totals.dead_lettered.get((kind, reason, strategy), 0),
            )
            for kind, strategy in _STRATEGIES
        ]
        yield family(
            f"{scope.prefix}global_messages_dead_lettered_{name}_total",
            COUNTER,
            f"Total number of messages dead-lettered due to {text}",
            samples,
        )
