"""A service that speaks HTTP: one aiohttp application on one listener, in the broker's loop.

Handlers are short, and what is long yields between slices, see ``broker.services``.
"""

from __future__ import annotations

from aiohttp import web

from broker.services import Listening

STOP_S = 0.5  # how long requests may go on when the broker stops


class HttpService:
    """See the module, and ``broker.services.Service``. ``protocol`` as RabbitMQ names it."""

    def __init__(self, app: web.Application, protocol: str, host: str, port: int) -> None:
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=STOP_S, handle_signals=False
        )
        self._protocol = protocol
        self._host = host
        self._port = port
        self.listening: list[Listening] = []

    async def start(self) -> None:
        """Listen."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host or None, self._port, reuse_address=True)
        await site.start()
        self.listening = [
            Listening(self._protocol, *address[:2]) for address in self._runner.addresses
        ]

    async def stop(self) -> None:
        """Close the listener and its connections."""
        await self._runner.cleanup()
