"""One channel: consumers, unacked deliveries, prefetch, and what closing it gives back.

Invariants:

* Delivery tags grow by one; ``unacked`` holds them in growing order. ``_oldest`` is at most
  the lowest of them, so a multiple ack walks each tag once in the channel's life.
* Acks are grouped by consumer and reach the queues in the tick (``Tick.settling``); until then
  they neither free credit nor reach the log. Requeues act at once.
* ``outstanding`` counts unacked deliveries to consumers, not what basic.get took.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from broker.amqp import announce
from broker.amqp.ages import Ages
from broker.amqp.confirms import Confirms
from broker.amqp.consumer import AmqpConsumer, Getter
from broker.amqp.counting import ChannelCounters
from broker.core.message import Message
from broker.core.queue import Queue
from protocol.content import for_channel
from protocol.errors import PreconditionFailed

if TYPE_CHECKING:
    from broker.amqp.session import Session
    from broker.amqp.transaction import Transaction
    from broker.core.reply import ReplyQueue
    from protocol.methods import Method

Unacked = tuple[Message, "AmqpConsumer | Getter"]


class Channel:
    """See the module."""

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        session.broker.churn.channel_created += 1
        self.number = number
        self.event_id = ""  # what the event exchange calls this channel
        self.content_head = b"\x02" + number.to_bytes(2, "big")
        self.closed = False
        self.confirms = Confirms(self)
        self.counters = ChannelCounters(session)
        self.transaction: Transaction | None = None
        self.consumers: dict[str, AmqpConsumer] = {}
        self.getters: dict[Queue, Getter] = {}
        self.unacked: dict[int, Unacked] = {}
        self.next_tag = 1
        self._oldest = 1
        self.prefetch = session.host.default_consumer_prefetch  # of consumers to come
        self.global_prefetch = 0
        self.outstanding = 0
        self.reply: ReplyQueue | None = None  # direct reply-to
        self.ages = Ages()
        self._ended: list[AmqpConsumer] = []  # not in ``consumers`` any more, but may hold some
        self.last_queue = ""  # what a method with an empty queue name means
        self.next_queue = ""  # the name drawn for a server-named queue that is being declared

    def send(self, cls: type[Method], **arguments: object) -> None:
        """Append one method frame to the connection's output."""
        self.session.connection.send(self.number, cls, **arguments)

    def send_content(self, cls: type[Method], content: bytes, **arguments: object) -> None:
        """Append a method that carries content."""
        self.send(cls, **arguments)
        session = self.session
        session.output.frames.append(
            for_channel(content, self.number, session.connection.frame_max)
        )
        session.output.delivered(len(content))

    # -- settling ----------------------------------------------------------------------

    def ack(self, tag: int, multiple: bool) -> bool:
        """The fast path's ack; false if the tag is not outstanding. Not for transactions."""
        if multiple:
            entries = self.take(tag, multiple=True)
            if entries is None:
                return False
            self.settle(entries)
            return True
        entry = self.unacked.pop(tag, None)
        if entry is None:
            return False
        message, holder = entry
        if not holder.acked:
            self._settle_in_tick(holder)
        holder.acked.append(message)
        return True

    def _settle_in_tick(self, holder: AmqpConsumer | Getter) -> None:
        tick = self.session.tick
        tick.settling.append(holder)
        tick.wake()

    def settle(self, entries: Iterable[Unacked]) -> None:
        """Deliveries are done: group them for the tick."""
        for message, holder in entries:
            if not holder.acked:
                self._settle_in_tick(holder)
            holder.acked.append(message)

    def take(self, tag: int, *, multiple: bool) -> list[Unacked] | None:
        """Remove the deliveries a tag stands for; None if it stands for nothing.

        Tag 0 with ``multiple`` is all there are, which may be none.
        """
        unacked = self.unacked
        if not multiple:
            entry = unacked.pop(tag, None)
            return None if entry is None else [entry]
        if tag == 0:
            entries = list(unacked.values())
            unacked.clear()
            self._oldest = self.next_tag
            return entries
        if tag not in unacked:
            return None
        found = [unacked.pop(number, None) for number in range(self._oldest, tag + 1)]
        self._oldest = tag + 1
        return [entry for entry in found if entry is not None]

    def take_or_refuse(self, tag: int, *, multiple: bool) -> list[Unacked]:
        """As ``take``, or ``PreconditionFailed``."""
        entries = self.take(tag, multiple=multiple)
        if entries is None:
            raise PreconditionFailed(f"unknown delivery tag {tag}")
        return entries

    def put_back(self, entries: dict[int, Unacked]) -> None:
        """Undo ``take``: a transaction with these acks was rolled back."""
        self.unacked = dict(sorted((self.unacked | entries).items()))
        self._oldest = min(self._oldest, *entries) if entries else self._oldest
        if entries:
            self.ages.returned(min(entries), self.session.broker.now_ms)

    def reject(self, entries: list[Unacked], *, requeue: bool, failed: bool = False) -> None:
        """Give deliveries back to their queues, or drop them; ``failed`` as ``Queue.requeue``."""
        groups: dict[AmqpConsumer | Getter, list[Message]] = {}
        for message, holder in entries:
            groups.setdefault(holder, []).append(message)
        for holder, messages in groups.items():
            if requeue:
                holder.queue.requeue(messages, failed=failed)
            else:
                holder.queue.reject(messages)
            holder.returned(len(messages))

    def held(self) -> Iterator[Unacked]:
        """All deliveries that are not settled, those of an open transaction included."""
        yield from self.unacked.values()
        if self.transaction is not None:
            yield from self.transaction.held()

    # -- consumers ---------------------------------------------------------------------

    def wake(self) -> None:
        """Credit shared by all consumers came back, or the socket drains again."""
        for consumer in self.consumers.values():
            consumer.queue.wake()
        if self.global_prefetch and self.consumers:
            # The queue that is woken first may take all of it: the next time it comes last.
            first = next(iter(self.consumers))
            self.consumers[first] = self.consumers.pop(first)

    def getter(self, queue: Queue) -> Getter:
        """Who holds what basic.get takes from the queue."""
        getter = self.getters.get(queue)
        if getter is None:
            getter = self.getters[queue] = Getter(queue, self.counters.from_queue(queue))
        return getter

    def remove_consumer(self, tag: str) -> AmqpConsumer | None:
        """End a subscription; its unacked deliveries stay. Drops an auto-delete queue."""
        consumer = self.forget_consumer(tag)
        if consumer is not None:
            if consumer.queue.remove_consumer(consumer):
                self.session.vhost.drop_queue(consumer.queue)
            if consumer.queue is self.reply:
                self._close_reply()
        return consumer

    def forget_consumer(self, tag: str) -> AmqpConsumer | None:
        """A subscription is over; what it holds keeps its consumer timeout."""
        consumer = self.consumers.pop(tag, None)
        if consumer is not None:
            announce.consumer_deleted(consumer)
            if consumer.outstanding:
                self._ended.append(consumer)
        return consumer

    def _close_reply(self) -> None:
        if self.reply is not None:
            self.session.vhost.close_reply(self.reply)
            self.reply = None

    def holders(self) -> list[AmqpConsumer | Getter]:
        """Who has deliveries of this channel, or may get some."""
        self._ended = [consumer for consumer in self._ended if consumer.outstanding]
        return [*self.consumers.values(), *self._ended, *self.getters.values()]

    def close(self) -> None:
        """The channel is gone: consumers end and unacked deliveries go back, as redelivered."""
        self.closed = True
        self.session.broker.churn.channel_closed += 1
        totals = self.session.broker.totals
        totals.received_confirm += self.confirms.counted
        totals.confirmed += self.counters.confirmed
        emptied = [
            consumer.queue
            for consumer in self.consumers.values()
            if consumer.queue.remove_consumer(consumer)
        ]
        for consumer in self.consumers.values():
            announce.consumer_deleted(consumer)
        self.consumers.clear()
        self._close_reply()
        entries = list(self.held())
        self.unacked.clear()
        self.reject(entries, requeue=True, failed=True)
        for queue in emptied:
            self.session.vhost.drop_queue(queue)
        announce.channel_closed(self)
