"""What a queue needs of a consumer. Each wire protocol brings its own implementation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from broker.core.counters import Deliveries

if TYPE_CHECKING:
    from broker.core.message import Message
    from broker.core.queue import Queue
    from protocol.tables import Table

UNLIMITED = 1 << 62


class Consumer(ABC):
    """A subscription to one queue."""

    __slots__ = ("arguments", "deliveries", "exclusive", "no_ack", "priority", "queue", "tag")

    def __init__(
        self, queue: Queue, tag: str, *, no_ack: bool, exclusive: bool, arguments: Table
    ) -> None:
        self.queue = queue
        self.tag = tag
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.arguments = arguments
        self.deliveries = Deliveries()
        priority = arguments.get("x-priority")
        self.priority: int = priority.value if priority is not None else 0

    @property
    def shares_credit(self) -> bool:
        """Whether what another consumer of the queue gets may lessen this one's capacity."""
        return False

    @abstractmethod
    def capacity(self) -> int:
        """Messages it can take now: its credit, 0 while its connection does not drain."""

    @abstractmethod
    def deliver(self, messages: list[Message], redelivered: bool) -> None:
        """Send the messages, at most ``capacity()`` of them. With ``no_ack`` they are done."""

    @abstractmethod
    def cancelled(self) -> None:
        """The queue is gone: forget the subscription and tell the client if it can be told."""
