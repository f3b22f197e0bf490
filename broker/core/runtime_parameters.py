"""What operators keep in the broker for others: parameters of vhosts, global ones, odd definitions.

Parameters of components that have a meaning here (policies, limits) are not among them: they have
modules of their own. The others (shovels, federation upstreams) have no effect; they are kept, so
that definitions taken from RabbitMQ can be given back whole. For the same reason keys of
definitions that nobody here knows are kept, by section and identity of the object they belong to.

Values are JSON, and stand in operations as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.operations import Operation
    from broker.core.vhost import Vhost

Place = tuple[str, ...]  # section and identity of a definition, such as ("queues", "/", "q")


def set_parameter(vhost: Vhost, component: str, name: str, value: Any) -> bool:
    """Set a parameter of a vhost; true if it is new."""
    is_new = (component, name) not in vhost.parameters
    vhost.broker.change(_set_operation(vhost.name, component, name, value), durable=True)
    return is_new


def clear_parameter(vhost: Vhost, component: str, name: str) -> bool:
    """Clear a parameter of a vhost; false if it is not set."""
    if (component, name) not in vhost.parameters:
        return False
    vhost.broker.change(
        {"op": "parameter.clear", "vhost": vhost.name, "component": component, "name": name},
        durable=True,
    )
    return True


def set_global_parameter(broker: Broker, name: str, value: Any) -> bool:
    """Set a parameter of the whole broker; true if it is new."""
    is_new = name not in broker.global_parameters
    broker.change(_set_global_operation(name, value), durable=True)
    return is_new


def clear_global_parameter(broker: Broker, name: str) -> bool:
    """Clear a parameter of the whole broker; false if it is not set."""
    if name not in broker.global_parameters:
        return False
    broker.change({"op": "global_parameter.clear", "name": name}, durable=True)
    return True


def keep_unknown(broker: Broker, place: Place, values: Mapping[str, Any]) -> None:
    """Keep keys of a definition that mean nothing here, in place of those kept before."""
    if broker.unknown_definitions.get(place, {}) != values:
        broker.change(_keep_operation(place, values), durable=True)


def operations(broker: Broker) -> Iterator[Operation]:
    """What restores parameters of the broker, and what is unknown."""
    for name, value in broker.global_parameters.items():
        yield _set_global_operation(name, value)
    for place, values in broker.unknown_definitions.items():
        yield _keep_operation(place, values)


def vhost_operations(vhost: Vhost) -> Iterator[Operation]:
    """What restores the parameters of a vhost."""
    for (component, name), value in vhost.parameters.items():
        yield _set_operation(vhost.name, component, name, value)


def _set_operation(vhost: str, component: str, name: str, value: Any) -> Operation:
    return {
        "op": "parameter.set",
        "vhost": vhost,
        "component": component,
        "name": name,
        "value": json.dumps(value),
    }


def _set_global_operation(name: str, value: Any) -> Operation:
    return {"op": "global_parameter.set", "name": name, "value": json.dumps(value)}


def _keep_operation(place: Place, values: Mapping[str, Any]) -> Operation:
    return {
        "op": "unknown_definition.set",
        "place": json.dumps(place),
        "value": json.dumps(values),
    }


# -- effects ---------------------------------------------------------------------------


def apply_set(vhost: Vhost, operation: Operation) -> None:
    """Effect of parameter.set."""
    key = operation["component"], operation["name"]
    vhost.parameters[key] = json.loads(operation["value"])


def apply_clear(vhost: Vhost, operation: Operation) -> None:
    """Effect of parameter.clear."""
    vhost.parameters.pop((operation["component"], operation["name"]), None)


def apply_set_global(broker: Broker, operation: Operation) -> None:
    """Effect of global_parameter.set."""
    broker.global_parameters[operation["name"]] = json.loads(operation["value"])


def apply_clear_global(broker: Broker, operation: Operation) -> None:
    """Effect of global_parameter.clear."""
    broker.global_parameters.pop(operation["name"], None)


def apply_keep(broker: Broker, operation: Operation) -> None:
    """Effect of unknown_definition.set."""
    place = tuple(json.loads(operation["place"]))
    broker.unknown_definitions[place] = json.loads(operation["value"])
    if not broker.unknown_definitions[place]:
        del broker.unknown_definitions[place]
