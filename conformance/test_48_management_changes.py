"""Changes over HTTP: who made them, what refuses them, and what they cannot do. Only Leveret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.brokers import Broker, Leveret
from conformance.conftest import PRIVATE, URL
from conformance.fields import Api
from conformance.wire import Connection

pytestmark = pytest.mark.skipif(
    URL is not None or PRIVATE != "leveret", reason="only Leveret has these, or all of them"
)
PREFIX = "behind/proxy"  # without the slash that an operator may forget
AUDITOR = "c_auditor:p"
MADE: list[tuple[str, str, Any, str]] = [
    ("PUT", "/vhosts/c", None, "vhost.declare"),
    ("PUT", "/vhosts/c", {"description": "d"}, "vhost_metadata.set"),
    ("PUT", "/vhosts/c", {"default_queue_type": "quorum"}, "default_queue_type.set"),
    ("PUT", "/vhosts/c", {"tracing": True}, "vhost.trace"),
    ("POST", "/vhosts/c/deletion/protection", None, "vhost_metadata.set"),
    ("DELETE", "/vhosts/c/deletion/protection", None, "vhost_metadata.set"),
    ("PUT", "/users/c_user", {"password": "secret", "tags": ""}, "user.set"),
    ("PUT", "/user-limits/c_user/max-channels", {"value": 5}, "user.set"),
    (
        "PUT",
        "/permissions/c/c_user",
        {"configure": "", "write": "", "read": ""},
        "permission.set",
    ),
    (
        "PUT",
        "/topic-permissions/c/c_user",
        {"exchange": "amq.topic", "write": "", "read": ""},
        "topic_permission.set",
    ),
    ("DELETE", "/topic-permissions/c/c_user", None, "topic_permission.clear"),
    ("DELETE", "/permissions/c/c_user", None, "permission.clear"),
    (
        "PUT",
        "/policies/c/p",
        {"pattern": "^a", "definition": {"max-length": 5}},
        "policy.set",
    ),
    ("DELETE", "/policies/c/p", None, "policy.delete"),
    (
        "PUT",
        "/operator-policies/c/p",
        {"pattern": "^a", "definition": {"max-length": 5}},
        "operator_policy.set",
    ),
    ("DELETE", "/operator-policies/c/p", None, "operator_policy.delete"),
    ("PUT", "/vhost-limits/c/max-queues", {"value": 5}, "vhost_limits.set"),
    ("PUT", "/parameters/shovel/c/s", {"value": {"src-uri": "secret"}}, "parameter.set"),
    ("DELETE", "/parameters/shovel/c/s", None, "parameter.clear"),
    ("PUT", "/global-parameters/c", {"value": "secret"}, "global_parameter.set"),
    ("DELETE", "/global-parameters/c", None, "global_parameter.clear"),
    ("DELETE", "/queues/%2F/c.audited/contents", None, "queue.purge"),
    ("POST", "/queues/%2F/c.audited/delete-messages", {"all": True}, "queue.delete_messages"),
    (
        "POST",
        "/queues/%2F/c.audited/move",
        {"all": True, "destination": {"queue": "c.audited"}},
        "queue.move",
    ),
    ("DELETE", "/connections/username/guest", None, "connection.close"),
    ("PUT", "/traces/c/t", {"format": "json", "pattern": "#"}, "trace.start"),
    ("DELETE", "/traces/c/t", None, "trace.stop"),
    ("POST", "/definitions", {"vhosts": [{"name": "c_imported"}]}, "vhost.declare"),
    ("DELETE", "/vhosts/c_imported", None, "vhost.delete"),
    ("POST", "/users/bulk-delete", {"users": ["c_user"]}, "user.delete"),
    ("DELETE", "/vhosts/c", None, "vhost.delete"),
]


@pytest.fixture(scope="module")
def process() -> Iterator[Broker]:
    """A broker whose API is below a prefix."""
    with Leveret(settings={"management.path_prefix": PREFIX}) as broker:
        yield broker


@pytest.fixture(scope="module")
def api(process: Broker) -> Api:
    """Its API, for guest."""
    api = Api(f"http://guest:guest@127.0.0.1:{process.management_port}")
    api.origin += f"/{PREFIX}"
    return api


def test_the_audit_log_names_who_changed_what(api: Api, process: Broker) -> None:
    """Each change over HTTP is a line with the caller's name, and none has a secret in it."""
    api.ask("PUT", "/users/c_auditor", {"password": "p", "tags": "administrator"})
    api.ask("PUT", "/permissions/%2F/c_auditor", {"configure": "", "write": ".*", "read": ".*"})
    api.ask("PUT", "/queues/%2F/c.audited", {})
    with Connection(process.url):
        after = api.get("/logs")["last"]
        for method, path, body, _ in MADE:
            status, answer, _ = api.ask(method, path, body, user=AUDITOR)
            assert status in (200, 201, 204), (method, path, answer)
    lines = api.get(f"/logs?after={after}")["lines"]
    audited = [json.loads(line["message"]) for line in lines if line["category"] == "audit"]
    assert {line["by"] for line in audited} == {"c_auditor"}
    told = iter([line["event"] for line in audited])
    assert [event for _, _, _, event in MADE if event not in told] == []  # in this order
    assert "secret" not in json.dumps(lines)
    api.ask("DELETE", "/users/c_auditor")
    api.ask("DELETE", "/queues/%2F/c.audited")


def test_only_administrators_close_others_connections(api: Api, process: Broker) -> None:
    """A monitor sees whose they are, and closes only its own."""
    api.ask("PUT", "/users/c_monitor", {"password": "p", "tags": "monitoring"})
    path, monitor = "/connections/username/guest", "c_monitor:p"
    with Connection(process.url) as connection:
        assert len(api.ask("GET", path, user=monitor)[1]) == 1
        assert api.ask("DELETE", path, user=monitor)[0] == 401
        connection.channel()
        assert api.ask("DELETE", path)[0] == 204
        connection.expect_connection_close(320, "CONNECTION_FORCED - Closed via management plugin")
    assert api.ask("DELETE", "/connections/username/c_monitor", user=monitor)[0] == 204
    api.ask("DELETE", "/users/c_monitor")


def test_a_protected_vhost_stays(api: Api) -> None:
    """DELETE is refused with 412 until the protection is lifted; definitions carry it."""
    assert api.ask("PUT", "/vhosts/c_safe", {"protected_from_deletion": True})[0] == 201
    assert api.get("/vhosts/c_safe")["metadata"]["protected_from_deletion"] is True
    status, answer, _ = api.ask("DELETE", "/vhosts/c_safe")
    assert (status, answer["error"]) == (412, "precondition_failed")
    (exported,) = [row for row in api.get("/definitions")["vhosts"] if row["name"] == "c_safe"]
    assert exported["metadata"]["protected_from_deletion"] is True
    assert api.ask("DELETE", "/vhosts/c_safe/deletion/protection")[0] == 204
    assert api.ask("DELETE", "/vhosts/c_safe")[0] == 204
    assert api.ask("POST", "/vhosts/c_none/deletion/protection")[0] == 404


def test_shovels_do_not_pretend_to_run(api: Api) -> None:
    """Their parameters are kept; they are listed as terminated, and cannot be restarted."""
    value = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}
    assert api.get("/shovels") == []
    assert api.ask("PUT", "/parameters/shovel/%2F/c", {"value": value})[0] == 201
    (shown,) = api.get("/shovels/%2F")
    assert (shown["name"], shown["vhost"], shown["state"]) == ("c", "/", "terminated")
    assert "no effect" in shown["reason"]
    assert api.ask("DELETE", "/shovels/vhost/%2F/c/restart")[0] == 400
    assert api.ask("DELETE", "/shovels/vhost/%2F/c")[0] == 204
    assert api.get("/parameters/shovel") == []


def test_http_passes_the_firehose(api: Api, process: Broker) -> None:
    """What is published and got over HTTP is traced, with the user who did it."""
    api.ask("PUT", "/vhosts/%2F", {"tracing": True})
    with Connection(process.url) as connection:
        channel = connection.channel()
        traced = channel.declare("c.traced")
        channel.call("queue.bind", queue=traced, exchange="amq.rabbitmq.trace", routing_key="#")
        api.ask("PUT", "/queues/%2F/c.queue", {})
        message = {"properties": {}, "payload": "x", "payload_encoding": "string"}
        body = {**message, "routing_key": "c.queue"}
        assert api.ask("POST", "/exchanges/%2F/amq.default/publish", body)[1] == {"routed": True}
        taking = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
        assert len(api.ask("POST", "/queues/%2F/c.queue/get", taking)[1]) == 1
        keys = []
        for _ in range(2):
            copy = channel.get(traced)
            assert copy.props["headers"]["user"] == {"S": "guest"}
            keys.append(copy.method["routing_key"])
        assert keys == ["publish.", "deliver.c.queue"]
    api.ask("PUT", "/vhosts/%2F", {"tracing": False})
    api.ask("DELETE", "/queues/%2F/c.queue")


def test_answers_do_not_tell_versions(api: Api) -> None:
    """Neither those of the page nor errors say which libraries serve them."""
    for path, user in (("/overview", ""), ("/overview", None), ("/none", ""), ("/../", None)):
        assert api.ask("GET", path, user=user)[2]["Server"] == "Leveret"


def test_settings_as_text(api: Api) -> None:
    """/api/config/effective has a line for each setting, for administrators, without secrets."""
    status, octets, headers = api.ask("GET", "/config/effective")
    assert (status, headers.get_content_type()) == (200, "text/plain")
    assert f"management.path_prefix = {PREFIX}" in octets.decode().splitlines()
    api.ask("PUT", "/users/c_monitor", {"password": "p", "tags": "monitoring"})
    assert api.ask("GET", "/config/effective", user="c_monitor:p")[0] == 401
    api.ask("DELETE", "/users/c_monitor")
