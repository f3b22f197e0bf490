"""Arguments of queues and exchanges: what is refused, what is compared, in RabbitMQ's words."""

from typing import Any

import pytest

from broker.core.arguments import (
    QUEUE_ARGUMENTS_COMPARED,
    check_equivalent,
    check_exchange_arguments,
    check_queue_arguments,
    check_same,
)
from protocol.errors import PreconditionFailed
from protocol.tables import Field, Table, table

QUEUE = "queue 'bq.arg' in vhost '/'"
EXCHANGE = "exchange 'bx.ae' in vhost '/'"

INTEGER_ARGUMENTS = ("x-expires", "x-message-ttl", "x-max-length", "x-max-length-bytes")
NOT_INTEGERS = [
    (Field("S", b"abc"), "longstr"),
    (Field("S", b"1000"), "longstr"),
    (Field("F", {}), "table"),
    (Field("T", 1000), "timestamp"),
    (Field("A", []), "array"),
    (Field("d", 10.5), "double"),
    (Field("t", True), "bool"),
    (Field("V", None), "void"),
]


def refusal(arguments: Table) -> str:
    """Why a queue with these arguments is refused."""
    with pytest.raises(PreconditionFailed) as caught:
        check_queue_arguments(QUEUE, arguments)
    return caught.value.text


@pytest.mark.parametrize("name", INTEGER_ARGUMENTS)
@pytest.mark.parametrize("tag", "bBsuIil")
def test_counts_and_times_take_any_integer_type(name: str, tag: str) -> None:
    """A positive integer of any width is in order."""
    check_queue_arguments(QUEUE, {name: Field(tag, 100)})


@pytest.mark.parametrize("name", INTEGER_ARGUMENTS)
@pytest.mark.parametrize(("value", "type_name"), NOT_INTEGERS)
def test_counts_and_times_must_be_integers(name: str, value: Field, type_name: str) -> None:
    """Anything but an integer is refused with the name of its type."""
    assert refusal({name: value}) == (
        f"invalid arg '{name}' for {QUEUE}: \"expected integer, got {type_name}\""
    )


@pytest.mark.parametrize("name", INTEGER_ARGUMENTS)
def test_counts_and_times_are_not_negative(name: str) -> None:
    """A negative integer is refused with its value."""
    assert refusal(table({name: -1})) == f"invalid arg '{name}' for {QUEUE}: {{value_negative,-1}}"


def test_expiry_is_not_zero() -> None:
    """A queue cannot expire at once, while messages can, and a length of 0 is a limit."""
    assert refusal(table({"x-expires": 0})) == (
        f"invalid arg 'x-expires' for {QUEUE}: {{value_zero,0}}"
    )
    for name in ("x-message-ttl", "x-max-length", "x-max-length-bytes"):
        check_queue_arguments(QUEUE, table({name: 0}))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"x-dead-letter-exchange": 5},
            f"invalid type 'signedint' for arg 'x-dead-letter-exchange' in {QUEUE}",
        ),
        (
            {"x-dead-letter-exchange": True},
            f"invalid type 'bool' for arg 'x-dead-letter-exchange' in {QUEUE}",
        ),
        (
            {"x-dead-letter-exchange": "amq.direct", "x-dead-letter-routing-key": 5},
            f"invalid arg 'x-dead-letter-routing-key' for {QUEUE}: {{unacceptable_type,signedint}}",
        ),
        (
            {"x-dead-letter-routing-key": "k"},
            f"invalid arg 'x-dead-letter-routing-key' for {QUEUE}: routing_key_but_no_dlx_defined",
        ),
        (
            {"x-single-active-consumer": "abc"},
            f"invalid arg 'x-single-active-consumer' for {QUEUE}: {{unacceptable_type,longstr}}",
        ),
        (
            {"x-single-active-consumer": 5},
            f"invalid arg 'x-single-active-consumer' for {QUEUE}: {{unacceptable_type,signedint}}",
        ),
    ],
)
def test_other_queue_arguments(arguments: dict[str, Any], text: str) -> None:
    """Arguments of the wrong type, or without the one they need, are refused."""
    assert refusal(table(arguments)) == text


def test_unknown_and_proper_arguments_are_accepted() -> None:
    """Arguments nobody knows are kept, whatever they are; proper ones pass."""
    check_queue_arguments(
        QUEUE,
        table(
            {
                "x-foo": {"a": [1]},
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "",
                "x-single-active-consumer": True,
                "x-message-ttl": 4294967296,
            }
        ),
    )


@pytest.mark.parametrize(("value", "type_name"), [(5, "signedint"), (True, "bool")])
def test_alternate_exchange_is_a_name(value: object, type_name: str) -> None:
    """An alternate exchange that is no text is refused; the empty name is one."""
    with pytest.raises(PreconditionFailed) as caught:
        check_exchange_arguments(EXCHANGE, table({"alternate-exchange": value}))
    assert caught.value.text == (
        f"invalid type '{type_name}' for arg 'alternate-exchange' in {EXCHANGE}"
    )
    check_exchange_arguments(EXCHANGE, table({"alternate-exchange": ""}))
    check_exchange_arguments(EXCHANGE, {})


def test_properties_are_compared() -> None:
    """A redeclaration with another property is refused with both values."""
    with pytest.raises(PreconditionFailed) as caught:
        check_same("durable", QUEUE, False, True)
    assert caught.value.text == (
        f"inequivalent arg 'durable' for {QUEUE}: received 'false' but current is 'true'"
    )
    check_same("durable", QUEUE, True, True)


@pytest.mark.parametrize(
    ("received", "current", "text"),
    [
        ({"x-message-ttl": 2000}, {"x-message-ttl": 1000}, "received '2000' but current is '1000'"),
        (
            {"x-overflow": "reject-publish"},
            {"x-overflow": "drop-head"},
            "received 'reject-publish' but current is 'drop-head'",
        ),
        (
            {},
            {"x-message-ttl": 1000},
            "received none but current is the value '1000' of type 'signedint'",
        ),
        (
            {"x-message-ttl": 1000},
            {},
            "received the value '1000' of type 'signedint' but current is none",
        ),
        (
            {"x-queue-type": "quorum"},
            {},
            "received the value 'quorum' of type 'longstr' but current is none",
        ),
    ],
)
def test_different_arguments(received: dict[str, Any], current: dict[str, Any], text: str) -> None:
    """A redeclaration with another argument is refused with both values, or with their lack."""
    (name,) = received.keys() | current.keys()
    with pytest.raises(PreconditionFailed) as caught:
        check_equivalent(QUEUE_ARGUMENTS_COMPARED, QUEUE, table(received), table(current))
    assert caught.value.text == f"inequivalent arg '{name}' for {QUEUE}: {text}"


@pytest.mark.parametrize(
    ("received", "current"),
    [
        ({"x-message-ttl": Field("l", 1000)}, {"x-message-ttl": Field("s", 1000)}),
        ({"x-foo": Field("I", 1)}, {"x-foo": Field("I", 2)}),
        ({"x-queue-type": Field("S", b"classic")}, {}),
        ({}, {"x-queue-type": Field("S", b"classic")}),
        ({"x-queue-mode": Field("F", {})}, {"x-queue-mode": Field("F", {})}),
        ({}, {}),
    ],
)
def test_equivalent_arguments(received: Table, current: Table) -> None:
    """Number widths, unknown arguments and the default queue type make no difference."""
    check_equivalent(QUEUE_ARGUMENTS_COMPARED, QUEUE, received, current)
