"""The firehose: copies of all messages of a vhost, as they are published and as they are delivered.

While ``Vhost.tracing`` is on, each message is published once more to ``amq.rabbitmq.trace``, with
the key ``publish.<exchange>`` or ``deliver.<queue>``, its body, and headers that tell about it.
Messages of that exchange itself are not traced. The switch is off after a restart.

Costs nothing while it is off: publishes of a traced vhost take the slow path, and deliveries
look at the switch once a batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from broker.core.deadletter import carbon_copies
from broker.core.message import Message
from broker.core.route import publish_for_nobody
from protocol.constants import SHORTSTR_MAX
from protocol.content import (
    PROPERTIES,
    body_of,
    decode_properties,
    encode_header,
    frame_content,
    header_payload,
)
from protocol.methods import shortstr
from protocol.tables import Field, Table, field

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost

TRACE = "amq.rabbitmq.trace"


class Origin(NamedTuple):
    """Who published a message, or gets it: what headers of all copies tell."""

    vhost: Vhost
    connection: str
    channel: int
    user: str


def of_channel(channel: Channel) -> Origin:
    """A channel of AMQP."""
    session = channel.session
    return Origin(session.vhost, session.name, channel.number, session.user)


def published(
    origin: Origin, exchange: str, routing_key: str, content: bytes, queues: Iterable[Queue]
) -> None:
    """A message was routed."""
    if exchange != TRACE:
        names = [queue.name for queue in queues if queue.counts_as_route]
        more = {"routed_queues": Field("A", [field(name) for name in names])}
        _trace(origin, f"publish.{exchange}", (exchange, routing_key, content), {}, more)


def delivered(origin: Origin, queue: Queue, messages: Iterable[Message], redelivered: bool) -> None:
    """Messages were handed to a consumer, or to basic.get."""
    for message in messages:
        if message.exchange != TRACE:
            more = {"redelivered": Field("I", int(redelivered))}
            facts = message.exchange, message.routing_key, message.content
            _trace(origin, f"deliver.{queue.name}", facts, more, {})


def _trace(
    origin: Origin, key: str, facts: tuple[str, str, bytes], before: Table, behind: Table
) -> None:
    """Publish one copy. ``before`` and ``behind`` are headers of its kind, in RabbitMQ's order."""
    exchange, routing_key, content = facts
    vhost = origin.vhost
    properties = decode_properties(header_payload(content))
    keys = [routing_key, *carbon_copies(properties.get("headers", {}))]
    headers: Table = {
        "exchange_name": field(exchange),
        "routing_keys": Field("A", [field(each) for each in keys]),
        "properties": Field("F", _properties(properties)),
        "node": field(vhost.broker.events.node),
        **before,
        "vhost": field(vhost.name),
        "connection": field(origin.connection),
        "channel": Field("I", origin.channel),
        "user": field(origin.user),
        **behind,
    }
    body = body_of(content)
    copy = frame_content(origin.channel, encode_header(len(body), {"headers": headers}), body)
    octets = key.encode("utf-8", "surrogateescape")[:SHORTSTR_MAX]
    key = octets.decode("utf-8", "surrogateescape")
    queues = vhost.route(vhost.exchanges[TRACE], key, copy)
    if queues:
        address = shortstr(TRACE) + shortstr(octets)
        publish_for_nobody(vhost.broker, address, copy, len(body), queues)


def _properties(properties: dict[str, Any]) -> Table:
    """A message's properties as a table, the last one first, as RabbitMQ gathers them."""
    found: Table = {}
    for name, _, kind in reversed(PROPERTIES):
        if name in properties:
            value = properties[name]
            found[name] = Field("F", value) if kind == "table" else field(value)
    return found
