"""What the model asks of a log. ``broker.wal.Log`` is the durable one."""

from typing import Protocol


class Log(Protocol):
    """Appends go to the batch ``gathering``; see ``broker.wal`` for what each one means."""

    gathering: int
    durable: int

    def route(self, address: bytes, queue_ids: tuple[int, ...]) -> int:
        """Row of the gathering batch's route table."""

    def publish(self, route: int, message_id: int, published_ms: int, content: bytes) -> None:
        """A message, one reference on the batch for each queue of its route."""

    def settle(self, queue_id: int, message_ids: list[int], batches: list[int]) -> None:
        """Messages are gone from a queue."""

    def count(self, queue_id: int, message_id: int, times: int) -> None:
        """A message came back to a queue, for the ``times``-th time."""

    def operation(self, payload: bytes) -> None:
        """A change of topology."""

    def release(self, batches: list[int]) -> None:
        """References dropped without a record."""


class NoLog:
    """A log that keeps nothing, for the model alone: every batch is number 0, durable already."""

    def __init__(self) -> None:
        self.gathering = 0
        self.durable = 0

    def route(self, address: bytes, queue_ids: tuple[int, ...]) -> int:
        """See ``Log``."""
        return 0

    def publish(self, route: int, message_id: int, published_ms: int, content: bytes) -> None:
        """See ``Log``."""

    def settle(self, queue_id: int, message_ids: list[int], batches: list[int]) -> None:
        """See ``Log``."""

    def count(self, queue_id: int, message_id: int, times: int) -> None:
        """See ``Log``."""

    def operation(self, payload: bytes) -> None:
        """See ``Log``."""

    def release(self, batches: list[int]) -> None:
        """See ``Log``."""
