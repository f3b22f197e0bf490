"""Counters: how many messages took which way, as plain integers that only grow.

Who keeps them: ``Queue.counters`` and the holder of its deliveries (a consumer or getter) count
what leaves a queue; an ``Exchange`` and each ``Tally`` of a channel count what comes to an
exchange. What a virtual host counts in all is the sum over what it holds, and over what it held
(``Vhost.retired_deliveries``, ``retired_publishes``). Their names are those of RabbitMQ's
message_stats.

Invariants:

* Deliveries and acks are counted by the batch, never by the message.
* Publishes of the fast path are counted by their ``Route``, and reach the tally, the exchange and
  the queues when the route ends or somebody is about to read (``Tally.count``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.core.exchange import Exchange
    from broker.core.queue import Queue


class Deliveries:
    """What left a queue, in messages; ``get_empty`` counts calls that found nothing."""

    __slots__ = (
        "ack",
        "deliver",
        "deliver_no_ack",
        "delivered_bytes",
        "get",
        "get_empty",
        "get_no_ack",
        "redeliver",
    )

    def __init__(self) -> None:
        self.ack = 0
        self.deliver = 0
        self.deliver_no_ack = 0
        self.delivered_bytes = 0  # of bodies; only holders count them
        self.get = 0
        self.get_empty = 0
        self.get_no_ack = 0
        self.redeliver = 0

    @property
    def deliver_get(self) -> int:
        """All that was handed to consumers and getters."""
        return self.deliver + self.deliver_no_ack + self.get + self.get_no_ack

    def delivered(self, count: int, no_ack: bool, redelivered: bool) -> None:
        """A batch went to a consumer. Hot: twice a batch."""
        if no_ack:
            self.deliver_no_ack += count
        else:
            self.deliver += count
        if redelivered:
            self.redeliver += count

    def got(self, *, no_ack: bool, redelivered: bool) -> None:
        """One message went to a getter."""
        if no_ack:
            self.get_no_ack += 1
        else:
            self.get += 1
        if redelivered:
            self.redeliver += 1

    def add(self, others: Iterable[Deliveries]) -> None:
        """Take over what others counted."""
        for other in others:
            for name in Deliveries.__slots__:
                setattr(self, name, getattr(self, name) + getattr(other, name))


class QueueCounters(Deliveries):
    """What left a queue, and what channels published to it; ``incoming`` by exchange."""

    __slots__ = ("incoming", "persistent", "publish")

    def __init__(self) -> None:
        super().__init__()
        self.publish = 0
        self.persistent = 0  # of them
        self.incoming: dict[str, int] = {}


class Publishes:
    """What was published to an exchange, in messages; ``routed`` once for each queue."""

    __slots__ = ("confirm", "drop_unroutable", "publish", "return_unroutable", "routed")

    def __init__(self) -> None:
        self.confirm = 0
        self.drop_unroutable = 0
        self.publish = 0
        self.return_unroutable = 0
        self.routed = 0

    def add(self, others: Iterable[Publishes]) -> None:
        """Take over what others counted."""
        for other in others:
            for name in Publishes.__slots__:
                setattr(self, name, getattr(self, name) + getattr(other, name))


class Tally(Publishes):
    """What one channel publishes to one exchange, which counts along."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def count(self, queues: list[Queue], published: int, persistent: int) -> None:
        """So many messages were published to these queues."""
        name = self._exchange.name
        for publishes in (self, self._exchange.publishes):
            publishes.publish += published
            publishes.routed += published * len(queues)
            if not queues:
                publishes.drop_unroutable += published
        for queue in queues:
            counters = queue.counters
            counters.publish += published
            counters.persistent += persistent
            counters.incoming[name] = counters.incoming.get(name, 0) + published

    def returned(self) -> None:
        """One message, mandatory and for no queue, goes back."""
        for publishes in (self, self._exchange.publishes):
            publishes.publish += 1
            publishes.return_unroutable += 1

    def confirmed(self, count: int) -> None:
        """So many messages were confirmed."""
        self.confirm += count
        self._exchange.publishes.confirm += count


class Churn:
    """What has come and gone since the start."""

    __slots__ = (
        "channel_closed",
        "channel_created",
        "connection_closed",
        "connection_created",
        "queue_created",
        "queue_declared",
        "queue_deleted",
    )

    def __init__(self) -> None:
        self.channel_closed = 0
        self.channel_created = 0
        self.connection_closed = 0
        self.connection_created = 0
        self.queue_created = 0
        self.queue_declared = 0
        self.queue_deleted = 0


class Totals:
    """What was counted for objects that are gone, and what nobody else counts, for all vhosts."""

    __slots__ = (
        "confirmed",
        "dead_lettered",
        "deliveries",
        "letters_taken",
        "publishes",
        "received_confirm",
    )

    def __init__(self) -> None:
        self.deliveries: dict[str, Deliveries] = {}  # of queues, by type
        self.publishes = Publishes()
        self.received_confirm = 0  # messages on channels with confirms that are closed
        self.confirmed = 0  # of them
        self.dead_lettered: dict[tuple[str, str, str], int] = {}
        self.letters_taken = 0  # of those that are dead-lettered at least once

    def queue_gone(self, queue: Queue) -> None:
        """Keep what a queue counted."""
        self.deliveries.setdefault(queue.type, Deliveries()).add([queue.counters])

    def ended(self, queue: Queue, reason: str, count: int, strategy: str) -> None:
        """So many messages ended in a queue without being acked; how they are dead-lettered."""
        key = (queue.type, reason, strategy)
        self.dead_lettered[key] = self.dead_lettered.get(key, 0) + count


class BodySizes:
    """How large bodies are: ``buckets[n]`` counts those up to ``BOUNDS[n]``, the last the rest."""

    BOUNDS = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000)
    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(self.BOUNDS) + 1)
        self.total = 0

    def add(self, sizes: list[int]) -> None:
        """Count many at once, and leave them sorted. Hot: once a tick."""
        if not sizes:
            return
        sizes.sort()
        below, count = 0, len(sizes)
        same = sizes[0] == sizes[-1]  # as is common, and quicker than a sum
        self.total += count * sizes[0] if same else sum(sizes)
        for number, bound in enumerate(self.BOUNDS):
            if below == count:
                return
            upto = bisect_right(sizes, bound, below)
            self.buckets[number] += upto - below
            below = upto
        self.buckets[-1] += count - below


class Spread:
    """How integers are spread: bucket ``n`` counts those from 2 ** (n - 1) to below 2 ** n."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * 65
        self.total = 0  # their sum

    def add(self, value: int, times: int = 1) -> None:
        """Count a value. What a clock that was set back makes negative counts as 0."""
        if value < 0:
            value = 0
        self.buckets[value.bit_length()] += times
        self.total += value * times
