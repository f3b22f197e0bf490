"""Whether a socket is read: it is, unless there is a reason not to."""

from __future__ import annotations

import asyncio

# The reasons, as bits.
WRITING = 1  # the peer does not read what we write
TICK = 2  # a large read: others first
ALARM = 8  # the broker is short of memory or disk (``broker.alarms``), and the peer publishes
DECISION = 16  # an event waits for an answer from outside (``broker.amqp.decisions``)
CONGESTION = 4  # a queue the peer publishes to is congested (``broker.pressure``)


class Reading:
    """The set of reasons why one socket is not read."""

    __slots__ = ("_reasons", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._reasons = 0

    def pause(self, reason: int) -> None:
        """Stop reading for this reason too."""
        if not self._reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self._reasons |= reason

    def resume(self, reason: int) -> None:
        """The reason is gone; read if it was the last."""
        before, self._reasons = self._reasons, self._reasons & ~reason
        if before and not self._reasons and not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def held_back(self) -> bool:
        """Whether the broker, not the peer, is why nothing is read."""
        return bool(self._reasons & ~WRITING)
