"""The management API as HTTP: methods, CORS, names in paths, wrong bodies; on both brokers."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from conformance.brokers import REPOSITORY, Broker, broker_of
from conformance.conftest import PRIVATE, URL
from conformance.fields import RECORDED, Api

pytestmark = pytest.mark.skipif(URL is not None, reason="it needs a broker of its own")

MANUAL = REPOSITORY / "docs" / "management-api.md"
ORIGIN = "https://one.example"
JSON = {"Content-Type": "application/json"}
STRING = (
    "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?"
)


@pytest.fixture(scope="module")
def process() -> Iterator[Broker]:
    """A broker whose API pages of another site may use."""
    settings = {
        "management.cors.allow_origins.1": ORIGIN,
        "management.cors.max_age": 600,
        "management.csp.policy": "default-src 'self'",
        "management.hsts.policy": "max-age=60",
    }
    with broker_of(PRIVATE, settings, ["rabbitmq_management"]) as broker:
        yield broker


@pytest.fixture(scope="module")
def api(process: Broker) -> Api:
    """Its API, for guest."""
    return Api(f"http://guest:guest@127.0.0.1:{process.management_port}")


def words(header: str | None) -> set[str]:
    """The words of a header that is a list."""
    return {word.strip() for word in (header or "").split(",")} - {""}


def test_a_known_origin_may_send_what_a_form_sends(api: Api) -> None:
    """A page that CORS lets in may post without asking first, as a form does."""
    body = b'{"properties": {}, "routing_key": "x", "payload": "", "payload_encoding": "string"}'
    browser = {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}
    path = "/exchanges/%2F/amq.default/publish"
    assert api.ask("POST", path, body, headers=browser)[0] == 200


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/queues", {"HEAD", "GET", "OPTIONS"}),
        ("/queues/%2F/q", {"HEAD", "GET", "PUT", "DELETE", "OPTIONS"}),
        ("/queues/%2F/q/get", {"POST", "OPTIONS"}),
    ],
)
def test_a_preflight_of_a_known_origin(api: Api, path: str, methods: set[str]) -> None:
    """It needs no login, and is told the methods, for how long, and that credentials are fine."""
    status, _, headers = api.ask("OPTIONS", path, user=None, headers={"Origin": ORIGIN})
    assert status == 200
    assert methods <= words(headers["Allow"]) == words(headers["Access-Control-Allow-Methods"])
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert headers["Access-Control-Max-Age"] == "600"
    asked = {"Origin": ORIGIN, "Access-Control-Request-Headers": "authorization, x-reason"}
    _, _, headers = api.ask("OPTIONS", path, user=None, headers=asked)
    assert words(headers["Access-Control-Allow-Headers"]) == {"authorization", "x-reason"}


@pytest.mark.parametrize("origin", ["https://two.example", "null", None])
def test_other_origins_are_told_nothing(api: Api, origin: str | None) -> None:
    """No header allows their pages to read the answer."""
    sent = {} if origin is None else {"Origin": origin}
    for method in ("GET", "OPTIONS"):
        _, _, headers = api.ask(method, "/overview", headers=sent)
        assert not [name for name in headers if name.lower().startswith("access-control-")]
        assert "origin" in words(headers["Vary"])


def test_configured_headers_are_in_every_answer(api: Api) -> None:
    """Also in those that refuse."""
    for path, user in (("/overview", ""), ("/overview", None), ("/nothing", "")):
        _, _, headers = api.ask("GET", path, user=user, headers={"Origin": ORIGIN})
        assert headers["Content-Security-Policy"] == "default-src 'self'"
        assert headers["Strict-Transport-Security"] == "max-age=60"
        if user is not None:
            assert headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/queues"),
        ("PUT", "/queues/%2F/"),
        ("GET", "/queues/%2F/q/contents"),
        ("DELETE", "/exchanges/%2F/x/publish"),
        ("PUT", "/aliveness-test/%2F"),
        ("PATCH", "/nodes"),
    ],
)
def test_a_method_that_a_path_does_not_have(api: Api, method: str, path: str) -> None:
    """405, and Allow says which it has; a slash at the end means nothing."""
    status, answer, headers = api.ask(method, path)
    assert (status, answer) == (405, None)
    assert method not in words(headers["Allow"])
    assert "OPTIONS" in words(headers["Allow"])


def test_a_slash_at_the_end_means_nothing(api: Api) -> None:
    """A path is the same with and without it."""
    for path in ("/vhosts", "/users", "/queues/%2F", "/health/checks/alarms", "/users/guest"):
        assert api.ask("GET", f"{path}/")[0] == 200


def test_head_is_get_without_a_body(api: Api) -> None:
    """Its status and type are those of GET, also of what does not exist."""
    for path, status in (("/overview", 200), ("/queues/%2F/none", 404), ("/vhosts/%2F", 200)):
        answered, body, headers = api.ask("HEAD", path)
        assert (answered, body) == (status, None)
        assert headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a%2Fb", "a/b"),
        ("%C3%A9%E2%82%AC", "é€"),
        ("a+b", "a+b"),
        ("a%20%3F%23", "a ?#"),
        ("%2525", "%25"),
        ("n" * 255, "n" * 255),
    ],
)
def test_names_in_paths(api: Api, path: str, name: str) -> None:
    """Any name can be written in a path, by percent-encoding."""
    assert api.ask("PUT", f"/queues/%2F/{path}", {})[0] == 201
    assert api.get(f"/queues/%2F/{path}?columns=name") == {"name": name}
    assert name in [queue["name"] for queue in api.get("/queues/%2f?columns=name")]
    assert api.ask("DELETE", f"/queues/%2F/{path}")[0] == 204


def test_names_that_cannot_be(api: Api) -> None:
    """400 for what no AMQP client could say, or nobody can decode."""
    status, answer, _ = api.ask("PUT", f"/queues/%2F/{'n' * 256}", {})
    assert status == 400
    assert answer["reason"] == "queue should be less than 255 bytes, actually was 256\n"
    assert api.ask("PUT", "/queues/%2F/%zz", {})[0] == 400


PUTS: Mapping[str, Mapping[str, Any]] = {
    "/queues/%2F/w": {},
    "/exchanges/%2F/w": {},
    "/vhosts/w": {},
    "/users/w": {"tags": ""},
    "/permissions/%2F/guest": {"configure": "", "write": "", "read": ""},
    "/topic-permissions/%2F/guest": {"exchange": "", "write": "", "read": ""},
    "/policies/%2F/w": {"pattern": "", "definition": {"max-length": 1}},
    "/operator-policies/%2F/w": {"pattern": "", "definition": {"max-length": 1}},
    "/vhost-limits/%2F/max-queues": {"value": 1},
    "/user-limits/guest/max-channels": {"value": 1},
    "/global-parameters/w": {"value": 1},
    "/cluster-name": {"name": "w"},
}


@pytest.mark.parametrize("path", PUTS)
def test_bodies_that_are_no_objects(api: Api, path: str) -> None:
    """Neither other JSON nor what is no JSON is taken; null is an empty object."""
    for body, reason in (("{", "not_json"), ("[]", "not_json"), ("5", "not_json"), ('"x"', STRING)):
        status, answer, _ = api.ask("PUT", path, body.encode(), headers=JSON)
        assert (status, answer) == (400, {"error": "bad_request", "reason": reason})
    empty, of_null = (api.ask("PUT", path, body, headers=JSON)[:2] for body in (b"{}", b"null"))
    if path.endswith("/w"):
        api.ask("DELETE", path)
    assert of_null == (204 if empty[0] == 201 else empty[0], empty[1])


WRONG = {
    "/queues/%2F/w": {"durable": "x", "auto_delete": 5, "arguments": "x", "node": {}},
    "/exchanges/%2F/w": {"type": {}, "durable": [], "internal": "x", "arguments": 5},
    "/vhosts/w": {"tags": {}, "tracing": "x"},
    "/users/w": {"tags": 5, "password": [], "password_hash": 5},
    "/permissions/%2F/guest": {"configure": 5, "write": {}, "read": None},
    "/topic-permissions/%2F/guest": {"write": 5, "read": {}},
    "/policies/%2F/w": {"pattern": 5, "definition": 5, "priority": "x", "apply-to": 5},
    "/vhost-limits/%2F/max-queues": {"value": "x"},
    "/parameters/vhost-limits/%2F/limits": {"value": 5},
}


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [(path, key, value) for path, wrong in WRONG.items() for key, value in wrong.items()],
)
def test_values_of_the_wrong_kind(api: Api, path: str, key: str, value: Any) -> None:
    """They are refused and change nothing: 400 (RabbitMQ fails with a 500 for many)."""
    status, answer, _ = api.ask("PUT", path, {**PUTS.get(path, {}), key: value})
    assert status == 400 or (status, PRIVATE) == (500, "rabbitmq"), answer
    if path.endswith("/w"):
        assert api.ask("GET", path)[0] == 404


def test_limits_of_a_vhost_as_a_parameter(api: Api) -> None:
    """An empty list is no limits; what is refused is told as RabbitMQ writes terms for pages."""
    path = "/parameters/vhost-limits/%2F/limits"
    reason = 'Validation failed\n\nlimits not a list &lt;&lt;"x"&gt;&gt;\n'
    assert api.ask("PUT", path, {"value": "x"})[1]["reason"] == reason
    assert api.ask("PUT", path, {"value": []})[0] in (201, 204)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"payload": 5}, "payload_not_string"),
        ({"properties": {"priority": "x"}}, ["not_int", "priority"]),
        ({"properties": {"type": 5}}, ["not_string", "type"]),
        (
            {"properties": {"delivery_mode": 3}},
            "406 PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,3}",
        ),
        (
            {"properties": {"expiration": "x"}},
            "406 PRECONDITION_FAILED - invalid expiration 'x': no_integer",
        ),
        (
            {"properties": {"user_id": "x"}},
            "406 PRECONDITION_FAILED - user_id property set to 'x' but authenticated user was "
            "'guest'",
        ),
    ],
)
def test_messages_that_are_refused(api: Api, change: Mapping[str, Any], reason: Any) -> None:
    """What AMQP would refuse, with its text; what JSON says wrongly, with the name."""
    good = {"properties": {}, "routing_key": "q", "payload": "", "payload_encoding": "string"}
    status, answer, _ = api.ask("POST", "/exchanges/%2F/amq.fanout/publish", {**good, **change})
    assert (status, answer) == (400, {"error": "bad_request", "reason": reason})


def test_definitions_that_are_none(api: Api) -> None:
    """Nothing changes nothing; other JSON than an object is refused; the vhost has to exist."""
    assert api.ask("POST", "/definitions", b"", headers=JSON)[0] == 204
    status, answer, _ = api.ask("POST", "/definitions", b"[]", headers=JSON)
    assert (status, answer["reason"]) == (400, "failed_to_parse_json")
    status, answer, _ = api.ask("POST", "/definitions/none", {})
    assert (status, answer) == (404, {"error": "not_found", "reason": "vhost_not_found"})


def test_a_body_that_is_too_large(api: Api, process: Broker) -> None:
    """It is refused with 400, whatever else it is."""
    size = 21 << 20
    connection = http.client.HTTPConnection("127.0.0.1", process.management_port, timeout=20)
    headers = {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q=", "Content-Type": "application/json"}
    connection.request("POST", "/api/definitions", b'{"x":"' + b"x" * size + b'"}', headers)
    answer = connection.getresponse()
    assert answer.status == 400
    assert b"Exceeded HTTP request body size limit" in answer.read()
    connection.close()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("page=0", 400),
        ("page=-1", 400),
        ("page=1.5", 400),
        ("page=", 400),
        ("page=1&page_size=0", 400),
        ("page=1&page_size=x", 400),
        ("page=9", 400),
        ("page=1&name=(&use_regex=true", 400),
        ("page=1&name=(&use_regex=false", 200),
        ("page=1&sort=nothing&sort_reverse=true", 200),
        ("page=1&sort=message_stats.publish_details.rate", 200),
        ("columns=nothing", 200),
        ("disable_stats=true&enable_queue_totals=true", 200),
    ],
)
def test_queries(api: Api, query: str, status: int) -> None:
    """What makes no sense as a page is refused; unknown columns are no error."""
    assert api.ask("PUT", "/queues/%2F/listed", {})[0] in (201, 204)
    answered, answer, _ = api.ask("GET", f"/queues?{query}")
    assert (answered, "error" in answer) == (status, status == 400)


def test_deleting_with_conditions(api: Api) -> None:
    """A queue with messages is not deleted if it has to be empty; false is no condition."""
    assert api.ask("PUT", "/queues/%2F/full", {"durable": True})[0] == 201
    message = {"properties": {}, "routing_key": "full", "payload": "", "payload_encoding": "string"}
    assert api.ask("POST", "/exchanges/%2F/amq.default/publish", message)[1] == {"routed": True}
    status, answer, _ = api.ask("DELETE", "/queues/%2F/full?if-empty=true")
    assert (status, answer["reason"]) == (400, "queue 'full' in vhost '/' not empty")
    assert api.ask("DELETE", "/queues/%2F/full?if-empty=false&if-unused=false")[0] == 204


PATHS: Mapping[str, list[str]] = json.loads((RECORDED / "http_paths.json").read_text())
ABSENT: Mapping[str, str] = json.loads((RECORDED / "http_deviations.json").read_text())["paths"]


@pytest.mark.skipif(PRIVATE == "rabbitmq", reason="many came with RabbitMQ 4, or with plugins")
@pytest.mark.parametrize("path", sorted(PATHS))
def test_every_path_of_rabbitmq_is_answered(api: Api, path: str) -> None:
    """With all its methods, but for those that docs/management-api.md says are absent, and why."""
    status, _, headers = api.ask("OPTIONS", re.sub(r"\{\w+\}", "x", path))
    if path in ABSENT:
        row = f"| `/api{path}` | {ABSENT[path]} |"
        assert (status, row in MANUAL.read_text().splitlines()) == (404, True)
    else:
        assert status == 200
        assert set(PATHS[path]) <= words(headers["Allow"])


@pytest.fixture(scope="module")
def strangers(api: Api) -> Mapping[str, str]:
    """Users with tags, and without permissions in the vhost /."""
    users = {"policymaker": "w_policies", "monitoring": "w_monitor", "management": "w_manager"}
    for tag, name in users.items():
        assert api.ask("PUT", f"/users/{name}", {"password": "p", "tags": tag})[0] in (201, 204)
    return {tag: f"{name}:p" for tag, name in users.items()}


def test_refused_as_in_amqp(api: Api, strangers: Mapping[str, str]) -> None:
    """Who may not publish or get is told what AMQP would say, of the exchange or queue."""
    user = strangers["management"]
    granted = {"configure": "", "write": "^none$", "read": "^none$"}
    assert api.ask("PUT", "/permissions/%2F/w_manager", granted)[0] in (201, 204)
    assert api.ask("PUT", "/queues/%2F/refused", {})[0] in (201, 204)
    message = {"properties": {}, "routing_key": "q", "payload": "", "payload_encoding": "string"}
    status, answer, _ = api.ask("POST", "/exchanges/%2F/amq.direct/publish", message, user=user)
    text = "ACCESS_REFUSED - access to {} '{}' in vhost '/' refused for user 'w_manager'"
    reason = f"403 {text.format('exchange', 'amq.direct')}"
    assert (status, answer) == (400, {"error": "bad_request", "reason": reason})
    taking = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    status, answer, _ = api.ask("POST", "/queues/%2F/refused/get", taking, user=user)
    reason = text.format("queue", "refused")
    assert (status, answer) == (401, {"error": "not_authorised", "reason": reason})
    api.ask("DELETE", "/permissions/%2F/w_manager")


LIMITS = {"value": {"max-queues": 1000}}
POLICY = {"pattern": "^nothing", "definition": {"max-length": 1}}
OBJECT = "User not authorised to access object"


@pytest.mark.parametrize("tag", ["policymaker", "monitoring", "management"])
@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("PUT", "/parameters/vhost-limits/%2F/limits", LIMITS, OBJECT),
        ("DELETE", "/parameters/vhost-limits/%2F/limits", None, OBJECT),
        ("GET", "/parameters/vhost-limits/%2F", None, OBJECT),
        ("PUT", "/policies/%2F/w", POLICY, OBJECT),
        ("DELETE", "/policies/%2F/w", None, OBJECT),
        ("PUT", "/cluster-name", {"name": "w"}, "Not administrator user"),
        ("POST", "/queues/%2F/w/actions", {"action": "sync"}, "Not administrator user"),
        ("PUT", "/vhost-limits/%2F/max-queues", {"value": 5}, "Not administrator user"),
    ],
)
def test_who_may_not(
    api: Api, strangers: Mapping[str, str], tag: str, method: str, path: str, body: Any, reason: str
) -> None:
    """A tag is not enough where permissions in the vhost are needed, or another tag."""
    status, answer, _ = api.ask(method, path, body, user=strangers[tag])
    assert (status, answer) == (401, {"error": "not_authorised", "reason": reason})
