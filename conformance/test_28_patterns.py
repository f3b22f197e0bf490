"""Every place where somebody may write a regular expression, with one that would not end.

``PLACES`` is the list. Each takes the pattern, or refuses it, and then meets hundreds of names with
which a matcher without a bound takes minutes each; the broker has to answer as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from conformance.brokers import Broker, Leveret
from conformance.conftest import PRIVATE, URL
from conformance.test_26_users import http
from conformance.wire import Connection

pytestmark = pytest.mark.skipif(
    bool(URL) or PRIVATE != "leveret", reason="RabbitMQ's bound is a hundred times as high"
)
# It begins with what would lift PCRE's bound.
BARE = "^(a+)+$"
BOMB = f"(*LIMIT_MATCH=4000000000){BARE}"
NAMES = [f"{'a' * 240}{number}!" for number in range(300)]
EVERY = {"configure": ".*", "write": ".*", "read": ".*"}
SETTINGS = {
    "default_limits.vhosts.1.pattern": BOMB,
    "default_limits.vhosts.1.max_connections": 0,
    "default_policies.operator.bomb.vhost_pattern": BOMB,
    "default_policies.operator.bomb.queue_pattern": BOMB,
    "default_policies.operator.bomb.max_length": 1,
}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker with queues of these names, one of them with such messages, and a user."""
    with Leveret(settings=SETTINGS) as process:
        with Connection(process.url) as connection:
            channel = connection.channel()
            for name in NAMES:
                channel.send("queue.declare", queue=name, nowait=True)
            channel.sync()
            channel.fill(NAMES[0], *(name * 60 for name in NAMES))
        http(process, "PUT", "users/ann", {"password": "ann", "tags": ""})
        yield process


def _permission(broker: Broker) -> None:
    http(broker, "PUT", "permissions/%2F/ann", dict.fromkeys(EVERY, BOMB))
    with Connection(broker.url, user="ann", password="ann") as connection:
        channel = connection.channel()
        for name in NAMES[:30]:
            channel.send("basic.get", queue=name)
            assert "access to queue" in channel.expect_closed_with(403)
            channel.reopen()


def _topic_permission(broker: Broker) -> None:
    http(broker, "PUT", "permissions/%2F/ann", EVERY)
    body = {"exchange": "amq.topic", "write": f"{BOMB}|^{{username}}$", "read": BOMB}
    http(broker, "PUT", "topic-permissions/%2F/ann", body)
    with Connection(broker.url, user="ann", password="ann") as connection:
        channel = connection.channel()
        for key in NAMES[:30]:
            channel.publish("amq.topic", key)
            assert "access to topic" in channel.expect_closed_with(403)
            channel.reopen()


def _policy(kind: str) -> Callable[[Broker], None]:
    def set_policy(broker: Broker) -> None:
        body = {"pattern": BOMB, "definition": {"max-length": 5}, "apply-to": "queues"}
        http(broker, "PUT", f"{kind}/%2F/bomb", body)
        http(broker, "DELETE", f"{kind}/%2F/bomb")

    return set_policy


def _definitions(broker: Broker) -> None:
    policy = {"name": "bomb", "vhost": "/", "pattern": BOMB, "definition": {"max-length": 5}}
    http(broker, "POST", "definitions", {"policies": [policy]})
    http(broker, "DELETE", "policies/%2F/bomb")


def _list(what: str) -> Callable[[Broker], None]:
    def ask(broker: Broker) -> None:
        pattern = quote(BARE, safe="")  # which is made (?i), so it cannot begin otherwise
        answer: Any = http(broker, "GET", f"{what}?page=1&use_regex=true&name={pattern}")
        assert answer["filtered_count"] == 0

    return ask


def _search(broker: Broker) -> None:
    body = {"search": BOMB, "regex": True}
    assert http(broker, "POST", f"queues/%2F/{quote(NAMES[0])}/peek", body)["messages"] == []


def _settings(broker: Broker) -> None:
    for name in NAMES[:30]:
        http(broker, "PUT", f"vhosts/{quote(name)}", {})
        http(broker, "DELETE", f"vhosts/{quote(name)}")


PLACES = {
    "permission": _permission,
    "topic permission": _topic_permission,
    "policy": _policy("policies"),
    "operator policy": _policy("operator-policies"),
    "definitions": _definitions,
    "list of queues": _list("queues"),
    "list of a vhost's queues": _list("queues/%2F"),
    "search in messages": _search,
    "patterns of new vhosts": _settings,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_pattern_that_would_not_end(place: str, broker: Broker) -> None:
    """It matches nothing, and costs a bounded time."""
    PLACES[place](broker)
