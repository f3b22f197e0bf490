"""The service of the management API: the same application on three doors.

HTTP, HTTPS, and a Unix socket in the data directory that only the broker's user can open: whoever
comes in there without a name is the operator of this machine. aiohttp runs in the broker's own
event loop; what is long yields between slices, see ``broker.services``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from broker import local_socket
from broker.management.app import application
from broker.management.state import State
from broker.net.tls import Certificates
from broker.services import Listening

if TYPE_CHECKING:
    from broker.server import Server

STOP_S = 0.5  # how long requests may go on when the broker stops


class Management:
    """See the module, and ``broker.services.Service``."""

    def __init__(self, server: Server) -> None:
        self._config = server.config
        self._state = State(server)
        self._runners: list[web.AppRunner] = []
        self.listening: list[Listening] = []

    async def start(self) -> None:
        """Listen, and begin to sample."""
        config = self._config
        inside = await self._runner(trusted=True)
        await web.SockSite(inside, local_socket.listen(Path(config.data_dir))).start()
        if config.management_port is not None:
            await self._listen("http", config.management_host, config.management_port, None)
        if config.management_ssl_port is not None:
            certificates = Certificates("management.ssl", config.management_tls)
            self._state.certificates = certificates
            await self._listen(
                "https", config.management_ssl_host, config.management_ssl_port, certificates
            )
        if not config.management_disable_stats:
            self._state.sampler.start()

    async def _runner(self, *, trusted: bool = False) -> web.AppRunner:
        runner = web.AppRunner(
            application(self._state, trusted=trusted),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=STOP_S,
        )
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _listen(
        self, protocol: str, host: str, port: int, certificates: Certificates | None
    ) -> None:
        runner = await self._runner()
        context = certificates.context if certificates is not None else None
        site = web.TCPSite(runner, host or None, port, ssl_context=context, reuse_address=True)
        await site.start()
        self.listening += [Listening(protocol, *address[:2]) for address in runner.addresses]

    async def stop(self) -> None:
        """Close the listeners and their connections."""
        await self._state.sampler.stop()
        for runner in self._runners:
            await runner.cleanup()
