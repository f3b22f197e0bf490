"""What a queue drops by itself: expired messages, and the oldest above a length limit.

A queue without a TTL, a limit or a message with an expiration has no ``Retention``. Where
there is one, it is told of messages that come and go, and enforces its rules at the end of
each pump and when a deadline is reached: after delivery, so that a ready consumer gets even a
message with a TTL of 0.

Invariants:

* Between two ticks a queue holds nothing that has expired, and no more than its limits, unless
  more than ``DROP_BATCH_MAX`` are to go: these go tick by tick, and nothing is handed out before.
* What an expiry or a limit drops is dead-lettered, once, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from broker.core.deadletter import EXPIRED, MAXLEN
from broker.core.expiry import Expiry
from broker.core.paging import NEVER

if TYPE_CHECKING:
    from broker.core.message import Message
    from broker.core.queue import Queue


DROP_BATCH_MAX = 5000


class Retention:
    """The rules of one queue."""

    __slots__ = ("_ages", "_alarm_ms", "_limited", "_queue", "expiry", "overdue")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        settings = queue.settings
        self.expiry = Expiry(settings.message_ttl_ms)
        self._ages = settings.message_ttl_ms is not None
        self._limited = settings.limits_length
        self._alarm_ms = NEVER  # the earliest time at which we are going to be called
        # Something may have expired that is about to be handed out: before new settings as after.
        self.overdue: bool = queue.retention is not None and queue.retention.overdue
        for message in queue.backlog:
            self._watch(message)
        if queue.backlog.deadline_ms < NEVER:
            self._set_alarm(queue.backlog.deadline_ms)

    def arrived(self, message: Message) -> None:
        """A message became ready."""
        # Where only the queue's TTL counts, the alarm for an older message comes first.
        if message.ttl_ms >= 0 or (self._ages and self._alarm_ms == NEVER):
            self._watch(message)
        if self._limited and not self._queue.scheduled:
            self._queue.schedule()

    def is_over(self, message: Message) -> bool:
        """Whether the message's time has passed."""
        deadline_ms = self.expiry.deadline_ms(message)
        return deadline_ms is not None and deadline_ms <= self._queue.broker.now_ms

    def returned(self, message: Message) -> None:
        """A delivered message became ready again."""
        self._watch(message)
        if self._limited and not self._queue.scheduled:
            self._queue.schedule()

    def came_back(self, messages: Iterable[Message]) -> None:
        """Messages were paged in; the time of some may have passed meanwhile."""
        for message in messages:
            if message.ttl_ms >= 0:
                self._watch(message)
                self.overdue = True

    def enforce_soon(self) -> None:
        """Have ``enforce`` run in the coming tick."""
        self._set_alarm(0)

    def _watch(self, message: Message) -> None:
        deadline_ms = self.expiry.add(message)
        if deadline_ms is not None and deadline_ms < self._alarm_ms:
            self._set_alarm(deadline_ms)

    def _set_alarm(self, due_ms: int) -> None:
        self._alarm_ms = due_ms
        self._queue.broker.timers.at(due_ms, self._alarm)

    def _alarm(self) -> None:
        self._alarm_ms = NEVER
        if self._queue.retention is self and not self._queue.deleted:
            self.enforce()
            self._queue.wake()  # its pump may have left off because of what was overdue

    def enforce(self) -> None:
        """Drop what has to go, or a good part of it: then ``overdue`` says so, and a tick comes."""
        queue = self._queue
        backlog = queue.backlog
        expired = self.expiry.expire(backlog, queue.broker.now_ms, DROP_BATCH_MAX)
        if expired:
            queue.drop(expired, EXPIRED)
        self.overdue = False  # what was paged in was looked at; what is from here on, was not
        excess: list[Message] = []
        while (
            len(excess) < DROP_BATCH_MAX
            and self.is_above_limits()
            and not queue.settings.rejects_publishes
        ):
            excess.append(backlog.take_excess())
        if excess:
            self.expiry.take(excess)
            queue.drop(excess, MAXLEN)
        if max(len(expired), len(excess)) >= DROP_BATCH_MAX:
            self.overdue = True
        if self.overdue:
            self._set_alarm(0)
        due_ms = self.expiry.next_due_ms(backlog)
        if due_ms is not None and due_ms < self._alarm_ms:
            self._set_alarm(due_ms)

    def finish(self) -> None:
        """Drop all that has to go, now: a message is about to be handed out."""
        while self.overdue:
            self.enforce()

    def is_above_limits(self) -> bool:
        """Whether the backlog is longer than the limits allow."""
        settings, backlog = self._queue.settings, self._queue.backlog
        return (settings.max_length is not None and len(backlog) > settings.max_length) or (
            settings.max_length_bytes is not None and backlog.size_bytes > settings.max_length_bytes
        )

    def is_full_for(self, size: int) -> bool:
        """Whether one message more, with a body of so many octets, would be above the limits."""
        settings, backlog = self._queue.settings, self._queue.backlog
        return (settings.max_length is not None and len(backlog) >= settings.max_length) or (
            settings.max_length_bytes is not None
            and backlog.size_bytes + size > settings.max_length_bytes
        )
