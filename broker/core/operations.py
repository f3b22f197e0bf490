"""Changes of topology as plain data: what the log keeps, what definitions import applies.

An operation is a dict with an ``op`` and the object's properties. ``apply`` is the one place
where exchanges, queues and bindings come and go; ``Vhost`` validates a client's wish and
states it as an operation, recovery replays operations read from the log. Operations are
idempotent: applied to a state that already has their effect they change nothing.

On disk an operation is an AMQP field table, which keeps argument types exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from broker.core import (
    intake,
    permissions,
    policies,
    runtime_parameters,
    users,
    vhost_settings,
)
from broker.core.exchange import Binding, Exchange
from broker.core.exchanges import EXCHANGE_TYPES
from broker.core.exchanges.deduplication import DeduplicatingQueue
from broker.core.queue import Queue
from protocol.tables import Field, decode_table, encode_table, field

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.vhost import Vhost

Operation = dict[str, Any]


def encode_operation(operation: Operation) -> bytes:
    """The operation's octets for the log; ``arguments`` is a ``Table`` already.

    ``ValueError`` for what could not be read back.
    """
    return encode_table(
        {
            name: Field("F", value) if name == "arguments" else field(value)
            for name, value in operation.items()
        },
        depth=-1,
    )


def decode_operation(octets: bytes) -> Operation:
    """The inverse of ``encode_operation``."""
    table, _ = decode_table(octets, depth=-1)
    return {
        name: value.value.decode("utf-8", "surrogateescape") if value.tag == "S" else value.value
        for name, value in table.items()
    }


def apply(broker: Broker, operation: Operation, owner: object | None = None) -> None:
    """Carry out an operation. ``owner``: the connection of an exclusive queue, never logged."""
    kind = operation["op"]
    of_broker = _BROKER_OPERATIONS.get(kind)
    if of_broker is not None:
        of_broker(broker, operation)
        return
    vhost = broker.vhosts.get(operation["vhost"])
    if vhost is None:
        return
    if kind == "queue.declare":
        _declare_queue(vhost, operation, owner)
    else:
        _OPERATIONS[kind](vhost, operation)
    vhost.generation += 1


def _declare_queue(vhost: Vhost, operation: Operation, owner: object | None) -> None:
    if operation["name"] in vhost.queues:
        return
    broker = vhost.broker
    deduplicates = operation["arguments"].get("x-message-deduplication")
    kind = DeduplicatingQueue if deduplicates == Field("t", True) else Queue
    queue = kind(
        broker,
        vhost.name,
        operation["name"],
        operation["id"],
        durable=operation["durable"],
        auto_delete=operation["auto_delete"],
        arguments=operation["arguments"],
        owner=owner,
    )
    vhost.queues[queue.name] = queue
    broker.churn.queue_created += 1
    policies.configure_queue(vhost, queue)
    broker.next_queue_id = max(broker.next_queue_id, queue.id + 1)


def _delete_queue(vhost: Vhost, operation: Operation) -> None:
    queue = vhost.queues.pop(operation["name"], None)
    if queue is not None:
        vhost.retired_deliveries.add([queue.counters])
        vhost.broker.totals.queue_gone(queue)
        vhost.broker.churn.queue_deleted += 1
        for binding in list(queue.incoming):
            _remove_binding(binding)


def _declare_exchange(vhost: Vhost, operation: Operation) -> None:
    if operation["name"] in vhost.exchanges:
        return
    exchange = EXCHANGE_TYPES[operation["type"]](
        operation["name"],
        durable=operation["durable"],
        auto_delete=operation["auto_delete"],
        internal=operation["internal"],
        arguments=operation["arguments"],
    )
    if exchange.store_count:
        exchange.first_store_id = operation["first_store_id"]
        exchange.open_stores(vhost)
        behind = exchange.first_store_id + exchange.store_count
        vhost.broker.next_queue_id = max(vhost.broker.next_queue_id, behind)
    vhost.exchanges[exchange.name] = exchange
    policies.configure_exchange(vhost, exchange)


def _delete_exchange(vhost: Vhost, operation: Operation) -> None:
    exchange = vhost.exchanges.pop(operation["name"], None)
    if exchange is not None:
        vhost.retired_publishes.add([exchange.publishes])
        vhost.broker.totals.publishes.add([exchange.publishes])
        for binding in [*exchange.bindings.values(), *exchange.incoming]:
            _remove_binding(binding)


def _find_binding(vhost: Vhost, operation: Operation) -> Binding | None:
    source = vhost.exchanges.get(operation["source"])
    destination: Queue | Exchange | None
    if operation["destination_type"] == "queue":
        destination = vhost.queues.get(operation["destination"])
    else:
        destination = vhost.exchanges.get(operation["destination"])
    if source is None or destination is None:
        return None
    return Binding(source, destination, operation["routing_key"], operation["arguments"])


def _bind(vhost: Vhost, operation: Operation) -> None:
    binding = _find_binding(vhost, operation)
    if binding is not None and binding.identity not in binding.source.bindings:
        binding.source.bindings[binding.identity] = binding
        binding.source.add(binding)
        binding.destination.incoming[binding] = None


def _unbind(vhost: Vhost, operation: Operation) -> None:
    wanted = _find_binding(vhost, operation)
    if wanted is not None:
        binding = wanted.source.bindings.get(wanted.identity)
        if binding is not None:
            _remove_binding(binding)


def _remove_binding(binding: Binding) -> None:
    if binding.source.bindings.pop(binding.identity, None) is not None:
        binding.source.remove(binding)
        del binding.destination.incoming[binding]


_BROKER_OPERATIONS: dict[str, Callable[[Broker, Operation], None]] = {
    "vhost.declare": lambda broker, operation: broker.add_vhost(operation["name"]),
    "vhost.delete": lambda broker, operation: broker.remove_vhost(operation["name"]),
    "user.set": users.apply_set,
    "user.delete": users.apply_delete,
    "global_parameter.set": runtime_parameters.apply_set_global,
    "global_parameter.clear": runtime_parameters.apply_clear_global,
    "unknown_definition.set": runtime_parameters.apply_keep,
}
_OPERATIONS: dict[str, Callable[[Vhost, Operation], None]] = {
    "exchange.declare": _declare_exchange,
    "exchange.delete": _delete_exchange,
    "exchange_store.open": intake.apply_open,
    "queue.delete": _delete_queue,
    "bind": _bind,
    "unbind": _unbind,
    "policy.set": policies.apply_set,
    "policy.delete": policies.apply_delete,
    "operator_policy.set": policies.apply_set,
    "operator_policy.delete": policies.apply_delete,
    "parameter.set": runtime_parameters.apply_set,
    "parameter.clear": runtime_parameters.apply_clear,
    "permission.set": permissions.apply_set,
    "permission.clear": permissions.apply_clear,
    "topic_permission.set": permissions.apply_set_topic,
    "topic_permission.clear": permissions.apply_clear_topic,
    "vhost_metadata.set": vhost_settings.apply_metadata,
    "vhost_limits.set": vhost_settings.apply_limits,
    "default_queue_type.set": vhost_settings.apply_default_queue_type,
}


def snapshot(broker: Broker, *, transient: bool = False) -> Iterator[Operation]:
    """The operations that rebuild everything durable, in an order that can be applied.

    ``transient``: what is not durable too, but exclusive queues.
    """
    yield from users.operations(broker)
    yield from runtime_parameters.operations(broker)
    for vhost in broker.vhosts.values():
        yield {"op": "vhost.declare", "name": vhost.name}
        yield from vhost_settings.operations(vhost)
        yield from vhost.permissions.operations(vhost.name)
        yield from runtime_parameters.vhost_operations(vhost)
        for some in (vhost.policies, vhost.operator_policies):
            for policy in some:
                yield policy.operation(f"{some.op}.set", vhost.name)
        exchanges = [one for one in vhost.exchanges.values() if one.durable or transient]
        for exchange in exchanges:
            if not exchange.predeclared:
                yield declare_exchange_operation(vhost.name, exchange)
        yield from intake.operations(vhost)
        for queue in vhost.queues.values():
            if queue.durable or (transient and queue.owner is None):
                yield declare_queue_operation(queue)
        for exchange in exchanges:
            for binding in exchange.bindings.values():
                if binding.durable or transient:
                    yield binding_operation("bind", vhost.name, binding)


def declare_exchange_operation(vhost: str, exchange: Exchange) -> Operation:
    """The operation that declares an exchange like this one, its stores under the same ids."""
    stores = {"first_store_id": exchange.first_store_id} if exchange.store_count else {}
    return stores | {
        "op": "exchange.declare",
        "vhost": vhost,
        "name": exchange.name,
        "type": exchange.type,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": exchange.arguments,
    }


def declare_queue_operation(queue: Queue) -> Operation:
    """The operation that declares a queue like this one, under the same id."""
    return {
        "op": "queue.declare",
        "vhost": queue.vhost,
        "name": queue.name,
        "id": queue.id,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "arguments": queue.arguments,
    }


def binding_operation(op: str, vhost: str, binding: Binding) -> Operation:
    """``bind`` or ``unbind`` for a binding like this one."""
    return {
        "op": op,
        "vhost": vhost,
        "source": binding.source.name,
        "destination": binding.destination.name,
        "destination_type": "exchange" if isinstance(binding.destination, Exchange) else "queue",
        "routing_key": binding.routing_key,
        "arguments": binding.arguments,
    }
