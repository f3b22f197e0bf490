"""Stand-ins for what the core is given: a consumer with credit, a publisher, a log that listens."""

from dataclasses import dataclass, field
from typing import Any

from broker.core.broker import Broker
from broker.core.consumer import UNLIMITED, Consumer
from broker.core.log import NoLog
from broker.core.message import Message
from broker.core.operations import Operation, decode_operation
from broker.core.queue import Queue
from broker.core.route import Route
from broker.core.vhost import Vhost
from protocol.content import body_of, headers_of, peek_content
from protocol.methods import shortstr
from protocol.tables import Table, plain, table
from tests.frames import message as framed

NOW_MS = 1_700_000_000_000


class StandInConsumer(Consumer):
    """Takes as many messages as its credit allows, and remembers them."""

    def __init__(
        self,
        queue: Queue,
        tag: str = "c",
        *,
        credit: int = UNLIMITED,
        no_ack: bool = False,
        exclusive: bool = False,
        priority: int | None = None,
    ) -> None:
        arguments = table({} if priority is None else {"x-priority": priority})
        super().__init__(queue, tag, no_ack=no_ack, exclusive=exclusive, arguments=arguments)
        self.credit = credit
        self.got: list[tuple[int, bool]] = []  # message id, redelivered
        self.unacked: dict[int, Message] = {}
        self.gone = False

    def capacity(self) -> int:
        """What is left of the credit."""
        return self.credit

    def deliver(self, messages: list[Message], redelivered: bool) -> None:
        """Take messages off the credit."""
        assert 0 < len(messages) <= self.credit, "more than the consumer has room for"
        self.got += [(message.id, redelivered) for message in messages]
        self.credit -= len(messages)
        if not self.no_ack:
            self.unacked |= {message.id: message for message in messages}

    def cancelled(self) -> None:
        """Note that the queue went away."""
        assert not self.gone, "told twice"
        self.gone = True

    @property
    def ids(self) -> list[int]:
        """The ids of the messages, in order of delivery."""
        return [message_id for message_id, _ in self.got]

    def give_back(self, *ids: int) -> list[Message]:
        """Take deliveries out of `unacked`, all if none is named, and their credit back."""
        taken = [self.unacked.pop(number) for number in ids or list(self.unacked)]
        self.credit += len(taken)
        return taken


@dataclass
class StandInPublisher:
    """What a route counts on."""

    sizes: list[int] = field(default_factory=list)
    awaited_batch: int = 0
    fresh: bool = False
    told_at: list[int] = field(default_factory=list)

    @property
    def published(self) -> int:
        """How many messages."""
        return len(self.sizes)

    def first_publish(self) -> None:
        """Note the count at which this was told."""
        self.fresh = False
        self.told_at.append(self.published)


class ListeningLog(NoLog):
    """A log that keeps what it was told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.gathering = 1
        self.told: list[tuple[Any, ...]] = []

    def route(self, address: bytes, queue_ids: tuple[int, ...]) -> int:
        """See `Log`."""
        self.told.append(("route", address, queue_ids))
        return len(self.told)

    def publish(
        self, route: int, message_id: int, published_ms: int, detail: int, content: bytes
    ) -> None:
        """See `Log`."""
        self.told.append(("publish", route, message_id, published_ms, content))

    def settle(self, queue_id: int, message_ids: list[int], batches: list[int]) -> None:
        """See `Log`."""
        self.told.append(("settle", queue_id, message_ids, batches))

    def operation(self, payload: bytes) -> None:
        """See `Log`."""
        self.told.append(("operation", decode_operation(payload)))

    def release(self, batches: list[int]) -> None:
        """See `Log`."""
        self.told.append(("release", batches))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        """What was told of one kind, without the word for it."""
        return [entry[1:] for entry in self.told if entry[0] == kind]

    @property
    def operations(self) -> list[Operation]:
        """The operations told."""
        return [operation for (operation,) in self.of("operation")]


def make_vhost(log: NoLog | None = None) -> Vhost:
    """A broker with the vhost `/`."""
    return Broker(log).declare_vhost("/")


def make_queue(
    vhost: Vhost,
    name: str = "q",
    *,
    durable: bool = False,
    exclusive: bool = False,
    auto_delete: bool = False,
    arguments: dict[str, object] | None = None,
    owner: object = None,
) -> Queue:
    """Declare a queue."""
    return vhost.declare_queue(
        name,
        durable=durable,
        exclusive=exclusive,
        auto_delete=auto_delete,
        arguments=table(arguments or {}),
        owner=owner if owner is not None else vhost,
    )


def make_exchange(
    vhost: Vhost,
    name: str = "x",
    kind: str = "direct",
    *,
    durable: bool = False,
    auto_delete: bool = False,
    internal: bool = False,
    arguments: Table | None = None,
) -> None:
    """Declare an exchange."""
    vhost.declare_exchange(
        name,
        kind,
        durable=durable,
        auto_delete=auto_delete,
        internal=internal,
        arguments=arguments or {},
    )


def make_message(broker: Broker, *, size: int = 1, batch: int = 0) -> Message:
    """The next message, as a route would make it."""
    number = broker.next_message_id
    broker.next_message_id += 1
    content = framed(1, b"m" * size)
    return Message(number, b"\x00\x01q", content, size, broker.now_ms, -1, 0, batch)


def fill(queue: Queue, count: int, *, batch: int = 0) -> list[Message]:
    """Push so many new messages."""
    messages = [make_message(queue.broker, batch=batch) for _ in range(count)]
    for message in messages:
        queue.push(message)
    return messages


def subscribe(queue: Queue, tag: str = "c", **options: Any) -> StandInConsumer:
    """Add a consumer."""
    consumer = StandInConsumer(queue, tag, **options)
    queue.add_consumer(consumer)
    return consumer


def settle_down(broker: Broker, ticks_max: int = 1000) -> int:
    """Run ticks until no queue asks for one; how many that were."""
    for ticks in range(ticks_max):
        if not broker.dirty and not broker.purging:
            return ticks
        broker.pump()
    raise AssertionError("queues keep asking for ticks")


def publish(vhost: Vhost, key: str, body: bytes = b"m", exchange: str = "", **more: Any) -> None:
    """Publish as a channel would, and have the broker settle down."""
    content = framed(1, body, **more)
    queues = vhost.route(vhost.exchanges[exchange], key, content)
    address = shortstr(exchange) + shortstr(key)
    persistent, priority, ttl_ms = peek_content(content)
    if ttl_ms >= 0:
        for queue in queues:
            queue.expect_expiring()
    route = Route(vhost.broker, StandInPublisher(), address, queues)
    route.publish(content, len(body), persistent, priority, ttl_ms)
    settle_down(vhost.broker)


def pass_time(broker: Broker, ms: int) -> None:
    """Let time pass, from one due timer to the next."""
    end_ms = broker.now_ms + ms
    while (due_ms := broker.timers.next_due_ms) is not None and due_ms <= end_ms:
        broker.now_ms = max(broker.now_ms, due_ms)
        broker.timers.run(broker.now_ms)
        settle_down(broker)
    broker.now_ms = end_ms


def bodies(queue: Queue) -> list[bytes]:
    """The bodies of the ready messages, in the order of arrival."""
    return [body_of(each.content) for each in sorted(queue.stored(), key=lambda one: one.id)]


def take(queue: Queue) -> Message:
    """The next message, unacked."""
    found = queue.get(no_ack=False)
    assert found is not None
    return found[0]


def headers(message: Message) -> dict[str, Any]:
    """A message's headers as plain values."""
    return {name: plain(value) for name, value in headers_of(message.content).items()}
