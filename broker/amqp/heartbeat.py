"""Heartbeats both ways (spec 4.2.7): say something every half interval, notice a silent peer.

A peer that is silent for three intervals is dead, as RabbitMQ judges it. While the broker does
not read (back-pressure), silence says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.constants import FRAME_HEARTBEAT
from protocol.content import frame

if TYPE_CHECKING:
    from broker.amqp.session import Session

SILENT_BEATS_MAX = 6  # half intervals without an octet
_FRAME = frame(FRAME_HEARTBEAT, 0, b"")


class Heartbeat:
    """The timer of one session."""

    def __init__(self, session: Session, interval_s: float) -> None:
        self._session = session
        self._half_s = interval_s / 2
        self._writes = session.output.writes
        self._reads = session.reads
        self._silent = 0
        self._again()

    def _again(self) -> None:
        session = self._session
        session.timers["heartbeat"] = session.host.call_later(self._half_s, self._beat)

    def _beat(self) -> None:
        session = self._session
        said_nothing = session.output.writes == self._writes
        if said_nothing:
            session.output.frames.append(_FRAME)
            session.output.touch()
        self._writes = session.output.writes + said_nothing  # the heartbeat itself does not count
        if session.reads != self._reads:
            self._reads, self._silent = session.reads, 0
        elif not session.reading.held_back:
            self._silent += 1
        if self._silent >= SILENT_BEATS_MAX:
            session.give_up("missed heartbeats from client")
        else:
            self._again()
