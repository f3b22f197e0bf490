"""What an operator sets for a whole vhost: description, how much it may hold, usual type of queue.

Limits are ``max-queues`` and ``max-connections``; a negative one is none. They bound what comes
new: lowering one closes and deletes nothing.

A default queue type is taken for a queue that is declared without ``x-queue-type`` and can be of
that type, which excludes transient, exclusive, auto-delete and server-named queues. It becomes an
argument of the queue. Declaring a queue again without a type means the type it has, so that
setting a default does not break clients whose queues exist already (RabbitMQ refuses them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.core.pattern import Pattern
from broker.core.policies import set_policy
from broker.core.policy_keys import QUEUE_TYPES
from broker.core.validation import InvalidParameter, check_limits, term
from protocol.errors import NotAllowed, PreconditionFailed
from protocol.tables import Field, Table, plain, table
from protocol.tables import field as amqp_field

if TYPE_CHECKING:
    from broker.core.operations import Operation
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost

LIMITS = ("max-connections", "max-queues")


def set_limits(vhost: Vhost, limits: Mapping[str, Any]) -> None:
    """Replace all limits of a vhost. Raises ``InvalidParameter``."""
    check_limits(limits, LIMITS, "limits")
    vhost.broker.change(_limits_operation(vhost, limits), durable=True)


def set_limit(vhost: Vhost, name: str, value: Any) -> None:
    """Set one limit of a vhost. Raises ``InvalidParameter``."""
    set_limits(vhost, {**vhost.limits, name: value})


def clear_limit(vhost: Vhost, name: str) -> None:
    """Lift one limit; one that is not set is no error."""
    set_limits(vhost, {kind: value for kind, value in vhost.limits.items() if kind != name})


def check_default_queue_type(queue_type: Any) -> None:
    """Raise ``InvalidParameter`` for what is no type of queue."""
    if queue_type not in (None, *QUEUE_TYPES):
        raise InvalidParameter([f"unsupported default queue type {term(queue_type)}"])


def set_default_queue_type(vhost: Vhost, queue_type: str | None) -> None:
    """Have queues declared without a type be of this one. Raises ``InvalidParameter``."""
    check_default_queue_type(queue_type)
    vhost.broker.change(_default_queue_type_operation(vhost, queue_type), durable=True)


def set_metadata(vhost: Vhost, description: str, tags: Sequence[str]) -> None:
    """Describe a vhost to people."""
    operation = _metadata_operation(vhost, description, tags, vhost.protected)
    vhost.broker.change(operation, durable=True)


def set_protection(vhost: Vhost, *, on: bool) -> None:
    """Have a vhost refuse to be deleted, or let it be deleted again."""
    if vhost.protected != on:
        operation = _metadata_operation(vhost, vhost.description, vhost.tags, on)
        vhost.broker.change(operation, durable=True)


def _metadata_operation(
    vhost: Vhost, description: str, tags: Sequence[str], protected: bool
) -> Operation:
    return {
        "op": "vhost_metadata.set",
        "vhost": vhost.name,
        "description": description,
        "tags": [amqp_field(tag) for tag in tags],
        "protected": protected,
    }


def _limits_operation(vhost: Vhost, limits: Mapping[str, int]) -> Operation:
    return {"op": "vhost_limits.set", "vhost": vhost.name, "limits": table(limits)}


def _default_queue_type_operation(vhost: Vhost, queue_type: str | None) -> Operation:
    return {"op": "default_queue_type.set", "vhost": vhost.name, "type": queue_type or ""}


def operations(vhost: Vhost) -> Iterator[Operation]:
    """What restores the settings of a vhost."""
    if vhost.description or vhost.tags or vhost.protected:
        yield _metadata_operation(vhost, vhost.description, vhost.tags, vhost.protected)
    if vhost.limits:
        yield _limits_operation(vhost, vhost.limits)
    if vhost.default_queue_type is not None:
        yield _default_queue_type_operation(vhost, vhost.default_queue_type)


def apply_metadata(vhost: Vhost, operation: Operation) -> None:
    """Effect of vhost_metadata.set."""
    vhost.description = operation["description"]
    vhost.tags = tuple(plain(tag) for tag in operation["tags"])
    vhost.protected = operation.get("protected", False)  # not in logs of older versions


def apply_limits(vhost: Vhost, operation: Operation) -> None:
    """Effect of vhost_limits.set."""
    vhost.limits = {name: plain(value) for name, value in operation["limits"].items()}


def apply_default_queue_type(vhost: Vhost, operation: Operation) -> None:
    """Effect of default_queue_type.set."""
    vhost.default_queue_type = operation["type"] or None


def check_queue_limit(vhost: Vhost, name: str) -> None:
    """Raise ``PreconditionFailed`` if the vhost may not hold one more queue."""
    limit = vhost.limits.get("max-queues", -1)
    if 0 <= limit <= len(vhost.queues):
        raise PreconditionFailed(
            f"cannot declare queue '{name}': queue limit in vhost '{vhost.name}' "
            f"({limit}) is reached"
        )


def check_connection_limit(vhost: Vhost, user: str) -> None:
    """Raise ``NotAllowed`` if the vhost may not have one more connection."""
    limit = vhost.limits.get("max-connections", -1)
    if 0 <= limit <= vhost.connections:
        raise NotAllowed(
            f"access to vhost '{vhost.name}' refused for user '{user}': "
            f"connection limit ({limit}) is reached"
        )


def with_queue_type(
    vhost: Vhost, arguments: Table, current: Queue | None, *, replicable: bool
) -> Table:
    """The arguments of a declaration, completed with a type if the vhost has a default."""
    default = vhost.default_queue_type
    if default is None or "x-queue-type" in arguments:
        return arguments
    if current is not None:
        default = current.type
    elif not replicable:
        return arguments
    return {**arguments, "x-queue-type": Field("S", default.encode())}


@dataclass(slots=True, frozen=True, kw_only=True)
class DefaultPolicy:
    """An operator policy that a new vhost gets if its name matches."""

    name: str
    vhost_pattern: Pattern
    queue_pattern: str
    apply_to: str
    definition: Mapping[str, Any]


@dataclass(slots=True, frozen=True, kw_only=True)
class DefaultLimits:
    """Limits that a new vhost gets if its name matches."""

    vhost_pattern: Pattern
    limits: Mapping[str, int]


@dataclass(slots=True, frozen=True, kw_only=True)
class VhostDefaults:
    """What a vhost gets when it is made; an operator may change it afterwards."""

    queue_type: str | None = None
    operator_policies: tuple[DefaultPolicy, ...] = ()
    limits: tuple[DefaultLimits, ...] = field(default=())

    def apply(self, vhost: Vhost) -> None:
        """Set up a new vhost; of several limits that match the first holds."""
        if self.queue_type is not None:
            set_default_queue_type(vhost, self.queue_type)
        for default in self.limits:
            if default.vhost_pattern.matches(vhost.name):
                set_limits(vhost, default.limits)
                break
        for policy in self.operator_policies:
            if policy.vhost_pattern.matches(vhost.name):
                set_policy(
                    vhost,
                    policy.name,
                    pattern=policy.queue_pattern,
                    definition=policy.definition,
                    apply_to=policy.apply_to,
                    operator=True,
                )
