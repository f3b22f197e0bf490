"""What an operator reads about a connection in the log, in RabbitMQ's words where it has them.

Owns: the lines of the categories ``connection`` and ``channel``, and who a line is about: the ends
of the connection, the name its client gave it, vhost and user. Logins and refusals are in the
category ``audit``. What a client chose is escaped by the log's formatters (``broker.logs``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from protocol.errors import SoftError
from protocol.tables import plain

if TYPE_CHECKING:
    from broker.amqp.session import Session
    from protocol.errors import AmqpError

CLIENT_NAME_MAX = 200  # characters of the name a client gives itself

_connection = logging.getLogger("leveret.connection")
_channel = logging.getLogger("leveret.channel")


def client_name(session: Session) -> str:
    """The name a client gave its connection; empty if it gave none."""
    given = session.connection.client_properties.get("connection_name")
    return str(plain(given))[:CLIENT_NAME_MAX] if given is not None else ""


def _who(session: Session) -> str:
    name = client_name(session)
    who = f"{session.name} - {name}" if name else session.name
    if session.opened:
        return f"{who}, vhost: '{session.vhost.name}', user: '{session.user}'"
    return f"{who}, user: '{session.user}'" if session.user else who


def accepted(session: Session) -> None:
    """A socket was accepted."""
    _connection.info("accepting AMQP connection %s", session.name)


def opened(session: Session) -> None:
    """A client is in."""
    name = client_name(session)
    _connection.info(
        "connection %s: user '%s' authenticated and granted access to vhost '%s'",
        f"{session.name} - {name}" if name else session.name,
        session.user,
        session.vhost.name,
    )


def refused(session: Session, number: int, error: AmqpError) -> None:
    """The peer broke a rule, and its channel or connection is closed for it."""
    reason = error.reply_text.decode(errors="replace")
    if isinstance(error, SoftError):
        _channel.error(
            "Channel error on connection %s, channel %d: %s", _who(session), number, reason
        )
    else:
        _connection.error(
            "Error on AMQP connection %s, channel %d: %s", _who(session), number, reason
        )


def channel_closed(session: Session, number: int, error: AmqpError) -> None:
    """We close a channel that did nothing wrong by itself, such as one whose acks are overdue."""
    _channel.warning("closing channel %d of connection %s: %s", number, _who(session), error.text)


def closed(session: Session, *, gone: bool) -> None:
    """A connection that was open is over; ``gone``: without a word from the client."""
    if gone:
        text = "closing AMQP connection %s: client unexpectedly closed TCP connection"
        _connection.warning(text, _who(session))
    else:
        _connection.info("closing AMQP connection %s", _who(session))


def dropped(session: Session, reason: object) -> None:
    """The socket is closed without a word."""
    _connection.error("closing AMQP connection %s: %s", _who(session), reason)


def bug(session: Session, what: str) -> None:
    """An exception that nobody expected, with its traceback."""
    _connection.exception("%s: internal error %s", session.name, what)
