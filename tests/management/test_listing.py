"""Columns of rows and the shapes of names."""

from typing import Any

import pytest

from broker.management.listing import Columns
from broker.management.shapes import quoted

ROW = {
    "name": "q",
    "message_stats": {"publish": 1, "publish_details": {"rate": 2.0}},
    "consumers": [{"tag": "a", "n": 1}, {"tag": "b", "n": 2}],
}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (None, ROW),
        ("name", {"name": "q"}),
        ("name,missing", {"name": "q"}),
        ("message_stats.publish", {"message_stats": {"publish": 1}}),
        (
            "message_stats.publish_details.rate",
            {"message_stats": {"publish_details": {"rate": 2.0}}},
        ),
        ("consumers.tag", {"consumers": [{"tag": "a"}, {"tag": "b"}]}),
        ("missing", {}),
    ],
)
def test_columns_choose_fields(columns: str | None, expected: dict[str, Any]) -> None:
    """A column is a field or a path to one; what is not there is left out."""
    assert Columns(columns).of(ROW) == expected
    assert Columns(columns).of([ROW, ROW]) == [expected, expected]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("k/1 é~.", "k%2F1+%C3%A9%7E."),
        ("a+b%c~d", "a%2Bb%25c%7Ed"),
        ("A-Z_.(x)*!", "A-Z_.%28x%29%2A%21"),
    ],
)
def test_routing_keys_are_quoted_as_rabbitmq_does(key: str, expected: str) -> None:
    """The properties_key of a binding is what tools have stored for RabbitMQ."""
    assert quoted(key) == expected
