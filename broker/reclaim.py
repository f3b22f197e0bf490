"""Copy-forward: an old message that nobody takes must not pin the disk.

The log frees segments from its head, when nothing in them is live. If the head is mostly dead
but not free, its live messages are published once more, under their ids and for the queues
that still hold them, and their old references released: some batches at a time.

Invariant: the batch of a message (``Message.batch``, or its page's) is that of the newest copy,
and that batch counts exactly one reference for each queue that holds the message. So a copy
names all holders at once, and is made only when no acks are waiting for the tick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from broker.core.broker import Broker
from broker.core.log import StoredMessage
from broker.core.message import Message
from broker.core.paging import Page
from broker.core.queue import Queue
from broker.wal import Log

INTERVAL_S = 0.1
COPY_BYTES_MAX = 8 << 20  # about so much an interval: publishers keep most of the disk

Unacked = Callable[[], Iterable[tuple[Queue, Message]]]


class _Live:
    """A live message in a stale batch, and the durable queues that hold it."""

    __slots__ = ("batch", "queues", "stored")

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.queues: list[Queue] = []
        self.stored: StoredMessage | None = None


class CopyForward:
    """See the module. ``unacked`` gives the deliveries that channels hold."""

    def __init__(self, broker: Broker, log: Log, unacked: Unacked) -> None:
        self._broker = broker
        self._log = log
        self._unacked = unacked
        self._copied = 0  # no message in a batch up to this one is live

    def step(self, settle: Callable[[], None]) -> int:
        """Copy some live messages out of a stale head, if there is one; how many.

        ``settle`` passes grouped acks to their queues.
        """
        while True:
            last = self._log.stale_batches(self._copied, COPY_BYTES_MAX)
            if last is None or last <= self._copied:
                return 0
            settle()
            copied = self._copy_up_to(last)
            self._copied = last
            if copied:
                self._broker.wake()
                return copied

    def _copy_up_to(self, last: int) -> int:
        live: dict[int, _Live] = {}
        messages = self._find_in_memory(last, live)
        pages = self._find_in_pages(last, live)
        self._read(live)
        for message_id in sorted(live):
            self._copy(message_id, live[message_id])
        for message in messages:
            message.batch = self._log.gathering
        for page in pages:
            page.moved(last, self._log.gathering)
        return len(live)

    def _find_in_memory(self, last: int, live: dict[int, _Live]) -> list[Message]:
        """Note the messages in batches up to ``last`` that are in memory."""
        found = []
        stored = ((queue, message) for queue in self._queues() for message in queue.stored())
        for queue, message in chain(stored, self._unacked()):
            if 0 < message.batch <= last and queue.durable:
                each = live.setdefault(message.id, _Live(message.batch))
                each.queues.append(queue)
                each.stored = message.address, message.published_ms, message.detail, message.content
                found.append(message)
        return found

    def _find_in_pages(self, last: int, live: dict[int, _Live]) -> list[Page]:
        """Note the messages in batches up to ``last`` that are not in memory."""
        found = []
        for queue in self._queues():
            for page in [p for part in queue.backlog.parts() for p in part.paged()]:
                if not any(0 < place <= last for place in page.places):
                    continue
                stale = [(place, ids) for place, ids in page.by_place() if 0 < place <= last]
                for batch, ids in stale:
                    for message_id in ids:
                        live.setdefault(message_id, _Live(batch)).queues.append(queue)
                found.append(page)
        return found

    def _queues(self) -> list[Queue]:
        keepers = [queue for vhost in self._broker.vhosts.values() for queue in vhost.keepers()]
        return [queue for queue in keepers if queue.durable]

    def _read(self, live: dict[int, _Live]) -> None:
        """Read what is not in memory, verified: a copy must not make damage look sound."""
        wanted: dict[int, list[int]] = {}
        for message_id, each in live.items():
            if each.stored is None:
                wanted.setdefault(each.batch, []).append(message_id)
        for batch, ids in wanted.items():
            found = self._log.read(batch, ids, verify=True)
            for message_id, stored in zip(ids, found, strict=True):
                live[message_id].stored = stored

    def _copy(self, message_id: int, live: _Live) -> None:
        log = self._log
        assert live.stored is not None
        address, published_ms, detail, content = live.stored
        row = log.route(address, tuple(queue.id for queue in live.queues))
        log.publish(row, message_id, published_ms, detail, content)
        for queue in live.queues:
            if queue.returns and message_id in queue.returns:
                log.count(queue.id, message_id, queue.returns[message_id])
        log.release([live.batch] * len(live.queues))
