"""Exchanges that leave it to chance: each message goes to one binding, any of them.

``x-random`` takes every binding alike, whatever its key. ``x-local-random`` is the same on one
node, for queues only, whose binding key is empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from broker.core.exchange import Binding, Envelope, Exchange
from protocol.errors import PreconditionFailed

if TYPE_CHECKING:
    from broker.core.queue import Queue
    from protocol.tables import Table


class RandomExchange(Exchange):
    """See the module."""

    type = "x-random"
    cacheable = False

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        self._choice: list[Binding] = []

    def add(self, binding: Binding) -> None:
        """See ``Exchange``."""
        self._choice = list(self.bindings.values())

    remove = add

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        if not self._choice:
            return ()
        return (self._choice[envelope.broker.random(len(self._choice))].destination,)


class LocalRandomExchange(RandomExchange):
    """See the module."""

    type = "x-local-random"

    def check_binding(self, destination: Queue | Exchange, key: str, arguments: Table) -> None:
        """See ``Exchange``."""
        if key:
            raise PreconditionFailed(f"Non empty binding '{key}' key not permitted")
        if isinstance(destination, Exchange):
            raise PreconditionFailed("Destination not found")
        if destination.type != "classic":
            raise PreconditionFailed(
                f"Queue type rabbit_{destination.type}_queue not valid for this exchange type"
            )
