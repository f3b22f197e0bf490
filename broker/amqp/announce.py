"""What the event exchange is told of logins, connections, channels and consumers.

Headers are those of RabbitMQ's plugin, with one difference: the error of a refused login is text,
not a list of character codes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from broker.core.event_facts import Facts, arguments_fact
from broker.core.events import NOBODY

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.amqp.consumer import AmqpConsumer
    from broker.amqp.session import Session
    from broker.core.broker import Broker

AMQP_0_9_1 = "{0,9,1}"
PROTOCOL = "amqp091"  # in counts of logins


def alarms(broker: Broker, before: Iterable[str], now: Iterable[str]) -> None:
    """These alarms were raised before, those are now."""
    for key, kinds in (
        ("alarm.set", set(now) - set(before)),
        ("alarm.cleared", set(before) - set(now)),
    ):
        for kind in sorted(kinds):
            source = kind.removeprefix("low on ")
            broker.events.publish(key, {"source": source, "node": broker.events.node})


def logged_in(session: Session) -> None:
    """A client proved to be a user."""
    session.broker.logins[PROTOCOL, True] += 1
    if session.broker.events.wanted:
        facts = {"name": session.user} | _login_facts(session, session.mechanism)
        session.broker.events.publish("user.authentication.success", facts)


def login_refused(session: Session, mechanism: str, error: Exception) -> None:
    """A client did not prove to be anybody."""
    session.broker.logins[PROTOCOL, False] += 1
    if session.broker.events.wanted:
        facts = _login_facts(session, mechanism) | {"error": str(error)}
        session.broker.events.publish("user.authentication.failure", facts)


def connection_created(session: Session) -> None:
    """A client opened a vhost. From here on the connection has an identifier for events."""
    events = session.broker.events
    session.event_id = events.new_id()
    if not events.wanted:
        return
    connection = session.connection
    login = _login_facts(session, session.mechanism)
    del login["connection_type"], login["connection_name"]
    facts = {
        "type": "network",
        "pid": session.event_id,
        "name": session.name,
        "port": _port(session, "sockname"),
        **login,
        **_tls_facts(session),
        "user": session.user,
        "vhost": session.vhost.name,
        "timeout": connection.heartbeat_s,
        "frame_max": connection.frame_max,
        "channel_max": connection.channel_max,
        "client_properties": arguments_fact(connection.client_properties),
        "connected_at": session.broker.now_ms,
        "node": session.broker.events.node,
    }
    events.publish("connection.created", facts, user=session.user)


def connection_closed(session: Session) -> None:
    """A connection is over, for whatever reason."""
    if session.broker.events.wanted:
        facts = {
            "name": session.name,
            "pid": session.event_id,
            "node": session.broker.events.node,
            "client_properties": arguments_fact(session.connection.client_properties),
        }
        session.broker.events.publish("connection.closed", facts)


def channel_created(channel: Channel) -> None:
    """A channel was opened; it has an identifier for events now."""
    session = channel.session
    events = session.broker.events
    channel.event_id = events.new_id()
    if events.wanted:
        facts = {
            "pid": channel.event_id,
            "name": f"{session.name} ({channel.number})",
            "connection": session.event_id,
            "number": channel.number,
            "user": session.user,
            "vhost": session.vhost.name,
        }
        events.publish("channel.created", facts, user=session.user)


def channel_closed(channel: Channel) -> None:
    """A channel is over, for whatever reason."""
    session = channel.session
    if session.broker.events.wanted:
        facts = {"pid": channel.event_id}
        session.broker.events.publish("channel.closed", facts, user=session.user)


def consumer_created(consumer: AmqpConsumer, prefetch_count: int) -> None:
    """A client subscribed to a queue."""
    session = consumer.channel.session
    if session.broker.events.wanted:
        facts = _consumer_facts(consumer) | {
            "exclusive": consumer.exclusive,
            "ack_required": not consumer.no_ack,
            "prefetch_count": prefetch_count,
            "arguments": arguments_fact(consumer.arguments),
        }
        session.broker.events.publish("consumer.created", facts, user=session.user)


def consumer_deleted(consumer: AmqpConsumer) -> None:
    """A subscription is over; only basic.cancel makes that a user's doing."""
    events = consumer.channel.session.broker.events
    if events.wanted:
        user = NOBODY if consumer.channel.closed else events.user
        events.publish("consumer.deleted", _consumer_facts(consumer), user=user)


def _consumer_facts(consumer: AmqpConsumer) -> Facts:
    return {
        "consumer_tag": consumer.tag,
        "channel": consumer.channel.event_id,
        "vhost": consumer.queue.vhost,
        "queue": consumer.queue.name,
    }


def _login_facts(session: Session, mechanism: str) -> Facts:
    info = session.transport.get_extra_info
    return {
        "connection_type": "network",
        "host": _address_term(info("sockname")),
        "connection_name": session.name,
        "peer_host": _address_term(session.origin[0] if session.origin else info("peername")),
        "peer_port": _port(session, "peername"),
        "protocol": AMQP_0_9_1,
        "auth_mechanism": mechanism,
        "ssl": info("ssl_object") is not None,
    }


def _tls_facts(session: Session) -> Facts:
    tls = session.transport.get_extra_info("ssl_object")
    empty = "peer_cert_subject", "peer_cert_issuer", "peer_cert_validity"
    facts = dict.fromkeys((*empty, "ssl_key_exchange", "ssl_hash"), "")
    cipher = tls.cipher() if tls is not None else None
    version = (tls.version() or "") if tls is not None else ""
    return facts | {
        "ssl_protocol": version.lower(),
        "ssl_cipher": cipher[0] if cipher is not None else "",
    }


def _port(session: Session, end: str) -> int:
    address = session.transport.get_extra_info(end)
    if session.origin is not None:
        address = session.origin[0 if end == "peername" else 1]
    return int(address[1]) if address else 0


def _address_term(address: Any) -> str:
    """The host of a socket's address, as Erlang writes it."""
    try:
        host = ipaddress.ip_address(str(address[0]).partition("%")[0])
    except (ValueError, TypeError, IndexError):
        return ""
    if isinstance(host, ipaddress.IPv4Address):
        return f"{{{','.join(map(str, host.packed))}}}"
    octets = host.packed
    groups = (int.from_bytes(octets[at : at + 2], "big") for at in range(0, 16, 2))
    return f"{{{','.join(map(str, groups))}}}"
