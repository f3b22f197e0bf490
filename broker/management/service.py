"""The service of the management API: the same application on three doors.

HTTP, HTTPS, and a Unix socket in the data directory that only the broker's user can open: whoever
comes in there without a name is the operator of this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broker import local_socket
from broker.http import Doors
from broker.management.app import application
from broker.management.state import State
from broker.net.tls import Certificates

if TYPE_CHECKING:
    from broker.server import Server


class Management:
    """See the module, and ``broker.services.Service``."""

    def __init__(self, server: Server) -> None:
        self._config = server.config
        self._state = State(server)
        self._doors = Doors(server.config.management_request_timeout_ms / 1000)
        self.listening = self._doors.listening

    async def start(self) -> None:
        """Listen, and begin to sample."""
        config, state, doors = self._config, self._state, self._doors
        inside = application(state, trusted=True)
        await doors.open_socket(inside, local_socket.listen(Path(config.data_dir)))
        if config.management_port is not None:
            outside = application(state)
            await doors.open(outside, "http", config.management_host, config.management_port)
        if config.management_ssl_port is not None:
            certificates = Certificates("management.ssl", config.management_tls)
            await doors.open(
                application(state),
                "https",
                config.management_ssl_host,
                config.management_ssl_port,
                certificates,
            )
        if not config.management_disable_stats:
            state.sampler.start()

    async def stop(self) -> None:
        """Close the listeners and their connections."""
        await self._state.sampler.stop()
        await self._state.traces.stop_all()
        await self._doors.close()
