"""Connections: lists, one in detail, closing them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.management import answers, details, rows, shapes
from broker.management.errors import not_found, refused
from broker.management.listing import Columns, Item, reply
from protocol.errors import ConnectionForced

if TYPE_CHECKING:
    from broker.amqp.session import Session
    from broker.management.call import Call

REASON_MAX = 200  # characters of X-Reason that the client is told


def row(call: Call, session: Session) -> dict[str, Any]:
    """A connection."""
    connection = session.connection
    peer, here = session.ends
    properties = shapes.of_table(connection.client_properties)
    shown = {
        "auth_mechanism": session.mechanism,
        "channel_max": connection.channel_max,
        "channels": len(session.channels),
        "client_properties": properties,
        "connected_at": session.since_ms,
        "frame_max": connection.frame_max,
        "garbage_collection": shapes.GARBAGE_COLLECTION,
        "host": here[0] if here else "",
        "name": session.name,
        "node": call.state.node,
        "peer_host": session.peer_host,
        "peer_port": shapes.port_of(peer),
        "port": shapes.port_of(here),
        "protocol": "AMQP 0-9-1",
        "state": _state(session),
        "timeout": connection.heartbeat_s,
        "type": "network",
        "user": session.user,
        "user_provided_name": properties.get("connection_name", ""),
        "user_who_performed_action": session.user,
        "vhost": session.vhost.name,
        **_tls(session),
    }
    if not shown["user_provided_name"]:
        del shown["user_provided_name"]
    if call.state.shows_no_statistics(call):
        return shown
    now = rows.of_connection(session)
    track = call.state.sampler.track(session, lambda: now)
    window = details.window_of(call.query, details.OCTETS_QUERY)
    shown |= details.shown(rows.CONNECTION, now, track, rows.OCTETS, window)
    return shown | {
        "recv_cnt": session.reads,
        "reductions": 0,
        "reductions_details": {"rate": 0.0},
        "send_cnt": session.output.writes,
        "send_pend": session.transport.get_write_buffer_size(),
    }


def _state(session: Session) -> str:
    if session.blocking.blocked:
        return "blocked"
    if session.host.alarms.reasons:
        return "blocking"
    return "flow" if session.reading.held_back else "running"


def _tls(session: Session) -> dict[str, Any]:
    """What is known of TLS, with RabbitMQ's names."""
    tls = session.transport.get_extra_info("ssl_object")
    shown: dict[str, Any] = dict.fromkeys(
        (
            "peer_cert_issuer",
            "peer_cert_subject",
            "peer_cert_validity",
            "ssl_cipher",
            "ssl_hash",
            "ssl_key_exchange",
            "ssl_protocol",
        ),
        "",
    )
    shown["ssl"] = tls is not None
    if isinstance(tls, (ssl.SSLObject, ssl.SSLSocket)):
        cipher = tls.cipher()
        shown["ssl_protocol"] = (tls.version() or "").lower()
        shown["ssl_cipher"] = cipher[0] if cipher else ""
        certificate = tls.getpeercert() or {}
        for name in ("issuer", "subject"):
            shown[f"peer_cert_{name}"] = _distinguished_name(certificate.get(name, ()))
        if "notBefore" in certificate:
            validity = f"{certificate['notBefore']} - {certificate['notAfter']}"
            shown["peer_cert_validity"] = validity
    return shown


def _distinguished_name(parts: Any) -> str:
    return ",".join(f"{kind}={value}" for part in parts for kind, value in part)


def is_shown(call: Call, session: Session) -> bool:
    """Whether the caller may see a connection: its own, or all to a monitor."""
    return session.opened and (call.caller.is_monitor or session.user == call.caller.name)


def items(call: Call) -> Iterator[Item]:
    """The connections that the caller may see, of the vhost that the path names if it does."""
    vhost = call.vhost if call.has("vhost") else None
    for session in list(call.server.sessions):
        if is_shown(call, session) and vhost in (None, session.vhost):
            yield Item((session.name,), session.name, session)


async def get_all(call: Call) -> web.StreamResponse:
    """GET /api/connections and /api/vhosts/{vhost}/connections."""
    return await reply(call, items(call), partial(row, call))


def find(call: Call) -> Session:
    """The connection that the path names."""
    name = call.path("connection")
    for session in call.server.sessions:
        if session.opened and session.name == name:
            if not is_shown(call, session):
                raise refused("User not authorised to access object")
            return session
    raise not_found()


async def get(call: Call) -> web.StreamResponse:
    """GET /api/connections/{connection}."""
    session = find(call)
    call.state.sampler.watch(session)
    return answers.answer(Columns(call.query.get("columns")).of(row(call, session)))


async def delete(call: Call) -> web.StreamResponse:
    """DELETE: close it; the header X-Reason is told to the client."""
    session = find(call)
    if session.user != call.caller.name and not call.caller.is_administrator:
        raise refused("User not authorised to access object")
    _close(call, session)
    return answers.empty(204)


async def get_of_user(call: Call) -> web.StreamResponse:
    """GET /api/connections/username/{user}."""
    return answers.answer(
        [
            {
                "name": session.name,
                "vhost": session.vhost.name,
                "user": session.user,
                "node": call.state.node,
            }
            for session in _of_user(call, call.caller.is_monitor)
        ]
    )


async def delete_of_user(call: Call) -> web.StreamResponse:
    """DELETE /api/connections/username/{user}: close all."""
    for session in _of_user(call, call.caller.is_administrator):
        _close(call, session)
    return answers.empty(204)


def _of_user(call: Call, may_others: bool) -> list[Session]:
    user = call.path("user")
    if user != call.caller.name and not may_others:
        raise refused("User not authorised to access object")
    return [one for one in call.server.sessions if one.opened and one.user == user]


def _close(call: Call, session: Session) -> None:
    reason = call.request.headers.get("X-Reason", "Closed via management plugin")[:REASON_MAX]
    session.close_for(ConnectionForced(reason, about_method=False))
    call.record("connection.close", name=session.name, user=session.user, reason=reason)
