"""A log and a scratch in dicts, which notice who asks for what he gave up."""

from collections import Counter
from collections.abc import Iterable, Sequence

from broker.core.log import NoLog, StoredMessage
from broker.core.paging import Entry


class KeepingLog(NoLog):
    """Keeps messages by batch; a batch without a live reference may not be read any more."""

    def __init__(self) -> None:
        super().__init__()
        self.gathering = 1
        self.references: Counter[int] = Counter()
        self._queues: list[tuple[bytes, tuple[int, ...]]] = []
        self._kept: dict[tuple[int, int], StoredMessage] = {}

    def commit(self) -> None:
        """What was gathered is durable."""
        self.durable = self.gathering
        self.gathering += 1

    def route(self, address: bytes, queue_ids: tuple[int, ...]) -> int:
        """See `Log`."""
        self._queues.append((address, queue_ids))
        return len(self._queues) - 1

    def publish(
        self, route: int, message_id: int, published_ms: int, detail: int, content: bytes
    ) -> None:
        """See `Log`."""
        address, queue_ids = self._queues[route]
        self.references[self.gathering] += len(queue_ids)
        self._kept[self.gathering, message_id] = address, published_ms, detail, content

    def settle(self, queue_id: int, message_ids: list[int], batches: list[int]) -> None:
        """See `Log`."""
        self.release(batches)

    def settle_many(
        self, queue_id: int, message_ids: Sequence[int], references: Iterable[tuple[int, int]]
    ) -> None:
        """See `Log`."""
        self.release_many(references)

    def release(self, batches: list[int]) -> None:
        """See `Log`."""
        self.release_many((batch, 1) for batch in batches)

    def release_many(self, references: Iterable[tuple[int, int]]) -> None:
        """See `Log`."""
        for batch, count in references:
            self.references[batch] -= count
            assert self.references[batch] >= 0, "released twice"

    def read(  # type: ignore[override]
        self, batch: int, message_ids: Sequence[int]
    ) -> list[StoredMessage]:
        """See `Log`."""
        assert self.references[batch] > 0, "its segment may be gone"
        return [self._kept[batch, message_id] for message_id in message_ids]

    def expect(self, batch: int) -> None:
        """See `Log`."""
        assert batch <= self.durable, "it has no place yet"
        assert self.references[batch] > 0, "its segment may be gone"


class KeepingScratch:
    """Keeps frames until they are freed, unless it is `full`."""

    def __init__(self) -> None:
        self.full = False
        self.frames: dict[int, dict[int, StoredMessage]] = {}
        self._count = 0

    def write(self, entries: list[Entry]) -> int:
        """See `Scratch`."""
        if self.full:
            raise OSError("no space left")
        self._count += 1
        self.frames[self._count] = {id_: tuple(rest) for id_, *rest in entries}  # type: ignore[misc]
        return self._count

    def read(self, frame: int, message_ids: Sequence[int]) -> list[StoredMessage]:
        """See `Scratch`."""
        return [self.frames[frame][message_id] for message_id in message_ids]

    def free(self, frame: int) -> None:
        """See `Scratch`."""
        del self.frames[frame]
