"""What an operation means to who listens on the event exchange, with RabbitMQ's keys and facts.

Invariant: operations are looked at before they take effect, so that what they end is still there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from broker.core import policies
from broker.core.exchange import Exchange
from broker.core.exchanges import predeclared
from broker.core.operations import declare_exchange_operation
from protocol.methods import erlang_binary
from protocol.tables import Field, Table, plain

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.exchange import Binding
    from broker.core.operations import Operation

BY_NOBODY = frozenset({"vhost.down"})  # what no user does, whoever caused it

Facts = dict[str, Any]
Event = tuple[str, Facts]  # routing key, headers as plain values or fields


def meant_by(broker: Broker, operation: Operation, owner: object | None) -> Iterator[Event]:
    """The events of an operation that is about to be applied."""
    if operation["op"] == "queue.declare":
        yield _queue_created(operation, owner)
    elif operation["op"] in _TOLD:
        yield from _TOLD[operation["op"]](broker, operation)


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
    for queue in policies.affected(broker.vhosts[operation["vhost"]], operation):
        of_queue = {"name": queue.name, "vhost": queue.vhost, "type": f"rabbit_{queue.type}_queue"}
        yield f"queue.policy.{'updated' if stated else 'cleared'}", stated | of_queue
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
        kind = "changed" if operation["password_hash"] else "cleared"
        yield f"user.password.{kind}", {"name": name}
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


def _vhost_created(broker: Broker, operation: Operation) -> Iterator[Event]:
    name = operation["name"]
    for exchange in predeclared():
        yield from _exchange_created(broker, declare_exchange_operation(name, exchange))
    yield "vhost.created", _vhost_facts(name, "", (), tracing=False)


def _vhost_updated(broker: Broker, operation: Operation) -> Iterator[Event]:
    tracing = broker.vhosts[operation["vhost"]].tracing
    tags, description = operation["tags"], operation["description"]
    yield "vhost.updated", _vhost_facts(operation["vhost"], description, tags, tracing=tracing)


def _vhost_facts(name: str, description: str, tags: Iterable[Any], *, tracing: bool) -> Facts:
    return {
        "name": name,
        "description": description,
        "tags": list(tags),
        "default_queue_type": "undefined",
        "tracing": tracing,
    }


def _vhost_deleted(broker: Broker, operation: Operation) -> Iterator[Event]:
    vhost = broker.vhosts[operation["name"]]
    for user in vhost.permissions.of_users:
        yield "permission.deleted", {"user": user, "vhost": vhost.name}
    for queue in vhost.queues:
        yield from _queue_deleted(broker, {"vhost": vhost.name, "name": queue})
    for exchange in vhost.exchanges:
        yield "exchange.deleted", {"name": exchange, "vhost": vhost.name}
    yield "vhost.deleted", {"name": vhost.name}
    yield "vhost.down", {"name": vhost.name, "node": broker.events.node}


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
    "vhost_metadata.set": _vhost_updated,
    "vhost.delete": _vhost_deleted,
}
