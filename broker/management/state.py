"""What the API keeps between requests, and what it says about the node as a whole."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from broker.identity import node_name
from broker.management.sampler import Sampler
from broker.management.tracing import Traces

if TYPE_CHECKING:
    from broker.management.call import Call
    from broker.server import Server
    from broker.services import Listening


class State:
    """See the module."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.node = node_name()
        self.sampler = Sampler(server)
        self.traces = Traces(server)
        self.processors = os.cpu_count() or 1
        self._started = time.monotonic()

    @property
    def uptime_ms(self) -> int:
        """Milliseconds since the start."""
        return int((time.monotonic() - self._started) * 1000)

    def listening(self) -> list[Listening]:
        """All places where the process can be reached."""
        return self.server.listening

    def shows_no_statistics(self, call: Call) -> bool:
        """Whether statistics are left out: by the configuration, or by the query."""
        return self.server.config.management_disable_stats or call.flag("disable_stats")

    def shows_totals(self, call: Call) -> bool:
        """Whether the lengths of queues are shown all the same."""
        config = self.server.config
        return config.management_enable_queue_totals or call.flag("enable_queue_totals")
