"""A route: where messages of one address go now, resolved once and used for many messages.

``Route.publish`` is the hot half of a publish. A route holds as long as nothing that it was
resolved from changes; whoever keeps one drops it when ``Vhost.generation`` moves on.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from broker.core.message import Message, detail_of
from protocol.content import peek_content

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.queue import Queue


class Sizes(Protocol):
    """Where the sizes of bodies are noted, one for each message."""

    def append(self, size: int, /) -> None:
        """A message was published."""


class Publisher(Protocol):
    """Who publishes: counts messages, and remembers the log batch its last one waits for."""

    awaited_batch: int
    fresh: bool  # asks to be told of the first message after each tick

    @property
    def sizes(self) -> Sizes:
        """Octets of each body; their number is that of the messages. Hot: no further counter."""

    def first_publish(self) -> None:
        """The first message since ``fresh`` was set, already counted."""


class _Nobody:
    """The publisher of what the broker publishes by itself: is owed no confirm."""

    sizes: Sizes = deque(maxlen=0)
    awaited_batch = 0
    fresh = False

    def first_publish(self) -> None:
        """Never called: ``fresh`` is never set."""


NOBODY = _Nobody()


class Route:
    """Messages of one publisher to one address."""

    __slots__ = (
        "_batch",
        "_row",
        "address",
        "always_logged",
        "broker",
        "logged",
        "persistent",
        "published",
        "publisher",
        "queues",
    )

    def __init__(
        self, broker: Broker, publisher: Publisher, address: bytes, queues: list[Queue]
    ) -> None:
        self.broker = broker
        self.publisher = publisher
        self.address = address
        self.queues = queues
        self.logged = tuple(queue.id for queue in queues if queue.durable)
        self.always_logged = tuple(queue.id for queue in queues if queue.type == "quorum")
        self.published = 0  # messages, since they were counted last
        self.persistent = 0  # of them
        self._batch = 0  # the log batch in whose route table this address has row _row
        self._row = 0

    def publish(
        self, content: bytes, size: int, persistent: bool, priority: int, ttl_ms: int
    ) -> bool:
        """Store one message on every queue of the route, and in the log if it is to survive.

        True: the route is not for this message, and nothing was done. Never for a plain ``Route``.
        """
        broker = self.broker
        publisher = self.publisher
        self.published += 1
        publisher.sizes.append(size)
        if publisher.fresh:
            publisher.first_publish()
        message_id = broker.next_message_id
        broker.next_message_id = message_id + 1
        batch = 0
        detail = size if priority == 0 and ttl_ms < 0 else detail_of(size, priority, ttl_ms)
        if persistent and self.logged:
            self.persistent += 1
            log = broker.log
            batch = log.gathering
            if self._batch != batch:
                self._row = log.route(self.address, self.logged)
                self._batch = batch
                broker.wake()  # nobody may be waiting for it, yet it is to be committed
            log.publish(self._row, message_id, broker.now_ms, detail, content)
            publisher.awaited_batch = batch
        elif self.always_logged:
            batch = publisher.awaited_batch = broker.log.gathering
            row = broker.log.route(self.address, self.always_logged)
            broker.log.publish(row, message_id, broker.now_ms, detail, content)
            broker.wake()
        message = Message(
            message_id, self.address, content, size, broker.now_ms, ttl_ms, priority, batch
        )
        if ttl_ms >= 0:
            for queue in self.queues:
                queue.expect_expiring()
        if batch and not persistent and len(self.always_logged) < len(self.queues):
            # Queues it is not logged for must not settle it in the log: a twin without a batch.
            twin = Message(
                message_id, self.address, content, size, broker.now_ms, ttl_ms, priority, 0
            )
            for queue in self.queues:
                queue.push(message if queue.id in self.always_logged else twin)
            return False
        for queue in self.queues:
            queue.push(message)
        return False


def publish_once(
    broker: Broker,
    publisher: Publisher,
    address: bytes,
    content: bytes,
    size: int,
    facts: tuple[bool, int, int],
    queues: list[Queue],
) -> bool:
    """Store one message on the queues that take it; whether a full one refused it.

    ``facts`` are the last three arguments of ``Route.publish``.
    """
    refusing = [queue for queue in queues if queue.rejects(size)]
    accepting = [queue for queue in queues if queue not in refusing] if refusing else queues
    Route(broker, publisher, address, accepting).publish(content, size, *facts)
    for queue in refusing:
        queue.refuse(address, content, size)
    return bool(refusing)


def publish_for_nobody(
    broker: Broker, address: bytes, content: bytes, size: int, queues: list[Queue]
) -> None:
    """Store what the broker publishes by itself; a full queue may refuse it as any publish."""
    publish_once(broker, NOBODY, address, content, size, peek_content(content), queues)
