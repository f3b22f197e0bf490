"""basic.publish in full: the checks RabbitMQ makes, in its order, and where the message goes.

This is the slow path, complete by itself. When nothing about a message but its octets decides
what happens to it, the route found here is left in ``Session.routes`` under the raw publish
frame, and the fast path repeats it for equal frames (invariants F1 and F2).

A route is left there unless: the exchange, or one behind it, looks at more than the key; the
message is mandatory and goes nowhere; a queue may refuse it; the channel is in tx mode. The
content is not part of the key, so what depends on properties (expiration, user-id, CC, BCC,
delivery mode) is peeked by the fast path, which hands everything unusual back to here.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pamqp import commands

from broker.amqp import firehose, timeouts
from broker.amqp.access import IMPERSONATOR
from broker.core.arguments import TTL_MAX_MS
from broker.core.deadletter import carbon_copies
from broker.core.exchanges.delayed import DelayedRoute
from broker.core.message import with_blind_copies
from broker.core.permissions import WRITE
from broker.core.reply import REPLY_TO
from broker.core.route import Route, publish_once
from protocol.connection import QUEUE_WORK
from protocol.content import decode_properties, header_payload, with_properties
from protocol.errors import AccessRefused, NotSupported, PreconditionFailed
from protocol.tables import Table

if TYPE_CHECKING:
    from broker.amqp.access import Identity
    from broker.amqp.channel import Channel
    from broker.core.counters import Tally
    from broker.core.exchange import Exchange
    from broker.core.queue import Queue
    from protocol.events import PublishReceived


class Facts(NamedTuple):
    """What storing needs of a message's properties, in the order of ``Route.publish``."""

    persistent: bool
    priority: int
    ttl_ms: int


_INTEGER = re.compile(rb"[+-]?[0-9]+")


def publish(channel: Channel, event: PublishReceived) -> None:
    """Carry out one publish, or raise what RabbitMQ answers."""
    session = channel.session
    if session.host.alarms.reasons:
        session.blocking.published()
    limit = session.host.offer.message_size_max
    if event.immediate:
        raise NotSupported("immediate=true")
    if event.size > limit:
        raise PreconditionFailed(
            f"message size {event.size} is larger than configured max size {limit}"
        )
    vhost = session.vhost
    if event.routing_key == timeouts.EXTEND and event.exchange == "":
        timeouts.extend(channel, event.content)
        channel.confirms.count()
        return
    session.access.write_exchange(event.exchange)
    exchange = vhost.exchange(event.exchange)
    if exchange.internal:
        raise AccessRefused(
            f"cannot publish to internal exchange '{exchange.name}' in vhost '{vhost.name}'"
        )
    session.access.topic(exchange, WRITE, event.routing_key)
    properties = decode_properties(header_payload(event.content))
    keys = check_properties(properties, session.access.identity)
    content = event.content
    if properties.get("reply_to") == REPLY_TO.encode():
        if channel.reply is None:
            raise PreconditionFailed("fast reply consumer does not exist")
        content = with_properties(content, {"reply_to": channel.reply.name})
    if "BCC" in properties.get("headers", ()):
        headers: Table = dict(properties["headers"])
        address = with_blind_copies(event.address, carbon_copies(headers, "BCC"))
        event = replace(event, address=address)
        del headers["BCC"]
        content = with_properties(content, {"headers": headers})
    decoded = properties if content is event.content else None
    queues = vhost.route(exchange, event.routing_key, content, keys, decoded)
    session.targets.update(queues)
    session.connection.work_left -= QUEUE_WORK * len(queues)
    if vhost.tracing:
        origin = firehose.of_channel(channel)
        firehose.published(origin, event.exchange, event.routing_key, content, queues)
    expiration = properties.get("expiration")
    facts = Facts(
        properties.get("delivery_mode") == 2,
        properties.get("priority", 0),
        -1 if expiration is None else int(expiration),
    )
    tally = channel.counters.tally(exchange)
    if channel.transaction is not None:
        channel.transaction.publish(lambda: _commit(channel, event, content, facts, queues, tally))
        return
    if _store(channel, event, content, facts, queues, tally) and not keys:
        _remember(channel, event, exchange, queues)


def _store(
    channel: Channel,
    event: PublishReceived,
    content: bytes,
    facts: Facts,
    queues: list[Queue],
    tally: Tally,
) -> bool:
    """Put a message on the queues that take it, and see to it that it is answered.

    True if a message with the same frame would be treated in the same way.
    """
    unroutable = event.mandatory and not any(queue.counts_as_route for queue in queues)
    if unroutable:
        return_unroutable(channel, event, content)
        tally.returned()
    else:
        tally.count(queues, 1, int(facts.persistent))
    broker, confirms = channel.session.broker, channel.confirms
    if publish_once(broker, confirms, event.address, content, event.size, facts, queues):
        confirms.refuse()
    return not unroutable


def check_properties(properties: dict[str, Any], identity: Identity) -> list[str]:
    """Raise for what RabbitMQ refuses; the routing keys that CC and BCC add."""
    user_id = properties.get("user_id")
    user = identity.name
    if user_id is not None and user_id != user.encode() and IMPERSONATOR not in identity.tags:
        raise PreconditionFailed(
            f"user_id property set to '{user_id.decode(errors='replace')}' "
            f"but authenticated user was '{user}'"
        )
    expiration = properties.get("expiration")
    if expiration is not None:
        _check_expiration(expiration)
    mode = properties.get("delivery_mode")
    if mode not in (None, 1, 2):
        raise PreconditionFailed(f"invalid message: {{delivery_mode_unknown,{mode}}}")
    headers = properties.get("headers", {})
    return _keys(headers, "CC") + _keys(headers, "BCC")


def _keys(headers: Table, name: str) -> list[str]:
    value = headers.get(name)
    if value is None:
        return []
    if value.tag != "A":
        raise PreconditionFailed(
            f'invalid message: {{unacceptable_type_in_header,"{name}",{value.type_name}}}'
        )
    return carbon_copies(headers, name)


def _check_expiration(expiration: bytes) -> None:
    shown = expiration.decode(errors="replace")
    match = _INTEGER.match(expiration)
    if match is None:
        raise PreconditionFailed(f"invalid expiration '{shown}': no_integer")
    rest = expiration[match.end() :].decode(errors="replace")
    if rest:
        raise PreconditionFailed(f"invalid expiration '{shown}': {{leftover_string,\"{rest}\"}}")
    ttl_ms = int(match[0])
    if not 0 <= ttl_ms <= TTL_MAX_MS:
        wrong = "value_negative" if ttl_ms < 0 else "value_too_large"
        raise PreconditionFailed(f"invalid expiration '{shown}': {{{wrong},{ttl_ms}}}")


def _remember(
    channel: Channel, event: PublishReceived, exchange: Exchange, queues: list[Queue]
) -> None:
    """Leave the route to the fast path, if the frame alone decides it."""
    session = channel.session
    waits = queues == [exchange.delayed] and not exchange.deduplicates
    if (
        not session.host.fast_path
        or session.vhost.tracing
        or not (session.vhost.is_cacheable(exchange) or waits)
        or session.host.alarms.reasons
        or any(queue.settings.rejects_publishes for queue in queues)
    ):
        return
    kind = DelayedRoute if waits else Route
    route = kind(session.broker, channel.confirms, event.address, queues)
    session.routes.remember(event.frame, route, channel.counters.tally(exchange))


def _commit(
    channel: Channel,
    event: PublishReceived,
    content: bytes,
    facts: Facts,
    queues: list[Queue],
    tally: Tally,
) -> None:
    """Store a message of a transaction on those of its queues that still exist."""
    existing = [queue for queue in queues if not queue.deleted]
    _store(channel, event, content, facts, existing, tally)


def return_unroutable(channel: Channel, event: PublishReceived, content: bytes) -> None:
    """basic.return with 312 NO_ROUTE; it precedes the message's confirm."""
    channel.send_content(
        commands.Basic.Return,
        content,
        reply_code=312,
        reply_text="NO_ROUTE",
        exchange=event.exchange,
        routing_key=event.routing_key,
    )
