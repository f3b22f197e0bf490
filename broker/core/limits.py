"""Limits of the whole broker, which the operator sets at start; None is no limit.

Those of vhosts and users are with what they bound: ``vhost_settings``, ``users``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.errors import NotAllowed, PreconditionFailed

if TYPE_CHECKING:
    from broker.core.broker import Broker


@dataclass(slots=True, frozen=True, kw_only=True)
class Limits:
    """See the module; each check raises if there may not be one more."""

    vhosts: int | None = None
    exchanges: int | None = None
    queues: int | None = None
    channels: int | None = None
    consumers_per_channel: int | None = None
    node: str = ""

    def check_vhost(self, broker: Broker, name: str) -> None:
        """Before a vhost is made."""
        if self.vhosts is not None and len(broker.vhosts) >= self.vhosts:
            raise PreconditionFailed(
                f"cannot create vhost '{name}': vhost limit of {self.vhosts} is reached"
            )

    def check_exchange(self, broker: Broker, described: str) -> None:
        """Before an exchange is declared; those that every vhost has count too."""
        if self.exchanges is None:
            return
        if sum(len(vhost.exchanges) for vhost in broker.vhosts.values()) >= self.exchanges:
            raise PreconditionFailed(
                f"cannot declare {described}: exchange limit of {self.exchanges} is reached"
            )

    def check_queue(self, broker: Broker, name: str) -> None:
        """Before a queue is declared."""
        if self.queues is None:
            return
        if sum(len(vhost.queues) for vhost in broker.vhosts.values()) >= self.queues:
            raise PreconditionFailed(
                f"cannot declare queue '{name}': queue limit in cluster ({self.queues}) is reached"
            )

    def check_channel(self, broker: Broker) -> None:
        """Before a channel is opened."""
        if self.channels is not None and broker.channels.total() >= self.channels:
            raise NotAllowed(
                f"number of channels opened on node '{self.node}' has reached the maximum "
                f"allowed limit of ({self.channels})",
                about_method=False,
            )

    def check_consumer(self, count: int) -> None:
        """Before a channel that has ``count`` consumers gets another one."""
        limit = self.consumers_per_channel
        if limit is not None and count >= limit:
            raise NotAllowed(f"reached maximum ({limit}) of consumers per channel")
