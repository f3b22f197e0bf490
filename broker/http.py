"""The doors through which the process serves HTTP: aiohttp applications on listeners.

aiohttp runs in the broker's own event loop; what is long yields between slices, see
``broker.services``. Certificates are read again when their files change, as those for AMQP.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from broker.net import tls
from broker.services import Listening

if TYPE_CHECKING:
    import socket

STOP_S = 0.5  # how long requests may go on when the broker stops


class Doors:
    """What one service has open. ``listening`` names the protocols as RabbitMQ does."""

    def __init__(self) -> None:
        self.listening: list[Listening] = []
        self._runners: list[web.AppRunner] = []
        self._certificates: list[tls.Certificates] = []
        self._watch: asyncio.Task[None] | None = None

    async def open(
        self,
        app: web.Application,
        protocol: str,
        host: str,
        port: int,
        certificates: tls.Certificates | None = None,
    ) -> None:
        """Serve on a port; raises ``OSError`` where that cannot be."""
        if certificates is not None:
            self._certificates.append(certificates)
            self._watch = self._watch or asyncio.create_task(self._look_at_certificates())
        runner = await self._runner(app)
        context = certificates.context if certificates is not None else None
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

    async def _look_at_certificates(self) -> None:
        while True:
            await asyncio.sleep(tls.INTERVAL_S)
            for one in self._certificates:
                if one.changed():
                    await asyncio.to_thread(one.reload)

    async def close(self) -> None:
        """Close the listeners and their connections."""
        if self._watch is not None:
            self._watch.cancel()
        for runner in self._runners:
            await runner.cleanup()
