"""How a client gets in: login, vhost, channels; and what is counted, from the first to the last.

What is opened here is closed by ``Session``, which calls ``vhost_left`` and ``channel_left``, so
that the limits of users and vhosts bound what is open.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from broker.amqp import announce, audit, journal
from broker.amqp.channel import Channel
from broker.amqp.heartbeat import Heartbeat
from broker.core import users, vhost_settings
from protocol.errors import LoginRefused, NotAllowed

if TYPE_CHECKING:
    from broker.amqp.session import Session
    from protocol.events import (
        ChannelOpened,
        LoginReceived,
        OpenReceived,
        Tuned,
    )


def log_in(session: Session, event: LoginReceived) -> None:
    """connection.start-ok: who the client is."""
    try:
        identity = session.decisions.decide(
            "login", lambda _: session.host.authenticate(session, event.mechanism, event.response)
        )
    except LoginRefused as refused:
        announce.login_refused(session, event.mechanism, refused)
        audit.login_refused(session, event.mechanism, refused)
        raise
    session.decisions.forget()
    session.access.adopt(identity)
    session.mechanism = event.mechanism
    announce.logged_in(session)
    audit.logged_in(session)
    session.connection.tune()


def tuned(session: Session, _: Tuned) -> None:
    """connection.tune-ok: how often to beat."""
    if session.connection.heartbeat_s:
        Heartbeat(session, session.connection.heartbeat_s)


def open_vhost(session: Session, event: OpenReceived) -> None:
    """connection.open: which vhost, if there is room for the connection and the user may."""
    broker, user = session.broker, session.user
    vhost = broker.vhosts.get(event.vhost)
    if vhost is None:
        raise NotAllowed(f"vhost {event.vhost} not found")
    vhost_settings.check_connection_limit(vhost, user)
    users.check_connection_limit(broker, user)
    session.access.vhost(vhost.name)
    vhost.connections += 1
    broker.connections[user] += 1
    broker.churn.connection_created += 1
    session.vhost = vhost
    session.opened, session.since_ms = True, broker.now_ms
    announce.connection_created(session)
    session.connection.open_ok()
    if session.host.fast_path:
        session.connection.scan = partial(session.routes.scan, session)
    session.timers.pop("handshake").cancel()
    journal.opened(session)


def vhost_left(session: Session, *, gone: bool) -> None:
    """The connection is over; ``gone``: without a word from the client."""
    session.vhost.connections -= 1
    _count_out(session.broker.connections, session.user)
    session.broker.churn.connection_closed += 1
    session.vhost.drop_exclusive(session)
    announce.connection_closed(session)
    journal.closed(session, gone=gone)


def open_channel(session: Session, event: ChannelOpened) -> None:
    """channel.open, if there is room for it."""
    session.broker.limits.check_channel(session.broker)
    users.check_channel_limit(session.broker, session.user)
    session.broker.channels[session.user] += 1
    session.connection.channel_open_ok(event.channel)
    channel = Channel(session, event.channel)
    session.channels[event.channel] = channel
    announce.channel_created(channel)
    if session.host.fast_path:
        session.acks[event.channel] = channel.ack


def channel_left(session: Session) -> None:
    """A channel is over."""
    _count_out(session.broker.channels, session.user)


def _count_out(counts: Counter[str], user: str) -> None:
    """One less; who has none is not listed."""
    counts[user] -= 1
    if not counts[user]:
        del counts[user]
