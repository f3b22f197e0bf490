"""Traces: what passes a vhost, written to files that the management API lists. On both brokers."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.brokers import Broker, broker_of
from conformance.conftest import PRIVATE, URL
from conformance.fields import Api
from conformance.wire import Connection

pytestmark = pytest.mark.skipif(URL is not None, reason="it needs a broker of its own")

PATIENCE_S = 10.0
RABBITMQ = PRIVATE == "rabbitmq"


@pytest.fixture(scope="module")
def process() -> Iterator[Broker]:
    """A broker that can trace."""
    plugins = ["rabbitmq_management", "rabbitmq_tracing"]
    with broker_of(PRIVATE, {}, plugins) as broker:
        yield broker


@pytest.fixture(scope="module")
def api(process: Broker) -> Api:
    """Its API, for guest."""
    return Api(f"http://guest:guest@127.0.0.1:{process.management_port}")


@pytest.fixture
def name(process: Broker, request: pytest.FixtureRequest, api: Api) -> Iterator[str]:
    """A name for a trace; RabbitMQ's files lie in a directory of all brokers of the machine."""
    found = f"{request.node.name.partition('[')[0]}-{process.port}"
    yield found
    api.ask("DELETE", f"/traces/%2F/{found}")
    api.ask("DELETE", f"/trace-files/{found}.log")


def start(api: Api, name: str, **settings: Any) -> None:
    """Start a trace."""
    status, answer, _ = api.ask("PUT", f"/traces/%2F/{name}", {"format": "json", **settings})
    assert status == 201, answer


def written(api: Api, name: str, count: int, separator: bytes = b"\n") -> bytes:
    """A file once it has so many records."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        _, octets, _ = api.ask("GET", f"/trace-files/{name}.log")
        text = json.dumps(octets).encode() + b"\n" if isinstance(octets, dict) else octets or b""
        if text.count(separator) >= count:
            return bytes(text)
        assert time.monotonic() < deadline, text
        time.sleep(0.1)


def test_a_trace_tells_of_publishes_and_deliveries(api: Api, name: str, process: Broker) -> None:
    """Each is a line of JSON: who, where, which queues, properties and the payload, cut off."""
    start(api, name, pattern="#", max_payload_bytes=4)
    with Connection(process.url) as connection:
        channel = connection.channel()
        queue = channel.declare("traced")
        channel.publish("", queue, "payload", headers={"a": {"I": 1}}, content_type="text/plain")
        channel.get(queue, no_ack=True)
        port = connection.sock.getsockname()[1]
    lines = written(api, name, 2).splitlines()
    published, received = (json.loads(line) for line in lines)
    for record in (published, received):
        del record["timestamp"], record["node"]
        assert str(port) in record.pop("connection")
        assert base64.b64decode(record.pop("payload")) == b"payl"
    common = {
        "channel": 1,
        "exchange": "",
        "properties": {"headers": {"a": 1}, "content_type": "text/plain"},
        "routing_keys": ["traced"],
        "user": "guest",
        "vhost": "/",
    }
    assert published == {
        **common,
        "type": "published",
        "queue": "none",
        "routed_queues": ["traced"],
    }
    assert received == {**common, "type": "received", "queue": "traced", "routed_queues": "none"}


@pytest.mark.skipif(RABBITMQ, reason="RabbitMQ's trace fails at such a message")
def test_other_messages_are_no_trace(api: Api, name: str, process: Broker) -> None:
    """What comes to the exchange of traces by a binding is not written, and stops nothing."""
    start(api, name, pattern="#")
    with Connection(process.url) as connection:
        channel = connection.channel()
        where = {"source": "amq.fanout", "destination": "amq.rabbitmq.trace"}
        channel.call("exchange.bind", **where)
        channel.publish("amq.fanout", "key", "x")
        channel.sync()
        channel.call("exchange.unbind", **where)
        channel.publish("amq.direct", "last", "x")
        channel.sync()
    records = [json.loads(line) for line in written(api, name, 2).splitlines()]
    assert [record["exchange"] for record in records] == ["amq.fanout", "amq.direct"]


def test_text_is_for_people(api: Api, name: str) -> None:
    """The other format has a line for each fact, and the payload as it is; HTTP is traced too."""
    start(api, name, pattern="publish.amq.topic", format="text")
    message = {"properties": {}, "payload": "héllo", "payload_encoding": "string"}
    for exchange in ("amq.fanout", "amq.topic"):
        body = {**message, "routing_key": "key"}
        assert api.ask("POST", f"/exchanges/%2F/{exchange}/publish", body)[0] == 200
    text = written(api, name, 1, b"Payload:").decode()
    assert text.count("Message published") == 1
    for line in ("Virtual host: /", "User:         guest", "Exchange:     amq.topic"):
        assert f"\n{line}\n" in text
    assert "\nPayload: \nhéllo\n" in text


def test_traces_and_files_are_listed(api: Api, name: str) -> None:
    """A trace has its settings and its queue; the vhost is traced until the last one ends."""
    start(api, name, pattern="deliver.#", max_payload_bytes=10)
    (shown,) = [row for row in api.get("/traces/%2F") if row["name"] == name]
    assert shown["queue"]["name"].startswith("amq.gen-")
    settings = {key: shown[key] for key in ("vhost", "format", "pattern", "max_payload_bytes")}
    assert settings == {
        "vhost": "/",
        "format": "json",
        "pattern": "deliver.#",
        "max_payload_bytes": 10,
    }
    assert api.get(f"/traces/%2F/{name}")["name"] == name
    node = api.get("/overview?columns=node")["node"]
    assert api.get(f"/traces/node/{node}/%2F/{name}")["name"] == name
    assert {"name": f"{name}.log", "size": 0} in api.get("/trace-files")
    assert api.get("/vhosts/%2F")["tracing"] is True
    assert api.ask("DELETE", f"/traces/%2F/{name}")[0] == 204
    assert api.get("/vhosts/%2F")["tracing"] is False
    assert api.ask("GET", f"/traces/%2F/{name}")[0] == 404
    assert {"name": f"{name}.log", "size": 0} in api.get("/trace-files")
    assert api.ask("DELETE", f"/trace-files/{name}.log")[0] == 204
    assert api.ask("GET", f"/trace-files/{name}.log")[0] == 404


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "[{key_missing,format},{key_missing,pattern}]"),
        ({"format": "xml", "pattern": "#"}, "format not json or text"),
        (
            {"format": "text", "pattern": "#", "max_payload_bytes": "x"},
            "max_payload_bytes not integer",
        ),
    ],
)
def test_settings_that_are_refused(api: Api, name: str, body: Any, reason: str) -> None:
    """No trace, and no file."""
    status, answer, _ = api.ask("PUT", f"/traces/%2F/{name}", body)
    assert (status, answer) == (400, {"error": "bad_request", "reason": reason})
    assert api.ask("GET", f"/traces/%2F/{name}")[0] == 404


@pytest.mark.skipif(RABBITMQ, reason="RabbitMQ follows slashes out of the directory")
def test_names_stay_in_the_directory(api: Api, process: Broker) -> None:
    """The name of a trace cannot lead elsewhere, and only files of traces are read."""
    for path in ("..%2Fescaped", "a%2Fb", "%00"):
        status, _, _ = api.ask("PUT", f"/traces/%2F/{path}", {"format": "text", "pattern": "#"})
        assert status == 400
    for path in ("..%2Flog", "..", "%2Fetc%2Fpasswd"):
        assert api.ask("GET", f"/trace-files/{path}")[0] == 404
    assert not list(process.data_dir.rglob("escaped*"))


@pytest.mark.skipif(RABBITMQ, reason="RabbitMQ goes on with a trace of a vhost that is gone")
def test_a_trace_ends_with_its_vhost(api: Api, name: str) -> None:
    """What was written stays."""
    assert api.ask("PUT", "/vhosts/t_gone")[0] == 201
    body = {"format": "json", "pattern": "#"}
    assert api.ask("PUT", f"/traces/t_gone/{name}", body)[0] == 201
    assert api.ask("DELETE", "/vhosts/t_gone")[0] == 204
    assert api.get("/traces") == []
    assert f"{name}.log" in [row["name"] for row in api.get("/trace-files")]
