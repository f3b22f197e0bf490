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

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from broker.core.exchange import EXCHANGE_TYPES, Exchange
from broker.core.route import publish_for_nobody
from protocol.content import encode_header, frame_content
from protocol.methods import erlang_binary, shortstr
from protocol.tables import Field, Table, field, is_integer, plain

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.exchange import Binding
    from broker.core.operations import Operation
    from broker.core.vhost import Vhost

EVENT = "amq.rabbitmq.event"
NOBODY = "rmq-internal"

_acting: ContextVar[str] = ContextVar("acting", default=NOBODY)

Facts = dict[str, Any]
Event = tuple[str, Facts]  # routing key, headers as plain values or fields


class Events:
    """See the module."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._vhost: Vhost | None = None
        self._exchange: Exchange | None = None
        self._numbers = 0
        self.place = "/"  # the name of the vhost with the exchange

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

    def new_id(self, node: str) -> str:
        """A name for a connection or channel, in the form of an Erlang process identifier."""
        self._numbers += 1
        return f"<{node}.{self._numbers}.0>"

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
        if operation["op"] == "queue.declare":
            return [_queue_created(operation, owner)]
        tell = _TOLD.get(operation["op"])
        return list(tell(self._broker, operation)) if tell is not None else []

    def publish_all(self, events: list[Event]) -> None:
        """Tell of what ``of`` found, once it has been applied."""
        for key, facts in events:
            self.publish(key, facts, user=self.user)


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


def arguments_fact(arguments: Table) -> list[str]:
    """Arguments as the plugin has them: a list of Erlang terms."""
    return [
        f"{{{erlang_binary(name.encode())},{value.type_name},{_term(value)}}}"
        for name, value in arguments.items()
    ]


def _term(value: Field) -> str:
    if value.tag in "Sx":
        return erlang_binary(value.value)
    if value.tag == "F":
        return f"[{','.join(arguments_fact(value.value))}]"
    if value.tag == "A":
        return f"[{','.join(f'{{{item.type_name},{_term(item)}}}' for item in value.value)}]"
    if value.tag == "D":
        return "{{{},{}}}".format(*value.value)
    if value.tag == "V":
        return "undefined"
    return str(value.value).lower()


# -- what operations mean --------------------------------------------------------------


def _exchange_created(_: Broker, operation: Operation) -> Iterator[Event]:
    facts = ("name", "vhost", "type", "durable", "auto_delete", "internal")
    arguments = {"arguments": arguments_fact(operation["arguments"]), "policy": ""}
    yield "exchange.created", {name: operation[name] for name in facts} | arguments


def _exchange_deleted(broker: Broker, operation: Operation) -> Iterator[Event]:
    exchange = broker.vhosts[operation["vhost"]].exchanges[operation["name"]]
    yield "exchange.deleted", {"name": operation["name"], "vhost": operation["vhost"]}
    for binding in [*exchange.bindings.values(), *exchange.incoming]:
        yield "binding.deleted", _binding_facts(operation["vhost"], binding)


def _binding_facts(vhost: str, binding: Binding) -> Facts:
    is_exchange = isinstance(binding.destination, Exchange)
    return {
        "source_name": binding.source.name,
        "source_kind": "exchange",
        "destination_name": binding.destination.name,
        "destination_kind": "exchange" if is_exchange else "queue",
        "routing_key": binding.routing_key,
        "arguments": arguments_fact(binding.arguments),
        "vhost": vhost,
    }


def _bound(_: Broker, operation: Operation) -> Iterator[Event]:
    facts = {
        "source_name": operation["source"],
        "source_kind": "exchange",
        "destination_name": operation["destination"],
        "destination_kind": operation["destination_type"],
        "routing_key": operation["routing_key"],
        "arguments": arguments_fact(operation["arguments"]),
        "vhost": operation["vhost"],
    }
    yield f"binding.{'created' if operation['op'] == 'bind' else 'deleted'}", facts


def _queue_created(operation: Operation, owner: object | None) -> Event:
    """``owner`` is the connection of an exclusive queue; it has its event_id if it is told of."""
    facts = {name: operation[name] for name in ("name", "vhost", "durable", "auto_delete")}
    return "queue.created", facts | {
        "exclusive": owner is not None,
        "owner_pid": getattr(owner, "event_id", ""),
        "arguments": arguments_fact(operation["arguments"]),
    }


def _queue_deleted(broker: Broker, operation: Operation) -> Iterator[Event]:
    queue = broker.vhosts[operation["vhost"]].queues[operation["name"]]
    for binding in queue.incoming:
        yield "binding.deleted", _binding_facts(operation["vhost"], binding)
    yield "queue.deleted", {"name": operation["name"], "vhost": operation["vhost"]}


def _policy(broker: Broker, operation: Operation) -> Iterator[Event]:
    """Operator policies are told as runtime parameters too, RabbitMQ's policies are not."""
    named = {"name": operation["name"], "vhost": operation["vhost"]}
    stated: Facts = {}
    if operation["op"].endswith(".set"):
        stated = {
            "pattern": operation["pattern"],
            "definition": operation["definition"],
            "priority": operation["priority"],
            "apply-to": operation["apply_to"],
        }
    is_operator = operation["op"].startswith("operator_policy.")
    if is_operator:
        yield _as_parameter("operator_policy", operation["name"], stated, vhost=operation["vhost"])
    if stated:
        yield "policy.set", named | stated
    else:
        yield "operator.policy.cleared" if is_operator else "policy.cleared", named


def _vhost_limits(_: Broker, operation: Operation) -> Iterator[Event]:
    limits = operation["limits"]
    yield _as_parameter("vhost-limits", "limits", limits, vhost=operation["vhost"])
    kind = "set" if limits else "cleared"
    yield f"vhost.limits.{kind}", {"name": "limits", "vhost": operation["vhost"], **limits}


def _as_parameter(component: str, name: str, value: Any, **place: str) -> Event:
    facts: Facts = {**place, "component": component, "name": name}
    return ("parameter.set", facts | {"value": value}) if value else ("parameter.cleared", facts)


def _parameter_set(_: Broker, operation: Operation) -> Iterator[Event]:
    yield "parameter.set", _parameter_facts(operation) | {"value": json.loads(operation["value"])}


def _parameter_cleared(_: Broker, operation: Operation) -> Iterator[Event]:
    yield "parameter.cleared", _parameter_facts(operation)


def _parameter_facts(operation: Operation) -> Facts:
    """A parameter of the whole broker has no vhost, and the component global."""
    named = {"component": operation.get("component", "global"), "name": operation["name"]}
    return {"vhost": operation["vhost"]} | named if "vhost" in operation else named


def _user(broker: Broker, operation: Operation) -> Iterator[Event]:
    """A user is stated as a whole; what differs says what happened."""
    name, tags = operation["name"], operation["tags"]
    before = broker.users.get(name)
    if before is None:
        yield "user.created", {"name": name}
    elif before.password_hash != operation["password_hash"]:
        yield "user.password.changed", {"name": name}
    if tuple(map(plain, tags)) != (before.tags if before is not None else ()):
        yield "user.tags.set", {"name": name, "tags": tags}
    limits = {kind: plain(value) for kind, value in operation["limits"].items()}
    if limits != (before.limits if before is not None else {}):
        kind = "set" if limits else "cleared"
        yield f"user.limits.{kind}", {"name": "limits", "username": name, **limits}


def _user_deleted(_: Broker, operation: Operation) -> Iterator[Event]:
    yield "user.deleted", {"name": operation["name"]}


def _permission(_: Broker, operation: Operation) -> Iterator[Event]:
    """As in RabbitMQ, the loss of a topic permission is told as that of a permission."""
    what, action = operation["op"].split(".")
    facts = {name: value for name, value in operation.items() if name != "op"}
    if action == "set":
        yield f"{what.replace('_', '.')}.created", facts
    else:
        yield "permission.deleted", {"user": facts["user"], "vhost": facts["vhost"]}


def _vhost_created(_: Broker, operation: Operation) -> Iterator[Event]:
    more = {"description": "", "tags": "", "default_queue_type": "undefined", "tracing": False}
    yield "vhost.created", {"name": operation["name"], **more}


def _vhost_deleted(broker: Broker, operation: Operation) -> Iterator[Event]:
    vhost = broker.vhosts[operation["name"]]
    for queue in vhost.queues:
        yield from _queue_deleted(broker, {"vhost": vhost.name, "name": queue})
    for exchange in vhost.exchanges:
        yield "exchange.deleted", {"name": exchange, "vhost": vhost.name}
    yield "vhost.deleted", {"name": vhost.name}


_TOLD: dict[str, Callable[[Broker, Operation], Iterator[Event]]] = {
    "exchange.declare": _exchange_created,
    "exchange.delete": _exchange_deleted,
    "queue.delete": _queue_deleted,
    "bind": _bound,
    "unbind": _bound,
    "policy.set": _policy,
    "policy.delete": _policy,
    "operator_policy.set": _policy,
    "operator_policy.delete": _policy,
    "vhost_limits.set": _vhost_limits,
    "user.set": _user,
    "user.delete": _user_deleted,
    "parameter.set": _parameter_set,
    "parameter.clear": _parameter_cleared,
    "global_parameter.set": _parameter_set,
    "global_parameter.clear": _parameter_cleared,
    "permission.set": _permission,
    "permission.clear": _permission,
    "topic_permission.set": _permission,
    "topic_permission.clear": _permission,
    "vhost.declare": _vhost_created,
    "vhost.delete": _vhost_deleted,
}
