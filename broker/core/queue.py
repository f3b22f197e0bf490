"""A queue: what it holds ready, who consumes it, and who gets what next.

Invariants:

* A message is in exactly one place: ready (``backlog``), or unacked and held by a channel.
* ``scheduled`` says the queue stands in ``Broker.dirty``; ``quiet`` that a push need not put
  it there. Delivery happens only in ``pump``, once per tick, never inside a publish.
* What leaves for good passes ``forget``, which tells the log: exactly once a message. What a
  queue gives up (rejected, expired, too many) passes ``drop`` before, which dead-letters it.
* ``retention`` and ``returns`` are None for a queue that needs neither: that is the hot path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from broker.core.backlogs import make_backlog
from broker.core.consumer import Consumer
from broker.core.counters import QueueCounters
from broker.core.deadletter import EXPIRED, MAXLEN, REJECTED, dead_letter
from broker.core.dispatch import Dispatch, Taker, share
from broker.core.lease import Lease
from broker.core.message import Message
from broker.core.retention import Retention
from broker.core.retry import Retry
from broker.core.returns import Returns
from broker.core.settings import QueueSettings, effective_settings

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.exchange import Binding
    from broker.core.letters import Letters
    from broker.core.policies import Policy
    from protocol.tables import Table

# One pump hands a queue's consumers at most so many, so that a deep backlog cannot keep the
# loop from reading acks and publishes (a tick of 1,000 small deliveries takes about 1 ms).
DELIVER_BATCH_MAX = 1000
BACKLOG_MIN = 2000  # ready messages from which back-pressure is considered


class Queue:
    """See the module. ``owner`` is the connection an exclusive queue belongs to."""

    counts_as_route = True  # a message that reached it was routed
    needs_messages = False  # what it knows of them outlives a restart only if it sees them again

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

        kind = arguments.get("x-queue-type")
        self.type: str = kind.value.decode() if kind is not None else "classic"
        self.settings = effective_settings(arguments)
        self.backlog = make_backlog(self.settings)
        self.unacked = 0
        self.retention: Retention | None = None
        self.returns: Returns | None = None
        self.retry: Retry | None = None
        self.letters: Letters | None = None  # dead letters that nobody took yet
        self.lease: Lease | None = None
        self.policies: tuple[Policy | None, Policy | None] = (None, None)  # see core.policies
        self.configure(self.settings)

        self.dispatch = Dispatch(single_active=self.settings.single_active_consumer)
        self.consumers = self.dispatch.consumers
        self.scheduled = False
        self.quiet = True
        self.counters = QueueCounters()

    def __str__(self) -> str:
        return f"queue '{self.name}' in vhost '{self.vhost}'"

    def __len__(self) -> int:
        """Ready messages, which is what declare-ok and get-ok count."""
        return len(self.backlog)

    def configure(self, settings: QueueSettings) -> None:
        """Take over new settings: what a policy changes takes effect at once."""
        before, self.settings = self.settings, settings
        if settings.needs_retention or self.retention is not None:
            self.retention = Retention(self)
        if settings.retry_type != "disabled":
            self.retry = self.retry or Retry(self)
        if settings.delivery_limit is not None or self.type == "quorum" or self.retry is not None:
            self.returns = Returns(self) if self.returns is None else self.returns
        if self.lease is None or settings.expires_ms != before.expires_ms:
            self.lease = Lease(self) if settings.expires_ms is not None else None
        if self.backlog:
            self.pump()

    def used(self) -> None:
        """A client declared, consumed or got from the queue: what x-expires counts from."""
        if self.lease is not None:
            self.lease.renew()

    # -- in ----------------------------------------------------------------------------

    def push(self, message: Message) -> None:
        """Append a new message. Hot: one call for each publish and queue."""
        self.backlog.append(message)
        if self.retention is not None:
            self.retention.arrived(message)
        if not self.quiet:
            self.schedule()

    def expect_expiring(self) -> None:
        """A message with an expiration of its own is about to be pushed."""
        if self.retention is None:
            self.retention = Retention(self)

    def rejects(self, size: int) -> bool:
        """Whether a body of so many octets is refused: the queue is full and set to do so."""
        if not self.settings.rejects_publishes or self.retention is None:
            return False
        self.refresh()
        return self.retention.is_full_for(size)

    def refuse(self, address: bytes, content: bytes, size: int) -> None:
        """A publish was refused: with reject-publish-dlx it is dead-lettered."""
        if self.settings.overflow == "reject-publish-dlx":
            message = Message(0, address, content, size, self.broker.now_ms, -1, 0, 0)
            self.drop([message], MAXLEN)

    def requeue(self, messages: Iterable[Message], *, failed: bool = False) -> None:
        """Take back delivered messages, each to its original place, as redelivered.

        ``failed``: the consumer rejected or lost them, it did not just give them back.
        """
        if self.deleted:
            self.reject(list(messages))
            return
        if self.returns is not None:
            messages = self.returns.count(messages)
        for message in messages:
            self.unacked -= 1
            if self.retry is not None and self.settings.retries(failed=failed):
                assert self.returns is not None
                self.retry.hold(message, self.returns[message.id])
            else:
                self.make_ready(message)
        self.wake()

    def make_ready(self, message: Message) -> None:
        """A delivered message is ready again, at its place, unless its time has passed."""
        if self.retention is not None and self.retention.is_over(message):
            self.drop([message], EXPIRED)
            return
        self.backlog.put_back(message)
        if self.retention is not None:
            self.retention.returned(message)

    def recover(self, message: Message, count: int = 0) -> None:
        """Append a message read from the log: in id order, before anything is published."""
        if message.ttl_ms >= 0:
            self.expect_expiring()
        if count and self.returns is not None:
            self.returns[message.id] = count
            if self.retry is not None:
                self.retry.hold(message, count)
                self.backlog.withhold(message)
                return
        self.push(message)

    def stored(self) -> Iterator[Message]:
        """All messages in memory but those that channels hold, in no particular order."""
        yield from self.backlog
        yield from self.retry or ()
        yield from self.letters or ()

    @property
    def oldest_age_ms(self) -> int | None:
        """How long the oldest message has been here, ready or waiting for its retry; or None."""
        oldest = [self.backlog.oldest(), self.retry.oldest() if self.retry is not None else None]
        times = [message.published_ms for message in oldest if message is not None]
        return max(0, self.broker.now_ms - min(times)) if times else None

    # -- out ---------------------------------------------------------------------------

    def schedule(self) -> None:
        """Have ``pump`` run in this tick."""
        self.scheduled = self.quiet = True
        self.broker.dirty.append(self)
        self.broker.wake()

    def wake(self) -> None:
        """Something that delivery waits for may have changed: credit, a consumer, a requeue."""
        if not self.scheduled and self.consumers and self.backlog:
            self.schedule()

    def refresh(self) -> None:
        """Do now what the coming tick would do, because a client is about to look."""
        if self.scheduled or self.retention is not None:
            self.pump()

    def pump(self, budget: int = DELIVER_BATCH_MAX) -> None:
        """Deliver to consumers that have room; reschedules itself if it stops for the budget."""
        self.scheduled = False
        self.quiet = not self.consumers
        backlog = self.backlog
        while budget > 0 and backlog:
            if self.retention is not None and self.retention.overdue:
                self.retention.enforce()
                if self.retention.overdue:
                    return  # it asked for the next tick
                continue
            takers = self.dispatch.takers()
            if not takers:
                break
            if len(takers) == 1:
                consumer, room = takers[0]
                budget -= self._hand(consumer, *self._take(min(room, budget)))
            else:
                budget -= self._share(takers, budget)
        if self.retention is not None and budget > 0:
            self.retention.enforce()
        if len(backlog) > BACKLOG_MIN:
            self.broker.backlogged.append(self)
        if budget <= 0:
            self.wake()

    def _share(self, takers: list[Taker], budget: int) -> int:
        """Hand out to several consumers; how many messages."""
        if any(consumer.shares_credit for consumer, _ in takers):
            messages, redelivered = self._take(1)
            self._hand(takers[0][0], messages, redelivered)
        else:
            most = max(1, budget // len(takers))
            room = sum(min(room, most) for _, room in takers)
            messages, redelivered = self._take(min(budget, room))
            shares = share(takers, messages, most)
            for (consumer, _), messages_of in zip(takers, shares, strict=True):
                if messages_of:
                    self._hand(consumer, messages_of, redelivered)
        self.dispatch.advance(len(messages))
        return len(messages)

    def _take(self, count: int) -> tuple[list[Message], bool]:
        messages, redelivered = self.backlog.take(count)
        self.broker.waited_ms.add(self.broker.now_ms - messages[0].published_ms, len(messages))
        if self.retention is not None:
            self.retention.expiry.take(messages)
        if self.returns:
            messages = self.returns.stamp(messages)
        return messages, redelivered

    def _hand(self, consumer: Consumer, messages: list[Message], redelivered: bool) -> int:
        count, no_ack = len(messages), consumer.no_ack
        self.counters.delivered(count, no_ack, redelivered)
        consumer.deliveries.delivered(count, no_ack, redelivered)
        if not no_ack:
            self.unacked += count
        consumer.deliver(messages, redelivered)
        if no_ack:
            self.forget(messages)
        return count

    def get(self, *, no_ack: bool) -> tuple[Message, bool] | None:
        """The next message and whether it is redelivered; None if there is none."""
        self.refresh()
        if self.retention is not None:
            self.retention.finish()
        if not self.backlog:
            self.counters.get_empty += 1
            return None
        messages, redelivered = self._take(1)
        if self.type == "quorum" and not redelivered:
            messages = [messages[0].with_header("x-delivery-count", 0)]
        self.counters.got(no_ack=no_ack, redelivered=redelivered)
        if no_ack:
            self.forget(messages)
        else:
            self.unacked += 1
        return messages[0], redelivered

    # -- settled -----------------------------------------------------------------------

    def ack(self, messages: list[Message]) -> None:
        """Delivered messages are done."""
        self.counters.ack += len(messages)
        self.unacked -= len(messages)
        self.forget(messages)

    def reject(self, messages: list[Message]) -> None:
        """Delivered messages were refused and are not to come back."""
        self.unacked -= len(messages)
        self.drop(messages, REJECTED)

    def drop(self, messages: list[Message], reason: str, *, again: bool = False) -> None:
        """Messages end here without being acked: dead-letter them, or try that again."""
        self.forget(dead_letter(self, messages, reason, again=again))

    def forget(self, messages: list[Message]) -> None:
        """Messages are gone for good: the log need not keep them for this queue."""
        if self.returns:
            self.returns.forget([message.id for message in messages])
        if self.settings.message_group_header is not None:
            self.backlog.settled(messages)
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
        """Drop all ready messages, without dead-lettering; how many there were."""
        pages = self.backlog.take_pages()
        messages = self.backlog.clear()
        if self.retention is not None:
            self.retention.expiry.clear()
        return self.broker.purging.take(self, messages, pages)

    def delete(self) -> int:
        """The queue ceases to be: drop what is ready, cancel consumers; ready messages dropped.

        Unacked messages stay with their channels and are released as these settle them.
        """
        self.deleted = True
        dropped = self.purge()
        for waiting in (self.retry, self.letters):
            self.forget(waiting.clear() if waiting else [])
        self.quiet = True
        for consumer in self.dispatch.clear():
            consumer.cancelled()
        return dropped

    # -- consumers ---------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer) -> None:
        """Subscribe; among equals of priority it stands last."""
        self.dispatch.add(consumer)
        self.quiet = self.scheduled
        self.used()
        self.wake()

    def remove_consumer(self, consumer: Consumer) -> bool:
        """Unsubscribe. True if the queue is auto-delete and this was its last consumer."""
        if consumer not in self.consumers:
            return False
        self.dispatch.remove(consumer)
        self.wake()
        if not self.consumers:
            self.quiet = True
            self.used()
        return self.auto_delete and not self.consumers and not self.deleted
