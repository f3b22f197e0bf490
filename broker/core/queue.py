"""A queue: ready messages in order of arrival, consumers, and who gets what next.

Invariants:

* Order is message id order. ``ready`` holds never-delivered messages in that order;
  ``requeued`` is a heap of messages that came back, all with smaller ids than the head of
  ``ready``. So a requeued message has its original place, and it is redelivered exactly if it
  comes from ``requeued`` (or is older than ``recovered_below``, after a restart).
* A message is in exactly one of ready, requeued, or unacked (held by a channel).
* ``scheduled`` says the queue stands in ``Broker.dirty``; ``quiet`` that a push need not put
  it there. Delivery happens only in ``pump``, once per tick, never inside a publish.
* What leaves for good passes ``_forget``, which tells the log: exactly once a message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from broker.core.consumer import Consumer
from broker.core.message import Message

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.exchange import Binding
    from protocol.tables import Table

# One pump hands a queue's consumers at most this much, so that a deep backlog cannot keep the
# loop from reading acks and publishes (a tick of 1,000 small deliveries takes about 1 ms).
DELIVER_BATCH_MAX = 1000
DELIVER_BYTES_MAX = 1 << 18
BACKLOG_MIN = 2000  # ready messages from which back-pressure is considered


class Queue:
    """See the module. ``owner`` is the connection an exclusive queue belongs to."""

    kind = "classic"

    def __init__(
        self,
        broker: Broker,
        vhost: str,
        name: str,
        queue_id: int,
        *,
        durable: bool,
        auto_delete: bool,
        arguments: Table,
        owner: object | None = None,
    ) -> None:
        self.broker = broker
        self.vhost = vhost
        self.name = name
        self.id = queue_id
        self.durable = durable and owner is None
        self.auto_delete = auto_delete
        self.arguments = arguments
        self.owner = owner
        self.deleted = False
        self.incoming: dict[Binding, None] = {}  # bindings that lead here

        self.ready: deque[Message] = deque()
        self.requeued: list[tuple[int, Message]] = []
        self.ready_bytes = 0
        self.unacked = 0
        self.recovered_below = 0

        self.consumers: list[Consumer] = []  # by priority, highest first, then by age
        self._turn = 0  # index of the consumer whose turn it is, among equals
        self.scheduled = False
        self.quiet = True
        self.delivered = 0  # messages handed to consumers and getters, ever

    def __repr__(self) -> str:
        return f"<Queue {self.name!r} in {self.vhost!r}>"

    def __str__(self) -> str:
        return f"queue '{self.name}' in vhost '{self.vhost}'"

    def __len__(self) -> int:
        """Ready messages, which is what declare-ok and get-ok count."""
        return len(self.ready) + len(self.requeued)

    # -- in ----------------------------------------------------------------------------

    def push(self, message: Message) -> None:
        """Append a new message. Hot: one call for each publish and queue."""
        self.ready.append(message)
        self.ready_bytes += message.size
        if not self.quiet:
            self.schedule()

    def requeue(self, messages: Iterable[Message]) -> None:
        """Take back delivered messages, each to its original place, as redelivered."""
        if self.deleted:
            self.reject(list(messages))
            return
        for message in messages:
            heappush(self.requeued, (message.id, message))
            self.ready_bytes += message.size
            self.unacked -= 1
        self.wake()

    def recover(self, message: Message) -> None:
        """Append a message read from the log: in id order, before anything is published."""
        self.ready.append(message)
        self.ready_bytes += message.size

    # -- out ---------------------------------------------------------------------------

    def schedule(self) -> None:
        """Have ``pump`` run in this tick."""
        self.scheduled = self.quiet = True
        self.broker.dirty.append(self)
        self.broker.wake()

    def wake(self) -> None:
        """Something that delivery waits for may have changed: credit, a consumer, a requeue."""
        if not self.scheduled and self.consumers and (self.ready or self.requeued):
            self.schedule()

    def pump(self) -> None:
        """Deliver to consumers that have room; reschedules itself if it stops for the budget."""
        self.scheduled = False
        self.quiet = not self.consumers
        budget = DELIVER_BATCH_MAX
        while budget > 0 and (self.ready or self.requeued):
            takers = self._takers()
            if not takers:
                break
            if len(takers) == 1:
                consumer, room = takers[0]
                budget -= self._hand(consumer, *self._take(min(room, budget)))
            else:
                budget -= self._share(takers, budget)
        if len(self.ready) > BACKLOG_MIN:
            self.broker.backlogged.append(self)
        if budget <= 0:
            self.wake()

    def _takers(self) -> list[tuple[Consumer, int]]:
        """Consumers of the highest priority that have room, with their room, in turn."""
        consumers = self.consumers
        if len(consumers) == 1:
            room = consumers[0].capacity()
            return [(consumers[0], room)] if room > 0 else []
        takers: list[tuple[Consumer, int]] = []
        for consumer in consumers:
            if takers and takers[0][0].priority != consumer.priority:
                break
            room = consumer.capacity()
            if room > 0:
                takers.append((consumer, room))
        if len(takers) > 1:
            self._turn %= len(takers)
            takers = takers[self._turn :] + takers[: self._turn]
        return takers

    def _share(self, takers: list[tuple[Consumer, int]], budget: int) -> int:
        """One round among several consumers: as even as their room allows, in message order."""
        rounds = max(1, budget // len(takers))
        shares: list[list[Message]] = [[] for _ in takers]
        messages, redelivered = self._take(
            min(budget, sum(min(room, rounds) for _, room in takers))
        )
        open_shares = list(range(len(takers)))
        at = 0
        for message in messages:
            share = open_shares[at]
            shares[share].append(message)
            if len(shares[share]) >= min(takers[share][1], rounds):
                del open_shares[at]
            else:
                at += 1
            if at >= len(open_shares):
                at = 0
        self._turn += len(messages)
        for (consumer, _), share_of in zip(takers, shares, strict=True):
            if share_of:
                self._hand(consumer, share_of, redelivered)
        return len(messages)

    def _take(self, count: int) -> tuple[list[Message], bool]:
        """The next messages, at least one and at most ``count``, alike in being redelivered."""
        if self.requeued:
            requeued = self.requeued
            batch = [heappop(requeued)[1] for _ in range(min(count, len(requeued)))]
            self.ready_bytes -= sum([message.size for message in batch])
            return batch, True
        ready = self.ready
        if ready[0].id < self.recovered_below:
            return self._take_recovered(count), True
        if count >= len(ready) and self.ready_bytes <= DELIVER_BYTES_MAX:
            batch = list(ready)
            ready.clear()
            self.ready_bytes = 0
            return batch, False
        batch = []
        size = 0
        take = ready.popleft
        for _ in range(min(count, len(ready))):
            message = take()
            size += message.size
            batch.append(message)
            if size >= DELIVER_BYTES_MAX:
                break
        self.ready_bytes -= size
        return batch, False

    def _take_recovered(self, count: int) -> list[Message]:
        batch: list[Message] = []
        while self.ready and len(batch) < count and self.ready[0].id < self.recovered_below:
            message = self.ready.popleft()
            self.ready_bytes -= message.size
            batch.append(message)
        return batch

    def _hand(self, consumer: Consumer, messages: list[Message], redelivered: bool) -> int:
        self.delivered += len(messages)
        if consumer.no_ack:
            consumer.deliver(messages, redelivered)
            self._forget(messages)
        else:
            self.unacked += len(messages)
            consumer.deliver(messages, redelivered)
        return len(messages)

    def get(self, *, no_ack: bool) -> tuple[Message, bool] | None:
        """The next message and whether it is redelivered; None if there is none."""
        if not self.ready and not self.requeued:
            return None
        messages, redelivered = self._take(1)
        self.delivered += 1
        if no_ack:
            self._forget(messages)
        else:
            self.unacked += 1
        return messages[0], redelivered

    def stored(self) -> Iterator[Message]:
        """All ready messages, in no particular order."""
        yield from self.ready
        for _, message in self.requeued:
            yield message

    # -- settled -----------------------------------------------------------------------

    def ack(self, messages: list[Message]) -> None:
        """Delivered messages are done."""
        self.unacked -= len(messages)
        self._forget(messages)

    def reject(self, messages: list[Message]) -> None:
        """Delivered messages were refused and are not to come back."""
        self.unacked -= len(messages)
        self._forget(messages)

    def _forget(self, messages: list[Message]) -> None:
        """Messages are gone for good: the log need not keep them for this queue."""
        if not self.durable:
            return
        logged = [message for message in messages if message.batch]
        if logged:
            batches = [message.batch for message in logged]
            if self.deleted:
                self.broker.log.release(batches)
            else:
                self.broker.log.settle(self.id, [message.id for message in logged], batches)
                self.broker.wake()

    def purge(self) -> int:
        """Drop all ready messages; how many there were."""
        messages = [message for _, message in self.requeued]
        messages += self.ready
        self.requeued.clear()
        self.ready.clear()
        self.ready_bytes = 0
        self._forget(messages)
        return len(messages)

    def delete(self) -> int:
        """The queue ceases to be: drop what is ready, cancel consumers; ready messages dropped.

        Unacked messages stay with their channels and are released as these settle them.
        """
        self.deleted = True
        dropped = self.purge()
        consumers, self.consumers = self.consumers, []
        self.quiet = True
        for consumer in consumers:
            consumer.cancelled()
        return dropped

    # -- consumers ---------------------------------------------------------------------

    @property
    def exclusively_consumed(self) -> bool:
        """Whether one consumer asked to be the only one."""
        return bool(self.consumers) and self.consumers[0].exclusive

    def add_consumer(self, consumer: Consumer) -> None:
        """Subscribe; among equals of priority it stands last."""
        at = len(self.consumers)
        while at and self.consumers[at - 1].priority < consumer.priority:
            at -= 1
        self.consumers.insert(at, consumer)
        self.quiet = self.scheduled
        self.wake()

    def remove_consumer(self, consumer: Consumer) -> bool:
        """Unsubscribe. True if the queue is auto-delete and this was its last consumer."""
        if consumer not in self.consumers:
            return False
        self.consumers.remove(consumer)
        if not self.consumers:
            self.quiet = True
        return self.auto_delete and not self.consumers and not self.deleted
