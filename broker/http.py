"""The doors through which the process serves HTTP: aiohttp applications on listeners.

aiohttp runs in the broker's own event loop; what is long yields between slices, see
``broker.services``. Certificates are read again when their files change, as those for AMQP.

Invariants:
* There are at most half of ``resources.http_max`` connections through the doors of one service;
  who comes later is sent away, so that a flood leaves descriptors to AMQP and the log.
* A connection that does not come to the end of a request's head in time is closed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker import resources
from broker.net import tls
from broker.services import Listening

if TYPE_CHECKING:
    import socket

_log = logging.getLogger("leveret.management")

STOP_S = 0.5  # how long requests may go on when the broker stops
REQUEST_TIMEOUT_S = 10.0
TLS_TIMEOUT_S = 10.0


class _SentAway(asyncio.Protocol):
    """What a connection gets that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        host = (transport.get_extra_info("peername") or ("?",))[0]
        text = "refused a connection from %s: too many are open (a twentieth of LimitNOFILE, or %d)"
        _log.warning(text, host, resources.HTTP_MAX // 2, extra={"source": host})
        transport.close()


class Doors:
    """What one service has open. ``listening`` names the protocols as RabbitMQ does.

    ``request_timeout_s``: the time for the head of a request, and between two of them.
    """

    def __init__(self, request_timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self.listening: list[Listening] = []
        self._request_timeout_s = request_timeout_s
        self._connections_max = max(1, resources.http_max() // 2)
        self._servers: list[asyncio.Server] = []
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
        tls_options: dict[str, Any] = {}
        if certificates is not None:
            tls_options = {"ssl": certificates.context, "ssl_handshake_timeout": TLS_TIMEOUT_S}
        server = await asyncio.get_running_loop().create_server(
            lambda: self._protocol(runner),
            host or None,
            port,
            reuse_address=True,
            **tls_options,
        )
        self._servers.append(server)
        places = (socket.getsockname() for socket in server.sockets)
        self.listening += [Listening(protocol, *place[:2]) for place in places]

    def _protocol(self, runner: web.AppRunner) -> asyncio.Protocol:
        """Who serves an accepted connection. Those of the Unix socket are the operator's own."""
        if sum(map(_count, self._runners)) >= self._connections_max:
            return _SentAway()
        assert runner.server is not None
        return runner.server()

    async def open_socket(self, app: web.Application, listener: socket.socket) -> None:
        """Serve on a socket that listens already."""
        await web.SockSite(await self._runner(app), listener).start()

    async def _runner(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=STOP_S,
            keepalive_timeout=self._request_timeout_s,
        )
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
        for server in self._servers:
            server.close()
        for runner in self._runners:
            await runner.cleanup()


def _count(runner: web.AppRunner) -> int:
    return len(runner.server.connections) if runner.server is not None else 0
