"""The model as definitions.

A document can be long, so it is made section by section: ``sections_of_all`` and
``sections_of_vhost`` yield the keys of the document, and each list as an iterator that describes
its objects one by one.

Invariant: what a section has is decided when the first one is asked for. So a document that is
written in slices speaks of one moment, whatever is declared and deleted meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from broker.core.broker import Broker
from broker.core.exchange import Binding, Exchange
from broker.core.policies import Policy
from broker.core.queue import Queue
from broker.core.runtime_parameters import Place
from broker.core.users import User
from broker.core.vhost import Vhost
from protocol.tables import Field, plain

Json = dict[str, Any]
Section = tuple[str, Any]  # a key of the document, and its value: a list is an iterator


def export_all(broker: Broker, version: str) -> Json:
    """Everything; ``version`` is the one told to clients."""
    return _whole(sections_of_all(broker, version))


def export_vhost(vhost: Vhost, version: str) -> Json:
    """What is in one vhost; its name is not in there, so that it can be imported into another."""
    return _whole(sections_of_vhost(vhost, version))


def _whole(sections: Iterable[Section]) -> Json:
    return {name: list(value) if isinstance(value, Iterator) else value for name, value in sections}


def sections_of_all(broker: Broker, version: str) -> Iterator[Section]:
    """Everything, section by section."""
    vhosts = list(broker.vhosts.values())
    sections: Json = {
        **broker.unknown_definitions.get((), {}),
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": "RabbitMQ",
        "product_version": version,
        "rabbitmq_definition_format": "cluster",
        "users": map(_user, list(broker.users.values())),
        "vhosts": map(_vhost, vhosts),
        "permissions": _each(_permissions, vhosts),
        "topic_permissions": _each(_topic_permissions, vhosts),
        "global_parameters": map(_global_parameter, list(broker.global_parameters.items())),
    }
    for vhost in vhosts:
        for section, objects in _contents(vhost).items():
            sections[section] = chain(sections.get(section, ()), _with_vhost(vhost, objects))
    for name, value in sections.items():
        is_list = isinstance(value, Iterator)
        yield name, _completed(broker, name, value) if is_list else value


def sections_of_vhost(vhost: Vhost, version: str) -> Iterator[Section]:
    """What is in one vhost, section by section."""
    yield from {
        "rabbit_version": version,
        "rabbitmq_definition_format": "single_virtual_host",
        "original_vhost_name": vhost.name,
        "description": vhost.description,
        "default_queue_type": vhost.default_queue_type or "classic",
        **_contents(vhost),
    }.items()


def _with_vhost(vhost: Vhost, objects: Iterable[Json]) -> Iterator[Json]:
    for each in objects:
        yield {"vhost": vhost.name, **each}


def _completed(broker: Broker, section: str, objects: Iterable[Json]) -> Iterator[Json]:
    """Put back what definitions that were imported had more."""
    for each in objects:
        kept = broker.unknown_definitions.get(place_of(section, each), {})
        for key, value in kept.items():
            ours = each.get(key)
            each[key] = {**value, **ours} if isinstance(ours, dict) else value
        yield each


def place_of(section: str, definition: Json) -> Place:
    """What identifies an object among the definitions."""
    keys = ("vhost", "user", "component", "exchange", "name", "source", "destination")
    return (section, *(str(definition[key]) for key in keys if key in definition))


def _contents(vhost: Vhost) -> dict[str, Iterator[Json]]:
    exchanges = list(vhost.exchanges.values())
    bindings = [
        binding
        for exchange in exchanges
        for binding in exchange.bindings.values()
        if isinstance(binding.destination, Exchange) or binding.destination.owner is None
    ]
    queues = [queue for queue in vhost.queues.values() if queue.owner is None]
    return {
        "parameters": iter(list(_parameters(vhost))),
        "policies": map(_policy, list(vhost.policies)),
        "queues": map(_queue, queues),
        "exchanges": map(_exchange, [exchange for exchange in exchanges if _is_own(exchange)]),
        "bindings": map(_binding, bindings),
    }


def _each(describe: Callable[[Vhost], Iterator[Json]], vhosts: list[Vhost]) -> Iterator[Json]:
    return iter([each for vhost in vhosts for each in describe(vhost)])


def _global_parameter(item: tuple[str, Any]) -> Json:
    name, value = item
    return {"name": name, "value": value}


def _user(user: User) -> Json:
    return {
        "name": user.name,
        "password_hash": user.password_hash,
        "hashing_algorithm": user.hashing_algorithm,
        "tags": list(user.tags),
        "limits": dict(user.limits),
    }


def _vhost(vhost: Vhost) -> Json:
    metadata: Json = {"description": vhost.description, "tags": list(vhost.tags)}
    if vhost.default_queue_type is not None:
        metadata["default_queue_type"] = vhost.default_queue_type
    if vhost.protected:
        metadata["protected_from_deletion"] = True
    return {"name": vhost.name, **metadata, "metadata": metadata}


def _permissions(vhost: Vhost) -> Iterator[Json]:
    for user, permission in vhost.permissions.of_users.items():
        yield {
            "user": user,
            "vhost": vhost.name,
            "configure": permission.configure,
            "write": permission.write,
            "read": permission.read,
        }


def _topic_permissions(vhost: Vhost) -> Iterator[Json]:
    for user, by_exchange in vhost.permissions.on_topics.items():
        for exchange, permission in by_exchange.items():
            yield {
                "user": user,
                "vhost": vhost.name,
                "exchange": exchange,
                "write": permission.write,
                "read": permission.read,
            }


def _parameters(vhost: Vhost) -> Iterator[Json]:
    for policy in vhost.operator_policies:
        value = _policy(policy)
        name = value.pop("name")
        yield {"component": "operator_policy", "name": name, "value": value}
    if vhost.limits:
        yield {"component": "vhost-limits", "name": "limits", "value": dict(vhost.limits)}
    for (component, name), value in vhost.parameters.items():
        yield {"component": component, "name": name, "value": value}


def _policy(policy: Policy) -> Json:
    return {
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": dict(policy.definition),
        "priority": policy.priority,
    }


def _queue(queue: Queue) -> Json:
    return {
        "name": queue.name,
        "type": queue.type,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "arguments": _arguments(queue.arguments),
    }


def _is_own(exchange: Exchange) -> bool:
    """Whether somebody declared the exchange; the others every vhost has."""
    return not (exchange.predeclared or exchange.name.startswith("amq."))


def _exchange(exchange: Exchange) -> Json:
    return {
        "name": exchange.name,
        "type": exchange.type,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": _arguments(exchange.arguments),
    }


def _binding(binding: Binding) -> Json:
    destination = binding.destination
    return {
        "source": binding.source.name,
        "destination": destination.name,
        "destination_type": "exchange" if isinstance(destination, Exchange) else "queue",
        "routing_key": binding.routing_key,
        "arguments": _arguments(binding.arguments),
    }


def _arguments(arguments: dict[str, Field]) -> Json:
    return {name: plain(value) for name, value in arguments.items()}
