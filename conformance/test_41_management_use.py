"""The management API in use: lists, messages, statistics, closing, permissions. On both brokers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conformance.brokers import Broker, broker_of
from conformance.conftest import PRIVATE, URL
from conformance.fields import Api
from conformance.wire import Connection

pytestmark = pytest.mark.skipif(URL is not None, reason="it needs a broker of its own")

PATIENCE_S = 10.0
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


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


@pytest.fixture
def connection(process: Broker) -> Iterator[Connection]:
    """A client."""
    with Connection(process.url) as connection:
        yield connection


@pytest.fixture
def queue(api: Api, request: pytest.FixtureRequest) -> Iterator[str]:
    """A durable queue."""
    name = f"u.{request.node.name.split('[')[0]}"
    assert api.ask("PUT", f"/queues/%2F/{name}", {"durable": True})[0] == 201
    yield name
    api.ask("DELETE", f"/queues/%2F/{name}")


def eventually(look: Callable[[], Any]) -> Any:
    """The first truth that ``look`` finds."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)
    return found


def publish(api: Api, queue: str, payload: str, **properties: Any) -> None:
    """Publish to a queue over HTTP."""
    body = {
        "properties": properties,
        "routing_key": queue,
        "payload": payload,
        "payload_encoding": "string",
    }
    status, answer, _ = api.ask("POST", "/exchanges/%2F/amq.default/publish", body)
    assert (status, answer) == (200, {"routed": True})


def get(api: Api, queue: str, ackmode: str = "ack_requeue_false", count: int = 10) -> list[Any]:
    """Get from a queue over HTTP."""
    body = {"count": count, "ackmode": ackmode, "encoding": "auto"}
    status, answer, _ = api.ask("POST", f"/queues/%2F/{queue}/get", body)
    assert status == 200, answer
    return list(answer)


def test_pages_partition_a_list(api: Api, queue: str) -> None:
    """The pages of a list have each item once, in order, and say how many there are."""
    names = [f"{queue}.{number}" for number in range(7)]
    for name in names:
        assert api.ask("PUT", f"/queues/%2F/{name}", {})[0] == 201
    found = []
    for page in (1, 2, 3):
        answer = api.get(f"/queues/%2F?page={page}&page_size=3&name={queue}.&columns=name")
        counts = {key: answer[key] for key in ("filtered_count", "page", "page_count", "page_size")}
        assert counts == {"filtered_count": 7, "page": page, "page_count": 3, "page_size": 3}
        assert answer["item_count"] == len(answer["items"])
        found += [item["name"] for item in answer["items"]]
    assert found == names
    for name in names:
        api.ask("DELETE", f"/queues/%2F/{name}")


def test_lists_are_sorted_and_filtered(api: Api, queue: str) -> None:
    """A list is sorted by any column, either way; its names are filtered by text or expression."""
    for number, count in enumerate((2, 3, 1)):
        name = f"{queue}.{number}"
        assert api.ask("PUT", f"/queues/%2F/{name}", {})[0] == 201
        for _ in range(count):
            publish(api, name, "x")

    def shown(query: str) -> list[Any]:
        items = api.get(f"/queues?page=1&columns=name,messages&{query}")["items"]
        return [(item["name"][-1], item.get("messages")) for item in items]

    query = f"name=^{queue}\\.[0-9]$&use_regex=true"
    eventually(lambda: sorted(shown(query)) == [("0", 2), ("1", 3), ("2", 1)])
    assert shown(f"{query}&sort=messages") == [("2", 1), ("0", 2), ("1", 3)]
    assert shown(f"{query}&sort=messages&sort_reverse=true") == [("1", 3), ("0", 2), ("2", 1)]
    in_order = [("2", 1), ("0", 2), ("1", 3)]
    eventually(lambda: shown(f"{query}&sort=message_stats.publish") == in_order)
    assert [name for name, _ in shown(f"name={queue.upper()}.1")] == ["1"]
    for number in range(3):
        api.ask("DELETE", f"/queues/%2F/{queue}.{number}")


def test_messages_over_http_are_messages(api: Api, queue: str, connection: Connection) -> None:
    """What is published over HTTP is consumed over AMQP as it was written, and the other way."""
    headers = {"a": 1, "b": "text", "c": [True, 1.5], "d": {"e": 2}}
    publish(api, queue, "héllo", content_type="text/plain", headers=headers, delivery_mode=2)
    channel = connection.channel()
    message = channel.get(queue)
    assert message.text == "héllo"
    assert message.props["content_type"] == "text/plain"
    channel.publish("", queue, b"\xff\x00", message_id="m1", priority=3)
    channel.sync()
    (answer,) = get(api, queue)
    assert (answer["payload"], answer["payload_encoding"]) == ("/wA=", "base64")
    assert answer["properties"] == {"message_id": "m1", "priority": 3}
    assert (answer["redelivered"], answer["message_count"]) == (False, 0)


@pytest.mark.parametrize("ackmode", ["ack_requeue_true", "reject_requeue_true"])
def test_got_messages_come_back(api: Api, queue: str, ackmode: str) -> None:
    """A message that was got to be requeued keeps its place and is redelivered."""
    for payload in "abc":
        publish(api, queue, payload)
    assert [one["payload"] for one in get(api, queue, ackmode)] == ["a", "b", "c"]
    again = get(api, queue)
    assert [(one["payload"], one["redelivered"]) for one in again] == [
        ("a", True),
        ("b", True),
        ("c", True),
    ]
    assert get(api, queue) == []


def test_statistics_follow_what_happens(api: Api, queue: str, connection: Connection) -> None:
    """Counters of queue and channel grow with publishes, deliveries and acks; there are rates."""
    channel = connection.channel()
    channel.consume(queue)
    for _ in range(10):
        channel.publish("", queue, "x", delivery_mode=2)
    tags = [one["delivery_tag"] for one in channel.deliveries(10)]
    channel.send("basic.ack", delivery_tag=tags[6], multiple=True)
    wanted = {"publish": 10, "deliver": 10, "deliver_get": 10, "ack": 7, "redeliver": 0}

    def counted() -> bool:
        shown = api.get(f"/queues/%2F/{queue}")
        stats = shown.get("message_stats", {})
        lengths = [shown.get(f"messages{kind}") for kind in ("", "_ready", "_unacknowledged")]
        return {name: stats.get(name) for name in wanted} == wanted and lengths == [3, 0, 3]

    eventually(counted)
    query = "msg_rates_age=60&msg_rates_incr=5&lengths_age=60&lengths_incr=5"
    shown = api.get(f"/queues/%2F/{queue}?{query}")
    samples = shown["message_stats"]["publish_details"]["samples"]
    times = [sample["timestamp"] for sample in samples]
    assert times == [times[0] - 5000 * number for number in range(13)]


def test_a_connection_can_be_closed(api: Api, process: Broker) -> None:
    """DELETE of a connection closes it with 320 and the reason given."""
    with Connection(process.url) as connection:
        port = connection.sock.getsockname()[1]

        def name() -> Any:
            rows = api.get("/connections")
            return next((one["name"] for one in rows if one.get("peer_port") == port), None)

        path = eventually(name).replace(" ", "%20").replace(">", "%3E")
        reason = {"X-Reason": "maintenance"}
        assert api.ask("DELETE", f"/connections/{path}", headers=reason)[0] == 204
        connection.expect_connection_close(320, "CONNECTION_FORCED - maintenance")


def test_permissions_hold_over_http(api: Api, queue: str) -> None:
    """What a user may not do over AMQP it may not do over HTTP."""
    api.ask("PUT", "/users/u_limited", {"password": "p", "tags": "management"})
    api.ask("PUT", "/permissions/%2F/u_limited", {"configure": "^ok", "write": "", "read": "^ok"})
    body = {"properties": {}, "routing_key": queue, "payload": "x", "payload_encoding": "string"}
    taking = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    for method, path, content in (
        ("PUT", "/queues/%2F/new", {}),
        ("DELETE", f"/queues/%2F/{queue}", None),
        ("DELETE", f"/queues/%2F/{queue}/contents", None),
        ("PUT", "/exchanges/%2F/new", {"type": "direct"}),
        ("POST", f"/bindings/%2F/e/amq.topic/q/{queue}", {}),
        ("POST", f"/queues/%2F/{queue}/get", taking),
        ("POST", "/exchanges/%2F/amq.topic/publish", body),
    ):
        status, answer, _ = api.ask(method, path, content, user="u_limited:p")
        assert status in (400, 401, 403), (method, path, status, answer)
    assert api.ask("PUT", "/queues/%2F/ok.new", {}, user="u_limited:p")[0] == 201
    api.ask("DELETE", "/queues/%2F/ok.new")
    api.ask("DELETE", "/users/u_limited")


def test_definitions_come_back(api: Api) -> None:
    """What was exported restores what was deleted, a user's password included."""
    api.ask("PUT", "/vhosts/u_defs")
    api.ask("PUT", "/users/u_defs", {"password": "secret", "tags": "monitoring"})
    api.ask("PUT", "/permissions/u_defs/u_defs", EVERYTHING)
    api.ask("PUT", "/permissions/u_defs/guest", EVERYTHING)
    arguments = {"x-message-ttl": 60000, "x-max-length": 5}
    api.ask("PUT", "/queues/u_defs/q", {"durable": True, "arguments": arguments})
    api.ask("PUT", "/exchanges/u_defs/x", {"type": "topic", "durable": True})
    binding = {"routing_key": "a.#", "arguments": {"k": "v"}}
    api.ask("POST", "/bindings/u_defs/e/x/q/q", binding)
    exported = api.get("/definitions")
    api.ask("DELETE", "/vhosts/u_defs")
    api.ask("DELETE", "/users/u_defs")
    assert api.ask("POST", "/definitions", exported)[0] == 204
    assert api.get("/queues/u_defs/q?columns=arguments")["arguments"] == arguments
    (found,) = [one for one in api.get("/bindings/u_defs") if one["source"]]
    assert (found["routing_key"], found["arguments"]) == ("a.#", {"k": "v"})
    assert api.ask("GET", "/whoami", user="u_defs:secret")[1]["name"] == "u_defs"
    api.ask("DELETE", "/vhosts/u_defs")
    api.ask("DELETE", "/users/u_defs")
