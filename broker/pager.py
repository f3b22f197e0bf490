"""Keeps what messages take of memory within a budget, whatever waits in the queues.

Above the budget, messages leave memory page by page (`broker.core.paging`): those that are needed
last of the longest queues first. Each queue keeps a piece at its head for its consumers. What is
durable need not be written again: its page is a list of ids.

Looking at all queues costs time that grows with their number, so it happens at most 50 times a
second, takes at most a twentieth of the time, and at most 2,000 queues are looked at in one go.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from broker.core.backlog import Backlog
from broker.core.broker import Broker
from broker.core.paging import MESSAGE_BYTES, PAGE_BYTES_MAX, Paging
from broker.core.queue import Queue

INTERVAL_S = 0.1  # the timer's; ticks ask as well
LOOK_INTERVAL_S = 0.02
IDLE_INTERVAL_S = 1.0
LOOK_SHARE = 20
LOOK_QUEUES_MAX = 2000
WORK_MAX_S = 0.02  # then others get their turn
KEEP_BYTES_MIN = 1 << 12  # of each queue, at its head
FULL_DISK_PAUSE_S = 10.0
LOW = 7 / 8  # of the budget: what paging out aims at

_log = logging.getLogger("leveret.paging")


Part = tuple[int, Queue, Backlog]
"""Messages that can be paged out together, and what they take of memory."""


class Pager:
    """See the module."""

    def __init__(
        self, broker: Broker, budget_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.budget_bytes = budget_bytes
        self.resident_bytes = 0  # when it was looked at last
        self.paged_out = 0  # messages, ever
        self._broker = broker
        self._clock = clock
        self._due_s = 0.0
        self._newest = -1  # the next message id at the last look
        self._to_look_at: list[Queue] = []
        self._parts: list[Part] = []  # of the queues that were looked at

    def check(self) -> None:
        """Look whether too much is in memory; cheap when it is not time yet."""
        start_s = self._clock()
        if start_s < self._due_s:
            return
        if not self._to_look_at:
            newest = self._broker.next_message_id
            if newest == self._newest and start_s < self._due_s + IDLE_INTERVAL_S:
                return  # nothing came: what there is can have grown by what was read back only
            self._newest = newest
            vhosts = self._broker.vhosts.values()
            self._to_look_at = [queue for vhost in vhosts for queue in vhost.keepers()]
        self._look()
        looked_s = self._clock()
        self._due_s = looked_s + max(LOOK_INTERVAL_S, LOOK_SHARE * (looked_s - start_s))
        if self._to_look_at:
            return
        # A queue may have gone since it was looked at.
        parts, self._parts = [part for part in self._parts if not part[1].deleted], []
        self.resident_bytes = sum(cost for cost, _, _ in parts)
        if self.resident_bytes > self.budget_bytes:
            error = self._page_out(parts, looked_s + WORK_MAX_S)
            if error is not None:
                _log.error(
                    "messages cannot leave memory, scratch is not writable: %s; next try in %d s",
                    error,
                    FULL_DISK_PAUSE_S,
                )
                self._due_s = looked_s + FULL_DISK_PAUSE_S

    def _look(self) -> None:
        """See what some more queues have in memory."""
        queues = self._to_look_at[-LOOK_QUEUES_MAX:]
        del self._to_look_at[-LOOK_QUEUES_MAX:]
        for queue in queues:
            for part in queue.backlog.parts():
                count, size_bytes = part.resident
                if count:
                    self._parts.append((count * MESSAGE_BYTES + size_bytes, queue, part))

    def _page_out(self, parts: list[Part], until_s: float) -> OSError | None:
        """Page out what is too much; why some of it could not be."""
        error = None
        excess = self.resident_bytes - int(self.budget_bytes * LOW)
        share = int(self.budget_bytes * LOW) // (2 * len(parts))
        keep_bytes = min(max(KEEP_BYTES_MIN, share), PAGE_BYTES_MAX)
        parts.sort(key=lambda part: part[0], reverse=True)
        for _, queue, part in parts:
            paging = Paging(queue)
            while excess > 0:
                if self._clock() >= until_s:
                    self._newest = -1  # there is more to do, though nothing new may come
                    return error
                try:
                    messages = part.page_out(keep_bytes, paging)
                except OSError as failure:  # what is in the log can leave memory all the same
                    error = failure
                    break
                if not messages:
                    break
                self.paged_out += len(messages)
                freed = sum([message.size for message in messages])
                excess -= freed + MESSAGE_BYTES * len(messages)
        return error
