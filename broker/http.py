"""The doors through which the process serves HTTP: aiohttp applications on listeners.

aiohttp runs in the broker's own event loop; what is long yields between slices, see
``broker.services``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from broker.services import Listening

if TYPE_CHECKING:
    import socket

    from broker.net.tls import Certificates

STOP_S = 0.5  # how long requests may go on when the broker stops


class Doors:
    """What one service has open. ``listening`` names the protocols as RabbitMQ does."""

    def __init__(self) -> None:
        self.listening: list[Listening] = []
        self.certificates: list[Certificates] = []
        self._runners: list[web.AppRunner] = []

    async def open(
        self,
        app: web.Application,
        protocol: str,
        host: str,
        port: int,
        certificates: Certificates | None = None,
    ) -> None:
        """Serve on a port; raises ``OSError`` where that cannot be."""
        runner = await self._runner(app)
        context = None
        if certificates is not None:
            self.certificates.append(certificates)
            context = certificates.context
        site = web.TCPSite(runner, host or None, port, ssl_context=context, reuse_address=True)
        await site.start()
        self.listening += [Listening(protocol, *address[:2]) for address in runner.addresses]

    async def open_socket(self, app: web.Application, listener: socket.socket) -> None:
        """Serve on a socket that listens already."""
        await web.SockSite(await self._runner(app), listener).start()

    async def _runner(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=STOP_S)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def close(self) -> None:
        """Close the listeners and their connections."""
        for runner in self._runners:
            await runner.cleanup()
