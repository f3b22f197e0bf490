"""The service of the management API: one aiohttp application on one listener.

aiohttp runs in the broker's own event loop. Handlers are short, and what is long yields between
slices, see ``broker.services``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from broker.management.app import application
from broker.services import Listening

if TYPE_CHECKING:
    from broker.server import Server

STOP_S = 0.5  # how long requests may go on when the broker stops


class Management:
    """See the module, and ``broker.services.Service``."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._runner = web.AppRunner(
            application(server), access_log=None, shutdown_timeout=STOP_S, handle_signals=False
        )
        self.listening: list[Listening] = []

    async def start(self) -> None:
        """Listen."""
        config = self._server.config
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            config.management_host or None,
            config.management_port,
            reuse_address=True,
        )
        await site.start()
        self.listening = [Listening("http", *address[:2]) for address in self._runner.addresses]

    async def stop(self) -> None:
        """Close the listener and its connections."""
        await self._runner.cleanup()
