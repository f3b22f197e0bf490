"""Maintenance: letting no new clients in, or turning all away, while the process runs on.

RabbitMQ's rules: services stay reachable, so that the node can be looked at and brought back; the
listeners for AMQP are still listed; and a broker that starts is never in maintenance.

Invariant: steps do not overlap, whoever asks for them.
"""

from __future__ import annotations

import asyncio
import logging

from broker.net.listening import AmqpListeners
from broker.sessions import Sessions

CLOSED = "Node was put into maintenance mode"

_log = logging.getLogger("leveret.broker")


class Maintenance:
    """See the module."""

    def __init__(self, listeners: AmqpListeners, sessions: Sessions) -> None:
        self.drained = False
        self.suspended = False
        self._listeners = listeners
        self._sessions = sessions
        self._one_at_a_time = asyncio.Lock()

    async def suspend(self) -> None:
        """Close the listeners for AMQP; clients that are connected stay."""
        async with self._one_at_a_time:
            if not self.suspended:
                await self._listeners.stop()
                self.suspended = True
                _log.warning("no new clients are let in")

    async def resume(self) -> None:
        """Open them again; raises ``OSError`` if somebody else listens there now."""
        async with self._one_at_a_time:
            if self.suspended:
                try:
                    await self._listeners.start()
                except OSError:
                    await self._listeners.stop()  # those that could be opened
                    raise
                self.suspended = False
                _log.warning("new clients are let in again")

    async def drain(self) -> None:
        """Let nobody in, and close the connections there are."""
        await self.suspend()
        self.drained = True
        self._sessions.close_all(CLOSED)

    async def revive(self) -> None:
        """Serve clients again."""
        await self.resume()
        self.drained = False
