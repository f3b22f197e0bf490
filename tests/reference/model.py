"""A broker of lists and dicts: what clients may see, with no cache, batch, credit trick or file.

It follows commands one by one and says what is answered. Deliveries it does not choose: a broker
may share a queue among consumers as it likes. So it is told of them, by `delivered`, and judges:
the right messages, in order, to consumers with room; and `at_rest` that nobody was left waiting.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.reference.routing import Binding, PlainExchange, Topology

Reply = tuple[Any, ...]
UNLIMITED = 1 << 60


class Refusal(Exception):
    """The command closes its channel with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(eq=False)
class Message:
    """A message on one queue. `number` is the order of publishing."""

    number: int
    body: bytes
    persistent: bool
    redelivered: bool = False


@dataclass(eq=False)
class Queue:
    """Messages that can be delivered, and who wants them."""

    name: str
    durable: bool
    auto_delete: bool
    owner: object | None
    quorum: bool = False  # it keeps every message, as if it were persistent
    ready: list[Message] = field(default_factory=list)
    consumers: list["Consumer"] = field(default_factory=list)
    alive: bool = True

    def take_back(self, message: Message) -> None:
        """A message returns to its place."""
        message.redelivered = True
        if self.alive:
            self.ready.append(message)
            self.ready.sort(key=lambda each: each.number)


@dataclass(eq=False)
class Consumer:
    """A subscription."""

    channel: "Channel"
    queue: Queue
    tag: str
    no_ack: bool
    priority: int
    prefetch: int
    outstanding: int = 0
    newest: int = 0
    """Number of the last message delivered since the broker was quiet."""

    @property
    def room(self) -> int:
        """How many messages it may get."""
        if self.no_ack:
            return UNLIMITED
        room = self.prefetch - self.outstanding
        if self.channel.global_prefetch:
            room = min(room, self.channel.global_prefetch - self.channel.outstanding)
        return room


@dataclass(eq=False)
class Delivery:
    """A message somebody has and has not settled."""

    queue: Queue
    message: Message
    consumer: Consumer | None

    def end(self) -> None:
        """It is nobody's any more: the credit is free."""
        if self.consumer is not None:
            self.consumer.outstanding -= 1
            self.consumer.channel.outstanding -= 1


@dataclass
class Transaction:
    """What commit will do."""

    publishes: list[tuple[list[Queue], Message, bool]] = field(default_factory=list)
    acked: dict[int, Delivery] = field(default_factory=dict)
    rejected: list[tuple[dict[int, Delivery], bool]] = field(default_factory=list)


@dataclass(eq=False)
class Channel:
    """One channel of one connection."""

    connection: object
    consumers: dict[str, Consumer] = field(default_factory=dict)
    unacked: dict[int, Delivery] = field(default_factory=dict)
    next_tag: int = 1
    prefetch: int = 0
    global_prefetch: int = 0
    outstanding: int = 0
    confirming: bool = False
    published: int = 0
    transaction: Transaction | None = None
    notices: list[str] = field(default_factory=list)
    """Consumers whose queue went away, for basic.cancel."""


class Model:
    """The broker. Commands give the replies, in order; `nothing` is the empty list."""

    def __init__(self) -> None:
        self.topology = Topology()
        self.queues: dict[str, Queue] = {}
        self.channels: list[Channel] = []
        self.numbers = 0
        for name, kind in (("", "direct"), ("amq.topic", "topic"), ("amq.headers", "headers")):
            self.topology.exchanges[name] = PlainExchange(kind, durable=True)

    # -- channels and connections -----------------------------------------------------------------

    def open(self, connection: object) -> Channel:
        """channel.open."""
        channel = Channel(connection)
        self.channels.append(channel)
        return channel

    def close(self, channel: Channel) -> None:
        """The channel ends, by whomever: consumers go, what is unacked returns."""
        self.channels.remove(channel)
        queues = [consumer.queue for consumer in channel.consumers.values()]
        for consumer in channel.consumers.values():
            consumer.queue.consumers.remove(consumer)
        channel.consumers.clear()
        deliveries = list(channel.unacked.values())
        if channel.transaction is not None:
            deliveries += channel.transaction.acked.values()
            for rejected, _ in channel.transaction.rejected:
                deliveries += rejected.values()
        for delivery in deliveries:
            delivery.queue.take_back(delivery.message)
        for queue in queues:
            self._drop_if_unused(queue)

    def disconnect(self, connection: object) -> None:
        """The connection ends: its channels, then its exclusive queues."""
        for channel in [each for each in self.channels if each.connection is connection]:
            self.close(channel)
        for queue in [each for each in self.queues.values() if each.owner is connection]:
            self._drop_queue(queue)

    def restart(self) -> None:
        """Only what is durable remains, and persistent messages count as redelivered."""
        for channel in list(self.channels):
            for delivery in channel.unacked.values():
                delivery.queue.take_back(delivery.message)
            transaction = channel.transaction or Transaction()
            for rejected in [transaction.acked, *(taken for taken, _ in transaction.rejected)]:
                for delivery in rejected.values():
                    delivery.queue.take_back(delivery.message)
        self.channels.clear()
        self.queues = {name: queue for name, queue in self.queues.items() if queue.durable}
        for queue in self.queues.values():
            queue.consumers.clear()
            queue.ready = [message for message in queue.ready if message.persistent]
            for message in queue.ready:
                message.redelivered = True
        topology = self.topology
        topology.queues = set(self.queues)
        topology.exchanges = {n: x for n, x in topology.exchanges.items() if x.durable}
        topology.bindings = [
            binding
            for binding in topology.bindings
            if binding[0] in topology.exchanges
            and binding[2] in (self.queues if binding[1] == "queue" else topology.exchanges)
        ]

    # -- topology ---------------------------------------------------------------------------------

    def declare_exchange(self, _: Channel, name: str, exchange: PlainExchange) -> list[Reply]:
        """exchange.declare; a name is always declared with the same properties."""
        self.topology.exchanges.setdefault(name, exchange)
        return [("Exchange.DeclareOk",)]

    def delete_exchange(self, _: Channel, name: str) -> list[Reply]:
        """exchange.delete, with what falls with it."""
        if name in self.topology.exchanges:
            self._drop_exchange(name)
        return [("Exchange.DeleteOk",)]

    def _drop_exchange(self, name: str) -> None:
        del self.topology.exchanges[name]
        self._drop_bindings(
            lambda binding: name == binding[0] or binding[1:3] == ("exchange", name)
        )

    def _drop_bindings(self, condition: Any) -> None:
        """Remove bindings, then the auto-delete exchanges that have none any more."""
        gone = [binding for binding in self.topology.bindings if condition(binding)]
        self.topology.bindings = [b for b in self.topology.bindings if not condition(b)]
        for source in {binding[0] for binding in gone}:
            exchange = self.topology.exchanges.get(source)
            bound = any(binding[0] == source for binding in self.topology.bindings)
            if exchange is not None and exchange.auto_delete and not bound:
                self._drop_exchange(source)

    def bind(self, channel: Channel, binding: Binding) -> list[Reply]:
        """queue.bind and exchange.bind."""
        source, kind, destination, _, _ = binding
        if source not in self.topology.exchanges:
            raise Refusal(404)
        if kind == "queue":
            self.queue(channel, destination)
        elif destination not in self.topology.exchanges:
            raise Refusal(404)
        if binding not in self.topology.bindings:
            self.topology.bindings.append(binding)
        return [("Queue.BindOk" if kind == "queue" else "Exchange.BindOk",)]

    def unbind(self, _: Channel, unwanted: Binding) -> list[Reply]:
        """queue.unbind and exchange.unbind."""
        self._drop_bindings(lambda binding: binding == unwanted)
        return [("Queue.UnbindOk" if unwanted[1] == "queue" else "Exchange.UnbindOk",)]

    def declare_queue(
        self,
        channel: Channel,
        name: str,
        *,
        durable: bool,
        auto_delete: bool = False,
        exclusive: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> list[Reply]:
        """queue.declare; a name is always declared with the same properties."""
        queue = self.queues.get(name)
        owner = channel.connection if exclusive else None
        if queue is None:
            quorum = (arguments or {}).get("x-queue-type") == "quorum"
            queue = self.queues[name] = Queue(name, durable, auto_delete, owner, quorum)
            self.topology.queues.add(name)
        elif queue.owner is not owner:
            raise Refusal(405)
        return [("Queue.DeclareOk", name, len(queue.ready), len(queue.consumers))]

    def queue(self, channel: Channel, name: str) -> Queue:
        """The queue a command names."""
        queue = self.queues.get(name)
        if queue is None:
            raise Refusal(404)
        if queue.owner not in (None, channel.connection):
            raise Refusal(405)
        return queue

    def delete_queue(
        self, channel: Channel, name: str, *, if_unused: bool, if_empty: bool
    ) -> list[Reply]:
        """queue.delete."""
        if name not in self.queues:
            return [("Queue.DeleteOk", 0)]
        queue = self.queue(channel, name)
        if (if_unused and queue.consumers) or (if_empty and queue.ready):
            raise Refusal(406)
        count = len(queue.ready)
        self._drop_queue(queue)
        return [("Queue.DeleteOk", count)]

    def _drop_queue(self, queue: Queue) -> None:
        del self.queues[queue.name]
        self.topology.queues.discard(queue.name)
        queue.alive = False
        queue.ready.clear()
        for consumer in queue.consumers:
            del consumer.channel.consumers[consumer.tag]
            consumer.channel.notices.append(consumer.tag)
        queue.consumers.clear()
        self._drop_bindings(lambda binding: binding[1:3] == ("queue", queue.name))

    def _drop_if_unused(self, queue: Queue) -> None:
        if queue.alive and queue.auto_delete and not queue.consumers:
            self._drop_queue(queue)

    def purge(self, channel: Channel, name: str) -> list[Reply]:
        """queue.purge."""
        queue = self.queue(channel, name)
        count = len(queue.ready)
        queue.ready.clear()
        return [("Queue.PurgeOk", count)]

    # -- publishing -------------------------------------------------------------------------------

    def publish(
        self,
        channel: Channel,
        exchange: str,
        key: str,
        body: bytes,
        *,
        persistent: bool,
        mandatory: bool,
        headers: dict[str, Any],
    ) -> list[Reply]:
        """basic.publish: a basic.return at most. CC adds routing keys."""
        if exchange not in self.topology.exchanges:
            raise Refusal(404)
        others = {name: value for name, value in headers.items() if name != "CC"}
        names = self.topology.route(exchange, key, others, headers.get("CC", []))
        queues = [self.queues[name] for name in sorted(names)]
        message = Message(0, body, persistent)
        if channel.transaction is not None:
            channel.transaction.publishes.append((queues, message, mandatory))
            return []
        return self._store(channel, queues, message, mandatory)

    def _store(
        self, channel: Channel, queues: list[Queue], message: Message, mandatory: bool
    ) -> list[Reply]:
        self.numbers += 1
        channel.published += 1
        queues = [queue for queue in queues if queue.alive]
        for queue in queues:
            persistent = message.persistent or queue.quorum
            queue.ready.append(Message(self.numbers, message.body, persistent))
        return [] if queues or not mandatory else [("Basic.Return", message.body)]

    def select_confirms(self, channel: Channel) -> list[Reply]:
        """confirm.select."""
        if channel.transaction is not None:
            raise Refusal(406)
        if not channel.confirming:
            channel.confirming = True
            channel.published = 0
        return [("Confirm.SelectOk",)]

    def select_tx(self, channel: Channel) -> list[Reply]:
        """tx.select."""
        if channel.confirming:
            raise Refusal(406)
        channel.transaction = channel.transaction or Transaction()
        return [("Tx.SelectOk",)]

    def commit(self, channel: Channel) -> list[Reply]:
        """tx.commit."""
        transaction = self._transaction(channel)
        replies = []
        for queues, message, mandatory in transaction.publishes:
            replies += self._store(channel, queues, message, mandatory)
        for delivery in transaction.acked.values():
            delivery.end()
        for taken, requeue in transaction.rejected:
            self._end(taken, requeue=requeue)
        channel.transaction = Transaction()
        return [*replies, ("Tx.CommitOk",)]

    def rollback(self, channel: Channel) -> list[Reply]:
        """tx.rollback: what was settled is unacked again."""
        transaction = self._transaction(channel)
        channel.unacked |= transaction.acked
        for taken, _ in transaction.rejected:
            channel.unacked |= taken
        channel.unacked = dict(sorted(channel.unacked.items()))
        channel.transaction = Transaction()
        return [("Tx.RollbackOk",)]

    def _transaction(self, channel: Channel) -> Transaction:
        if channel.transaction is None:
            raise Refusal(406)
        return channel.transaction

    # -- consuming --------------------------------------------------------------------------------

    def qos(self, channel: Channel, count: int, *, whole_channel: bool) -> list[Reply]:
        """basic.qos."""
        if whole_channel:
            channel.global_prefetch = count
        else:
            channel.prefetch, channel.global_prefetch = count, 0
        return [("Basic.QosOk",)]

    def consume(
        self, channel: Channel, name: str, tag: str, *, no_ack: bool, priority: int
    ) -> list[Reply]:
        """basic.consume."""
        queue = self.queue(channel, name)
        prefetch = channel.prefetch or UNLIMITED
        consumer = Consumer(channel, queue, tag, no_ack, priority, prefetch)
        channel.consumers[tag] = consumer
        queue.consumers.append(consumer)
        return [("Basic.ConsumeOk", tag)]

    def cancel(self, channel: Channel, tag: str) -> list[Reply]:
        """basic.cancel; an unknown tag is no error."""
        consumer = channel.consumers.pop(tag, None)
        if consumer is not None:
            consumer.queue.consumers.remove(consumer)
            self._drop_if_unused(consumer.queue)
        return [("Basic.CancelOk", tag)]

    def get(self, channel: Channel, name: str, *, no_ack: bool) -> list[Reply]:
        """basic.get."""
        queue = self.queue(channel, name)
        if not queue.ready:
            return [("Basic.GetEmpty",)]
        message = queue.ready.pop(0)
        tag = channel.next_tag
        channel.next_tag += 1
        if not no_ack:
            channel.unacked[tag] = Delivery(queue, message, None)
        return [("Basic.GetOk", tag, message.redelivered, message.body, len(queue.ready))]

    def delivered(self, channel: Channel, delivery: Reply) -> None:
        """A client was sent basic.deliver: judge it, and follow."""
        _, consumer_tag, tag, redelivered, body = delivery
        consumer = channel.consumers[consumer_tag]
        queue = consumer.queue
        found = [message for message in queue.ready if message.body == body]
        assert found, f"{body!r} is not on {queue.name}, or was delivered already"
        message = found[0]
        assert message.redelivered == redelivered, "redelivered flag"
        assert tag == channel.next_tag, "delivery tags are consecutive"
        assert consumer.room > 0, "beyond the prefetch limit"
        assert message.number > consumer.newest, "out of order"
        consumer.newest = message.number
        queue.ready.remove(message)
        channel.next_tag += 1
        if not consumer.no_ack:
            consumer.outstanding += 1
            channel.outstanding += 1
            channel.unacked[tag] = Delivery(queue, message, consumer)

    def at_rest(self) -> None:
        """When the broker is quiet: what was delivered came from the head of each queue, and no
        message waits while a consumer has room, nor went past one of a higher priority."""
        for queue in self.queues.values():
            consumers = queue.consumers
            newest = max((consumer.newest for consumer in consumers), default=0)
            assert all(message.number > newest for message in queue.ready), "one was left out"
            hungry = [consumer for consumer in consumers if consumer.room > 0]
            assert not queue.ready or not hungry, f"a consumer of {queue.name} was left waiting"
            first = max((consumer.priority for consumer in hungry), default=-UNLIMITED)
            served = [consumer.priority for consumer in consumers if consumer.newest]
            assert all(priority >= first for priority in served), "past a higher priority"
            for consumer in consumers:
                consumer.newest = 0

    # -- settling ---------------------------------------------------------------------------------

    def ack(self, channel: Channel, tag: int, *, multiple: bool) -> list[Reply]:
        """basic.ack."""
        taken = self._take(channel, tag, multiple=multiple)
        if channel.transaction is not None:
            channel.transaction.acked |= taken
        else:
            for delivery in taken.values():
                delivery.end()
        return []

    def nack(self, channel: Channel, tag: int, *, multiple: bool, requeue: bool) -> list[Reply]:
        """basic.nack and basic.reject."""
        taken = self._take(channel, tag, multiple=multiple)
        if channel.transaction is not None:
            channel.transaction.rejected.append((taken, requeue))
        else:
            self._end(taken, requeue=requeue)
        return []

    def recover(self, channel: Channel) -> list[Reply]:
        """basic.recover."""
        self._end(self._take(channel, 0, multiple=True), requeue=True)
        return [("Basic.RecoverOk",)]

    def _take(self, channel: Channel, tag: int, *, multiple: bool) -> dict[int, Delivery]:
        if multiple and tag == 0:
            tags = list(channel.unacked)
        elif tag not in channel.unacked:
            raise Refusal(406)
        else:
            tags = [number for number in channel.unacked if number <= tag] if multiple else [tag]
        return {number: channel.unacked.pop(number) for number in tags}

    def _end(self, taken: dict[int, Delivery], *, requeue: bool) -> None:
        for delivery in taken.values():
            delivery.end()
            if requeue:
                delivery.queue.take_back(delivery.message)
