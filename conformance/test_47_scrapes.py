"""Who may scrape and how: over TLS, with a login; and the pages that RabbitMQ has since 4.0.

RabbitMQ 3.10 has neither, so these run on Leveret alone; names and answers are RabbitMQ 4's.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from conformance.brokers import BrokerError, Leveret, free_port
from conformance.certificates import Certificates
from conformance.conftest import URL, Target
from conformance.wire import Connection

MEMORY = {
    "rabbitmq_memory_binary_heap_bytes",
    "rabbitmq_memory_classic_queue_erlang_process_bytes",
    "rabbitmq_memory_client_connection_writer_bytes",
    "rabbitmq_memory_other_system_bytes",
}


class Scrapes:
    """A broker whose metrics are for monitors, over TLS."""

    def __init__(self, directory: Path) -> None:
        self.certificates = Certificates(directory)
        self.port = free_port()
        self.broker = Leveret(
            settings={
                "prometheus.ssl.port": self.port,
                "prometheus.ssl.certfile": self.certificates.server(),
                "prometheus.ssl.cacertfile": self.certificates.cacertfile,
                "prometheus.authentication.enabled": "true",
            }
        )

    def fetch(self, path: str, user: str | None = "guest:guest", *, tls: bool = True) -> str:
        """The page at a path."""
        where = f"https://localhost:{self.port}" if tls else self._plain
        headers = {}
        if user is not None:
            headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        request = urllib.request.Request(f"{where}{path}", headers=headers)
        context = self.certificates.context() if tls else None
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            text: str = answer.read().decode()
            return text

    @property
    def _plain(self) -> str:
        return f"http://127.0.0.1:{self.broker.prometheus_port}"

    def endpoints(self, path: str) -> set[str]:
        """What the page calls itself."""
        return {
            sample.labels["rabbitmq_endpoint"]
            for family in parse(self.fetch(path))
            for sample in family.samples
            if sample.name == "rabbitmq_identity_info"
        }

    def api(self, method: str, path: str, body: object) -> None:
        """Ask the management API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.broker.management_port}/api{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Basic {base64.b64encode(b'guest:guest').decode()}"},
            method=method,
        )
        urllib.request.urlopen(request, timeout=10).close()


@pytest.fixture(scope="module")
def scrapes(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scrapes]:
    """A broker that only these tests use."""
    if URL or target.kind != "fast":
        pytest.skip("these are settings of Leveret, the same on both paths")
    one = Scrapes(tmp_path_factory.mktemp("certificates"))
    with one.broker:
        yield one


@pytest.mark.parametrize("tls", [True, False])
def test_a_monitor_gets_them(scrapes: Scrapes, tls: bool) -> None:
    """With a login that may see everything, metrics are served over HTTPS and HTTP."""
    assert "rabbitmq_identity_info" in scrapes.fetch("/metrics", tls=tls)


@pytest.mark.parametrize(
    ("user", "answer"),
    [(None, ""), ("guest:wrong", "Login failed"), ("clerk:clerk", "Not monitor user")],
)
def test_others_do_not(scrapes: Scrapes, user: str | None, answer: str) -> None:
    """No login, a wrong one or a user without the tag is a 401 that says so."""
    scrapes.api("PUT", "/users/clerk", {"password": "clerk", "tags": "management"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        scrapes.fetch("/metrics", user, tls=False)
    with caught.value as error:
        assert error.code == 401
        assert answer in error.read().decode()
        if user is None:
            assert error.headers["WWW-Authenticate"] == 'Basic realm="RabbitMQ Prometheus"'


def test_a_hangup_does_not_end_it(scrapes: Scrapes) -> None:
    """SIGHUP, which logrotate sends, ends no broker, whether or not AMQP has certificates."""
    os.kill(scrapes.broker.pid, signal.SIGHUP)
    assert "rabbitmq_identity_info" in scrapes.fetch("/metrics")
    assert scrapes.broker.running


def test_a_strange_certificate_is_noticed(scrapes: Scrapes) -> None:
    """A scraper that does not trust the authority does not connect."""
    with pytest.raises(urllib.error.URLError) as caught:
        urllib.request.urlopen(f"https://localhost:{scrapes.port}/metrics", timeout=10)
    assert isinstance(caught.value.reason, ssl.SSLCertVerificationError)


def test_a_listener_without_certificate_is_refused(target: Target) -> None:
    """A port for TLS without a certificate ends the start with a line that says what to set."""
    if URL or target.kind != "fast":
        pytest.skip("this is a setting of Leveret")
    with pytest.raises(BrokerError, match=r"prometheus\.ssl\.certfile must be set"):
        Leveret(settings={"prometheus.ssl.port": free_port()}).start()


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/metrics", "aggregated"),
        ("/metrics/per-object", "per-object"),
        ("/metrics/detailed?family=queue_metrics", "detailed"),
        ("/metrics/memory-breakdown", "memory-breakdown"),
    ],
)
def test_pages_name_themselves(scrapes: Scrapes, path: str, endpoint: str) -> None:
    """Each page says which it is, so that a dashboard can tell them apart."""
    assert scrapes.endpoints(path) == {endpoint}


def test_memory_breakdown(scrapes: Scrapes) -> None:
    """What memory is used for adds up to what the process has, under names of RabbitMQ 4."""
    families = {family.name: family for family in parse(scrapes.fetch("/metrics/memory-breakdown"))}
    assert set(families) >= MEMORY
    used = [families[name].samples[0].value for name in MEMORY]
    assert all(value >= 0 for value in used)
    resident = "rabbitmq_process_resident_memory_bytes"
    node = {family.name: family for family in parse(scrapes.fetch("/metrics"))}
    assert sum(used) == pytest.approx(node[resident].samples[0].value, rel=0.2)


def test_bodies_are_counted(scrapes: Scrapes) -> None:
    """Messages that wait in memory are found in the breakdown."""
    with Connection(scrapes.broker.url) as connection:
        channel = connection.channel(1)
        queue = channel.declare(exclusive=True)
        for _ in range(4):
            channel.publish("", queue, b"x" * 50_000)
        channel.sync()
        text = scrapes.fetch("/metrics/memory-breakdown")
    assert "rabbitmq_memory_binary_heap_bytes 200000.0\n" in text


@pytest.mark.parametrize("prefix", ["", "detailed_"])
def test_queue_info(scrapes: Scrapes, prefix: str) -> None:
    """Each queue has a line with its type, and those who ask by family get it with its queues."""
    path = "/metrics/detailed?family=queue_coarse_metrics" if prefix else "/metrics/per-object"
    with Connection(scrapes.broker.url) as connection:
        channel = connection.channel(1)
        channel.declare("big", durable=True, arguments={"x-queue-type": "quorum"})
        families = {family.name: family for family in parse(scrapes.fetch(path))}
        channel.call("queue.delete", queue="big")
    samples = [sample.labels for sample in families[f"rabbitmq_{prefix}queue_info"].samples]
    expected = {"queue_type": "rabbit_quorum_queue", "membership": "leader"}
    assert samples == [{"vhost": "/", "queue": "big", **expected}]


def test_exchange_metrics(scrapes: Scrapes) -> None:
    """What goes to an exchange is counted there, and by queue under the name of RabbitMQ 4."""
    with Connection(scrapes.broker.url) as connection:
        channel = connection.channel(1)
        queue = channel.declare(exclusive=True)
        channel.bind(queue, "amq.direct", "here")
        for key in ("here", "here", "nowhere"):
            channel.publish("amq.direct", key, b"m")
        channel.sync()
        path = "/metrics/detailed?family=exchange_metrics&family=queue_exchange_metrics"
        text = scrapes.fetch(path)
    labels = 'exchange="amq.direct",vhost="/"'
    prefix = "rabbitmq_detailed_"
    assert f"{prefix}exchange_messages_published_total{{{labels}}} 3" in text
    assert f"{prefix}exchange_messages_unroutable_dropped_total{{{labels}}} 1" in text
    by_queue = f'exchange="amq.direct",queue="{queue}",vhost="/"'
    assert f"{prefix}queue_exchange_messages_published_total{{{by_queue}}} 2" in text
