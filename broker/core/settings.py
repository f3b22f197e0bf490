"""What a queue does, as its arguments and the policies in force say it.

Arguments come from the declaration and never change; a policy may come and go while the queue
lives. Where both set a limit the lower one holds; for everything else the argument does.
An operator policy only ever lowers limits.
"""

from __future__ import annotations

from collections.abc import Mapping
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
_CHOICES = (
    ("x-overflow", "overflow", "overflow"),
    ("x-dead-letter-exchange", "dead-letter-exchange", "dead_letter_exchange"),
    ("x-dead-letter-routing-key", "dead-letter-routing-key", "dead_letter_routing_key"),
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
    def limits_length(self) -> bool:
        """There is a limit on messages or octets."""
        return self.max_length is not None or self.max_length_bytes is not None


def effective_settings(
    arguments: Table, policy: Definition | None = None, operator: Definition | None = None
) -> QueueSettings:
    """The settings that arguments, policy and operator policy make together."""
    fields: dict[str, Any] = {}
    for argument, key, name in _LIMITS:
        stated = [
            source[key] for source in (policy, operator) if source is not None and key in source
        ]
        if argument in arguments and is_integer(arguments[argument]):
            stated.append(arguments[argument].value)
        if stated:
            fields[name] = min(stated)
    for argument, choice, name in _CHOICES:
        if argument in arguments:
            fields[name] = plain(arguments[argument])
        elif policy is not None and choice is not None and choice in policy:
            fields[name] = policy[choice]
    if fields.get("delivery_limit", 0) < 0:  # -1 is how RabbitMQ 4 writes "no limit"
        del fields["delivery_limit"]
    return QueueSettings(**fields)
