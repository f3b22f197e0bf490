"""Metrics of channels and connections.

Each generator is one family of ``/metrics/detailed?family=``. Over all objects the same columns are
added up. Labels are RabbitMQ's, with our name where it has the process of a channel or connection;
the label of a connection is ``channel`` there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from broker.metrics.family import COUNTER, GAUGE, Column, Labels, Scope, Steps, by_object
from broker.metrics.queues import queue_labels

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.amqp.session import Session
    from broker.core.counters import Deliveries, Publishes
    from broker.core.exchange import Exchange
    from broker.core.queue import Queue


class Published(NamedTuple):
    """What one channel published to one exchange."""

    channel: Channel
    exchange: Exchange
    counters: Publishes


class Taken(NamedTuple):
    """What one channel took from one queue."""

    channel: Channel
    queue: Queue
    counters: Deliveries


def sessions_of(scope: Scope) -> list[Session]:
    """All connections that are open."""
    return [session for session in scope.server.sessions if session.opened]


def channels_of(scope: Scope) -> list[Channel]:
    """All channels."""
    return [channel for session in sessions_of(scope) for channel in session.channels.values()]


def _channel_labels(channel: Channel) -> Labels:
    return {"channel": f"{channel.session.name} ({channel.number})"}


def _session_labels(session: Session) -> Labels:
    return {"channel": session.name}


def _published_labels(published: Published) -> Labels:
    vhost = published.channel.session.vhost.name
    labels = {"vhost": vhost, "exchange": published.exchange.name}
    return _channel_labels(published.channel) | labels


def _taken_labels(taken: Taken) -> Labels:
    return _channel_labels(taken.channel) | queue_labels(taken.queue)


def _unacked(channel: Channel) -> int:
    return sum(1 for _ in channel.held())


def _uncommitted(channel: Channel) -> int:
    return channel.transaction.messages_uncommitted if channel.transaction is not None else 0


def _acks_uncommitted(channel: Channel) -> int:
    return channel.transaction.acks_uncommitted if channel.transaction is not None else 0


_CHANNEL: tuple[Column[Channel], ...] = (
    Column("channel_consumers", GAUGE, "Consumers on a channel", lambda one: len(one.consumers)),
    Column(
        "channel_messages_unacked", GAUGE, "Delivered but not yet acknowledged messages", _unacked
    ),
    Column(
        "channel_messages_unconfirmed",
        GAUGE,
        "Published but not yet confirmed messages",
        lambda channel: channel.confirms.unconfirmed,
    ),
    Column(
        "channel_messages_uncommitted",
        GAUGE,
        "Messages received in a transaction but not yet committed",
        _uncommitted,
    ),
    Column(
        "channel_acks_uncommitted",
        GAUGE,
        "Message acknowledgements in a transaction not yet committed",
        _acks_uncommitted,
    ),
    Column(
        "consumer_prefetch",
        GAUGE,
        "Limit of unacknowledged messages for each consumer",
        lambda channel: channel.prefetch,
    ),
    Column(
        "channel_prefetch",
        GAUGE,
        "Total limit of unacknowledged messages for all consumers on a channel",
        lambda channel: channel.global_prefetch,
    ),
)

_CHANNEL_EXCHANGE: tuple[Column[Published], ...] = (
    Column(
        "channel_messages_published_total",
        COUNTER,
        "Total number of messages published into an exchange on a channel",
        lambda published: published.counters.publish,
    ),
    Column(
        "channel_messages_confirmed_total",
        COUNTER,
        "Total number of messages published into an exchange and confirmed on the channel",
        lambda published: published.counters.confirm,
    ),
    Column(
        "channel_messages_unroutable_returned_total",
        COUNTER,
        "Total number of messages published as mandatory into an exchange and returned to the "
        "publisher as unroutable",
        lambda published: published.counters.return_unroutable,
    ),
    Column(
        "channel_messages_unroutable_dropped_total",
        COUNTER,
        "Total number of messages published as non-mandatory into an exchange and dropped as "
        "unroutable",
        lambda published: published.counters.drop_unroutable,
    ),
)

_CHANNEL_QUEUE: tuple[Column[Taken], ...] = (
    Column(
        "channel_get_ack_total",
        COUNTER,
        "Total number of messages fetched with basic.get in manual acknowledgement mode",
        lambda taken: taken.counters.get,
    ),
    Column(
        "channel_get_total",
        COUNTER,
        "Total number of messages fetched with basic.get in automatic acknowledgement mode",
        lambda taken: taken.counters.get_no_ack,
    ),
    Column(
        "channel_messages_delivered_ack_total",
        COUNTER,
        "Total number of messages delivered to consumers in manual acknowledgement mode",
        lambda taken: taken.counters.deliver,
    ),
    Column(
        "channel_messages_delivered_total",
        COUNTER,
        "Total number of messages delivered to consumers in automatic acknowledgement mode",
        lambda taken: taken.counters.deliver_no_ack,
    ),
    Column(
        "channel_messages_redelivered_total",
        COUNTER,
        "Total number of messages redelivered to consumers",
        lambda taken: taken.counters.redeliver,
    ),
    Column(
        "channel_messages_acked_total",
        COUNTER,
        "Total number of messages acknowledged by consumers",
        lambda taken: taken.counters.ack,
    ),
    Column(
        "channel_get_empty_total",
        COUNTER,
        "Total number of times basic.get operations fetched no message",
        lambda taken: taken.counters.get_empty,
    ),
)

_CONNECTION_COARSE: tuple[Column[Session], ...] = (
    Column(
        "connection_incoming_bytes_total",
        COUNTER,
        "Total number of bytes received on a connection",
        lambda session: session.read_bytes,
    ),
    Column(
        "connection_outgoing_bytes_total",
        COUNTER,
        "Total number of bytes sent on a connection",
        lambda session: session.output.written_bytes,
    ),
)

_CONNECTION: tuple[Column[Session], ...] = (
    Column(
        "connection_incoming_packets_total",
        COUNTER,
        "Total number of packets received on a connection",
        lambda session: session.reads,
    ),
    Column(
        "connection_outgoing_packets_total",
        COUNTER,
        "Total number of packets sent on a connection",
        lambda session: session.output.writes,
    ),
    Column(
        "connection_channels",
        GAUGE,
        "Channels on a connection",
        lambda session: len(session.channels),
    ),
)


def channel_metrics(scope: Scope) -> Steps:
    """What each channel has open."""
    return by_object(scope, _CHANNEL, channels_of(scope), _channel_labels)


def channel_exchange_metrics(scope: Scope) -> Steps:
    """What each channel published, by exchange."""
    published = [
        Published(channel, exchange, counters)
        for channel in channels_of(scope)
        for exchange, counters in list(channel.counters.tallies.items())
    ]
    return by_object(scope, _CHANNEL_EXCHANGE, published, _published_labels)


def channel_queue_metrics(scope: Scope) -> Steps:
    """What each channel took, by queue."""
    taken = [
        Taken(channel, queue, counters)
        for channel in channels_of(scope)
        for queue, counters in list(channel.counters.deliveries.items())
    ]
    return by_object(scope, _CHANNEL_QUEUE, taken, _taken_labels)


def connection_coarse_metrics(scope: Scope) -> Steps:
    """Octets of each connection."""
    return by_object(scope, _CONNECTION_COARSE, sessions_of(scope), _session_labels)


def connection_metrics(scope: Scope) -> Steps:
    """Reads, writes and channels of each connection."""
    return by_object(scope, _CONNECTION, sessions_of(scope), _session_labels)
