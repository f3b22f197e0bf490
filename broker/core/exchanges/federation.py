"""``x-federation-upstream``: what a downstream RabbitMQ declares here to fetch messages.

It is a fanout that holds back what has come too far, or was at the downstream already: each
link adds an entry to the header ``x-received-from``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from broker.core.exchange import Envelope, Exchange
from protocol.errors import PreconditionFailed

if TYPE_CHECKING:
    from broker.core.queue import Queue
    from protocol.tables import Table


class FederationUpstreamExchange(Exchange):
    """See the module."""

    type = "x-federation-upstream"
    cacheable = False

    @staticmethod
    def check_arguments(arguments: Table) -> None:
        """See ``Exchange``."""
        hops = arguments.get("x-max-hops")
        if hops is None:
            raise PreconditionFailed("Argument x-max-hops missing")
        if hops.tag != "l":
            raise PreconditionFailed("Argument x-max-hops must be of type long")

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        if not self._forwards(envelope.headers):
            return ()
        return [binding.destination for binding in self.bindings.values()]

    def _forwards(self, headers: Table) -> bool:
        received = headers.get("x-received-from")
        if received is None or received.tag != "A":
            return True
        hops: int = self.arguments["x-max-hops"].value
        name = self.arguments.get("x-downstream-name")
        vhost = self.arguments.get("x-downstream-vhost")
        return len(received.value) < hops and not any(
            hop.tag == "F"
            and hop.value.get("cluster-name") == name
            and hop.value.get("vhost") == vhost
            for hop in received.value
        )
