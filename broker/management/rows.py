"""What is sampled of each kind of object: the names of the columns, and how a row is read.

Names are those of RabbitMQ's JSON. A row is read from the model's own counters, so it is as fresh
as the moment; only publishes of the fast path have to be counted first (``ChannelCounters.count``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.counters import Churn, Deliveries, Publishes

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.amqp.session import Session
    from broker.core.exchange import Exchange
    from broker.core.queue import Queue

LENGTHS = ("messages", "messages_ready", "messages_unacknowledged")
DELIVERIES = (
    "ack",
    "deliver",
    "deliver_get",
    "deliver_no_ack",
    "get",
    "get_empty",
    "get_no_ack",
    "redeliver",
)
PUBLISHES = ("confirm", "drop_unroutable", "publish", "return_unroutable")
DISK = ("disk_reads", "disk_writes")
OCTETS = ("recv_oct", "send_oct")
CHURN = tuple(Churn.__slots__)

QUEUE = (*LENGTHS, "publish", *DELIVERIES, *DISK)
EXCHANGE = ("publish_in", "publish_out", *PUBLISHES)
CHANNEL = (*PUBLISHES, *DELIVERIES)
CONNECTION = OCTETS
VHOST = (*LENGTHS, *PUBLISHES, *DELIVERIES, *DISK, *OCTETS)
OVERVIEW = (*VHOST, *CHURN)


def of_deliveries(counted: Deliveries) -> tuple[int, ...]:
    """``DELIVERIES``."""
    return (
        counted.ack,
        counted.deliver,
        counted.deliver_get,
        counted.deliver_no_ack,
        counted.get,
        counted.get_empty,
        counted.get_no_ack,
        counted.redeliver,
    )


def of_publishes(counted: Publishes) -> tuple[int, ...]:
    """``PUBLISHES``."""
    return counted.confirm, counted.drop_unroutable, counted.publish, counted.return_unroutable


def of_queue(queue: Queue) -> tuple[int, ...]:
    """``QUEUE``."""
    ready, unacked, counters = len(queue), queue.unacked, queue.counters
    return (
        ready + unacked,
        ready,
        unacked,
        counters.publish,
        *of_deliveries(counters),
        0,
        counters.persistent,
    )


def of_exchange(exchange: Exchange) -> tuple[int, ...]:
    """``EXCHANGE``."""
    counted = exchange.publishes
    return counted.publish, counted.routed, *of_publishes(counted)


def of_channel(channel: Channel) -> tuple[int, ...]:
    """``CHANNEL``."""
    publishes, deliveries = channel.counters.totals()
    return *of_publishes(publishes), *of_deliveries(deliveries)


def of_connection(session: Session) -> tuple[int, ...]:
    """``CONNECTION``."""
    return session.read_bytes, session.output.written_bytes


def of_churn(churn: Churn) -> tuple[int, ...]:
    """``CHURN``."""
    return tuple(getattr(churn, name) for name in CHURN)
