"""Who may do what: every method with every missing permission, and topic permissions.

The matrix is made from ``CASES``: for each method the permissions it asks for, in order. Users are
made so that each lacks something: whole permissions, or one permission on one object. What a user
sees must be the refusal of the first permission it lacks, or none. ``CONFORMANCE_BROKER=rabbitmq``
holds the same table against RabbitMQ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conformance.brokers import Broker
from conformance.channel import Channel
from conformance.codec import Method
from conformance.conftest import URL, Target, private_broker
from conformance.wire import Connection

CONFIGURE, WRITE, READ = KINDS = ("configure", "write", "read")
Name = tuple[str, str]  # kind of object, and its name or how that begins

Q, X, Y = ("queue", "pm.q"), ("exchange", "pm.x"), ("exchange", "pm.y")
NO_Q, NO_X = ("queue", "pm.no-q"), ("exchange", "pm.no-x")
GENERATED, NEW_Q, NEW_X = ("queue", "amq.gen"), ("queue", "pm.new-q"), ("exchange", "pm.new-x")
DEFAULT, INTERNAL = ("exchange", "amq.default"), ("exchange", "pm.internal")
RESERVED_Q, RESERVED_X = ("queue", "amq.pm"), ("exchange", "amq.pm")


class Case(NamedTuple):
    """One method: how it is sent, what it asks for, and its class and method id.

    ``otherwise`` is the text if it is refused to those, too, who have all permissions: behind the
    check of so many (``behind``).
    """

    ids: tuple[int, int]
    send: Callable[[Channel], None]
    checks: tuple[tuple[str, Name], ...]
    otherwise: str | None = None
    behind: int = 0


def _sends(method: str, **args: Any) -> Callable[[Channel], None]:
    return lambda ch: ch.send(method, **args)


def _sends_of_last(method: str, **args: Any) -> Callable[[Channel], None]:
    """Send it for the queue "", which is the one last declared."""

    def send(ch: Channel) -> None:
        ch.send("queue.declare", queue=Q[1], passive=True, nowait=True)
        ch.send(method, queue="", **args)

    return send


def _publishes(exchange: str, **args: Any) -> Callable[[Channel], None]:
    def publish(ch: Channel) -> None:
        ch.publish(exchange, "nowhere", **args)
        ch.send("channel.flow", active=True)  # its answer shows that nothing was refused

    return publish


# What would succeed is made to fail later, or concerns something that is not there, so that no case
# changes anything for the next one.
BAD = {"x-message-ttl": -1}
NOT_DEFAULT = "operation not permitted on the default exchange"
CASES = {
    "exchange.declare": Case(
        (40, 10),
        _sends("exchange.declare", exchange=X[1], exchange_type="direct"),
        ((CONFIGURE, X),),
    ),
    "exchange.declare passive": Case(
        (40, 10), _sends("exchange.declare", exchange=X[1], passive=True), ()
    ),
    "exchange.declare alternate": Case(
        (40, 10),
        _sends(
            "exchange.declare",
            exchange=NEW_X[1],
            exchange_type="direct",
            auto_delete=True,
            arguments={"alternate-exchange": Y[1]},
        ),
        ((CONFIGURE, NEW_X), (READ, NEW_X), (WRITE, Y)),
    ),
    "exchange.delete": Case(
        (40, 20), _sends("exchange.delete", exchange=NO_X[1]), ((CONFIGURE, NO_X),)
    ),
    "exchange.bind": Case(
        (40, 30),
        _sends("exchange.bind", destination=Y[1], source=X[1]),
        ((WRITE, Y), (READ, X)),
    ),
    "exchange.bind missing": Case(
        (40, 30),
        _sends("exchange.bind", destination=NO_X[1], source=X[1]),
        ((WRITE, NO_X), (READ, X)),
    ),
    "exchange.unbind": Case(
        (40, 40),
        _sends("exchange.unbind", destination=Y[1], source=X[1], routing_key="other"),
        ((WRITE, Y), (READ, X)),
    ),
    "queue.declare": Case((50, 10), _sends("queue.declare", queue=Q[1]), ((CONFIGURE, Q),)),
    "queue.declare passive": Case((50, 10), _sends("queue.declare", queue=Q[1], passive=True), ()),
    "queue.declare generated": Case(
        (50, 10), _sends("queue.declare", arguments=BAD), ((CONFIGURE, GENERATED),)
    ),
    "queue.declare dead-letter": Case(
        (50, 10),
        _sends(
            "queue.declare",
            queue=NEW_Q[1],
            arguments={"x-dead-letter-exchange": Y[1], **BAD},
        ),
        ((CONFIGURE, NEW_Q), (READ, NEW_Q), (WRITE, Y)),
    ),
    "queue.delete": Case((50, 40), _sends("queue.delete", queue=NO_Q[1]), ((CONFIGURE, NO_Q),)),
    "queue.bind": Case(
        (50, 20), _sends("queue.bind", queue=Q[1], exchange=X[1]), ((WRITE, Q), (READ, X))
    ),
    "queue.bind missing": Case(
        (50, 20),
        _sends("queue.bind", queue=NO_Q[1], exchange=NO_X[1]),
        ((WRITE, NO_Q), (READ, NO_X)),
    ),
    "queue.unbind": Case(
        (50, 50),
        _sends("queue.unbind", queue=Q[1], exchange=X[1], routing_key="other"),
        ((WRITE, Q), (READ, X)),
    ),
    "queue.purge": Case((50, 30), _sends("queue.purge", queue=Q[1]), ((READ, Q),)),
    "basic.get": Case((60, 70), _sends("basic.get", queue=Q[1]), ((READ, Q),)),
    "basic.get missing": Case((60, 70), _sends("basic.get", queue=NO_Q[1]), ((READ, NO_Q),)),
    "basic.consume": Case((60, 20), _sends("basic.consume", queue=Q[1]), ((READ, Q),)),
    "basic.publish": Case((60, 40), _publishes(X[1]), ((WRITE, X),)),
    "basic.publish default": Case((60, 40), _publishes(""), ((WRITE, DEFAULT),)),
    "basic.publish missing": Case((60, 40), _publishes(NO_X[1]), ((WRITE, NO_X),)),
    "basic.publish internal": Case(
        (60, 40),
        _publishes(INTERNAL[1]),
        ((WRITE, INTERNAL),),
        "cannot publish to internal exchange 'pm.internal' in vhost '/'",
        behind=1,
    ),
    "queue.purge missing": Case((50, 30), _sends("queue.purge", queue=NO_Q[1]), ((READ, NO_Q),)),
    "basic.consume missing": Case(
        (60, 20), _sends("basic.consume", queue=NO_Q[1]), ((READ, NO_Q),)
    ),
    "queue.bind last": Case(
        (50, 20), _sends_of_last("queue.bind", exchange=X[1]), ((WRITE, Q), (READ, X))
    ),
    "queue.unbind last": Case(
        (50, 50),
        _sends_of_last("queue.unbind", exchange=X[1], routing_key="other"),
        ((WRITE, Q), (READ, X)),
    ),
    "queue.purge last": Case((50, 30), _sends_of_last("queue.purge"), ((READ, Q),)),
    "basic.get last": Case((60, 70), _sends_of_last("basic.get"), ((READ, Q),)),
    "basic.consume last": Case((60, 20), _sends_of_last("basic.consume"), ((READ, Q),)),
    "queue.declare dead-letter missing": Case(
        (50, 10),
        _sends(
            "queue.declare",
            queue=NEW_Q[1],
            arguments={"x-dead-letter-exchange": NO_X[1], **BAD},
        ),
        ((CONFIGURE, NEW_Q), (READ, NEW_Q), (WRITE, NO_X)),
    ),
    "queue.declare dead-letter default": Case(
        (50, 10),
        _sends("queue.declare", queue=NEW_Q[1], arguments={"x-dead-letter-exchange": "", **BAD}),
        ((CONFIGURE, NEW_Q), (READ, NEW_Q), (WRITE, DEFAULT)),
    ),
    "queue.declare reserved": Case(
        (50, 10),
        _sends("queue.declare", queue=RESERVED_Q[1]),
        ((CONFIGURE, RESERVED_Q),),
        "queue name 'amq.pm' contains reserved prefix 'amq.*'",
    ),
    "exchange.declare reserved": Case(
        (40, 10),
        _sends("exchange.declare", exchange=RESERVED_X[1], exchange_type="direct"),
        ((CONFIGURE, RESERVED_X),),
        "exchange name 'amq.pm' contains reserved prefix 'amq.*'",
        behind=1,
    ),
    "exchange.delete reserved": Case(
        (40, 20),
        _sends("exchange.delete", exchange="amq.direct"),
        ((CONFIGURE, ("exchange", "amq.direct")),),
        "deletion of system exchange 'amq.direct' in vhost '/' not allowed",
    ),
    "exchange.declare default": Case(
        (40, 10),
        _sends("exchange.declare", exchange="", exchange_type="direct"),
        ((CONFIGURE, DEFAULT),),
        NOT_DEFAULT,
    ),
    "exchange.delete default": Case(
        (40, 20), _sends("exchange.delete", exchange=""), ((CONFIGURE, DEFAULT),), NOT_DEFAULT
    ),
    "queue.bind default": Case(
        (50, 20),
        _sends("queue.bind", queue=Q[1], exchange=""),
        ((WRITE, Q), (READ, DEFAULT)),
        NOT_DEFAULT,
        behind=1,
    ),
    "queue.unbind default": Case(
        (50, 50),
        _sends("queue.unbind", queue=Q[1], exchange=""),
        ((WRITE, Q), (READ, DEFAULT)),
        NOT_DEFAULT,
        behind=1,
    ),
    "exchange.bind default": Case(
        (40, 30),
        _sends("exchange.bind", destination=Y[1], source=""),
        ((WRITE, Y), (READ, DEFAULT)),
        NOT_DEFAULT,
        behind=1,
    ),
    "exchange.bind to default": Case(
        (40, 30),
        _sends("exchange.bind", destination="", source=X[1]),
        ((WRITE, DEFAULT), (READ, X)),
        NOT_DEFAULT,
        behind=1,
    ),
    "basic.qos": Case((60, 10), _sends("basic.qos", prefetch_count=1), ()),
    "basic.cancel": Case((60, 30), _sends("basic.cancel", consumer_tag="none"), ()),
    "basic.recover": Case((60, 110), _sends("basic.recover", requeue=True), ()),
}

LACKS: list[frozenset[tuple[str, str]]] = [  # (permission, beginning of the name) of each user
    *(
        frozenset((kind, "") for kind, has in zip(KINDS, each, strict=True) if not has)
        for each in product((True, False), repeat=3)
    ),
    *sorted(
        {frozenset({(kind, name)}) for case in CASES.values() for kind, (_, name) in case.checks},
        key=sorted,
    ),
]


def _pattern(lacks: frozenset[tuple[str, str]], permission: str) -> str:
    """A pattern for all names but those; it needs a lookahead, as operators write them."""
    names = [re.escape(name) for kind, name in lacks if kind == permission]
    return f"^(?!{'|'.join(names)})" if names else ".*"


def user(number: int, tags: str = "") -> dict[str, Any]:
    """A user of the definitions, whose password is the name."""
    return {"name": f"pm-{number}", "password": f"pm-{number}", "tags": tags}


def definitions() -> dict[str, Any]:
    """Users of the matrix, guest, and two users with topic permissions."""
    every = dict.fromkeys(KINDS, ".*")
    numbers = range(len(LACKS))
    topic = {"vhost": "/", "exchange": "pm.topic"}
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {"name": "guest", "password": "guest", "tags": "administrator"},
            {"name": "ann", "password": "ann", "tags": ""},
            {"name": "ben", "password": "ben", "tags": ""},
            {"name": "cat", "password": "cat", "tags": ""},
            {"name": "d.n", "password": "d.n", "tags": ""},
            *(user(number) for number in numbers),
        ],
        "permissions": [
            *({"user": name, "vhost": "/", **every} for name in ("guest", "ann", "ben", "d.n")),
            {"user": "cat", "vhost": "/"} | dict.fromkeys(KINDS, r"^(pm\.cat|amq\.default)$"),
            *(
                {"user": f"pm-{number}", "vhost": "/"}
                | {kind: _pattern(LACKS[number], kind) for kind in KINDS}
                for number in numbers
            ),
        ],
        "topic_permissions": [
            {"user": "ann", **topic, "write": r"^{username}\.", "read": "^ok$"},
            {"user": "ben", **topic, "write": "", "read": "^{vhost}"},
            {"user": "d.n", **topic, "write": "^{client_id}$", "read": "^{username}-{vhost}-{x}$"},
        ],
        "policies": [
            {
                "name": "letters",
                "vhost": "/",
                "pattern": r"^pm\.cat$",
                "apply-to": "queues",
                "priority": 0,
                "definition": {"dead-letter-exchange": Y[1], "max-length": 1},
            }
        ],
        "queues": [
            {"name": "pm.letters", "vhost": "/", "durable": True, "auto_delete": False}
            | {"arguments": {}}
        ],
        "bindings": [
            {"vhost": "/", "source": Y[1], "destination": "pm.letters", "routing_key": "pm.cat"}
            | {"destination_type": "queue", "arguments": {}}
        ],
        "exchanges": [
            {"name": name, "vhost": "/", "type": kind, "durable": False, "auto_delete": False}
            | {"internal": name == INTERNAL[1], "arguments": {}}
            for name, kind in (
                ("pm.x", "direct"),
                ("pm.y", "direct"),
                ("pm.topic", "topic"),
                (INTERNAL[1], "direct"),
            )
        ],
    }


@pytest.fixture(scope="module")
def guarded(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with these users."""
    if URL:
        pytest.skip("users cannot be made at a foreign broker")
    directory = tmp_path_factory.mktemp("permissions")
    path = directory / "definitions.json"
    path.write_text(json.dumps(definitions()))
    settings = {"load_definitions": str(path)}
    with (
        private_broker(target.kind, Path(directory, "plugins"), settings) as process,
        Connection(process.url) as connection,
    ):
        connection.channel().declare(Q[1])
        yield process


def refusal(user_name: str, kind: str, name: str) -> str:
    """What a client is told."""
    place = f"{kind} '{name}' in vhost '/'"
    return f"ACCESS_REFUSED - access to {place} refused for user '{user_name}'"


@pytest.mark.parametrize("number", range(len(LACKS)), ids=lambda n: str(sorted(LACKS[n])))
def test_every_method_with_a_missing_permission(number: int, guarded: Broker) -> None:
    """A method is refused for the first permission that it asks for and the user lacks."""
    lacks, name = LACKS[number], f"pm-{number}"
    seen, expected = {}, {}
    with Connection(guarded.url, user=name, password=name) as connection:
        channel = connection.channel()
        for title, case in CASES.items():
            case.send(channel)
            event = channel.next()
            assert isinstance(event, Method)
            if event.name == "channel.close":
                text = re.sub(r"amq\.gen-[\w-]+", "amq.gen", event["reply_text"])
                refused = event["reply_code"] == 403
                ids = (event["class_id"], event["method_id"])
                seen[title] = (ids, text) if refused else None
                channel.send("channel.close-ok")
                channel.reopen()
            else:
                seen[title] = None
            expected[title] = expectation(case, lacks, name)
    with Connection(guarded.url) as connection:
        connection.channel().call("exchange.delete", exchange=NEW_X[1])
    assert seen == expected


def expectation(
    case: Case, lacks: frozenset[tuple[str, str]], user_name: str
) -> tuple[tuple[int, int], str] | None:
    """What a user sees who lacks these permissions."""
    refusals = [
        refusal(user_name, kind, object_name)
        if any(p == permission and object_name.startswith(n) for p, n in lacks)
        else None
        for permission, (kind, object_name) in case.checks
    ]
    if case.otherwise is not None:
        refusals.insert(case.behind, f"ACCESS_REFUSED - {case.otherwise}")
    missing = [text for text in refusals if text is not None]
    return (case.ids, missing[0]) if missing else None


def topic_refusal(user_name: str, key: str) -> str:
    """What a client is told about a routing key."""
    place = f"topic '{key}' in exchange 'pm.topic' in vhost '/'"
    return f"ACCESS_REFUSED - access to {place} refused for user '{user_name}'"


@pytest.mark.parametrize(
    ("name", "key", "may_write", "may_read"),
    [
        ("ann", "ann.1", True, False),
        ("ann", "ben.1", False, False),
        ("ann", "ok", False, True),
        ("ann", "", False, False),
        ("ben", "", True, False),
        ("ben", "/x", False, True),
        ("guest", "anything", True, True),
        ("d.n", "{client_id}", True, False),  # only MQTT has such an id
        ("d.n", "d.n-/-{x}", False, True),
        ("d.n", "dan-/-{x}", False, True),  # a name is put in as it is, as a pattern
    ],
)
def test_topic_permissions(
    name: str, key: str, may_write: bool, may_read: bool, guarded: Broker
) -> None:
    """They bound routing keys of publishes and bindings, with the user's name and vhost in them."""
    with Connection(guarded.url, user=name, password=name) as connection:
        channel = connection.channel()
        channel.publish("pm.topic", key)
        channel.publish("pm.x", key)  # no topic exchange: any key
        channel.send("channel.flow", active=True)
        if may_write:
            channel.expect("channel.flow-ok")
        else:
            channel.expect_channel_close(403, topic_refusal(name, key), 60, 40)
            channel.reopen()
        for method, ids, args in (
            ("queue.bind", (50, 20), {"queue": Q[1], "exchange": "pm.topic"}),
            ("queue.unbind", (50, 50), {"queue": Q[1], "exchange": "pm.topic"}),
            ("exchange.bind", (40, 30), {"destination": Y[1], "source": "pm.topic"}),
            ("exchange.unbind", (40, 40), {"destination": Y[1], "source": "pm.topic"}),
        ):
            channel.send(method, routing_key=key, **args)
            if may_read:
                channel.expect(f"{method}-ok")
            else:
                channel.expect_channel_close(403, topic_refusal(name, key), *ids)
                channel.reopen()


def test_in_a_transaction(guarded: Broker) -> None:
    """A publish is refused when it is sent, not at the commit; nothing else is published."""
    with Connection(guarded.url, user="ann", password="ann") as connection:
        channel = connection.channel()
        channel.call("queue.purge", queue=Q[1])
        channel.call("tx.select")
        channel.publish("", Q[1], "first")
        channel.publish("pm.topic", "ben.1")
        channel.send("tx.commit")
        channel.expect_channel_close(403, topic_refusal("ann", "ben.1"), 60, 40)
        channel.reopen()
        channel.get_empty(Q[1])


def test_keys_of_copies_are_not_checked(guarded: Broker) -> None:
    """Topic permissions are about the routing key; CC and BCC are the publisher's own affair."""
    with Connection(guarded.url, user="ann", password="ann") as connection:
        channel = connection.channel()
        channel.publish("pm.topic", "ann.1", headers={"CC": ["ben.1"]})
        channel.sync()


def test_dead_letters_by_policy(guarded: Broker) -> None:
    """Where dead letters go by policy is the operator's affair: the user needs no permission."""
    with Connection(guarded.url, user="cat", password="cat") as connection:
        channel = connection.channel()
        channel.declare("pm.cat", exclusive=True)
        channel.fill("pm.cat", "1", "2")
        channel.sync()
    with Connection(guarded.url) as connection:
        channel = connection.channel()
        channel.consume("pm.letters", no_ack=True)
        assert [letter.text for letter in channel.deliveries(1)] == ["1"]
