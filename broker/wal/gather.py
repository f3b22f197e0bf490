"""What a log's owner appends: it goes to the batch that is gathering, and costs no disk work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from broker.wal.record import Gathering


class Gatherer:
    """The gathering half of ``Log``. ``gathering`` is the number of the batch."""

    def __init__(self) -> None:
        self.gathering = 0
        self._gather()

    def _gather(self) -> None:
        self._batch = batch = Gathering()
        self._released: list[int] = []  # one batch number for each reference that is gone
        self._released_many: list[tuple[int, int]] = []  # the same: batch, and how many
        # ``publish`` is hot: bound methods of the batch's columns save it the way there.
        self._add_route = batch.publish_route.append
        self._add_id = batch.publish_id.append
        self._add_ms = batch.publish_ms.append
        self._add_detail = batch.publish_detail.append
        self._add_content = batch.contents.append

    def route(self, address: bytes, queue_ids: tuple[int, ...]) -> int:
        """Row of the gathering batch's route table; valid while ``gathering`` is the same."""
        routes = self._batch.routes
        return routes.setdefault((address, queue_ids), len(routes))

    def publish(
        self, row: int, message_id: int, published_ms: int, detail: int, content: bytes
    ) -> None:
        """A message: one reference on the gathering batch for each queue of its route.

        ``detail``, 64 bits, is the owner's: what it wants to know after a restart at once.
        """
        self._add_route(row)
        self._add_id(message_id)
        self._add_ms(published_ms)
        self._add_detail(detail)
        self._add_content(content)

    def settle(self, queue_id: int, message_ids: list[int], batches: list[int]) -> None:
        """Messages are gone from a queue; ``batches`` are those they were published in."""
        batch = self._batch
        batch.settle_queue.append(queue_id)
        batch.settle_length.append(len(message_ids))
        batch.settle_id.extend(message_ids)
        self._released += batches

    def settle_many(
        self, queue_id: int, message_ids: Sequence[int], references: Iterable[tuple[int, int]]
    ) -> None:
        """The same of many; ``references`` are batches and how many of the messages each holds."""
        batch = self._batch
        batch.settle_queue.append(queue_id)
        batch.settle_length.append(len(message_ids))
        batch.settle_id.extend(message_ids)
        self._released_many += references

    def count(self, queue_id: int, message_id: int, n: int) -> None:
        """A message came back to its queue; it was delivered ``n`` times so far."""
        batch = self._batch
        batch.count_queue.append(queue_id)
        batch.count_id.append(message_id)
        batch.count_times.append(n)

    def operation(self, encoded: bytes) -> None:
        """A change of topology."""
        self._batch.operations.append(encoded)

    def release(self, batches: list[int]) -> None:
        """References that ended without a settle: an operation or a later copy says so."""
        self._released += batches

    def release_many(self, references: Iterable[tuple[int, int]]) -> None:
        """The same of many: batches and how many references on each ended."""
        self._released_many += references
