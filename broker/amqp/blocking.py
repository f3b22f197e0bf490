"""connection.blocked: a session that publishes during a resource alarm is told, and not read.

It is told once, with its first publish during the alarm, and if it understands; a session that
only consumes notices nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from broker.amqp.reading import ALARM, CONGESTION

if TYPE_CHECKING:
    from broker.amqp.session import Session
    from protocol.methods import Method


class Blocking:
    """Whether one session is blocked."""

    __slots__ = ("_session", "blocked")

    def __init__(self, session: Session) -> None:
        self._session = session
        self.blocked = False

    def published(self) -> None:
        """The session published during an alarm."""
        if not self.blocked:
            self.blocked = True
            session = self._session
            self._tell(commands.Connection.Blocked, reason=session.host.alarms.text)
            session.reading.pause(ALARM)

    def alarm_raised(self) -> None:
        """Publishes leave the fast path, so that the next one is seen."""
        if self._session.opened:
            self._session.forget_routes()

    def alarm_cleared(self) -> None:
        """The alarm is over."""
        if self.blocked:
            self.blocked = False
            self._tell(commands.Connection.Unblocked)
            self._session.reading.resume(ALARM)

    def released(self) -> None:
        """The connection is over: nothing is published any more, but a close-ok is to be read."""
        self.blocked = False
        self._session.reading.resume(ALARM | CONGESTION)

    def _tell(self, cls: type[Method], **arguments: str) -> None:
        session = self._session
        if "connection.blocked" in session.connection.capabilities:
            session.connection.send(0, cls, **arguments)
            session.output.touch()
