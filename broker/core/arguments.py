"""Optional arguments of queues and exchanges: validation and equivalence, with RabbitMQ's texts.

Unknown arguments are accepted, kept and not compared. A known one is refused where its value
makes no sense, or where it belongs to another type of queue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from protocol.errors import AccessRefused, InternalError, PreconditionFailed
from protocol.tables import Field, Table, is_integer, same_value

Check = Callable[[Field], str | None]  # what is wrong, in the words of RabbitMQ's error text

TTL_MAX_MS = 10 * 365 * 24 * 3600 * 1000  # ten years
_MAX_AGE = re.compile(r"[0-9]+[YMDhms]")


def _integer(value: Field) -> str | None:
    if is_integer(value):
        return None
    return f'"expected integer, got {value.type_name}"'


def _anything(_: Field) -> str | None:
    return None


def _non_negative(value: Field) -> str | None:
    return _integer(value) or (f"{{value_negative,{value.value}}}" if value.value < 0 else None)


def _positive(value: Field) -> str | None:
    return _non_negative(value) or (f"{{value_zero,{value.value}}}" if value.value == 0 else None)


def _too_long(value: Field) -> str | None:
    return f"{{value_too_large,{value.value}}}" if value.value > TTL_MAX_MS else None


def _ttl(value: Field) -> str | None:
    return _non_negative(value) or _too_long(value)


def _lease(value: Field) -> str | None:
    return _positive(value) or _too_long(value)


def _priority(value: Field) -> str | None:
    return _non_negative(value) or (
        f"{{max_value_exceeded,{value.value}}}" if value.value > 255 else None
    )


def _text(value: Field) -> str | None:
    return None if value.tag == "S" else f"{{unacceptable_type,{value.type_name}}}"


def _flag(value: Field) -> str | None:
    return None if value.tag == "t" else f"{{unacceptable_type,{value.type_name}}}"


def _one_of(words: Iterable[str], otherwise: str) -> Check:
    """A check for one of some words; ``otherwise`` is what RabbitMQ says, with ``{}`` for it."""
    allowed = {word.encode() for word in words}

    def check(value: Field) -> str | None:
        if value.tag != "S" or value.value in allowed:
            return _text(value)
        return otherwise.format(value.value.decode(errors="replace"))

    return check


def _version(value: Field) -> str | None:
    wrong = _non_negative(value)
    if wrong is None and value.value not in (1, 2):
        return f"\"unsupported queue version '{value.value}'\""
    return wrong


def _max_age(value: Field) -> str | None:
    if value.tag != "S" or _MAX_AGE.fullmatch(value.value.decode(errors="replace")):
        return _text(value)
    return "invalid_max_age"


_OVERFLOW = _one_of(("drop-head", "reject-publish", "reject-publish-dlx"), "invalid_overflow")
_TYPE = _one_of(("classic", "quorum", "stream"), "\"unsupported queue type '{}'\"")
_COMMON: dict[str, Check] = {
    "x-expires": _lease,
    "x-message-ttl": _ttl,
    "x-max-length": _non_negative,
    "x-max-length-bytes": _non_negative,
    "x-dead-letter-routing-key": _text,
    "x-overflow": _OVERFLOW,
    "x-delayed-retry-type": _one_of(
        ("disabled", "all", "failed", "returned"), "invalid_delayed_retry_type"
    ),
    "x-delayed-retry-strategy": _one_of(
        ("linear", "exponential"), "invalid_delayed_retry_strategy"
    ),
    "x-delayed-retry-min": _positive,
    "x-delayed-retry-max": _positive,
    "x-consumer-timeout": _anything,
    "x-message-group-header": _text,
    "x-single-active-consumer": _flag,
}
_STREAM: dict[str, Check] = {
    "x-max-length-bytes": _non_negative,
    "x-max-age": _max_age,
    "x-stream-max-segment-size-bytes": _non_negative,
    "x-stream-filter-size-bytes": _non_negative,
    "x-initial-cluster-size": _positive,
}
CHECKS: dict[str, dict[str, Check]] = {
    "classic": _COMMON
    | {
        "x-max-priority": _priority,
        "x-queue-mode": _one_of(("default", "lazy"), "\"unsupported queue mode '{}'\""),
        "x-queue-version": _version,
    },
    "quorum": _COMMON
    | {
        "x-delivery-limit": _anything,  # RabbitMQ takes what is no integer for no limit
        "x-dead-letter-strategy": _one_of(
            ("at-most-once", "at-least-once"), "invalid_dlx_strategy"
        ),
        "x-quorum-initial-group-size": _positive,
        "x-max-in-memory-length": _non_negative,
        "x-max-in-memory-bytes": _non_negative,
    },
    "stream": _STREAM,
}
# Refused for every type that does not check them. Where RabbitMQ's series differ, the one that
# accepts is followed: x-queue-leader-locator is in order for all types.
_TYPED = frozenset(name for checks in CHECKS.values() for name in checks) | {
    "x-dead-letter-exchange"
}
_DEAD_LETTERS = ("classic", "quorum")
_DEFAULTS = {"x-queue-type": Field("S", b"classic")}  # leaving it out is the same
_SEGMENT_BYTES_MAX = 3_000_000_000

QUEUE_ARGUMENTS_COMPARED = (
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-delayed-retry-type",
    "x-delayed-retry-strategy",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
    "x-message-group-header",
    "x-queue-type",
    "x-queue-master-locator",
)


def check_queue_arguments(described: str, arguments: Table) -> str:
    """The type of queue declared; raise for the first argument RabbitMQ would refuse."""
    kind = arguments.get("x-queue-type")
    if kind is not None:
        _apply(described, "x-queue-type", _TYPE, kind)
    queue_type: str = kind.value.decode() if kind is not None else "classic"
    checks = CHECKS[queue_type]
    for name in arguments:
        if name in _TYPED and name not in checks:
            if name == "x-dead-letter-exchange" and queue_type in _DEAD_LETTERS:
                continue
            raise PreconditionFailed(
                f"invalid arg '{name}' for {described} of queue type rabbit_{queue_type}_queue"
            )
    _check_dead_letter_exchange(described, arguments)
    for name, check in checks.items():
        value = arguments.get(name)
        if value is not None:
            _apply(described, name, check, value)
    if "x-message-group-header" in arguments and "x-max-priority" in arguments:
        raise PreconditionFailed(
            f"invalid arg 'x-message-group-header' for {described}: not_with_max_priority"
        )
    _check_locator(arguments.get("x-queue-master-locator"))
    segment = arguments.get("x-stream-max-segment-size-bytes")
    if segment is not None and segment.value > _SEGMENT_BYTES_MAX:
        raise PreconditionFailed("Exceeded max value for x-stream-max-segment-size-bytes")
    return queue_type


def check_queue_properties(
    described: str, queue_type: str, *, durable: bool, exclusive: bool, auto_delete: bool
) -> None:
    """Raise ``PreconditionFailed`` for what replicated types of queues cannot be."""
    if queue_type == "classic":
        return
    for wrong, name in (
        (not durable, "non-durable"),
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
    ):
        if wrong:
            raise PreconditionFailed(f"invalid property '{name}' for {described}")


def _apply(described: str, name: str, check: Check, value: Field) -> None:
    wrong = check(value)
    if wrong is not None:
        raise PreconditionFailed(f"invalid arg '{name}' for {described}: {wrong}")


def _check_dead_letter_exchange(described: str, arguments: Table) -> None:
    exchange = arguments.get("x-dead-letter-exchange")
    if exchange is not None and exchange.tag != "S":
        raise PreconditionFailed(
            f"invalid type '{exchange.type_name}' for arg 'x-dead-letter-exchange' in {described}"
        )
    key = arguments.get("x-dead-letter-routing-key")
    if key is not None and exchange is None:
        raise PreconditionFailed(
            f"invalid arg 'x-dead-letter-routing-key' for {described}: "
            "routing_key_but_no_dlx_defined"
        )


def _check_locator(value: Field | None) -> None:
    """A master locator nobody knows is an internal error of RabbitMQ, so it is one here."""
    locators = (b"client-local", b"min-masters", b"random")
    if value is not None and (value.tag != "S" or value.value not in locators):
        raise InternalError(about_method=False)


def check_exchange_arguments(described: str, arguments: Table) -> None:
    """Raise ``PreconditionFailed`` for an alternate exchange that is no name."""
    alternate = arguments.get("alternate-exchange")
    if alternate is not None and alternate.tag != "S":
        raise PreconditionFailed(
            f"invalid type '{alternate.type_name}' for arg 'alternate-exchange' in {described}"
        )


def check_name(kind: str, name: str) -> None:
    """Raise ``AccessRefused`` for a name of the kind that only the server gives."""
    if name.startswith("amq."):
        raise AccessRefused(f"{kind} name '{name}' contains reserved prefix 'amq.*'")


def check_same(name: str, described: str, received: object, current: object) -> None:
    """Raise ``PreconditionFailed`` if a property of a redeclaration differs."""
    if received != current:
        raise PreconditionFailed(
            f"inequivalent arg '{name}' for {described}: "
            f"received '{_word(received)}' but current is '{_word(current)}'"
        )


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_equivalent(names: Iterable[str], described: str, received: Table, current: Table) -> None:
    """Raise ``PreconditionFailed`` for the first of ``names`` that differs between the tables."""
    for name in names:
        new, old = received.get(name), current.get(name)
        default = _DEFAULTS.get(name)
        if (new or default) == (old or default):
            continue
        if new is not None and old is not None:
            if not same_value(new, old):
                check_same(name, described, _word(_shown(new)), _word(_shown(old)))
            continue
        raise PreconditionFailed(
            f"inequivalent arg '{name}' for {described}: "
            f"received {_stated(new)} but current is {_stated(old)}"
        )


def _shown(value: Field) -> object:
    return value.value.decode(errors="replace") if value.tag == "S" else value.value


def _stated(value: Field | None) -> str:
    if value is None:
        return "none"
    return f"the value '{_word(_shown(value))}' of type '{value.type_name}'"
