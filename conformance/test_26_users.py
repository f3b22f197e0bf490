"""Users and definitions while the broker runs: what changes for open connections, what survives.

The management API of either broker makes the changes (``http`` here), so that what is expected of
connections can be held against RabbitMQ, and definitions can be carried to and fro between the two.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.brokers import Broker, Leveret, RabbitMQ, broker_of
from conformance.channel import Channel
from conformance.conftest import URL, Target
from conformance.wire import Connection

HTTP_TIMEOUT_S = 30.0
SEED: dict[str, Any] = {
    "vhosts": [{"name": "/"}, {"name": "dv"}],
    "users": [
        {"name": "guest", "password": "guest", "tags": "administrator"},
        {"name": "ann", "password": "sécret of ann", "tags": "management,own"},
        {"name": "ben", "password": "b", "tags": "", "limits": {"max-channels": 1}},
    ],
    "permissions": [
        {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
        {"user": "guest", "vhost": "dv", "configure": ".*", "write": ".*", "read": ".*"},
        {"user": "ann", "vhost": "dv", "configure": "^ann", "write": ".*", "read": "(?=d)"},
        {"user": "ben", "vhost": "dv", "configure": "", "write": "", "read": ""},
    ],
    "topic_permissions": [
        {"user": "ann", "vhost": "dv", "exchange": "dx", "write": "^{username}", "read": ""}
    ],
    "parameters": [
        {
            "vhost": "dv",
            "component": "operator_policy",
            "name": "op",
            "value": {
                "pattern": "^d",
                "definition": {"max-length": 9},
                "priority": 2,
                "apply-to": "queues",
            },
        },
        {
            "vhost": "dv",
            "component": "vhost-limits",
            "name": "limits",
            "value": {"max-connections": 50, "max-queues": 70},
        },
    ],
    "global_parameters": [{"name": "own", "value": {"a": [1, "x"]}}],
    "policies": [
        {
            "vhost": "dv",
            "name": "p",
            "pattern": "^d(?!no)",
            "apply-to": "all",
            "definition": {"dead-letter-exchange": "dx", "alternate-exchange": "amq.fanout"},
            "priority": -1,
        }
    ],
    "exchanges": [
        {
            "vhost": "dv",
            "name": name,
            "type": kind,
            "durable": True,
            "auto_delete": False,
            "internal": internal,
            "arguments": arguments,
        }
        for name, kind, internal, arguments in (
            ("dx", "topic", False, {}),
            ("dh", "headers", True, {"alternate-exchange": "dx"}),
        )
    ],
    "queues": [
        {
            "vhost": "dv",
            "name": name,
            "durable": True,
            "auto_delete": False,
            "arguments": arguments,
        }
        for name, arguments in (
            ("dq", {"x-max-priority": 3, "x-dead-letter-exchange": "dx", "x-odd": [1, True]}),
            ("dquorum", {"x-queue-type": "quorum"}),
            ("dé", {}),
        )
    ],
    "bindings": [
        {
            "vhost": "dv",
            "source": source,
            "destination": destination,
            "destination_type": kind,
            "routing_key": key,
            "arguments": arguments,
        }
        for source, destination, kind, key, arguments in (
            ("dx", "dq", "queue", "a.*.#", {}),
            ("dh", "dé", "queue", "", {"x-match": "any", "n": 5, "s": "t"}),
            ("amq.topic", "dx", "exchange", "é", {}),
        )
    ],
}


def http(broker: Broker, method: str, path: str, body: Any = None) -> Any:
    """Ask the management API as guest; the answer's JSON, if it has any."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{broker.management_port}/api/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": "Basic " + base64.b64encode(b"guest:guest").decode(),
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as response:
        octets = response.read()
    return json.loads(octets) if octets else None


def managed(kind: str, directory: Path, definitions: dict[str, Any]) -> Broker:
    """A broker with definitions and a management API."""
    path = directory / "definitions.json"
    path.write_text(json.dumps(definitions))
    return broker_of(kind, {"load_definitions": str(path)}, ["rabbitmq_management"])


def await_management(broker: Broker) -> Broker:
    """RabbitMQ serves HTTP a moment later than AMQP."""
    deadline = time.monotonic() + HTTP_TIMEOUT_S
    while True:
        try:
            http(broker, "GET", "whoami")
            return broker
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "no management API"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def seeded(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with the definitions above."""
    if URL:
        pytest.skip("users cannot be made at a foreign broker")
    with managed(target.kind, tmp_path_factory.mktemp("users"), SEED) as broker:
        yield await_management(broker)


# -- open connections ------------------------------------------------------------------


@pytest.fixture
def cyd(seeded: Broker) -> Iterator[Channel]:
    """A channel of a user of its own, who may do everything in a vhost of its own."""
    http(seeded, "PUT", "vhosts/cv", {})
    http(seeded, "PUT", "users/cyd", {"password": "c", "tags": ""})
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    for user in ("cyd", "guest"):
        http(seeded, "PUT", f"permissions/cv/{user}", every)
    with Connection(seeded.url, user="cyd", password="c", vhost="cv") as connection:
        yield connection.channel()
    for path in ("users/cyd", "vhosts/cv"):
        with contextlib.suppress(urllib.error.HTTPError):  # a test may have deleted it
            http(seeded, "DELETE", path)


def test_a_user_that_is_deleted_is_disconnected(seeded: Broker, cyd: Channel) -> None:
    """The connection is closed with 320, and what the user declared for all stays."""
    cyd.declare("cq", durable=True)
    http(seeded, "DELETE", "users/cyd")
    text = "CONNECTION_FORCED - user 'cyd' is deleted"
    cyd.connection.expect_connection_close(320, text)
    with pytest.raises(AssertionError, match="ACCESS_REFUSED"):
        Connection(seeded.url, user="cyd", password="c", vhost="cv")
    with Connection(seeded.url, vhost="cv") as connection:
        assert connection.channel().counts("cq") == (0, 0)


def test_a_vhost_that_is_deleted_is_left(seeded: Broker, cyd: Channel) -> None:
    """Its connections are closed with 320; a vhost of that name made again is empty."""
    cyd.declare("cq", durable=True)
    http(seeded, "DELETE", "vhosts/cv")
    close = cyd.connection.expect("connection.close", reply_code=320)
    # RabbitMQ says one or the other, as it happens.
    allowed = ["is deleted"] if isinstance(seeded, Leveret) else ["is deleted", "is down"]
    assert close.args["reply_text"] in [f"CONNECTION_FORCED - vhost 'cv' {why}" for why in allowed]
    cyd.connection.drop()
    http(seeded, "PUT", "vhosts/cv", {})
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    http(seeded, "PUT", "permissions/cv/guest", every)
    with Connection(seeded.url, vhost="cv") as connection:
        channel = connection.channel()
        channel.send("queue.declare", queue="cq", passive=True)
        assert channel.expect_closed_with(404) == "NOT_FOUND - no queue 'cq' in vhost 'cv'"


def test_a_password_that_is_changed(seeded: Broker, cyd: Channel) -> None:
    """Open connections stay, the old password lets nobody in."""
    http(seeded, "PUT", "users/cyd", {"password": "new", "tags": ""})
    cyd.sync()
    with pytest.raises(AssertionError, match="ACCESS_REFUSED"):
        Connection(seeded.url, user="cyd", password="c", vhost="cv")
    Connection(seeded.url, user="cyd", password="new", vhost="cv").close()


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("vhost-limits/cv", "access to vhost 'cv' refused for user 'cyd': connection limit"),
        ("user-limits/cyd", "connection refused for user 'cyd': user connection limit"),
    ],
)
def test_limits_of_connections(limit: str, text: str, seeded: Broker, cyd: Channel) -> None:
    """They bound new connections and close none."""
    http(seeded, "PUT", f"{limit}/max-connections", {"value": 1})
    with Connection(seeded.url, user="cyd", password="c", vhost="cv", stage="tuned") as connection:
        connection.send("connection.open", virtual_host="cv")
        told = f"NOT_ALLOWED - {text} (1) is reached"
        connection.expect_connection_close(530, told, 10, 40)
    cyd.sync()
    http(seeded, "DELETE", f"{limit}/max-connections")


def test_a_limit_of_channels(seeded: Broker) -> None:
    """One channel more than the user may have closes the connection."""
    with Connection(seeded.url, user="ben", password="b", vhost="dv") as connection:
        connection.channel(1)
        connection.send("channel.open", channel=2)
        connection.expect_connection_close(
            530,
            "NOT_ALLOWED - number of channels opened for user 'ben' has reached the maximum "
            "allowed user limit of (1)",
        )


# -- definitions -----------------------------------------------------------------------

NOT_COMPARED = ("vhosts", "global_parameters")  # each broker has something of its own there


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """What two brokers should agree on, in one order."""
    sections = {
        section: sorted(
            (strip(value) for value in values),
            key=lambda value: json.dumps(value, sort_keys=True),
        )
        for section, values in document.items()
        if isinstance(values, list) and section not in NOT_COMPARED
    }
    return {**sections, "vhosts": sorted(vhost["name"] for vhost in document["vhosts"])}


def strip(value: dict[str, Any]) -> dict[str, Any]:
    """A definition without what one of them leaves out."""
    return {key: item for key, item in value.items() if key != "type" or "internal" in value}


def as_seeded(broker: Broker) -> None:
    """The users log in with their passwords and may do what they might before."""
    with Connection(broker.url, user="ann", password="sécret of ann", vhost="dv") as connection:
        channel = connection.channel()
        channel.publish("dx", "ann.a.b")
        channel.sync()
        channel.get_empty("dq")
        for queue, code in (("dé", 0), ("x", 403)):
            channel.send("basic.get", queue=queue)
            if code:
                assert "access to queue" in channel.expect_closed_with(code)
                channel.reopen()
            else:
                channel.expect("basic.get-empty")
        channel.publish("dx", "ben.a")
        assert "access to topic 'ben.a'" in channel.expect_closed_with(403)
    with pytest.raises(AssertionError, match="ACCESS_REFUSED"):
        Connection(broker.url, user="ann", password="another", vhost="dv")
    with Connection(broker.url, vhost="dv") as connection:
        channel = connection.channel()
        channel.call("confirm.select")
        channel.publish("dx", "a.b", mandatory=True)
        for number in range(10):
            channel.publish("", "dq", str(number))
        channel.publish("amq.topic", "é")
        channel.expect_confirms(*range(1, 13))
        assert channel.counts("dq")[0] == 9  # by the operator policy
        channel.call("queue.purge", queue="dq")
        arguments = {"x-max-priority": 3, "x-dead-letter-exchange": "dx", "x-odd": [1, True]}
        channel.declare("dq", durable=True, arguments=arguments)
        channel.call(
            "exchange.declare",
            exchange="dh",
            exchange_type="headers",
            durable=True,
            internal=True,
            arguments={"alternate-exchange": "dx"},
        )


def test_definitions_are_taken_as_they_are(seeded: Broker) -> None:
    """What was loaded holds, and is exported as it was, but passwords."""
    as_seeded(seeded)
    exported = http(seeded, "GET", "definitions")
    expected = comparable({**SEED, "users": [], "vhosts": exported["vhosts"]})
    assert comparable({**exported, "users": []}) == expected
    assert "secret" not in json.dumps(exported)


@pytest.mark.parametrize(
    ("definitions", "status"),
    [
        ({"vhosts": [{"name": "no"}], "queues": [{"vhost": "dv", "name": "no"}, 5]}, 400),
        ({"users": [{"name": "no", "password_hash": "***", "tags": ""}]}, 400),
        ({"permissions": [{"user": "no", "vhost": "dv"}]}, 400),
    ],
)
def test_faults_in_definitions_are_told(
    definitions: dict[str, Any], status: int, seeded: Broker, target: Target
) -> None:
    """The answer is 400; of Leveret, with the place of the fault and without any effect."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        http(seeded, "POST", "definitions", definitions)
    if target.is_leveret:
        assert caught.value.code == status
        section = list(definitions)[-1]
        assert f"{section}[" in json.loads(caught.value.read())["reason"]
        assert "no" not in [vhost["name"] for vhost in http(seeded, "GET", "vhosts")]


def test_everything_survives_a_kill(target: Target, tmp_path: Path) -> None:
    """What operators set is on the disk when they have the answer."""
    if target.kind != "fast":
        pytest.skip("RabbitMQ makes no such promise, and the fast path has no part in it")
    with managed(target.kind, tmp_path, SEED) as broker:
        await_management(broker)
        http(broker, "PUT", "users/dan", {"password": "d", "tags": "own"})
        every = {"configure": ".*", "write": ".*", "read": ".*"}
        http(broker, "PUT", "permissions/dv/dan", every)
        http(broker, "DELETE", "users/ben")
        before = http(broker, "GET", "definitions")
        broker.kill()
        (tmp_path / "definitions.json").write_text("{}")
        broker.start()
        assert http(await_management(broker), "GET", "definitions") == before
        Connection(broker.url, user="dan", password="d", vhost="dv").close()


def test_the_default_user_is_for_a_new_broker(target: Target, tmp_path: Path) -> None:
    """On a data directory that is not empty the settings make no user, and change no password."""
    if URL or target.kind == "slow":
        pytest.skip("one broker of our own suffices")
    kind = RabbitMQ if target.kind == "rabbitmq" else Leveret
    for password in ("first", "second"):
        settings = {"default_user": "eve", "default_pass": password, "default_vhost": password}
        with kind(tmp_path, settings) as broker:
            Connection(broker.url, user="eve", password="first", vhost="first").close()
            with pytest.raises(AssertionError, match="ACCESS_REFUSED"):
                Connection(broker.url, user="eve", password="second", vhost="first")
            with pytest.raises(AssertionError, match="ACCESS_REFUSED"):
                Connection(broker.url)  # as guest
        if target.is_rabbitmq:
            return  # its next node has another name, and with it other data
