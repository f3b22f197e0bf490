"""RabbitMQ's own rabbitmqadmin, unmodified, on both brokers: the same commands, the same output.

The script is fetched from a private RabbitMQ, which serves it, and is not part of this repository.
It then makes one tour of all its verbs on that RabbitMQ and one on a Leveret, both fresh; every
step has to end with the same code and say the same. What cannot be the same is left out of the
tour by choosing columns, or written over (`WRITTEN_OVER`): names of nodes and connections, hashes
of passwords with their random salts.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from conformance.brokers import Broker, Leveret, RabbitMQ
from conformance.conftest import PRIVATE, URL
from conformance.wire import Connection

SETTLE_S = 15.0
VHOST = "a/tour"
HASH = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
WRITTEN_OVER = (
    (re.compile(r"[\w.-]+@[\w.-]+"), "NODE"),
    (re.compile(r'(?<=hash": ")[^"]+|[A-Za-z0-9+/]{48}'), "HASH"),
    (re.compile(r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+"), "CONNECTION"),
    (re.compile(r"(?<=b~)[\w-]{6}"), "DIGEST"),  # of the arguments of a binding, in its key
)


class Step(NamedTuple):
    """One call. With `until` it is repeated until its output has that: statistics come late."""

    line: str
    until: str = ""
    stdin: str = ""


COUNTED = """name="q" messages="4"
name="q2" messages="0"
name="q3" messages="0"
"""
ADMINISTRATION = (
    Step(f"declare vhost name={VHOST}"),
    Step(f"declare vhost name={VHOST} tracing=true"),
    Step("-f tsv list vhosts name tracing"),
    Step("declare user name=tour password=secret tags=management,monitoring"),
    Step(f"declare user name=hashed password_hash={HASH} tags="),
    Step("list users name tags hashing_algorithm"),
    Step(f"declare permission vhost={VHOST} user=guest configure=.* write=.* read=.*"),
    Step(f"declare permission vhost={VHOST} user=tour configure=^t write= read=.*"),
    Step(f"declare permission vhost={VHOST} user=nobody configure= write= read="),
    Step("-f long list permissions"),
    Step("-S user -R list permissions user vhost configure"),
    Step(f"declare vhost_limit vhost={VHOST} name=max-queues value=20"),
    Step("list vhost_limits"),
    Step("-u tour -p secret list users"),
    Step("-u tour -p wrong list vhosts"),
    Step("-u tour -p secret declare user name=other password=x tags="),
)
POLICIES = (
    Step("""declare policy name=p pattern=^q definition='{"max-length":100}' apply-to=queues"""),
    Step("""declare policy name=p2 pattern=x definition='{"expires":1000000}' priority=5"""),
    Step("""declare policy name=bad pattern=x definition='{"max-length":"many"}'"""),
    Step("""declare operator_policy name=op pattern=^q definition='{"message-ttl":600000}'"""),
    Step("-f pretty_json list policies"),
    Step("list operator_policies"),
    Step("declare parameter component=nonsense name=n value='{}'"),
    Step("delete parameter component=nonsense name=n"),
    Step("-S name list parameters component name vhost"),
)
MODEL = (
    Step("declare exchange name=x type=topic"),
    Step("declare exchange name=x type=direct"),
    Step("declare exchange name=in type=fanout internal=true durable=false auto_delete=true"),
    Step("declare exchange name=bad type=nonsense"),
    Step("declare exchange name=x"),
    Step("declare queue name=q"),
    Step("""declare queue name=q2 durable=false arguments='{"x-message-ttl":600000}'"""),
    Step("declare queue name=q3 queue_type=quorum"),
    Step("declare queue name=q durable=false"),
    Step("""declare queue name=bad arguments='{"x-message-ttl":"soon"}'"""),
    Step("declare binding source=x destination=q routing_key=a.#"),
    Step("declare binding source=x destination=in destination_type=exchange routing_key='*'"),
    Step("""declare binding source=x destination=q2 routing_key=b arguments='{"n":1}'"""),
    Step("declare binding source=x destination=none"),
    Step("list exchanges"),
    Step("list exchanges name type durable auto_delete internal arguments"),
    Step("list queues name durable auto_delete arguments type"),
    Step("-f kvp list queues name durable"),
    Step("-f bash list queues name"),
    Step("-f raw_json list queues name durable arguments"),
    Step("list bindings"),
    Step("-d 3 list bindings source destination routing_key arguments.n"),
    Step("-f pretty_json list bindings source destination destination_type routing_key"),
)
MESSAGES = (
    Step("publish routing_key=q payload=one"),
    Step(
        "publish routing_key=a.b exchange=x payload=two properties='"
        '{"delivery_mode":2,"headers":{"n":1,"s":"t"},"content_type":"text/plain","priority":3}\''
    ),
    Step("publish routing_key=none payload=lost"),
    Step("publish routing_key=q exchange=none payload=lost"),
    Step("publish routing_key=q payload=AAH/ payload_encoding=base64"),
    Step("publish routing_key=q", stdin="from a pipe"),
    Step("-f kvp list queues name messages", until=COUNTED),
    Step("get queue=q"),
    Step("get queue=q count=2 ackmode=ack_requeue_false"),
    Step("get queue=q count=5 ackmode=ack_requeue_true encoding=base64"),
    Step("-f pretty_json get queue=q count=1 ackmode=reject_requeue_true"),
    Step("get queue=q ackmode=ack_requeue_false"),
    Step("get queue=q ackmode=ack_requeue_true payload_file=payload"),
    Step("get queue=none"),
    Step("purge queue name=q"),
    Step("get queue=q"),
)
CONNECTIONS = (
    Step("list connections user vhost state protocol channels", until="| guest | "),
    Step("list channels user number vhost consumer_count", until="| guest | 1"),
    Step("list consumers queue.name consumer_tag ack_required prefetch_count active", until="tag"),
    Step("-f kvp list nodes type running"),
    Step("show overview object_totals.queues object_totals.consumers", until="1 "),
    Step("close connection name=CONNECTION"),
    Step("close connection name=none"),
)
DEFINITIONS = (
    Step("list connections", until="No items"),
    Step("export everything.json"),
    Step(f"-V {VHOST} export part.json"),
    Step("delete queue name=q3"),
    Step("delete exchange name=in"),
    Step(f"-V {VHOST} import part.json"),
    Step("list queues name durable type"),
    Step("list exchanges name"),
    Step("list bindings"),
    Step("import everything.json"),
    Step("import broken.json"),
)
REMOVAL = (
    Step("delete binding source=x destination_type=queue destination=q properties_key=a.%23"),
    Step("delete binding source=x destination_type=queue destination=q properties_key=a.%23"),
    Step("list bindings source destination properties_key"),
    Step("delete queue name=q"),
    Step("delete queue name=q"),
    Step("delete exchange name=x"),
    Step("delete exchange name=amq.direct"),
    Step("delete policy name=p"),
    Step("delete operator_policy name=op"),
    Step(f"delete vhost_limit vhost={VHOST} name=max-queues"),
    Step(f"delete permission vhost={VHOST} user=tour"),
    Step("delete user name=tour"),
    Step("delete user name=tour"),
    Step(f"delete vhost name={VHOST}"),
    Step("list users name"),
    Step("frobnicate queue name=q"),
)
GLOBAL = {"vhost", "user", "permission", "vhosts", "users", "permissions", "vhost_limit"}
GLOBAL |= {"everything.json"}
"""Steps with one of these words are about the whole broker, the others about `VHOST`."""


@pytest.fixture(scope="module")
def reference() -> Iterator[Broker]:
    """A private RabbitMQ with its management plugin."""
    if not RabbitMQ.available():
        pytest.skip("rabbitmqadmin comes from RabbitMQ: Debian's rabbitmq-server is not installed")
    # Statistics every 0.2 s instead of 5: nothing else is said differently.
    settings = {"collect_statistics_interval": 200}
    with RabbitMQ(settings=settings, plugins=["rabbitmq_management"]) as broker:
        yield broker
        broker.kill()  # it takes its time to stop in order


@pytest.fixture(scope="module")
def script(reference: Broker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rabbitmqadmin, as RabbitMQ serves it."""
    url = f"http://127.0.0.1:{reference.management_port}/cli/rabbitmqadmin"
    path = tmp_path_factory.mktemp("script") / "rabbitmqadmin"
    with urllib.request.urlopen(url, timeout=10) as answer:
        path.write_bytes(answer.read())
    return path


class Tour:
    """One broker being toured: the script, where it works, and what it said."""

    def __init__(self, broker: Broker, script: Path, directory: Path) -> None:
        self._script = script
        self._directory = directory
        self._url = broker.url
        self._port = broker.management_port
        directory.mkdir()
        (directory / "broken.json").write_text("{")

    def make(self) -> list[tuple[str, int, str]]:
        """Go through every step; what each said."""
        said = [self._take(step) for step in (*ADMINISTRATION, *POLICIES, *MODEL, *MESSAGES)]
        with Connection(self._url, vhost=VHOST) as connection:
            channel = connection.channel(1)
            channel.consume("q2", consumer_tag="tag")
            listed = self._call("-f", "tsv", "list", "connections", "name", until="->")[1]
            name = listed.splitlines()[1]
            for step in CONNECTIONS:
                named = step._replace(line=step.line.replace("CONNECTION", f"'{name}'"))
                said.append((step.line, *self._take(named)[1:]))
            connection.expect("connection.close", reply_code=320)
            connection.send("connection.close-ok")
        said += [self._take(step) for step in (*DEFINITIONS, *REMOVAL)]
        return said

    def _take(self, step: Step) -> tuple[str, int, str]:
        code, text = self._step(step)
        return step.line, code, text

    def _step(self, step: Step) -> tuple[int, str]:
        words = shlex.split(step.line)
        if "-V" not in words and not GLOBAL & set(words):
            words[:0] = ["-V", VHOST]
        code, text = self._call(*words, until=step.until, stdin=step.stdin)
        for pattern, replacement in WRITTEN_OVER:
            text = pattern.sub(replacement, text)
        return code, text

    def _call(self, *words: str, until: str = "", stdin: str = "") -> tuple[int, str]:
        to = ("-H", "127.0.0.1", "-P", str(self._port))
        deadline = time.monotonic() + SETTLE_S
        while True:
            done = subprocess.run(
                [sys.executable, "-ES", str(self._script), *to, *words],
                cwd=self._directory,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            text = done.stdout + done.stderr
            if until in text or time.monotonic() > deadline:
                return done.returncode, text
            time.sleep(0.05)


@pytest.mark.skipif(
    URL is not None or PRIVATE != "leveret", reason="it compares a Leveret with a RabbitMQ"
)
def test_the_tour(reference: Broker, script: Path, tmp_path: Path) -> None:
    """Every verb of rabbitmqadmin ends and says the same on both brokers."""
    with Leveret() as judged, ThreadPoolExecutor(2) as pool:
        tours = [
            Tour(reference, script, tmp_path / "reference"),
            Tour(judged, script, tmp_path / "judged"),
        ]
        expected, said = pool.map(Tour.make, tours)
    differences = [
        f"rabbitmqadmin {line}\n--- RabbitMQ ({code})\n{text}\n--- here ({ours[1]})\n{ours[2]}"
        for (line, code, text), ours in zip(expected, said, strict=True)
        if (code, text) != ours[1:]
    ]
    assert not differences, "\n\n".join(["", *differences])
