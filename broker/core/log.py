"""What the model asks of a log. ``broker.wal.Log`` is the durable one."""

from collections.abc import Iterable, Sequence
from typing import NoReturn, Protocol

StoredMessage = tuple[bytes, int, int, bytes]  # address, published_ms, detail, content


class Log(Protocol):
    """Appends go to the batch ``gathering``; see ``broker.wal`` for what each one means."""

    gathering: int
    durable: int

    def route(self, address: bytes, queue_ids: tuple[int, ...]) -> int:
        """Row of the gathering batch's route table."""

    def publish(
        self, route: int, message_id: int, published_ms: int, detail: int, content: bytes
    ) -> None:
        """A message, one reference on the batch for each queue of its route."""

    def settle(self, queue_id: int, message_ids: list[int], batches: list[int]) -> None:
        """Messages are gone from a queue."""

    def settle_many(
        self, queue_id: int, message_ids: Sequence[int], references: Iterable[tuple[int, int]]
    ) -> None:
        """The same of many; ``references`` are batches and how many of the messages each holds."""

    def count(self, queue_id: int, message_id: int, times: int) -> None:
        """A message came back to a queue, for the ``times``-th time."""

    def operation(self, payload: bytes) -> None:
        """A change of topology."""

    def release(self, batches: list[int]) -> None:
        """References dropped without a record."""

    def release_many(self, references: Iterable[tuple[int, int]]) -> None:
        """The same of many: batches, and how many references on each."""

    def read(self, batch: int, message_ids: Sequence[int]) -> Sequence[StoredMessage]:
        """Messages of a durable batch that are still referred to."""

    def expect(self, batch: int) -> None:
        """This batch will be read soon."""


class NoLog:
    """A log that keeps nothing, for the model alone: every batch is number 0, durable already."""

    def __init__(self) -> None:
        self.gathering = 0
        self.durable = 0

    def route(self, address: bytes, queue_ids: tuple[int, ...]) -> int:
        """See ``Log``."""
        return 0

    def publish(
        self, route: int, message_id: int, published_ms: int, detail: int, content: bytes
    ) -> None:
        """See ``Log``."""

    def settle(self, queue_id: int, message_ids: list[int], batches: list[int]) -> None:
        """See ``Log``."""

    def count(self, queue_id: int, message_id: int, times: int) -> None:
        """See ``Log``."""

    def operation(self, payload: bytes) -> None:
        """See ``Log``."""

    def release(self, batches: list[int]) -> None:
        """See ``Log``."""

    def settle_many(
        self, queue_id: int, message_ids: Sequence[int], references: Iterable[tuple[int, int]]
    ) -> None:
        """See ``Log``."""

    def release_many(self, references: Iterable[tuple[int, int]]) -> None:
        """See ``Log``."""

    def read(self, batch: int, message_ids: Sequence[int]) -> NoReturn:
        """Nothing was kept: never called, as no message has a batch."""
        raise AssertionError("nothing is in this log")

    def expect(self, batch: int) -> None:
        """See ``Log``."""
