"""What the API keeps between requests: the server it shows and the statistics it samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.management.sampler import Sampler

if TYPE_CHECKING:
    from broker.server import Server


class State:
    """See the module."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sampler = Sampler(server)

    @property
    def node(self) -> str:
        """The node's name."""
        return self.server.node
