"""Optional arguments of queues and exchanges: validation and equivalence, with RabbitMQ's texts.

Unknown arguments are accepted, kept and not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from protocol.errors import PreconditionFailed
from protocol.tables import Field, Table, is_integer, same_value

Check = Callable[[Field], str | None]  # what is wrong, in the words of RabbitMQ's error text


def _integer(value: Field) -> str | None:
    if is_integer(value):
        return None
    return f'"expected integer, got {value.type_name}"'


def _non_negative(value: Field) -> str | None:
    return _integer(value) or (f"{{value_negative,{value.value}}}" if value.value < 0 else None)


def _positive(value: Field) -> str | None:
    return _non_negative(value) or (f"{{value_zero,{value.value}}}" if value.value == 0 else None)


def _text(value: Field) -> str | None:
    return None if value.tag == "S" else f"{{unacceptable_type,{value.type_name}}}"


def _flag(value: Field) -> str | None:
    return None if value.tag == "t" else f"{{unacceptable_type,{value.type_name}}}"


QUEUE_ARGUMENTS: dict[str, Check] = {
    "x-expires": _positive,
    "x-message-ttl": _non_negative,
    "x-max-length": _non_negative,
    "x-max-length-bytes": _non_negative,
    "x-dead-letter-routing-key": _text,
    "x-single-active-consumer": _flag,
}
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
    "x-queue-type",
    "x-queue-master-locator",
)

_DEFAULTS = {"x-queue-type": Field("S", b"classic")}  # leaving it out is the same


def check_queue_arguments(described: str, arguments: Table) -> None:
    """Raise ``PreconditionFailed`` for the first argument RabbitMQ would refuse."""
    exchange = arguments.get("x-dead-letter-exchange")
    if exchange is not None and exchange.tag != "S":
        raise PreconditionFailed(
            f"invalid type '{exchange.type_name}' for arg 'x-dead-letter-exchange' in {described}"
        )
    for name, check in QUEUE_ARGUMENTS.items():
        value = arguments.get(name)
        if value is not None:
            wrong = check(value)
            if wrong is not None:
                raise PreconditionFailed(f"invalid arg '{name}' for {described}: {wrong}")
    if "x-dead-letter-routing-key" in arguments and exchange is None:
        raise PreconditionFailed(
            f"invalid arg 'x-dead-letter-routing-key' for {described}: "
            "routing_key_but_no_dlx_defined"
        )


def check_exchange_arguments(described: str, arguments: Table) -> None:
    """Raise ``PreconditionFailed`` for an alternate exchange that is no name."""
    alternate = arguments.get("alternate-exchange")
    if alternate is not None and alternate.tag != "S":
        raise PreconditionFailed(
            f"invalid type '{alternate.type_name}' for arg 'alternate-exchange' in {described}"
        )


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
                check_same(name, described, _shown(new), _shown(old))
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
