"""Rebuilds the model from the log: the only place that knows both.

Batches come in order. What a batch settles may have been published in any batch before, and a
message may come again under its id, copied forward for the queues that still hold it. So ids are
kept by queue until the log ends (``broker.core.logged``), and only then become messages: read at
once for a queue that needs to see them, left on the disk in pages for all others.

Invariant: after ``finish`` the log's references on each batch equal the messages that queues
hold from it.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import compress
from operator import lt
from typing import TYPE_CHECKING

from broker.core.broker import Broker
from broker.core.logged import Logged
from broker.core.operations import apply, decode_operation
from broker.core.paging import Paging, read
from broker.core.queue import Queue

if TYPE_CHECKING:
    from broker.wal import Batch, Log

IN_MEMORY_MAX = 50_000  # messages of one store, while recovery looks at them

Column = Sequence[int]


class Restore:
    """One replay."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._snapshot_seen = False
        self._queues: dict[int, Logged] = {}  # by queue id
        self._counts: dict[int, dict[int, int]] = {}  # queue id -> message id -> returns
        self._highest_id = 0

    def replay(self, batch: Batch) -> None:
        """Take in the next batch."""
        self._apply(batch)
        for _, queue_ids in batch.routes:
            for queue_id in queue_ids:  # also of queues that only held unacked messages any more
                self.broker.next_queue_id = max(self.broker.next_queue_id, queue_id + 1)
        if batch.publish_id:
            self._publish(batch)
        for queue_id, message_id, count in batch.counts:
            self._counts.setdefault(queue_id, {})[message_id] = count
        for queue_id, message_ids in batch.settles:
            if message_ids and queue_id in self._queues:
                self._queues[queue_id].settle(message_ids)
            counts = self._counts.get(queue_id)
            if counts:
                for message_id in message_ids:
                    counts.pop(message_id, None)

    def _apply(self, batch: Batch) -> None:
        # Each segment restates the topology; the first statement and what followed it suffice.
        if batch.is_snapshot and self._snapshot_seen:
            return
        self._snapshot_seen = self._snapshot_seen or batch.is_snapshot
        for octets in batch.operations:
            apply(self.broker, decode_operation(octets))

    def _publish(self, batch: Batch) -> None:
        for queue_id, ids, details in _by_queue(batch):
            if queue_id not in self._queues:
                self._queues[queue_id] = Logged()
            self._queues[queue_id].add(batch.number, ids, details)
            self._highest_id = max(self._highest_id, ids[-1])

    def finish(self, log: Log) -> int:
        """Put what is left on its queues, and tell the log what it has to keep; the count."""
        broker = self.broker
        broker.log = log
        broker.now_ms = time.time_ns() // 1_000_000
        broker.next_message_id = self._highest_id + 1
        references: Counter[int] = Counter()
        keepers = {q.id: q for vhost in broker.vhosts.values() for q in vhost.keepers()}
        found = [(q, self._queues[id_]) for id_, q in keepers.items() if id_ in self._queues]
        for _, recovered in found:
            recovered.finish()
            for run in recovered.runs:
                references[run.place] += len(run)
        for batch, count in references.items():
            log.retain(batch, count)
        for queue in keepers.values():
            queue.used()  # while the broker was down nobody could use it
            queue.backlog.recovered_below = broker.next_message_id
        for queue, recovered in found:
            self._fill(queue, recovered)
        return references.total()

    def _fill(self, queue: Queue, recovered: Logged) -> None:
        counts = self._counts.get(queue.id, {})
        if not _needs_messages(queue):
            pages = recovered.pages(queue.settings.max_priority or 0)
            Paging(queue).recover(pages, counts)
            return
        for run in recovered.runs:
            for message in read(self.broker, run.place, run.ids):
                queue.recover(message, counts.get(message.id, 0))
            for part in queue.backlog.parts():
                while part.resident[0] > IN_MEMORY_MAX and part.page_out(0, Paging(queue)):
                    pass


def _needs_messages(queue: Queue) -> bool:
    """Whether where a message belongs is told by what it holds."""
    grouped = queue.settings.message_group_header is not None
    return grouped or queue.retry is not None or queue.needs_messages


def _by_queue(batch: Batch) -> Iterator[tuple[int, Column, array[int]]]:
    """The queues a batch brought messages to, with ids in ascending order and details."""
    rows, ids, details = batch.publish_route, batch.publish_id, batch.publish_detail
    if len(batch.row_counts) == 1:
        for queue_id in batch.routes[rows[0]][1]:
            yield queue_id, *_ascending(ids, details)
        return
    queues = {queue_id for _, queue_ids in batch.routes for queue_id in queue_ids}
    for queue_id in queues:
        routed = [queue_id in queue_ids for _, queue_ids in batch.routes]
        chosen = [routed[row] for row in rows]
        if any(chosen):
            of_queue = array("Q", compress(ids, chosen)), array("Q", compress(details, chosen))
            yield queue_id, *_ascending(*of_queue)


def _ascending(ids: array[int], details: array[int]) -> tuple[array[int], array[int]]:
    # Nearly always they follow each other: then one comparison of columns tells.
    is_range = ids[-1] - ids[0] == len(ids) - 1 and ids == array("Q", range(ids[0], ids[-1] + 1))
    if is_range or all(map(lt, ids, ids[1:])):
        return ids, details
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return array("Q", [ids[at] for at in order]), array("Q", [details[at] for at in order])
