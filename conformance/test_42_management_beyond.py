"""What Leveret's management API has beyond RabbitMQ's: looking into queues, moving messages."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.brokers import Broker, Leveret, free_port, speaks_amqp
from conformance.certificates import Certificates
from conformance.conftest import PRIVATE, URL
from conformance.fields import Api
from conformance.wire import Connection

pytestmark = pytest.mark.skipif(
    URL is not None or PRIVATE != "leveret", reason="only Leveret has these"
)
SOURCE, DEAD, OTHER = "b.source", "b.dead", "b.other"


@pytest.fixture(scope="module", params=["memory", "disk"])
def process(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A Leveret; one keeps messages in memory, the other pages all out that it can."""
    paged_out = {"leveret.messages_in_memory_max": "0"}
    with Leveret(settings=paged_out if request.param == "disk" else {}) as broker:
        yield broker


@pytest.fixture
def api(process: Broker) -> Iterator[Api]:
    """Its API, with a queue that dead-letters into another one, and a third."""
    api = Api(f"http://guest:guest@127.0.0.1:{process.management_port}")
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD}
    for name, arguments in ((SOURCE, dead), (DEAD, {}), (OTHER, {})):
        declared = {"durable": True, "arguments": arguments}
        assert api.ask("PUT", f"/queues/%2F/{name}", declared)[0] == 201
    yield api
    for name in (SOURCE, DEAD, OTHER):
        api.ask("DELETE", f"/queues/%2F/{name}")


def post(api: Api, path: str, **body: Any) -> Any:
    """The answer to a POST to a queue that has to succeed."""
    status, answer, _ = api.ask("POST", f"/queues/%2F/{path}", body)
    assert status == 200, answer
    return answer


def fill(api: Api, queue: str, *payloads: str, **properties: Any) -> None:
    """Publish persistent messages to a queue."""
    for payload in payloads:
        body = {
            "properties": {"delivery_mode": 2, **properties},
            "routing_key": queue,
            "payload": payload,
            "payload_encoding": "string",
        }
        assert api.ask("POST", "/exchanges/%2F/amq.default/publish", body)[0] == 200


def peek(api: Api, queue: str, **body: Any) -> list[dict[str, Any]]:
    """The messages of a queue."""
    return list(post(api, f"{queue}/peek", **body)["messages"])


def payloads(api: Api, queue: str) -> list[str]:
    """Their payloads."""
    return [message["payload"] for message in peek(api, queue)]


def kill(api: Api, queue: str, count: int) -> None:
    """Reject messages, so that they are dead-lettered."""
    post(api, f"{queue}/get", count=count, ackmode="reject_requeue_false", encoding="auto")


def test_peeking_changes_nothing(api: Api, process: Broker) -> None:
    """What was looked at is delivered in the same order, not as redelivered."""
    fill(api, SOURCE, "a", "b", "c")
    for _ in range(2):
        assert payloads(api, SOURCE) == ["a", "b", "c"]
    with Connection(process.url) as connection:
        channel = connection.channel()
        got = [channel.get(SOURCE) for _ in range(3)]
    assert [(one.text, one["redelivered"]) for one in got] == [
        ("a", False),
        ("b", False),
        ("c", False),
    ]


def test_peeking_shows_what_came_back(api: Api) -> None:
    """A requeued message is shown at its place, as redelivered."""
    fill(api, SOURCE, "a", "b")
    post(api, f"{SOURCE}/get", count=1, ackmode="ack_requeue_true", encoding="auto")
    shown = [(one["payload"], one["redelivered"]) for one in peek(api, SOURCE)]
    assert shown == [("a", True), ("b", False)]


def test_who_holds_what_is_shown(api: Api, process: Broker) -> None:
    """What is delivered and not settled is listed with its holder, what is held longest first."""
    fill(api, SOURCE, "a", "b", "c")
    with Connection(process.url) as connection:
        channel = connection.channel()
        channel.call("basic.qos", prefetch_count=1)
        channel.consume(SOURCE, consumer_tag="slow")
        channel.deliveries(1)
        channel.get(SOURCE, no_ack=False)
        answer = api.get(f"/queues/%2F/{SOURCE}/unacked")
        held = [(one["payload"], one["consumer_tag"]) for one in answer["messages"]]
        assert (held, answer["total"]) == ([("a", "slow"), ("b", "")], 2)
        assert answer["messages"][0]["channel_details"]["number"] == channel.number
        assert len(api.get(f"/queues/%2F/{SOURCE}/unacked?count=1")["messages"]) == 1
        assert payloads(api, SOURCE) == ["c"]


def test_peeking_goes_on_where_it_stopped(api: Api) -> None:
    """Each call says where the next one goes on; together they show everything once."""
    fill(api, SOURCE, *"abcde")
    found, offset = [], 0
    while offset is not None:
        answer = post(api, f"{SOURCE}/peek", offset=offset, count=2)
        found += [one["payload"] for one in answer["messages"]]
        offset = answer["next_offset"]
    assert found == list("abcde")


@pytest.mark.parametrize(
    ("search", "regex", "found"),
    [("ppl", False, ["apple"]), ("^b.*a$", True, ["banana"]), ("zzz", False, []), ("", False, 3)],
)
def test_messages_are_found(api: Api, search: str, regex: bool, found: Any) -> None:
    """A text or a regular expression is looked for in payloads and properties."""
    fill(api, SOURCE, "apple", "banana")
    fill(api, SOURCE, "x", message_id="cherry")
    shown = [one["payload"] for one in peek(api, SOURCE, search=search, regex=regex)]
    assert len(shown) == found if isinstance(found, int) else shown == found
    assert [one["payload"] for one in peek(api, SOURCE, search="cherry")] == ["x"]


def test_chosen_dead_letters_go_back(api: Api) -> None:
    """A message that is redriven is where it was before it died, without a trace of its death."""
    fill(api, SOURCE, "a", "b", "c", headers={"n": 1})
    kill(api, SOURCE, 3)
    dead = peek(api, DEAD)
    assert "x-death" in dead[1]["properties"]["headers"]
    answer = post(api, f"{DEAD}/move", ids=[dead[1]["id"]], destination={"redrive": True})
    assert answer == {"moved": 1, "unroutable": 0, "missing": 0}
    assert payloads(api, DEAD) == ["a", "c"]
    (back,) = peek(api, SOURCE)
    assert (back["payload"], back["routing_key"]) == ("b", SOURCE)
    assert back["properties"] == {"headers": {"n": 1}, "delivery_mode": 2}
    kill(api, SOURCE, 1)
    assert sorted(payloads(api, DEAD)) == ["a", "b", "c"]


def test_what_has_no_place_to_go_stays(api: Api) -> None:
    """Messages without a queue to go to, or to go back to, stay where they are."""
    fill(api, SOURCE, "a")
    chosen = [one["id"] for one in peek(api, SOURCE)]
    for destination in (
        {"redrive": True},
        {"exchange": "amq.direct", "routing_key": "nowhere"},
    ):
        answer = post(api, f"{SOURCE}/move", ids=chosen, destination=destination)
        assert answer == {"moved": 0, "unroutable": 1, "missing": 0}
    assert payloads(api, SOURCE) == ["a"]


def test_all_messages_move_and_survive(api: Api, process: Broker) -> None:
    """What was moved is in the other queue after a crash, and not in the first one."""
    fill(api, SOURCE, "a", "b")
    answer = post(api, f"{SOURCE}/move", all=True, destination={"queue": OTHER})
    assert answer["moved"] == 2
    process.kill()
    process.start()
    assert payloads(api, SOURCE) == []
    assert payloads(api, OTHER) == ["a", "b"]


def test_chosen_messages_are_deleted(api: Api) -> None:
    """Deleted messages are gone and not dead-lettered; the others stay."""
    fill(api, SOURCE, "a", "b", "c")
    chosen = [one["id"] for one in peek(api, SOURCE)][::2]
    answer = post(api, f"{SOURCE}/delete-messages", ids=[*chosen, "999999"])
    assert answer == {"deleted": 2, "missing": 1}
    assert payloads(api, SOURCE) == ["b"]
    assert payloads(api, DEAD) == []


def test_delayed_messages_are_listed_and_cancelled(api: Api) -> None:
    """A message that waits in an exchange is listed; once cancelled it never comes."""
    exchange = {"type": "x-delayed-message", "arguments": {"x-delayed-type": "direct"}}
    api.ask("PUT", "/exchanges/%2F/b.delayed", exchange)
    body = {
        "properties": {"headers": {"x-delay": 3_600_000}},
        "routing_key": "k",
        "payload": "later",
        "payload_encoding": "string",
    }
    api.ask("POST", "/exchanges/%2F/b.delayed/publish", body)
    (waiting,) = api.get("/delayed/%2F")
    assert (waiting["exchange"], waiting["routing_key"]) == ("b.delayed", "k")
    assert api.ask("DELETE", f"/delayed/%2F/{waiting['id']}")[0] == 204
    assert api.get("/delayed/%2F") == []
    assert api.ask("DELETE", f"/delayed/%2F/{waiting['id']}")[0] == 404
    api.ask("DELETE", "/exchanges/%2F/b.delayed")


def test_topology_is_a_graph(api: Api) -> None:
    """Exchanges, queues and the bindings between them; what was left out is counted."""
    api.ask("POST", f"/bindings/%2F/e/amq.topic/q/{SOURCE}", {"routing_key": "a.#"})
    graph = api.get("/topology/%2F")
    assert {"b.source", "b.dead", "b.other"} <= {one["name"] for one in graph["queues"]}
    (binding,) = graph["bindings"]
    assert (binding["source"], binding["destination"]) == ("amq.topic", SOURCE)
    few = api.get("/topology/%2F?limit=1")
    assert few["omitted"]["queues"] == len(graph["queues"]) - 1


def test_topology_shows_other_ways_and_what_is_near(api: Api) -> None:
    """Alternate exchanges and dead letters are ways too; what is near a thing can be asked for."""
    alternate = {"type": "fanout", "arguments": {"alternate-exchange": "amq.fanout"}}
    api.ask("PUT", "/exchanges/%2F/b.first", alternate)
    graph = api.get("/topology/%2F?exchange=b.first")
    assert {one["name"] for one in graph["exchanges"]} == {"b.first", "amq.fanout"}
    (way,) = graph["ways"]
    assert (way["kind"], way["source"], way["destination"]) == (
        "alternate",
        "b.first",
        "amq.fanout",
    )
    (way,) = api.get(f"/topology/%2F?queue={DEAD}")["ways"]
    assert (way["kind"], way["source"]) == ("dead-letter", SOURCE)
    assert (way["destination_type"], way["routing_key"]) == ("queue", DEAD)
    api.ask("POST", f"/bindings/%2F/e/b.first/q/{SOURCE}", {})
    near = [
        sorted(one["name"] for one in api.get(f"/topology/%2F?queue={DEAD}&steps={n}")["exchanges"])
        for n in (1, 2, 3)
    ]
    assert near == [[], ["b.first"], ["amq.fanout", "b.first"]]
    assert api.get("/topology/%2F?queue=b.none")["queues"] == []
    api.ask("DELETE", "/exchanges/%2F/b.first")


def test_settings_change_all_or_none(api: Api) -> None:
    """A fault names the key and nothing is changed; null is the default again."""
    before = api.get("/settings")
    wrong = {"disk_free_limit.absolute": "1MB", "heartbeat": 5, "log.queue.level": "loud"}
    status, answer, _ = api.ask("PUT", "/settings", wrong)
    assert (status, answer["error"]) == (400, "bad_request")
    assert "heartbeat cannot be changed" in answer["reason"]
    assert "log.queue.level must be one of" in answer["reason"]
    assert api.get("/settings") == before
    changes = {"disk_free_limit.absolute": "1MB", "log.queue.level": "debug"}
    assert api.ask("PUT", "/settings", changes)[0] == 204
    assert api.get("/settings") == before | {
        "disk_free_limit.absolute": "1MB",
        "log.CATEGORY.level": "queue=debug",
    }
    assert api.ask("PUT", "/settings", dict.fromkeys(changes))[0] == 204
    assert api.get("/settings") == before
    assert api.ask("PUT", "/settings", {"log.level": ["info"]})[0] == 400
    assert api.ask("PUT", "/settings", {}, user="guest:wrong")[0] == 401


def test_maintenance(process: Broker, api: Api) -> None:
    """A suspended broker is not in service; it resumes as soon as its port is free."""
    node = api.get("/overview?columns=node")["node"]
    steps = f"/nodes/{node}/maintenance"
    assert api.ask("POST", f"{steps}/suspend")[0] == api.ask("POST", f"{steps}/suspend")[0] == 204
    assert api.ask("GET", "/health/checks/is-in-service")[0] == 503
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", process.port))
        taken.listen()
        status, answer, _ = api.ask("POST", f"{steps}/resume")
        assert (status, "cannot listen again" in answer["reason"]) == (503, True)
    assert api.ask("POST", f"{steps}/resume")[0] == 204
    assert api.ask("GET", "/health/checks/is-in-service")[0] == 200
    assert speaks_amqp(process.port)
    assert api.ask("POST", f"{steps}/nonsense")[0] == 404
    assert api.ask("POST", "/nodes/other@host/maintenance/drain")[0] == 404


def test_the_log_can_be_followed(api: Api) -> None:
    """The last lines of the log are there, and only those behind a number if one is given."""
    api.ask("GET", "/whoami", user="guest:wrong")
    answer = api.get("/logs?level=warning")
    assert any("guest" in line["message"] for line in answer["lines"])
    assert api.get(f"/logs?after={answer['last']}&level=warning")["lines"] == []


def test_only_who_may_read_may_look(api: Api) -> None:
    """Looking into a queue needs the permission to read it, and moving to write elsewhere."""
    api.ask("PUT", "/users/b_user", {"password": "p", "tags": "management"})
    api.ask("PUT", "/permissions/%2F/b_user", {"configure": "", "write": "", "read": "^b.dead"})
    user = "b_user:p"
    assert api.ask("POST", f"/queues/%2F/{DEAD}/peek", {}, user=user)[0] == 200
    assert api.ask("POST", f"/queues/%2F/{SOURCE}/peek", {}, user=user)[0] == 401
    assert api.ask("GET", f"/queues/%2F/{SOURCE}/unacked", user=user)[0] == 401
    moving = {"all": True, "destination": {"queue": OTHER}}
    assert api.ask("POST", f"/queues/%2F/{DEAD}/move", moving, user=user)[0] == 401
    assert api.ask("GET", "/logs", user=user)[0] == 401
    api.ask("DELETE", "/users/b_user")


def test_who_fetches_rabbitmqadmin_is_told_where_it_is(process: Broker) -> None:
    """The path of RabbitMQ's tool answers with a program that says where to get it, and fails."""
    url = f"http://127.0.0.1:{process.management_port}/cli/rabbitmqadmin"
    with urllib.request.urlopen(url) as response:
        program = response.read()
    ended = subprocess.run([sys.executable, "-"], input=program, capture_output=True, check=False)
    assert ended.returncode == 1
    assert b"rabbitmqadmin" in ended.stderr


def test_an_expiring_certificate_fails_the_check(tmp_path: Path) -> None:
    """The health check names the listener whose certificate expires within the time asked for."""
    certificate = str(Certificates(tmp_path).server())
    settings = {
        "management.ssl.port": str(free_port()),
        "management.ssl.certfile": certificate,
        "management.ssl.keyfile": certificate,
    }
    with Leveret(settings=settings) as broker:
        api = Api(f"http://guest:guest@127.0.0.1:{broker.management_port}")
        check = "/health/checks/certificate-expiration"
        assert api.ask("GET", f"{check}/1/days")[1] == {"status": "ok"}
        status, answer, _ = api.ask("GET", f"{check}/2000/years")
        assert status == 503
        (expiring,) = answer["expired"]
        assert (expiring["protocol"], expiring["port"]) == (
            "https",
            settings["management.ssl.port"],
        )
        (place,) = api.get("/certificates")
        assert str(place["port"]) == settings["management.ssl.port"]
        (file,) = place["files"]
        assert file["path"] == certificate
        assert all(one["not_before"] < one["not_after"] for one in file["certificates"])


def test_the_environment_without_its_secrets() -> None:
    """Variables meant for the broker are shown, passwords among them are not."""
    with Leveret(env={"RABBITMQ_DEFAULT_PASS": "guest", "RABBITMQ_LOG": "info"}) as broker:
        found = Api(f"http://guest:guest@127.0.0.1:{broker.management_port}").get("/environment")
    assert found["RABBITMQ_LOG"] == "info"
    assert found["RABBITMQ_DEFAULT_PASS"] == "(not shown)"
