"""Policies and operator policies: settings for all queues and exchanges whose names match.

At most one policy and one operator policy hold for an object: of those that match, the one of
the highest priority, and among equals the one whose name sorts first (RabbitMQ says nothing
about equals). How they make a queue's settings together with its arguments is
``broker.core.settings``; on an exchange a policy sets the alternate exchange, unless an argument
does, and whether x-delay is honoured (``broker.core.intake``).

Invariant: between two operations every queue and exchange has the settings that its arguments
and the policies of its vhost give; it does not matter which came first, or what was in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.core.pattern import InvalidPattern, Pattern
from broker.core.policy_keys import QUEUE_TYPES, fault_of, queue_types_of
from broker.core.settings import QueueSettings, effective_settings, merged_definition
from broker.core.validation import InvalidParameter, is_whole, term
from protocol.tables import plain, table

if TYPE_CHECKING:
    from broker.core.exchange import Exchange
    from broker.core.operations import Operation
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost

EXCHANGE = "exchange"
APPLY_TO: dict[str, frozenset[str]] = {
    "queues": frozenset(QUEUE_TYPES),
    "classic_queues": frozenset({"classic"}),
    "quorum_queues": frozenset({"quorum"}),
    "streams": frozenset({"stream"}),
    "exchanges": frozenset({EXCHANGE}),
    "all": frozenset({*QUEUE_TYPES, EXCHANGE}),
}
"""Values of apply-to, with the kinds of objects that each one means."""


@dataclass(slots=True, frozen=True)
class Policy:
    """One policy; ``definition`` has plain values."""

    name: str
    pattern: str
    apply_to: str
    priority: int | float
    definition: Mapping[str, Any]
    regex: Pattern = field(compare=False)
    kinds: frozenset[str]  # of the objects it can hold for

    @classmethod
    def of(cls, operation: Operation) -> Policy:
        """The policy that an operation states."""
        definition = {name: plain(value) for name, value in operation["definition"].items()}
        kinds = APPLY_TO[operation["apply_to"]] & (queue_types_of(definition) | {EXCHANGE})
        return cls(
            operation["name"],
            operation["pattern"],
            operation["apply_to"],
            operation["priority"],
            definition,
            Pattern(operation["pattern"]),
            kinds,
        )

    def operation(self, op: str, vhost: str) -> Operation:
        """The operation that states this policy."""
        return {
            "op": op,
            "vhost": vhost,
            "name": self.name,
            "pattern": self.pattern,
            "apply_to": self.apply_to,
            "priority": self.priority,
            "definition": table(self.definition),
        }


class Policies:
    """The policies of one vhost, or its operator policies; ``op`` begins their operations."""

    def __init__(self, op: str) -> None:
        self.op = op
        self._by_name: dict[str, Policy] = {}
        self._ranked: list[Policy] = []

    def __iter__(self) -> Iterator[Policy]:
        """By name."""
        return (policy for _, policy in sorted(self._by_name.items()))

    def get(self, name: str) -> Policy | None:
        """The policy of that name."""
        return self._by_name.get(name)

    def add(self, policy: Policy) -> None:
        """Take in a policy, in place of one of its name."""
        self._by_name[policy.name] = policy
        self._rank()

    def remove(self, name: str) -> None:
        """Forget a policy, if it exists."""
        self._by_name.pop(name, None)
        self._rank()

    def _rank(self) -> None:
        self._ranked = sorted(self, key=lambda policy: -policy.priority)

    def match(self, kind: str, name: str) -> Policy | None:
        """The policy that holds for an object."""
        if not self._ranked:
            return None
        for policy in self._ranked:
            if kind in policy.kinds and policy.regex.matches(name):
                return policy
        return None


# -- what operators do -----------------------------------------------------------------


def set_policy(
    vhost: Vhost,
    name: str,
    *,
    pattern: Any,
    definition: Any,
    priority: Any = 0,
    apply_to: Any = "all",
    operator: bool = False,
) -> bool:
    """Create or replace a policy; true if it is new. Raises ``InvalidParameter``."""
    faults = [
        fault_of(definition, operator=operator),
        _apply_to_fault(apply_to),
        _pattern_fault(pattern),
        _priority_fault(priority),
    ]
    if any(faults):
        raise InvalidParameter(fault for fault in faults if fault)
    policies = _policies(vhost, operator=operator)
    is_new = policies.get(name) is None
    vhost.broker.change(
        {
            "op": f"{policies.op}.set",
            "vhost": vhost.name,
            "name": name,
            "pattern": pattern,
            "apply_to": apply_to,
            "priority": priority,
            "definition": table(definition),
        },
        durable=True,
    )
    return is_new


def delete_policy(vhost: Vhost, name: str, *, operator: bool = False) -> bool:
    """Delete a policy; false if there is none of that name."""
    policies = _policies(vhost, operator=operator)
    if policies.get(name) is None:
        return False
    vhost.broker.change(
        {"op": f"{policies.op}.delete", "vhost": vhost.name, "name": name}, durable=True
    )
    return True


def effective_definition(queue: Queue) -> dict[str, Any]:
    """What the policies that hold for a queue say together."""
    return merged_definition(*_definitions(*queue.policies))


def _policies(vhost: Vhost, *, operator: bool) -> Policies:
    return vhost.operator_policies if operator else vhost.policies


def _apply_to_fault(apply_to: Any) -> str | None:
    if isinstance(apply_to, str) and apply_to in APPLY_TO:
        return None
    return (
        f"apply-to '{apply_to}' unrecognised; should be one of: 'queues', 'classic_queues', "
        "'quorum_queues', 'streams', 'exchanges', or 'all'"
    )


def _priority_fault(priority: Any) -> str | None:
    if is_whole(priority) or isinstance(priority, float):
        return None
    return f"priority should be a number, actually was {term(priority)}"


def _pattern_fault(pattern: Any) -> str | None:
    if not isinstance(pattern, str):
        return f"pattern should be a binary but was {term(pattern)}"
    try:
        Pattern(pattern)
    except InvalidPattern as error:
        fault = error.fault.replace("\\", "\\\\")
        return f'pattern should be regular expression but is invalid: {{"{fault}",{error.at}}}'
    return None


def affected(vhost: Vhost, operation: Operation) -> list[Queue]:
    """The queues for which a policy.set or policy.delete, not applied yet, is a change."""
    before = _policies_of(vhost, operation)
    after = Policies(before.op)
    for policy in before:
        after.add(policy)
    if operation["op"].endswith(".set"):
        after.add(Policy.of(operation))
    else:
        after.remove(operation["name"])
    return [
        queue
        for queue in vhost.queues.values()
        if after.match(queue.type, queue.name) is not before.match(queue.type, queue.name)
    ]


# -- effects ---------------------------------------------------------------------------


def apply_set(vhost: Vhost, operation: Operation) -> None:
    """Effect of policy.set and operator_policy.set."""
    _policies_of(vhost, operation).add(Policy.of(operation))
    _configure_all(vhost)


def apply_delete(vhost: Vhost, operation: Operation) -> None:
    """Effect of policy.delete and operator_policy.delete."""
    _policies_of(vhost, operation).remove(operation["name"])
    _configure_all(vhost)


def _policies_of(vhost: Vhost, operation: Operation) -> Policies:
    return _policies(vhost, operator=operation["op"].startswith(vhost.operator_policies.op))


def _configure_all(vhost: Vhost) -> None:
    for exchange in vhost.exchanges.values():
        configure_exchange(vhost, exchange)
    known: Known = {}
    for queue in list(vhost.queues.values()):
        configure_queue(vhost, queue, known)


Known = dict[tuple[int, int], QueueSettings]  # by policy and operator policy


def configure_queue(vhost: Vhost, queue: Queue, known: Known | None = None) -> None:
    """Give a queue the settings that arguments and policies make now.

    ``known``: those of queues without arguments, if many are configured at once.
    """
    policy = vhost.policies.match(queue.type, queue.name)
    operator = vhost.operator_policies.match(queue.type, queue.name)
    if policy is queue.policies[0] and operator is queue.policies[1]:
        return
    queue.policies = (policy, operator)
    key = id(policy), id(operator)
    settings = known.get(key) if known and not queue.arguments else None
    if settings is None:
        settings = effective_settings(queue.arguments, *_definitions(policy, operator))
        if known is not None and not queue.arguments:
            known[key] = settings
    if settings != queue.settings:
        queue.configure(settings)


def configure_exchange(vhost: Vhost, exchange: Exchange) -> None:
    """Give an exchange its alternate, where an argument wins over a policy, and delays."""
    policy = vhost.policies.match(EXCHANGE, exchange.name)
    wanted = policy is not None and policy.definition.get("delayed-message", False)
    exchange.delays = wanted or exchange.always_delays
    stated = exchange.arguments.get("alternate-exchange")
    if stated is not None:
        exchange.alternate = plain(stated)
    else:
        exchange.alternate = policy.definition.get("alternate-exchange") if policy else None


def _definitions(
    policy: Policy | None, operator: Policy | None
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    return (
        policy.definition if policy is not None else None,
        operator.definition if operator is not None else None,
    )
