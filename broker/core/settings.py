"""What a queue does, as its arguments and the policies in force say it.

Arguments come from the declaration and never change; a policy may come and go while the queue
lives. Where several set a limit the lowest holds. For everything else the argument wins over the
operator policy, and that over the policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from protocol.tables import Table, is_integer, plain

Definition = Mapping[str, Any]

# argument, policy key, field; for the first group the lower value wins
_LIMITS = (
    ("x-message-ttl", "message-ttl", "message_ttl_ms"),
    ("x-expires", "expires", "expires_ms"),
    ("x-max-length", "max-length", "max_length"),
    ("x-max-length-bytes", "max-length-bytes", "max_length_bytes"),
    ("x-delivery-limit", "delivery-limit", "delivery_limit"),
    ("x-consumer-timeout", "consumer-timeout", "consumer_timeout_ms"),
    ("x-delayed-retry-min", "delayed-retry-min", "retry_min_ms"),
    ("x-delayed-retry-max", "delayed-retry-max", "retry_max_ms"),
)
_LIMIT_KEYS = {key for _, key, _ in _LIMITS} | {"max-in-memory-length", "max-in-memory-bytes"}
_CHOICES = (
    ("x-overflow", "overflow", "overflow"),
    ("x-dead-letter-exchange", "dead-letter-exchange", "dead_letter_exchange"),
    ("x-dead-letter-routing-key", "dead-letter-routing-key", "dead_letter_routing_key"),
    ("x-dead-letter-strategy", "dead-letter-strategy", "dead_letter_strategy"),
    ("x-max-priority", None, "max_priority"),
    ("x-single-active-consumer", None, "single_active_consumer"),
    ("x-delayed-retry-type", "delayed-retry-type", "retry_type"),
    ("x-delayed-retry-strategy", "delayed-retry-strategy", "retry_strategy"),
    ("x-message-group-header", None, "message_group_header"),
)


@dataclass(slots=True, frozen=True, kw_only=True)
class QueueSettings:
    """``None`` is "not limited"; times in milliseconds, lengths in messages or octets of body."""

    message_ttl_ms: int | None = None
    expires_ms: int | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    delivery_limit: int | None = None
    consumer_timeout_ms: int | None = None
    overflow: str = "drop-head"
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    dead_letter_strategy: str = "at-most-once"
    max_priority: int | None = None
    single_active_consumer: bool = False
    retry_type: str = "disabled"
    retry_strategy: str = "linear"
    retry_min_ms: int | None = None
    retry_max_ms: int | None = None
    message_group_header: str | None = None

    def retries(self, *, failed: bool) -> bool:
        """Whether a message that came back this way waits before it is ready."""
        return self.retry_type == "all" or self.retry_type == ("failed" if failed else "returned")

    @property
    def rejects_publishes(self) -> bool:
        """A full queue refuses what is published instead of dropping what is oldest."""
        return self.overflow != "drop-head"

    @property
    def keeps_letters(self) -> bool:
        """Dead letters wait until they are taken; RabbitMQ asks for the overflow as well."""
        return self.dead_letter_strategy == "at-least-once" and self.overflow == "reject-publish"

    @property
    def limits_length(self) -> bool:
        """There is a limit on messages or octets."""
        return self.max_length is not None or self.max_length_bytes is not None

    @property
    def needs_retention(self) -> bool:
        """The queue drops messages by itself."""
        return self.message_ttl_ms is not None or self.limits_length


_NOTHING_SET = QueueSettings()


def effective_settings(
    arguments: Table, policy: Definition | None = None, operator: Definition | None = None
) -> QueueSettings:
    """The settings that arguments, policy and operator policy make together."""
    definition = merged_definition(policy, operator)
    if not arguments and not definition:
        return _NOTHING_SET  # most queues: those of RPC clients come and go quickly
    fields: dict[str, Any] = {}
    for argument, key, name in _LIMITS:
        stated = [definition[key]] if key in definition else []
        if argument in arguments and is_integer(arguments[argument]):
            stated.append(arguments[argument].value)
        if stated:
            fields[name] = _lowest(stated)
    for argument, choice, name in _CHOICES:
        if argument in arguments:
            fields[name] = plain(arguments[argument])
        elif choice in definition:
            fields[name] = definition[choice]
    return QueueSettings(**fields)


def merged_definition(policy: Definition | None, operator: Definition | None) -> dict[str, Any]:
    """What a policy and an operator policy say together, by key."""
    if policy is None or operator is None:
        return dict(policy or operator or {})
    merged = {**policy, **operator}
    for key in policy.keys() & operator.keys() & _LIMIT_KEYS:
        lowest = _lowest([policy[key], operator[key]])
        merged[key] = operator[key] if lowest is None else lowest
    return merged


def _lowest(stated: Iterable[int]) -> int | None:
    """-1 states no limit: it is RabbitMQ 4's word for none in delivery limits."""
    return min((value for value in stated if value >= 0), default=None)
