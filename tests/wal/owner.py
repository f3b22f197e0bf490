"""The smallest owner a log can have: queues of messages in dicts, and a memory of every state.

It stands for the broker. Whatever is recovered must be one of the states it remembers.
"""

from collections.abc import Callable
from typing import Any

from broker.wal import Batch, Disk, Log, LogFailed

DIRECTORY = "data"
SEGMENT_BYTES = 2000

# queue id -> message id -> (content, times it came back)
State = dict[int, dict[int, tuple[bytes, int]]]


class Owner:
    """Queues by id, kept in a log. Queue names are left out: an id is declared or deleted."""

    def __init__(self, disk: Disk, segment_bytes: int = SEGMENT_BYTES, **settings: Any) -> None:
        self.disk = disk
        self.queues: State = {}
        self.batch_of: dict[tuple[int, int], int] = {}  # queue and message -> where it is logged
        self.next_id = 1  # of messages and queues alike: no id is used twice
        self.history: dict[int, State] = {}
        self.durable: list[int] = []
        self.failures: list[LogFailed] = []
        self.reports: list[str] = []
        self.recovered = 0
        self._snapshot_seen = False
        self.log = Log.open(
            DIRECTORY,
            replay=self.replay,
            snapshot=self.snapshot,
            on_durable=self.durable.append,
            on_failure=self.failures.append,
            disk=disk,
            report=self.reports.append,
            segment_bytes=segment_bytes,
            **{"call_in_loop": call_now, "clock": lambda: 0.0, **settings},
        )
        for batch in self.batch_of.values():
            self.log.retain(batch, 1)
        try:
            self._read_contents()
        except LogFailed as failure:
            self.log.close()
            raise failure.__cause__ or failure from None
        self.history[self.recovered] = self.state()

    def state(self) -> State:
        """A copy of everything a restart must bring back."""
        return {queue: dict(messages) for queue, messages in self.queues.items()}

    # -- what the log asks -------------------------------------------------------------

    def snapshot(self) -> list[bytes]:
        """The operations that rebuild the queues."""
        return [b"declare %d" % queue for queue in self.queues]

    def replay(self, batch: Batch) -> None:
        """Apply a recovered batch."""
        self.recovered = batch.number
        if not (batch.is_snapshot and self._snapshot_seen):
            for operation in batch.operations:
                self._apply(operation)
        self._snapshot_seen = True
        for row, message_id in zip(batch.publish_route, batch.publish_id, strict=True):
            self.next_id = max(self.next_id, message_id + 1)
            for queue in batch.routes[row][1]:
                if queue in self.queues:
                    self.queues[queue].setdefault(message_id, (b"", 0))
                    self.batch_of[queue, message_id] = batch.number
        for queue, message_id, times in batch.counts:
            if queue in self.queues and message_id in self.queues[queue]:
                content, _ = self.queues[queue][message_id]
                self.queues[queue][message_id] = (content, times)
        for queue, message_ids in batch.settles:
            for message_id in message_ids:
                if queue in self.queues and message_id in self.queues[queue]:
                    del self.queues[queue][message_id]
                    del self.batch_of[queue, message_id]

    def _read_contents(self) -> None:
        """What the log has on disk is read when it is open."""
        for (queue, message_id), batch in self.batch_of.items():
            (stored,) = self.log.read(batch, [message_id], verify=True)
            assert (stored.published_ms, stored.detail) == (1000 + message_id, len(stored.content))
            self.queues[queue][message_id] = stored.content, self.queues[queue][message_id][1]

    def _apply(self, operation: bytes) -> list[int]:
        """Carry out an operation; the batches of the references it ended."""
        verb, queue = operation.split()
        self.next_id = max(self.next_id, int(queue) + 1)
        if verb == b"declare":
            self.queues.setdefault(int(queue), {})
            return []
        messages = self.queues.pop(int(queue), {})
        return [self.batch_of.pop((int(queue), message)) for message in messages]

    # -- what a broker does ------------------------------------------------------------

    def declare(self) -> int:
        """Add a queue."""
        queue = self.next_id
        self.next_id += 1
        self._apply(b"declare %d" % queue)
        self.log.operation(b"declare %d" % queue)
        return queue

    def delete(self, queue: int) -> None:
        """Drop a queue with all it holds."""
        self.log.release(self._apply(b"delete %d" % queue))
        self.log.operation(b"delete %d" % queue)

    def publish(self, queues: list[int], content: bytes) -> int:
        """Put a message on some queues."""
        message_id = self.next_id
        self.next_id += 1
        for queue in queues:
            self.queues[queue][message_id] = (content, 0)
        self._log(message_id, tuple(queues), content)
        return message_id

    def _log(self, message_id: int, queues: tuple[int, ...], content: bytes) -> None:
        row = self.log.route(b"to %d" % len(queues), queues)
        self.log.publish(row, message_id, 1000 + message_id, len(content), content)
        for queue in queues:
            self.batch_of[queue, message_id] = self.log.gathering

    def settle(self, queue: int, message_ids: list[int]) -> None:
        """Be done with messages of a queue."""
        batches = [self.batch_of.pop((queue, message_id)) for message_id in message_ids]
        for message_id in message_ids:
            del self.queues[queue][message_id]
        self.log.settle(queue, message_ids, batches)

    def count(self, queue: int, message_id: int) -> None:
        """Take a message back once more."""
        content, times = self.queues[queue][message_id]
        self.queues[queue][message_id] = (content, times + 1)
        self.log.count(queue, message_id, times + 1)

    def copy_forward(self, last_batch: int) -> None:
        """Log again what is live in batches up to this one."""
        stale: dict[int, list[int]] = {}
        for (queue, message_id), batch in self.batch_of.items():
            if batch <= last_batch:
                stale.setdefault(message_id, []).append(queue)
        for message_id, queues in stale.items():
            self.log.release([self.batch_of[queue, message_id] for queue in queues])
            content, _ = self.queues[queues[0]][message_id]
            self._log(message_id, tuple(queues), content)
            for queue in queues:
                times = self.queues[queue][message_id][1]
                if times:
                    self.log.count(queue, message_id, times)

    def commit(self) -> None:
        """End a tick."""
        self.history[self.log.gathering] = self.state()
        self.log.commit()


def call_now(function: Callable[..., None], *arguments: Any) -> None:
    """A loop that is never behind."""
    function(*arguments)
