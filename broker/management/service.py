"""The service of the management API, see ``broker.http``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.http import HttpService
from broker.management.app import application

if TYPE_CHECKING:
    from broker.server import Server


class Management(HttpService):
    """The management API where the configuration wants it."""

    def __init__(self, server: Server) -> None:
        config = server.config
        assert config.management_port is not None
        super().__init__(
            application(server), "http", config.management_host, config.management_port
        )
