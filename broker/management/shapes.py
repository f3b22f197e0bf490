"""Pieces of JSON that several kinds of objects share."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from protocol.tables import Field, Table

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.amqp.consumer import AmqpConsumer
    from broker.amqp.session import Session
    from broker.core.exchange import Binding

GARBAGE_COLLECTION = {  # of an Erlang process: there is none
    "fullsweep_after": -1,
    "max_heap_size": -1,
    "min_bin_vheap_size": -1,
    "min_heap_size": -1,
    "minor_gcs": -1,
}


def of_table(table: Table) -> dict[str, Any]:
    """A field table as a JSON object."""
    return {name: of_field(value) for name, value in table.items()}


def of_field(value: Field) -> Any:
    """A field as a JSON value; octets that are no text are replaced."""
    tag, given = value
    if tag in ("S", "x"):
        return given.decode("utf-8", "replace")
    if tag == "F":
        return of_table(given)
    if tag == "A":
        return [of_field(item) for item in given]
    if tag == "D":
        scale, digits = given
        return digits / 10**scale
    if (tag in ("d", "f") and given != given) or given in (float("inf"), float("-inf")):
        return str(given)
    return given


def timestamp(at_ms: int) -> str:
    """A time as RabbitMQ writes idle_since."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def peer(session: Session) -> dict[str, Any]:
    """A connection, in what belongs to it."""
    return {
        "name": session.name,
        "peer_host": session.peer_host,
        "peer_port": port_of(session.ends[0]),
    }


def port_of(end: Any) -> int:
    """The port of one end of a socket; 0 if it is none of IP."""
    return end[1] if isinstance(end, tuple) else 0


def channel_name(channel: Channel) -> str:
    """A channel's name."""
    return f"{channel.session.name} ({channel.number})"


def channel_details(channel: Channel, node: str) -> dict[str, Any]:
    """A channel, in what belongs to it."""
    session = channel.session
    return {
        "connection_name": session.name,
        "name": channel_name(channel),
        "node": node,
        "number": channel.number,
        "peer_host": session.peer_host,
        "peer_port": port_of(session.ends[0]),
        "user": session.user,
    }


def of_consumer(consumer: AmqpConsumer, node: str) -> dict[str, Any]:
    """A consumer, as in lists of consumers and in consumer_details."""
    queue = consumer.queue
    single_active = queue.settings.single_active_consumer
    active = not single_active or queue.dispatch.active is consumer
    status = ("single_active" if active else "waiting") if single_active else "up"
    return {
        "arguments": of_table(consumer.arguments),
        "ack_required": not consumer.no_ack,
        "active": active,
        "activity_status": status,
        "channel_details": channel_details(consumer.channel, node),
        "consumer_tag": consumer.tag,
        "consumer_timeout": consumer.timeout_ms or 0,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch if consumer.prefetch < 1 << 32 else 0,
        "queue": {"name": queue.name, "vhost": queue.vhost},
    }


def of_binding(binding: Binding, vhost: str) -> dict[str, Any]:
    """A binding."""
    is_exchange, destination, routing_key, _ = binding.identity
    return {
        "source": binding.source.name,
        "vhost": vhost,
        "destination": destination,
        "destination_type": "exchange" if is_exchange else "queue",
        "routing_key": routing_key,
        "arguments": of_table(binding.arguments),
        "properties_key": properties_key(binding),
    }


def quoted(routing_key: str) -> str:
    """A routing key as part of a properties_key."""
    return quote_plus(routing_key.encode("utf-8", "surrogateescape")).replace("~", "%7E")


def properties_key(binding: Binding) -> str:
    """What names a binding among those of its two ends: its key, and a hash of its arguments.

    The hash is not the one RabbitMQ computes; nobody but the API looks at it.
    """
    key = quoted(binding.routing_key)
    if not binding.arguments:
        return key or "~"
    digest = zlib.crc32(binding.identity[3]).to_bytes(4, "big")
    return f"{key}~{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def default_binding(vhost: str, queue: str) -> dict[str, Any]:
    """The binding of a queue to the default exchange, which nobody made."""
    return {
        "source": "",
        "vhost": vhost,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": queue,
        "arguments": {},
        "properties_key": quoted(queue) or "~",
    }
