"""The requests of tools that cannot be had here, in their order: what they read has to be there.

`recorded/tools.json` has for each tool what its source asks and reads, and nothing of the source. A
step is a request (`do`, `body`, `headers`), the `status` codes the tool goes on with, the `fields`
it reads with their types, and what it compares them with (`is`, `has`). Paths of fields are those
of `fields.py`. A type is one or more of text, integer, number, bool, list, object and null; `?`
before it: the field may be absent. Integers matter: a Go or Rust client refuses 0.0 for one.

`keep`: the last part of the header Location is kept under that name for later steps. `null` of a
tool: it takes null for absent, as Go does. `since`: it is made for that version of RabbitMQ.

Behind it is what tools that were run rely on beside the fields; docs/tools.md lists them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from conformance.brokers import Broker, broker_of
from conformance.conftest import PRIVATE, URL
from conformance.fields import RECORDED, Api
from conformance.wire import Connection

pytestmark = pytest.mark.skipif(URL is not None, reason="it needs a broker of its own")

TOOLS: dict[str, Any] = json.loads(Path(RECORDED / "tools.json").read_text())
CYCLES = [(tool, cycle) for tool, facts in TOOLS.items() for cycle in facts["cycles"]]
PLUGINS = (
    "rabbitmq_management",
    "rabbitmq_shovel_management",
    "rabbitmq_federation_management",
)
PATIENCE_S = 15.0
ABSENT = object()


@pytest.fixture(scope="module")
def process() -> Iterator[Broker]:
    """A broker with its management API, which samples often."""
    with broker_of(PRIVATE, {"collect_statistics_interval": "300"}, PLUGINS) as broker:
        yield broker


@pytest.fixture(scope="module")
def api(process: Broker) -> Iterator[Api]:
    """Its API, while a client publishes and consumes; before, nothing ever happened."""
    api = Api(f"http://guest:guest@127.0.0.1:{process.management_port}")
    walk(api, TOOLS["Telegraf"]["cycles"]["idle"], {})
    with Connection(process.url) as connection:
        channel = connection.channel()
        channel.call("exchange.declare", exchange="t.busy.x", exchange_type="fanout", durable=True)
        channel.call("queue.declare", queue="t.busy", durable=True)
        channel.call("queue.bind", queue="t.busy", exchange="t.busy.x")
        channel.call("confirm.select")
        for exchange in ("", "t.busy.x"):
            channel.publish(exchange, "t.busy", "x", delivery_mode=2, timestamp=1_700_000_000)
            channel.expect("basic.ack")
        channel.publish("", "t.nowhere", "x")
        channel.expect("basic.ack")
        channel.call("basic.qos", prefetch_count=5)
        channel.consume("t.busy", consumer_tag="t")
        first, second = channel.deliveries(2)
        channel.send("basic.ack", delivery_tag=first["delivery_tag"])
        channel.send("basic.reject", delivery_tag=second["delivery_tag"], requeue=True)
        (again,) = channel.deliveries(1)
        assert again["redelivered"]
        yield api


@pytest.mark.parametrize(("tool", "cycle"), CYCLES, ids=[": ".join(ids) for ids in CYCLES])
def test_a_tool_finds_what_it_reads(process: Broker, api: Api, tool: str, cycle: str) -> None:
    """Each request is answered with a status that the tool takes, and all fields it reads."""
    facts = TOOLS[tool]
    if PRIVATE == "rabbitmq" and "since" in facts:
        pytest.skip(f"the tool is made for RabbitMQ {facts['since']}")
    kept = {
        "node": quote(api.get("/overview")["node"], safe=""),
        "management_port": str(process.management_port),
    }
    walk(api, facts["cycles"][cycle], kept, null_is_absent=facts.get("null") == "absent")


def test_who_makes_a_vhost_may_use_it(api: Api) -> None:
    """The user that makes a vhost by PUT gets all permissions in it, and only then."""
    api.ask("PUT", "/users/t_maker", {"password": "p", "tags": "administrator"})
    try:
        assert api.ask("PUT", "/vhosts/t_made", user="t_maker:p")[0] == 201
        granted = {"user": "t_maker", "vhost": "t_made"}
        granted |= {"configure": ".*", "write": ".*", "read": ".*"}
        assert api.get("/vhosts/t_made/permissions") == [granted]
        assert api.ask("PUT", "/queues/t_made/q", {}, user="t_maker:p")[0] == 201
        assert api.ask("DELETE", "/permissions/t_made/t_maker")[0] == 204
        assert api.ask("PUT", "/vhosts/t_made", user="t_maker:p")[0] == 204
        assert api.get("/vhosts/t_made/permissions") == []
    finally:
        api.ask("DELETE", "/vhosts/t_made")
        api.ask("DELETE", "/users/t_maker")


@pytest.mark.parametrize(
    "path",
    ["/overview/", "/queues/%2F/", "/users/", "/users/guest/", "/healthchecks/node/", "/vhosts/"],
)
def test_a_slash_at_the_end_is_ignored(api: Api, path: str) -> None:
    """A path with a slash at its end is the same path."""
    assert api.ask("GET", path)[0] == 200


@pytest.mark.parametrize("key", ["a.%23", "a.%2523"])
def test_a_binding_is_found_by_its_routing_key(api: Api, key: str) -> None:
    """The properties key in a path is understood as it is listed, and with its quoting left out."""
    api.ask("PUT", "/queues/%2F/t_bound", {})
    path = "/bindings/%2F/e/amq.topic/q/t_bound"
    try:
        assert api.ask("POST", path, {"routing_key": "a.#"})[0] == 201
        assert api.get(f"{path}/{key}")["routing_key"] == "a.#"
        assert api.ask("DELETE", f"{path}/{key}")[0] == 204
        assert api.get(path) == []
    finally:
        api.ask("DELETE", "/queues/%2F/t_bound")


def test_the_log_says_that_it_is_up(process: Broker) -> None:
    """What starts containers waits for these words, Testcontainers' modules for one."""
    assert "Server startup complete" in process.log_text()


def walk(api: Api, steps: list[Any], kept: dict[str, str], null_is_absent: bool = False) -> None:
    """Take the steps one after the other; what is late has its time."""
    for step in steps:
        deadline = time.monotonic() + PATIENCE_S
        while faults := _faults(api, step, kept, null_is_absent):
            late = step["do"].startswith("GET ") and time.monotonic() < deadline
            assert late, (step["do"], faults)
            time.sleep(0.2)


def _faults(api: Api, step: Any, kept: dict[str, str], null_is_absent: bool) -> list[str]:
    method, _, path = step["do"].partition(" ")
    for name, value in kept.items():
        path = path.replace(
            f"{{{name}}}", quote(value, safe="") if name == "properties_key" else value
        )
    status, answer, headers = api.ask(
        method, path, step.get("body"), headers=step.get("headers", {})
    )
    if status not in step["status"]:
        return [f"status {status}: {answer}"]
    if "keep" in step:
        kept[step["keep"]] = unquote(headers["Location"].rpartition("/")[2])
    faults = []
    for field, kind in step.get("fields", {}).items():
        for value in _values(answer, field):
            if value is ABSENT or (value is None and null_is_absent):
                fits = kind.startswith("?")
            else:
                fits = not _kinds(value).isdisjoint(kind.lstrip("?").split("|"))
            if not fits:
                shown = "absent" if value is ABSENT else repr(value)[:60]
                faults.append(f"{field} is {shown}, not {kind}")
    for field, wanted in step.get("is", {}).items():
        if isinstance(wanted, str):
            wanted = kept.get(wanted.strip("{}"), wanted)
        found = list(_values(answer, field))
        if any(value != wanted for value in found) or not found:
            faults.append(f"{field} is {found}, not {wanted!r}")
    if "has" in step and not any(item.items() >= step["has"].items() for item in answer):
        faults.append(f"nothing has {step['has']}")
    return faults


def _values(answer: Any, field: str) -> Iterator[Any]:
    """All values of a field; `ABSENT` where an object has none."""
    head, more, rest = field.partition("[]")
    for name in filter(None, head.split(".")):
        if not isinstance(answer, dict) or name not in answer:
            yield ABSENT
            return
        answer = answer[name]
    if not more:
        yield answer
    elif not isinstance(answer, list):
        yield ABSENT
    else:
        for item in answer:
            yield from _values(item, rest)


def _kinds(value: Any) -> set[str]:
    """The types a value has in the eyes of a typed language."""
    if value is None:
        return {"null"}
    if isinstance(value, bool):
        return {"bool"}
    if isinstance(value, int):
        return {"integer", "number"}
    return {{str: "text", float: "number", list: "list", dict: "object"}[type(value)]}
