"""Every key a policy may have: which values are in order, and which types of queues know it.

A key that RabbitMQ knows and that has nothing to act on here (mirroring, placement of replicas,
federation) is accepted and kept, so that definitions can be imported as they are.

A policy with a key that a type of queue does not know does not apply to queues of that type at
all; this is RabbitMQ's rule, and what keeps a policy for classic queues off quorum queues.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.core.arguments import TTL_MAX_MS
from broker.core.validation import is_whole, pairs_term, term

QUEUE_TYPES = ("classic", "quorum", "stream")
_MAX_AGE = re.compile(r"[0-9]+[YMDhms]")
_ALL = frozenset(QUEUE_TYPES)
_NOT_STREAM = frozenset({"classic", "quorum"})
_CLASSIC = frozenset({"classic"})
_QUORUM = frozenset({"quorum"})
_STREAM = frozenset({"stream"})


@dataclass(slots=True, frozen=True)
class Key:
    """One key: ``wrong`` completes RabbitMQ's "... is not a valid"."""

    accepts: Callable[[Any], bool]
    wrong: str
    queue_types: frozenset[str] = _ALL
    operator: bool = False  # an operator policy may have it too


def _between(lowest: int, highest: int) -> Callable[[Any], bool]:
    return lambda value: is_whole(value) and lowest <= value <= highest


def _at_least(lowest: int) -> Callable[[Any], bool]:
    return lambda value: is_whole(value) and value >= lowest


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _words(*words: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in words


def _max_age(value: Any) -> bool:
    return isinstance(value, str) and _MAX_AGE.fullmatch(value) is not None


def _mirrors(value: Any) -> bool:
    return is_whole(value) or (isinstance(value, list) and all(map(_text, value)))


def _filter_size(value: Any) -> bool:
    return is_whole(value) and 16 <= value <= 255


_COUNT = _at_least(0)
_TTL = _between(0, TTL_MAX_MS)
_POSITIVE = _at_least(1)
_PROMOTE = _words("always", "when-synced")
_MEMORY = "maximum memory in bytes"

KEYS: dict[str, Key] = {
    # what acts here
    "alternate-exchange": Key(_text, "alternate exchange name"),
    "dead-letter-exchange": Key(_text, "dead letter exchange name", _NOT_STREAM),
    "dead-letter-routing-key": Key(_text, "dead letter routing key", _NOT_STREAM),
    "dead-letter-strategy": Key(
        _words("at-most-once", "at-least-once"), "dead letter strategy", _QUORUM
    ),
    "message-ttl": Key(_TTL, "message TTL", _NOT_STREAM, operator=True),
    "expires": Key(_between(1, TTL_MAX_MS), "queue expiry", _NOT_STREAM, operator=True),
    "max-length": Key(_COUNT, "maximum length", _NOT_STREAM, operator=True),
    "max-length-bytes": Key(_COUNT, "maximum length in bytes", operator=True),
    "overflow": Key(
        _words("drop-head", "reject-publish", "reject-publish-dlx"),
        "overflow value",
        _NOT_STREAM,
        operator=True,
    ),
    "delivery-limit": Key(is_whole, "delivery limit", _QUORUM, operator=True),
    "consumer-timeout": Key(_POSITIVE, "consumer timeout"),
    "delayed-message": Key(_flag, "delayed message flag"),
    "max-age": Key(_max_age, "max age", _STREAM),
    "delayed-retry-type": Key(
        _words("disabled", "all", "failed", "returned"), "delayed retry type", _NOT_STREAM
    ),
    "delayed-retry-strategy": Key(
        _words("linear", "exponential"), "delayed retry strategy", _NOT_STREAM
    ),
    "delayed-retry-min": Key(_POSITIVE, "delayed retry minimum", _NOT_STREAM),
    "delayed-retry-max": Key(_POSITIVE, "delayed retry maximum", _NOT_STREAM),
    # what is only kept
    "consumer-disconnected-timeout": Key(_POSITIVE, "consumer disconnected timeout", _QUORUM),
    "max-in-memory-length": Key(_COUNT, _MEMORY, _QUORUM, operator=True),
    "max-in-memory-bytes": Key(_COUNT, _MEMORY, _QUORUM, operator=True),
    "target-group-size": Key(_POSITIVE, "target count", _QUORUM, operator=True),
    "initial-cluster-size": Key(_COUNT, "cluster size", _STREAM),
    "stream-max-segment-size-bytes": Key(_COUNT, "segment size", _STREAM),
    "stream-filter-size-bytes": Key(_filter_size, "filter size. Valid range is 16-255", _STREAM),
    "queue-leader-locator": Key(
        _words("client-local", "balanced", "random", "least-leaders"),
        "queue leader locator value",
    ),
    "queue-master-locator": Key(
        _words("client-local", "min-masters", "random"), "queue master locator value", _CLASSIC
    ),
    "queue-mode": Key(_words("default", "lazy"), "queue-mode value", _CLASSIC),
    "queue-version": Key(
        lambda value: is_whole(value) and value in (1, 2),
        "queue version value",
        _CLASSIC,
        operator=True,
    ),
    "ha-mode": Key(_words("all", "exactly", "nodes"), "ha-mode value", _CLASSIC, operator=True),
    "ha-params": Key(_mirrors, "ha-params value", _CLASSIC, operator=True),
    "ha-sync-mode": Key(
        _words("automatic", "manual"), "ha-sync-mode value", _CLASSIC, operator=True
    ),
    "ha-sync-batch-size": Key(_COUNT, "ha-sync-batch-size value", _CLASSIC),
    "ha-promote-on-shutdown": Key(_PROMOTE, "ha-promote-on-shutdown value", _CLASSIC),
    "ha-promote-on-failure": Key(_PROMOTE, "ha-promote-on-failure value", _CLASSIC),
    "federation-upstream": Key(_text, "federation upstream name"),
    "federation-upstream-set": Key(_text, "federation upstream set name"),
    "federation-upstream-pattern": Key(_text, "federation upstream pattern"),
}


def fault_of(definition: Any, *, operator: bool) -> str | None:
    """What is wrong with a definition, in RabbitMQ's words; None if it is in order."""
    if not definition and isinstance(definition, (dict, list)):
        return "no policy provided"
    if not isinstance(definition, dict):
        return f"definition must be a dictionary: {term(definition)}"
    unknown = []
    for name, value in sorted(definition.items()):
        key = KEYS.get(name)
        if key is None or (operator and not key.operator):
            unknown.append((name, value))
        elif not key.accepts(value):
            return f"{term(value)} is not a valid {key.wrong}"
    return f"{pairs_term(unknown)} are not recognised policy settings" if unknown else None


def queue_types_of(definition: Mapping[str, Any]) -> frozenset[str]:
    """The types of queues that know all keys of a definition."""
    return _ALL.intersection(*(KEYS[name].queue_types for name in definition if name in KEYS))
