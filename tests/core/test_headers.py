"""The headers rule as RabbitMQ was seen to apply it: a binding for each mode, by message."""

from typing import Any

import pytest

from broker.core.headers import HeadersMatch, check_match_argument
from protocol.errors import PreconditionFailed
from protocol.tables import Field, Table, field, table

BINDINGS: dict[str, dict[str, Any]] = {
    "all": {"x-match": "all", "a": 1, "b": "x"},
    "any": {"x-match": "any", "a": 1, "b": "x"},
    "default": {"a": 1, "b": "x"},
    "allx": {"x-match": "all-with-x", "a": 1, "x-k": "v"},
    "anyx": {"x-match": "any-with-x", "a": 1, "x-k": "v"},
    "all_xk": {"x-match": "all", "a": 1, "x-k": "v"},
    "any_xk": {"x-match": "any", "x-k": "v"},
    "empty": {},
    "empty_any": {"x-match": "any"},
    "empty_anyx": {"x-match": "any-with-x"},
    "void": {"x-match": "all", "p": None},
    "void_any": {"x-match": "any", "p": None},
    "nested": {"x-match": "all", "t": {"k": 1}},
    "float": {"x-match": "all", "n": 1.0},
    "bool": {"x-match": "all", "f": True},
}
BOTH = {"all", "any", "default", "anyx", "all_xk", "empty"}
REACHED: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"empty"}),
    ({"a": 1}, {"any", "anyx", "all_xk", "empty"}),
    ({"a": 1, "b": "x"}, BOTH),
    ({"a": 1, "b": "y"}, {"any", "anyx", "all_xk", "empty"}),
    ({"a": 2, "b": "x"}, {"any", "empty"}),
    ({"a": Field("l", 1), "b": "x"}, BOTH),
    ({"a": Field("s", 1), "b": Field("x", b"x")}, BOTH),
    ({"a": "1", "b": "x"}, {"any", "empty"}),
    ({"a": 1.0, "b": "x"}, BOTH),
    ({"a": 1, "b": "x", "c": 3}, BOTH),
    ({"a": 1, "x-k": "v"}, {"any", "allx", "anyx", "all_xk", "empty"}),
    ({"x-k": "v"}, {"anyx", "empty"}),
    ({"a": 1, "x-k": "w"}, {"any", "anyx", "all_xk", "empty"}),
    ({"p": None}, {"empty", "void", "void_any"}),
    ({"p": "anything"}, {"empty", "void", "void_any"}),
    ({"p": 5}, {"empty", "void", "void_any"}),
    ({"t": {"k": 1}}, {"empty", "nested"}),
    ({"t": {"k": 2}}, {"empty"}),
    ({"n": 1}, {"empty", "float"}),
    ({"n": 1.0}, {"empty", "float"}),
    ({"f": True}, {"empty", "bool"}),
    ({"f": 1}, {"empty"}),
    ({"A": 1}, {"empty"}),
    ({"x-match": "any"}, {"empty"}),
]


@pytest.mark.parametrize(("headers", "reached"), REACHED, ids=lambda each: str(sorted(each)))
def test_bindings_reached(headers: dict[str, Any], reached: set[str]) -> None:
    """Each message reaches exactly the bindings that it reached in RabbitMQ."""
    rules = {name: HeadersMatch(table(arguments)) for name, arguments in BINDINGS.items()}
    assert {name for name, rule in rules.items() if rule.matches(table(headers))} == reached


@pytest.mark.parametrize("mode", ["all", "any", "all-with-x", "any-with-x"])
def test_known_modes_are_accepted(mode: str) -> None:
    """The four modes, and none at all, are in order."""
    check_match_argument(table({"x-match": mode}))
    check_match_argument({})


def refusal(arguments: Table) -> str:
    """Why a binding is refused."""
    with pytest.raises(PreconditionFailed) as caught:
        check_match_argument(arguments)
    return caught.value.text


def test_unknown_modes_are_refused() -> None:
    """Another mode, or one that is no text, is refused with RabbitMQ's words."""
    assert refusal(table({"x-match": "bogus"})) == (
        'Invalid x-match field value <<"bogus">>; expected all, any, all-with-x, or any-with-x'
    )
    assert refusal({"x-match": field(5)}) == (
        "Invalid x-match field type signedint (value 5); expected longstr"
    )
