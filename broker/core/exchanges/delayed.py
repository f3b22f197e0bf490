"""``x-delayed-message``: messages with the header ``x-delay`` are routed so many ms later.

How they are routed then says another exchange type, the argument ``x-delayed-type``. The
header is negated on the way, which tells consumers of the delay and keeps the message from
being delayed again. What is due after the broker was down goes as soon as it is up.

Unlike RabbitMQ's plugin this has no upper limit of a delay, and waiting messages can be listed
and cancelled. As for any queue, only persistent messages on a durable exchange outlive a
restart.

Invariants:

* The copy on real queues and the end of the waiting message are in one log batch.
* While messages wait, a timer is set for the first of them, or an earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isfinite
from typing import TYPE_CHECKING, Any

from broker.core.deadletter import carbon_copies
from broker.core.exchange import EXCHANGE_TYPES, Binding, Envelope, Exchange, exchange_type
from broker.core.paging import Paging
from broker.core.route import Route, publish_for_nobody
from broker.core.store import Store
from broker.core.waiting import NEVER_MS, Waiting
from protocol.content import header_of, headers_of, with_properties
from protocol.errors import PreconditionFailed
from protocol.tables import Field, Table, field, is_integer

if TYPE_CHECKING:
    from broker.core.message import Message
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost

RELEASE_BATCH_MAX = 500  # messages released before others get their turn
_DELAY_MAX_MS = (1 << 63) - 1
_INTEGER = re.compile(rb"[+-]?[0-9]{1,30}")


def delay_of(headers: Table) -> int:
    """The milliseconds that ``x-delay`` asks for; what is no number asks for none."""
    return _delay_ms(headers.get("x-delay"))


def delay_of_content(content: bytes) -> int:
    """The same of a content, without decoding what else it says."""
    return _delay_ms(header_of(content, b"x-delay"))


def _delay_ms(value: Field | None) -> int:
    if value is None:
        return 0
    delay_ms = 0
    tag, given = value
    if tag == "D":
        scale, digits = given
        delay_ms = digits // 10**scale
    elif is_integer(value) or _says_number(value):
        delay_ms = int(given)
    return min(delay_ms, _DELAY_MAX_MS)


def _says_number(value: Field) -> bool:
    if value.tag == "S":
        return _INTEGER.fullmatch(value.value) is not None
    return value.tag in "df" and isfinite(value.value)


class DelayedRoute(Route):
    """The route to an exchange's delay store, for messages that have to wait, and no others."""

    __slots__ = ()

    def publish(
        self, content: bytes, size: int, persistent: bool, priority: int, ttl_ms: int
    ) -> bool:
        """See ``Route``."""
        if delay_of_content(content) <= 0:
            return True
        return super().publish(content, size, persistent, priority, ttl_ms)


class DelayStore(Store):
    """The waiting messages of one exchange."""

    counts_as_route = True  # whether a queue will take it can be told only when it is due

    def __init__(self, vhost: Vhost, exchange: Exchange, queue_id: int) -> None:
        super().__init__(vhost, exchange, queue_id)
        self.waiting = Waiting()
        self.backlog = self.waiting  # type: ignore[assignment]
        self._exchange = exchange
        self._alarm_ms = NEVER_MS  # the earliest time at which we are going to be called

    def push(self, message: Message) -> None:
        """See ``Store``."""
        due_ms = message.published_ms + delay_of_content(message.content)
        self.waiting.add(due_ms, message)
        self._expect(due_ms)

    def _expect(self, due_ms: int) -> None:
        if due_ms < self._alarm_ms:
            self._alarm_ms = due_ms
            self.broker.timers.at(due_ms, self._release)
            self.broker.wake()

    def _release(self) -> None:
        """Route what is due."""
        self._alarm_ms = NEVER_MS
        vhost = self.broker.vhosts.get(self.vhost)
        now_ms = self.broker.now_ms
        released = self.waiting.take_due(now_ms, RELEASE_BATCH_MAX, Paging(self))
        if vhost is not None:
            for message in released:
                self._route(vhost, message)
        self.forget(released)
        if self.waiting:
            self._expect(self.waiting.next_due_ms)

    def _route(self, vhost: Vhost, message: Message) -> None:
        headers = headers_of(message.content)
        delayed = headers | {"x-delay": field(-delay_of(headers))}
        content = with_properties(message.content, {"headers": delayed})
        keys = carbon_copies(headers) + message.blind_copies
        queues = vhost.route(self._exchange, message.routing_key, content, keys)
        publish_for_nobody(self.broker, message.address, content, message.size, queues)

    def listed(self, start: int = 0, count: int = 1 << 62) -> list[tuple[int, Message]]:
        """Waiting messages with the time they are due, the next one first, from a position."""
        return self.waiting.listed(Paging(self), start, count)

    def cancel(self, message_ids: Iterable[int]) -> int:
        """Drop waiting messages; how many of them there were. Looks at every message once."""
        cancelled = self.waiting.remove(set(message_ids), Paging(self))
        self.forget(cancelled)
        return len(cancelled)


class DelayedMessageExchange(Exchange):
    """See the module. ``inner``, an exchange with the same bindings, routes what need not wait.

    That a message has to wait, ``broker.core.intake`` sees to, as for every exchange with delays.
    """

    type = "x-delayed-message"
    always_delays = True

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        kind = EXCHANGE_TYPES[_inner_type(self.arguments)]
        self.inner = kind(name, **properties)
        self.inner.bindings = self.bindings
        self.store_count = 1 + self.inner.store_count

    @staticmethod
    def check_arguments(arguments: Table) -> None:
        """See ``Exchange``."""
        inner = exchange_type(_inner_type(arguments))
        if inner is DelayedMessageExchange:
            raise _no_type()
        inner.check_arguments(arguments)

    def check_binding(self, destination: Queue | Exchange, key: str, arguments: Table) -> None:
        """See ``Exchange``."""
        self.inner.check_binding(destination, key, arguments)

    def open_stores(self, vhost: Vhost) -> None:
        """See ``Exchange``."""
        self.inner.first_store_id = self.first_store_id + 1
        self.inner.open_stores(vhost)
        self.delayed = DelayStore(vhost, self, self.first_store_id)
        self.stores = (self.delayed, *self.inner.stores)

    def add(self, binding: Binding) -> None:
        """See ``Exchange``."""
        self.inner.add(binding)

    def remove(self, binding: Binding) -> None:
        """See ``Exchange``."""
        self.inner.remove(binding)

    def bound(self, vhost: Vhost, binding: Binding) -> None:
        """See ``Exchange``."""
        self.inner.bound(vhost, binding)

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        return self.inner.destinations(envelope)


def _no_type() -> PreconditionFailed:
    return PreconditionFailed(
        "Invalid argument, 'x-delayed-type' must be an existing exchange type"
    )


def _inner_type(arguments: Table) -> str:
    value = arguments.get("x-delayed-type", Field("V", None))
    if value.tag != "S":
        raise _no_type()
    name: str = value.value.decode("utf-8", "surrogateescape")
    return name
