"""The event exchange: what changes in the broker is told to who binds to ``amq.rabbitmq.event``.

As RabbitMQ's plugin rabbitmq_event_exchange does: a topic exchange in one vhost; the routing key
says what happened, headers say to what, the body is empty, and ``user_who_performed_action`` is
``rmq-internal`` where no user did it. An event is a persistent message like any other.

Changes of topology are told by ``Broker.change``, where all operations pass. What operations know
nothing of (connections, channels, consumers, logins, alarms) is published by who owns it.

Invariants:

* While nothing is bound to the exchange, an event costs looking at that: nothing is put together.
* What is replayed from the log, or recovered, is no event.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from broker.core.event_facts import BY_NOBODY, Event, Facts, meant_by
from broker.core.exchange import EXCHANGE_TYPES, Exchange
from broker.core.route import publish_for_nobody
from protocol.content import encode_header, frame_content
from protocol.methods import shortstr
from protocol.tables import Field, field, is_integer

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.operations import Operation
    from broker.core.vhost import Vhost

EVENT = "amq.rabbitmq.event"
NOBODY = "rmq-internal"

_acting: ContextVar[str] = ContextVar("acting", default=NOBODY)


class Events:
    """See the module."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._vhost: Vhost | None = None
        self._exchange: Exchange | None = None
        self._numbers = 0
        self.place = "/"  # the name of the vhost with the exchange
        self.node = ""  # what this broker calls itself

    def vhost_added(self, vhost: Vhost) -> None:
        """A vhost has come into being: it may be the one to have the exchange."""
        if vhost.name == self.place:
            self._vhost = vhost
            self._exchange = EXCHANGE_TYPES["topic"](EVENT, durable=True, internal=True)
            self._exchange.predeclared = True
            vhost.exchanges[EVENT] = self._exchange

    def vhost_removed(self, vhost: Vhost) -> None:
        """A vhost is gone, and the exchange with it if it had it."""
        if vhost is self._vhost:
            self._vhost = self._exchange = None

    @property
    def user(self) -> str:
        """Who makes the changes that are being made."""
        return _acting.get()

    @property
    def wanted(self) -> bool:
        """Whether anything is bound."""
        return self._exchange is not None and bool(self._exchange.bindings)

    def new_id(self) -> str:
        """A name for a connection or channel, in the form of an Erlang process identifier."""
        self._numbers += 1
        return f"<{self.node}.{self._numbers}.0>"

    @contextmanager
    def acting(self, user: str) -> Iterator[None]:
        """What is changed meanwhile, in the same task, is this user's doing."""
        before = _acting.set(user)
        try:
            yield
        finally:
            _acting.reset(before)

    def publish(self, key: str, facts: Facts, *, user: str | None = None) -> None:
        """Tell of an event. ``user``: who did it, if that belongs to the event."""
        if self._vhost is None or self._exchange is None or not self.wanted:
            return
        actor = {} if user is None else {"user_who_performed_action": user}
        now_ms = self._broker.now_ms
        all_facts = {**facts, **actor, "timestamp_in_ms": now_ms}
        properties: Facts = {
            "headers": {name: _fact(value) for name, value in all_facts.items()},
            "delivery_mode": 2,
            "timestamp": now_ms // 1000,
        }
        content = frame_content(0, encode_header(0, properties), b"")
        queues = self._vhost.route(self._exchange, key, content)
        publish_for_nobody(self._broker, shortstr(EVENT) + shortstr(key), content, 0, queues)

    def of(self, operation: Operation, owner: object | None) -> list[Event]:
        """What an operation that has not been applied yet is going to mean."""
        if not self.wanted:
            return []
        return list(meant_by(self._broker, operation, owner))

    def publish_all(self, events: list[Event]) -> None:
        """Tell of what ``of`` found, once it has been applied."""
        for key, facts in events:
            self.publish(key, facts, user=NOBODY if key in BY_NOBODY else self.user)


def _fact(value: Any) -> Field:
    """A header: RabbitMQ's plugin writes every integer as a long, and what is missing as ''."""
    fact = field("" if value is None else value)
    if is_integer(fact):
        return Field("l", fact.value)
    if fact.tag == "F":
        return Field("F", {name: _fact(item) for name, item in fact.value.items()})
    if fact.tag == "A":
        return Field("A", [_fact(item) for item in fact.value])
    return fact
