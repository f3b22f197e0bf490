"""The parts of a process, and what it serves beside AMQP: services start before AMQP listens.

To add one, write a class with the methods of ``Service`` in a package of its own and name it in
``services``. It is imported there only if it is configured, so that a broker without it neither
needs nor loads its libraries.

Invariant: a service never keeps the loop from delivering messages; what takes long is cut into
slices with ``await asyncio.sleep(0)`` between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from broker.server import Server


class Listening(NamedTuple):
    """A place where the process can be reached; ``protocol`` as RabbitMQ names it."""

    protocol: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol} on {host}:{self.port}"


class Part(Protocol):
    """Something the process runs until it ends; those that started last stop first."""

    async def start(self) -> None:
        """Begin; raises ``OSError`` where it cannot listen, which ends the broker."""

    async def stop(self) -> None:
        """End: the process is about to stop."""


class Service(Part, Protocol):
    """A part that others can reach."""

    listening: list[Listening]  # once it has started


def services(server: Server) -> list[Service]:
    """The services that the configuration asks for."""
    from broker.management.service import Management

    found: list[Service] = [Management(server)]
    config = server.config
    if config.prometheus_port is not None or config.prometheus_ssl_port is not None:
        from broker.metrics.service import Prometheus

        found.append(Prometheus(server))
    return found
