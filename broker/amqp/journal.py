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


def _by(session: Session) -> dict[str, str]:
    """Whose doing a line is; of what one address causes, only so much is written."""
    return {"source": session.peer_host}


def _who(session: Session) -> str:
    name = client_name(session)
    who = f"{session.name} - {name}" if name else session.name
    if session.opened:
        return f"{who}, vhost: '{session.vhost.name}', user: '{session.user}'"
    return f"{who}, user: '{session.user}'" if session.user else who


def accepted(session: Session) -> None:
    """A socket was accepted."""
    _connection.info("accepting AMQP connection %s", session.name, extra=_by(session))


def opened(session: Session) -> None:
    """A client is in."""
    name = client_name(session)
    _connection.info(
        "connection %s: user '%s' authenticated and granted access to vhost '%s'",
        f"{session.name} - {name}" if name else session.name,
        session.user,
        session.vhost.name,
        extra=_by(session),
    )


def refused(session: Session, number: int, error: AmqpError) -> None:
    """The peer broke a rule, and its channel or connection is closed for it."""
    reason = error.reply_text.decode(errors="replace")
    if isinstance(error, SoftError):
        text, logger = "Channel error on connection %s, channel %d: %s", _channel
    else:
        text, logger = "Error on AMQP connection %s, channel %d: %s", _connection
    logger.error(text, _who(session), number, reason, extra=_by(session))


def channel_closed(session: Session, number: int, error: AmqpError) -> None:
    """We close a channel that did nothing wrong by itself, such as one whose acks are overdue."""
    text = "closing channel %d of connection %s: %s"
    _channel.warning(text, number, _who(session), error.text, extra=_by(session))


def closed(session: Session, *, gone: bool) -> None:
    """A connection that was open is over; ``gone``: without a word from the client."""
    if gone:
        text = "closing AMQP connection %s: client unexpectedly closed TCP connection"
        _connection.warning(text, _who(session), extra=_by(session))
    else:
        _connection.info("closing AMQP connection %s", _who(session), extra=_by(session))


def dropped(session: Session, reason: object) -> None:
    """The socket is closed without a word."""
    text = "closing AMQP connection %s: %s"
    _connection.error(text, _who(session), reason, extra=_by(session))


def bug(session: Session, what: str) -> None:
    """An exception that nobody expected, with its traceback."""
    _connection.exception("%s: internal error %s", session.name, what, extra=_by(session))
