"""What the process serves beside AMQP: a service is started before AMQP listens, in the same loop.

To add one, write a class with the methods of ``Service`` in a package of its own and name it in
``services``. It is imported there only if it is configured, so that a broker without it neither
needs nor loads its libraries.

Invariant: a service never keeps the loop from delivering messages; what takes long is cut into
slices with ``await asyncio.sleep(0)`` between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from broker.net.tls import Certificates
    from broker.server import Server


class Listening(NamedTuple):
    """A place where the process can be reached; ``protocol`` as RabbitMQ names it."""

    protocol: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol} on {host}:{self.port}"


class Service(Protocol):
    """Something the process runs until it ends."""

    listening: list[Listening]  # where it can be reached, once it has started
    certificates: list[Certificates]  # what it shows there, to be read again when files change

    async def start(self) -> None:
        """Begin; raises ``OSError`` where it cannot listen, which ends the broker."""

    async def stop(self) -> None:
        """End, in a moment: the process is about to stop."""


def services(server: Server) -> list[Service]:
    """The services that the configuration asks for."""
    from broker.management.service import Management

    found: list[Service] = [Management(server)]
    if server.config.prometheus_port is not None:
        from broker.metrics.service import Prometheus

        found.append(Prometheus(server))
    return found
