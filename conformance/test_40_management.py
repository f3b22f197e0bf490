"""The management API: answers and fields as recorded with RabbitMQ 3.10.8.

``recorded/http_answers.json`` are requests, changes and errors, in the order in which they were
made; ``recorded/http_fields.json`` the fields of each GET. Where Leveret differs on purpose, the
reason stands in ``recorded/http_deviations.json``, and a deviation that no longer differs fails.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.brokers import Broker, broker_of
from conformance.conftest import PRIVATE, URL
from conformance.fields import RECORDED, Api, expanded, flatten, missing, recorded_fields
from conformance.wire import CLIENT_PROPERTIES, Connection

pytestmark = pytest.mark.skipif(URL is not None, reason="it needs a broker of its own")

SETTLED_S = 10.0  # how long RabbitMQ may take to show its statistics
USERS = {"h_mgmt": "management", "h_mon": "monitoring", "h_pol": "policymaker", "h_none": ""}
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
DEVIATIONS = json.loads((RECORDED / "http_deviations.json").read_text())
IS_RABBITMQ = PRIVATE == "rabbitmq"


@pytest.fixture(scope="module")
def process() -> Iterator[Broker]:
    """A broker with its management API, which samples often."""
    settings = {"collect_statistics_interval": "300"}
    with broker_of(PRIVATE, settings, ["rabbitmq_management"]) as broker:
        yield broker


@pytest.fixture(scope="module")
def api(process: Broker) -> Api:
    """Its API, for guest."""
    return Api(f"http://guest:guest@127.0.0.1:{process.management_port}")


def make(api: Api, path: str, body: Any = None) -> None:
    """PUT or POST something that has to succeed."""
    method = "POST" if path.startswith("/bindings") else "PUT"
    status, answer, _ = api.ask(method, path, body)
    assert status in (201, 204), (path, status, answer)


def test_recorded_answers(api: Api) -> None:
    """Every recorded request gets the recorded status, and an error its recorded body."""
    node = api.get("/overview?columns=node")["node"]
    make(api, "/vhosts/bv")
    make(api, "/permissions/bv/guest", EVERYTHING)
    for user, tags in USERS.items():
        make(api, f"/users/{user}", {"password": "p", "tags": tags})
        make(api, f"/permissions/%2F/{user}", EVERYTHING)
    make(api, "/exchanges/%2F/live.direct", {"type": "direct", "durable": True})
    make(api, "/queues/%2F/live.classic", {"durable": True})
    make(api, "/bindings/%2F/e/live.direct/q/live.classic", {})
    with Connection(_amqp(api)) as connection:
        connection.channel().consume("live.classic")
        faults = _replayed(api, node)
    expected = {} if IS_RABBITMQ else DEVIATIONS["answers"]
    assert sorted(faults) == sorted(expected), json.dumps(
        {title: faults.get(title) for title in faults.keys() ^ expected.keys()}, indent=1
    )


def _amqp(api: Api) -> str:
    listeners = api.get("/overview")["listeners"]
    port = next(one["port"] for one in listeners if one["protocol"] == "amqp")
    return f"amqp://guest:guest@127.0.0.1:{port}/%2F"


def _replayed(api: Api, node: str) -> dict[str, str]:
    """The recorded requests, made again: what was answered otherwise, by title."""
    faults = {}
    for case in json.loads((RECORDED / "http_answers.json").read_text()):
        method, path = case["request"].replace("{node}", node).split(" ", 1)
        headers = {}
        if case.get("authorization"):
            headers["Authorization"] = case["authorization"]
        if "accept" in case:
            headers["Accept"] = case["accept"]
        user = f"{case['user']}:p" if "user" in case else ""
        body = case.get("body")
        status, answer, _ = api.ask(
            method,
            path.removeprefix("/api"),
            body.encode() if isinstance(body, str) else body,
            user=None if "authorization" in case else user,
            headers=headers,
        )
        expected = case.get("error", case.get("answer", None if "empty" in case else answer))
        if status != case["status"] or answer != expected:
            faults[case["title"]] = f"{status} {answer!r} instead of {case['status']} {expected!r}"
    return faults


@pytest.fixture(scope="module")
def scene(api: Api) -> Iterator[dict[str, str]]:
    """Something of everything, in use: what the paths of the recorded fields name."""
    make(api, "/users/f_user", {"password": "p", "tags": "monitoring"})
    make(api, "/permissions/%2F/f_user", EVERYTHING)
    make(api, "/topic-permissions/%2F/f_user", {"exchange": "amq.topic", "write": "", "read": ""})
    make(api, "/user-limits/f_user/max-channels", {"value": 50})
    make(api, "/vhost-limits/%2F/max-connections", {"value": 100})
    make(api, "/global-parameters/f_parameter", {"value": {"a": 1}})
    policy = {"pattern": "^f\\.", "definition": {"max-length": 1000}, "apply-to": "all"}
    make(api, "/policies/%2F/f_policy", policy)
    make(api, "/operator-policies/%2F/f_operator", {**policy, "apply-to": "queues"})
    make(api, "/exchanges/%2F/f.exchange", {"type": "direct", "durable": True})
    make(api, "/exchanges/%2F/f.bound", {"type": "fanout", "durable": True})
    for kind in ("classic", "quorum", "stream"):
        arguments = {"x-queue-type": kind}
        make(api, f"/queues/%2F/f.{kind}", {"durable": True, "arguments": arguments})
    make(api, "/bindings/%2F/e/f.exchange/q/f.classic", {"routing_key": "k", "arguments": {"x": 1}})
    make(api, "/bindings/%2F/e/f.exchange/q/f.quorum", {"routing_key": "k"})
    make(api, "/bindings/%2F/e/f.exchange/e/f.bound", {"routing_key": "k"})
    url = _amqp(api)
    named = {**CLIENT_PROPERTIES, "connection_name": {"S": "fields"}}
    with (
        Connection(url, user="f_user", password="p", client_properties=named) as publisher,
        Connection(url, client_properties=named) as consumer,
    ):
        _use(publisher, consumer)
        yield _names(api, publisher, consumer)


def _use(publisher: Connection, consumer: Connection) -> None:
    """Publish, return, drop, deliver, ack, redeliver, get and get nothing."""
    sending, taking = publisher.channel(), consumer.channel()
    sending.call("confirm.select")
    taking.call("basic.qos", prefetch_count=10)
    exclusive = taking.declare("f.exclusive", exclusive=True)
    acked = [taking.consume(queue) for queue in ("f.classic", "f.quorum")]
    taking.consume(exclusive, no_ack=True, exclusive=True)
    for _ in range(3):
        sending.publish("f.exchange", "k", "x", delivery_mode=2)
        sending.publish("f.exchange", "nowhere", "x")
    sending.publish("f.exchange", "nowhere", "x", mandatory=True)
    sending.publish("", "f.stream", "x", delivery_mode=2)
    sending.publish("", exclusive, "x")
    tags = [one["delivery_tag"] for one in taking.deliveries(7) if one["consumer_tag"] in acked]
    taking.send("basic.ack", delivery_tag=tags[0])
    taking.send("basic.nack", delivery_tag=tags[1], requeue=True)
    taking.deliveries(1)
    with_gets = consumer.channel(2)
    queue = with_gets.declare("f.get")
    with_gets.fill(queue, "a")
    with_gets.get(queue)
    with_gets.get_empty(queue)


def _names(api: Api, publisher: Connection, consumer: Connection) -> dict[str, str]:
    """What stands in the braces of recorded paths."""
    deadline = time.monotonic() + SETTLED_S
    connection: dict[str, str] = {}
    ends = [(publisher, "publisher"), (consumer, "consumer")]
    while len(connection) < 2 and time.monotonic() < deadline:
        ports = {one.sock.getsockname()[1]: name for one, name in ends}
        for row in api.get("/connections"):
            if row.get("peer_port") in ports:
                connection[ports[row["peer_port"]]] = row["name"]
        time.sleep(0.1)
    return {
        "node": api.get("/overview")["node"],
        "vhost": "/",
        "user": "f_user",
        "policy": "f_policy",
        "operator_policy": "f_operator",
        "exchange": "f.exchange",
        "destination": "f.bound",
        "connection": connection["consumer"],
        "consuming": f"{connection['consumer']} (1)",
        "publishing": f"{connection['publisher']} (1)",
        **{kind: f"f.{kind}" for kind in ("classic", "quorum", "stream", "exclusive")},
    }


@pytest.mark.parametrize("template", sorted(recorded_fields()))
def test_recorded_fields(api: Api, scene: dict[str, str], template: str) -> None:
    """Every field that RabbitMQ has is there, with the same type."""
    recorded = recorded_fields()[template]
    allowed = {**DEVIATIONS["fields"].get(template, {}), **DEVIATIONS["fields"]["*"]}
    deadline = time.monotonic() + SETTLED_S
    while True:
        faults = missing(recorded, flatten(api.get(expanded(template, scene))))
        faults = [fault for fault in faults if not any(name in fault for name in allowed)]
        if not faults or time.monotonic() >= deadline:
            break
        time.sleep(0.2)
    assert not faults
