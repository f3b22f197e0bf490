"""Health checks: their exit codes, their words, and their JSON."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from tests.admin.api import NODE, FakeApi
from tests.admin.conftest import Run


def listener(protocol: str, port: int, address: str = "127.0.0.1") -> dict[str, object]:
    """One listener as the overview has it."""
    return {"node": NODE, "protocol": protocol, "ip_address": address, "port": port}


@pytest.fixture
def node(api: FakeApi) -> FakeApi:
    """A node that is well."""
    state = {"name": NODE, "running": True, "mem_alarm": False, "disk_free_alarm": False}
    api.answers[f"GET /api/nodes/{NODE.replace('@', '%40')}"] = (200, state)
    overview = {"listeners": [listener("amqp", 5672), listener("http", 15672, "::")]}
    api.answers["GET /api/overview?columns=listeners"] = (200, overview)
    return api


def alarm(api: FakeApi, key: str) -> None:
    """Raise an alarm."""
    api.answers[f"GET /api/nodes/{NODE.replace('@', '%40')}"][1][key] = True


@pytest.mark.parametrize(
    ("line", "out", "document"),
    [
        ("ping", "Ping succeeded", {"message": "Ping succeeded"}),
        ("check_local_alarms", f"Node {NODE} reported no local alarms", {"result": "ok"}),
        (
            "check_alarms",
            f"Node {NODE} reported no alarms, local or clusterwide",
            {"result": "ok"},
        ),
        (
            "check_port_listener 5672",
            f"A listener for port 5672 is running on node {NODE}.",
            {"node": NODE, "port": "5672", "result": "ok"},
        ),
        (
            "check_protocol_listener amqp",
            f"A listener for protocol amqp is running on node {NODE}.",
            {"node": NODE, "protocol": "amqp", "result": "ok"},
        ),
        (
            "check_running",
            f"RabbitMQ on node {NODE} is fully booted and running",
            {"message": f"RabbitMQ on node {NODE} is fully booted and running"},
        ),
    ],
)
def test_a_check_that_passes(
    line: str, out: str, document: object, node: FakeApi, ctl: Run
) -> None:
    """A check that passes ends with 0; -q leaves its words, JSON is nothing but JSON."""
    ran = ctl("-q", *line.split())
    assert (ran.code, ran.out, ran.err) == (0, f"{out}\n", "")
    ran = ctl(*line.split(), "--formatter", "json")
    assert (ran.code, json.loads(ran.out)) == (0, document)


@pytest.mark.parametrize("command", ["check_alarms", "check_local_alarms", "node_health_check"])
@pytest.mark.parametrize(
    ("key", "words"),
    [("mem_alarm", "Memory alarm"), ("disk_free_alarm", "Free disk space alarm")],
)
def test_an_alarm_is_69(command: str, key: str, words: str, node: FakeApi, ctl: Run) -> None:
    """During an alarm the checks of alarms fail and name it; ping and check_running do not."""
    alarm(node, key)
    ran = ctl(command)
    assert (ran.code, ran.err) == (69, f"Error:\n{words} on node {NODE}\n")
    assert ctl("ping").code == ctl("check_running").code == ctl("alarms").code == 0


def test_json_of_a_failed_check_goes_to_stderr(node: FakeApi, ctl: Run) -> None:
    """A program that reads JSON finds what failed on stderr, as with rabbitmq-diagnostics."""
    alarm(node, "mem_alarm")
    ran = ctl("check_local_alarms", "--formatter", "json")
    assert (ran.code, ran.out) == (69, "")
    assert json.loads(ran.err) == {
        "local": [f"Memory alarm on node {NODE}"],
        "message": f"Node {NODE} reported local alarms",
        "result": "error",
    }


def test_listeners_are_named_when_one_is_missing(node: FakeApi, ctl: Run) -> None:
    """A port or protocol nobody listens on is 69, and the text says what there is."""
    ran = ctl("check_port_listener", "1")
    assert ran.code == 69
    assert ran.err.endswith("Found listeners that use the following ports: 5672, 15672\n")
    ran = ctl("check_protocol_listener", "amqps")
    assert ran.code == 69
    assert "No listener for protocol amqp/ssl" in ran.err


def test_port_connectivity_is_tried(node: FakeApi, ctl: Run) -> None:
    """Every port is connected to; one that takes no connection is 69."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        overview = {"listeners": [listener("amqp", port, "0.0.0.0")]}
        node.answers["GET /api/overview?columns=listeners"] = (200, overview)
        ran = ctl("-q", "check_port_connectivity")
        assert (ran.code, ran.out) == (
            0,
            f"Successfully connected to ports {port} on node {NODE}.\n",
        )
    assert ctl("check_port_connectivity").code == 69


def test_checks_of_the_api_pass_on_its_verdict(node: FakeApi, ctl: Run) -> None:
    """What the API answers with 503 has failed."""
    path = "GET /api/health/checks/virtual-hosts"
    node.answers[path] = (200, {"status": "ok"})
    assert ctl("check_virtual_hosts").code == 0
    node.answers[path] = (503, {"status": "failed", "reason": "vhost v is down"})
    ran = ctl("check_virtual_hosts")
    assert (ran.code, ran.err) == (69, "Error:\nvhost v is down\n")


def test_waiting_ends_when_the_broker_answers(node: FakeApi, ctl: Run, tmp_path: Path) -> None:
    """wait and await_startup end with 0 as soon as there is an answer."""
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")
    assert ctl("await_startup").code == 0
    assert ctl("wait", str(tmp_path / "pid")).code == 0
    assert ctl("wait", "--pid", str(os.getpid())).code == 0
    assert ctl("wait").code == 64


def test_waiting_ends_when_the_process_does(ctl: Run, tmp_path: Path) -> None:
    """wait does not wait for the timeout once the process it was given is gone."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    ran = ctl("wait", "--data-dir", str(tmp_path), "--pid", str(child), "--timeout", "60")
    assert (ran.code, f"process {child} ended" in ran.err) == (69, True)


def test_waiting_has_an_end(ctl: Run, tmp_path: Path) -> None:
    """--timeout bounds the wait."""
    ran = ctl("await_startup", "--data-dir", str(tmp_path), "--timeout", "0.01")
    assert (ran.code, "did not answer in time" in ran.err) == (75, True)
    ran = ctl("await_startup", "--timeout", "0.01")
    assert (ran.code, "no broker found" in ran.err) == (69, True)
