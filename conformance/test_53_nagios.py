"""Debian's nagios-plugins-rabbitmq, unmodified: what each check says, and its exit code."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from conformance.brokers import Broker, broker_of
from conformance.conftest import PRIVATE, URL
from conformance.fields import Api

PATIENCE_S = 15.0
OK, WARNING, CRITICAL, UNKNOWN = range(4)

pytestmark = [
    pytest.mark.skipif(URL is not None, reason="it needs a broker of its own"),
    pytest.mark.skipif(
        shutil.which("check_rabbitmq_overview") is None,
        reason="it needs nagios-plugins-rabbitmq (Debian)",
    ),
]


@pytest.fixture(scope="module")
def process() -> Iterator[Broker]:
    """A broker with three messages in a queue, and statistics that know of them."""
    settings = {"collect_statistics_interval": "300"}
    with broker_of(PRIVATE, settings, ["rabbitmq_management"]) as broker:
        api = Api(f"http://guest:guest@127.0.0.1:{broker.management_port}")
        assert api.ask("PUT", "/queues/%2F/n", {"durable": True})[0] == 201
        message = {"properties": {}, "payload": "x", "payload_encoding": "string"}
        for _ in range(3):
            api.ask("POST", "/exchanges/%2F/amq.default/publish", message | {"routing_key": "n"})
        deadline = time.monotonic() + PATIENCE_S
        while api.get("/overview")["queue_totals"].get("messages") != 3:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield broker


def ran(process: Broker, check: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a check on the broker."""
    place = ("-H", "127.0.0.1", "--port", str(process.management_port))
    command = [f"check_rabbitmq_{check}", *place, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("aliveness", OK, r"OK - vhost: /$"),
        ("aliveness --vhost=none", UNKNOWN, r"UNKNOWN - Not found: none"),
        ("overview", OK, r"OK - messages OK \(3\) messages_ready OK \(3\)"),
        ("overview -w 0,0,0 -c -1,-1,-1", WARNING, r"WARNING - messages WARNING \(3\)"),
        ("overview -p wrong", CRITICAL, r"CRITICAL - Access Refused : /api/overview"),
        ("objects", OK, r"OK - Gathered Object Counts \| .*queue=1;;"),
        ("queue --queue=n -w 2 -c 100", WARNING, r"WARNING - messages WARNING \(3\)"),
        ("queue --queue=n -w 1 -c 2", CRITICAL, r"CRITICAL - messages CRITICAL \(3\)"),
        ("queue --queue=none", CRITICAL, r"CRITICAL - Not Found"),
        ("connections", OK, r"OK - connections OK \(\d\)"),
        ("shovels", CRITICAL, r"CRITICAL - API error: (empty JSON|404 Not Found)"),
    ],
)
def test_a_check_finds_what_it_looks_for(process: Broker, line: str, code: int, says: str) -> None:
    """Each check ends with the code and words that its thresholds ask for."""
    check, *options = line.split()
    done = ran(process, check, *options)
    assert (done.returncode, bool(re.search(says, done.stdout.strip()))) == (code, True), done


@pytest.mark.parametrize("check", ["partition", "watermark"])
def test_a_check_of_the_node(process: Broker, check: str) -> None:
    """The node is found by its host's name, which the checks put behind rabbit@."""
    api = Api(f"http://guest:guest@127.0.0.1:{process.management_port}")
    name, _, host = api.get("/nodes")[0]["name"].partition("@")
    if name != "rabbit":
        pytest.skip("the checks know nodes called rabbit only")
    done = ran(process, check, "-n", host)
    assert (done.returncode, " OK - " in done.stdout) == (OK, True), done
