"""Metrics for Prometheus: RabbitMQ's names, types and labels, and counters that count.

``recorded/metrics.json`` has what RabbitMQ 3.10.8 exports and Leveret too, with the labels on
``/metrics``, on ``/metrics/per-object`` and in the families of ``/metrics/detailed``.
"""

from __future__ import annotations

import gzip
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from conformance import dashboards
from conformance.brokers import Broker, broker_of
from conformance.channel import Channel
from conformance.conftest import URL, Target
from conformance.replay import RECORDED
from conformance.wire import Connection

DEADLINE_S = 15.0
Families = dict[str, Metric]

METRICS: list[dict[str, Any]] = json.loads((RECORDED / "metrics.json").read_text())


@pytest.fixture(scope="module")
def measured(target: Target) -> Iterator[Broker]:
    """A broker with metrics, which only these tests use."""
    if URL:
        pytest.skip("where a foreign broker has its metrics is not known")
    settings = {"collect_statistics_interval": "200"}
    with broker_of(target.kind, settings, ["rabbitmq_prometheus"]) as broker:
        yield broker


@pytest.fixture
def channel(measured: Broker) -> Iterator[Channel]:
    """Channel 1 of a connection to it."""
    with Connection(measured.url) as connection:
        yield connection.channel(1)


def fetch(broker: Broker, path: str, **headers: str) -> tuple[str, Message]:
    """The text at a path, and the headers of the answer."""
    url = f"http://127.0.0.1:{broker.prometheus_port}{path}"
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        octets: bytes = answer.read()
        if answer.headers.get("Content-Encoding") == "gzip":
            octets = gzip.decompress(octets)
        return octets.decode(), answer.headers


def scrape(broker: Broker, path: str = "/metrics") -> Families:
    """All families at a path, by the name their samples have."""
    families: Families = {}
    for family in parse_text(fetch(broker, path)[0]):
        suffix = "_total" if family.type == "counter" else ""
        families[family.name + suffix] = family
    return families


def total(families: Families, name: str, **labels: str) -> float:
    """The sum of the samples of a family that have these labels."""
    family = families[name]
    return sum(
        sample.value
        for sample in family.samples
        if all(sample.labels.get(key) == value for key, value in labels.items())
    )


def eventually(look: Callable[[], object], expected: object) -> None:
    """Wait until ``look`` gives what is expected: RabbitMQ counts a little later."""
    deadline = time.monotonic() + DEADLINE_S
    while (found := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found == expected


NAME = "metered"


@pytest.fixture(scope="module")
def used(measured: Broker) -> Iterator[Broker]:
    """The broker while somebody publishes and consumes, so that all metrics have samples."""
    with Connection(measured.url) as connection:
        channel = connection.channel(1)
        channel.call("confirm.select")
        channel.declare(NAME, durable=True)
        channel.publish("", NAME, b"body", delivery_mode=2)
        channel.expect_confirms(1)
        channel.get(NAME, no_ack=False)
        eventually(lambda: has_samples(measured, "rabbitmq_channel_get_ack_total"), True)
        yield measured
        channel.call("queue.delete", queue=NAME)


def has_samples(broker: Broker, name: str) -> bool:
    """Whether the object that a metric is about has been seen."""
    family = scrape(broker, "/metrics/per-object").get(name)
    return family is not None and bool(family.samples)


def wrong_type(families: Families, name: str, expected: str) -> list[str]:
    """What is wrong with the type of a family, in words."""
    family = families.get(name)
    if family is None:
        return [f"{name} is missing"]
    kind = {"unknown": "untyped"}.get(family.type, family.type)
    faults = [f"{name} is a {kind}, not a {expected}"] if kind != expected else []
    return faults if family.documentation else [*faults, f"{name} has no HELP"]


def faults_of(families: Families, row: Mapping[str, Any], name: str, labels: str) -> list[str]:
    """What is wrong with one family, in words."""
    faults = wrong_type(families, name, row["type"])
    for sample in families[name].samples if name in families else ():
        missing = set(row[labels]) - set(sample.labels)
        if missing:
            faults.append(f"{name}{sample.labels} has no label {missing}")
    return faults


@pytest.mark.parametrize("registry", ["metrics", "per-object"])
def test_names_types_and_labels(used: Broker, registry: str) -> None:
    """Each metric has the name, type and labels it has in RabbitMQ."""
    families = scrape(used, "/metrics" if registry == "metrics" else "/metrics/per-object")
    rows = [row for row in METRICS if registry in row]
    faults = [fault for row in rows for fault in faults_of(families, row, row["name"], registry)]
    assert rows
    assert faults == []


def test_types_that_dashboards_need(used: Broker, target: Target) -> None:
    """What RabbitMQ's dashboards read has the type that their expressions are made for."""
    families = scrape(used)
    rows = [row for row in dashboards.OVERVIEW if not (target.is_rabbitmq and row.series == ("4",))]
    faults = [fault for row in rows for fault in wrong_type(families, row.metric, row.type)]
    assert faults == []
    if not target.is_rabbitmq:
        sizes = families["rabbitmq_message_size_bytes"].samples
        bounds = [one.labels["le"] for one in sizes if one.name.endswith("_bucket")]
        assert bounds == dashboards.SIZES
    build = families["rabbitmq_build_info"].samples[0]
    assert set(build.labels) >= set(dashboards.BUILD)


def test_nothing_absent_is_there(used: Broker, target: Target) -> None:
    """What Leveret is said not to export, it does not: the list of what is absent is true."""
    if target.is_rabbitmq:
        pytest.skip("RabbitMQ has them")
    absent = (RECORDED / "metrics_absent.txt").read_text().split()
    assert set(absent).isdisjoint(scrape(used, "/metrics/per-object"))


def test_detailed_families(used: Broker) -> None:
    """Each family of /metrics/detailed has its metrics, under a prefix of their own."""
    faults = []
    rows = [row for row in METRICS if "families" in row]
    for wanted in sorted({family for row in rows for family in row["families"]}):
        families = scrape(used, f"/metrics/detailed?family={wanted}")
        for row in rows:
            if wanted in row["families"]:
                name = row["name"]
                if "cluster" not in name:
                    name = name.replace("rabbitmq_", "rabbitmq_detailed_", 1)
                faults += faults_of(families, row, name, "detailed")
    assert faults == []


def test_detailed_without_families(used: Broker) -> None:
    """Without a known family there is only who this is."""
    for path in ("/metrics/detailed", "/metrics/detailed?family=nonsense"):
        names = {name for name in scrape(used, path) if not name.startswith("telemetry_")}
        assert names == {"rabbitmq_build_info", "rabbitmq_identity_info"}


def test_detailed_vhosts(used: Broker) -> None:
    """Queues are shown for the vhosts asked for only."""
    path = "/metrics/detailed?family=queue_coarse_metrics&vhost="
    name = "rabbitmq_detailed_queue_messages"
    eventually(lambda: total(scrape(used, f"{path}%2F"), name, queue=NAME, vhost="/"), 1)
    family = scrape(used, f"{path}elsewhere").get(name)
    assert family is None or family.samples == []


def test_names_in_labels(measured: Broker, channel: Channel, target: Target) -> None:
    """Whatever a queue is called, its label says so and the text can be read."""
    if target.is_rabbitmq:
        pytest.skip("RabbitMQ 3.10 does not escape quotes, and its text cannot be read then")
    queue = channel.declare('"quoted"} 1 \\ häschen', exclusive=True)
    family = scrape(measured, "/metrics/per-object")["rabbitmq_queue_messages"]
    assert {"vhost": "/", "queue": queue} in [sample.labels for sample in family.samples]


@pytest.mark.parametrize("path", ["/", "/metrics/nonsense", "/nonsense"])
def test_unknown_paths(measured: Broker, path: str) -> None:
    """There is nothing beside the registries."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(measured, path)
    assert caught.value.code == 404
    caught.value.close()


@pytest.mark.parametrize("path", ["/stats", "/"])
def test_settings(target: Target, path: str) -> None:
    """Metrics can be served under another path, and per object by default."""
    if URL or target.kind == "slow":
        pytest.skip("settings are the same on both paths")
    settings = {"prometheus.return_per_object_metrics": "true", "prometheus.path": path}
    if target.kind == "rabbitmq" and path == "/":
        pytest.skip("RabbitMQ 3.10 answers 404 then")
    broker = broker_of(target.kind, settings, ["rabbitmq_prometheus"])
    with broker, Connection(broker.url) as connection:
        queue = connection.channel(1).declare(exclusive=True)
        name = "rabbitmq_queue_messages"

        def labels() -> list[dict[str, str]]:
            family = scrape(broker, path).get(name)
            return [sample.labels for sample in family.samples] if family is not None else []

        eventually(labels, [{"vhost": "/", "queue": queue}])
        assert "rabbitmq_alarms_memory_used_watermark" in scrape(broker, path)


def test_content_type(measured: Broker) -> None:
    """Who does not ask for anything gets Prometheus's text format."""
    _, headers = fetch(measured, "/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")


def test_compression(measured: Broker) -> None:
    """Who accepts gzip gets it."""
    text, headers = fetch(measured, "/metrics", **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert "rabbitmq_identity_info" in text


def test_openmetrics(used: Broker, target: Target) -> None:
    """Who accepts OpenMetrics gets it, per object too, ended as it has to be."""
    if target.is_rabbitmq:
        pytest.skip("RabbitMQ has the text format only")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    text, headers = fetch(used, "/metrics/per-object", **accept)
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name for family in parse_openmetrics(text)}
    assert {"rabbitmq_queue_messages", "leveret_message_time_in_queue_seconds"} <= families


# -- what is counted ------------------------------------------------------------------------------


def counted(broker: Broker, before: Families, **names: str) -> Callable[[], dict[str, float]]:
    """How much each of these metrics has grown, by a short name."""

    def look() -> dict[str, float]:
        now = scrape(broker)
        return {
            short: total(now, f"rabbitmq_{name}") - total(before, f"rabbitmq_{name}")
            for short, name in names.items()
        }

    return look


def test_publishes_are_counted(measured: Broker, channel: Channel) -> None:
    """What is published counts as routed, dropped or returned; what is confirmed as confirmed."""
    queue = channel.declare(exclusive=True)
    before = scrape(measured)
    for _ in range(3):
        channel.publish("", queue, b"unconfirmed")
    channel.call("confirm.select")
    for _ in range(5):
        channel.publish("", queue, b"routed")
    channel.publish("", "nowhere", b"dropped")
    channel.publish("", "nowhere", b"returned", mandatory=True)
    eventually(
        counted(
            measured,
            before,
            received="global_messages_received_total",
            received_confirm="global_messages_received_confirm_total",
            confirmed="global_messages_confirmed_total",
            routed="global_messages_routed_total",
            dropped="global_messages_unroutable_dropped_total",
            returned="global_messages_unroutable_returned_total",
            ready="queue_messages_ready",
        ),
        {
            "received": 10,
            "received_confirm": 7,
            "confirmed": 7,
            "routed": 8,
            "dropped": 1,
            "returned": 1,
            "ready": 8,
        },
    )


def test_deliveries_are_counted(measured: Broker, channel: Channel) -> None:
    """Deliveries count by how they are taken; acks, redeliveries and vain gets too."""
    queue = channel.declare(exclusive=True)
    before = scrape(measured)
    for number in range(6):
        channel.publish("", queue, str(number))
    channel.sync()
    channel.get(queue)
    tag = channel.get(queue, no_ack=False).method["delivery_tag"]
    channel.send("basic.reject", delivery_tag=tag, requeue=True)
    manual = channel.consume(queue)
    last = channel.deliveries(5)[-1].method["delivery_tag"]
    channel.send("basic.ack", delivery_tag=last, multiple=True)
    channel.call("basic.cancel", consumer_tag=manual)
    channel.consume(queue, no_ack=True)
    channel.publish("", queue, b"6")
    channel.expect_content(body="6")
    channel.get_empty(queue)
    eventually(
        counted(
            measured,
            before,
            get_auto="global_messages_delivered_get_auto_ack_total",
            get_manual="global_messages_delivered_get_manual_ack_total",
            auto="global_messages_delivered_consume_auto_ack_total",
            manual="global_messages_delivered_consume_manual_ack_total",
            all="global_messages_delivered_total",
            acked="global_messages_acknowledged_total",
            redelivered="global_messages_redelivered_total",
            empty="global_messages_get_empty_total",
            consumers="consumers",
        ),
        {
            "get_auto": 1,
            "get_manual": 1,
            "auto": 1,
            "manual": 5,
            "all": 8,
            "acked": 5,
            "redelivered": 1,
            "empty": 1,
            "consumers": 1,
        },
    )


def test_totals_never_fall(measured: Broker, channel: Channel) -> None:
    """What was counted for a queue, an exchange and a channel stays counted without them."""
    names = (
        "rabbitmq_global_messages_received_total",
        "rabbitmq_global_messages_received_confirm_total",
        "rabbitmq_global_messages_confirmed_total",
        "rabbitmq_global_messages_delivered_total",
    )
    before = scrape(measured)
    other = channel.connection.channel(2)
    other.call("confirm.select")
    other.call("exchange.declare", exchange="gone-soon", exchange_type="fanout")
    queue = other.declare("gone-soon")
    other.bind(queue, "gone-soon")
    other.publish("gone-soon", "", b"body")
    other.expect_confirms(1)
    other.get(queue)
    other.call("queue.delete", queue=queue)
    other.call("exchange.delete", exchange="gone-soon")
    other.close()

    def grown() -> list[float]:
        now = scrape(measured)
        return [total(now, name) - total(before, name) for name in names]

    eventually(grown, [1, 1, 1, 1])


def test_comings_and_goings_are_counted(measured: Broker, channel: Channel) -> None:
    """Connections, channels and queues count when they come and when they go."""
    before = scrape(measured)
    with Connection(measured.url) as connection:
        passing = connection.channel(1)
        passing.declare("passing")
        passing.declare("passing")
        passing.call("queue.delete", queue="passing")
    eventually(
        counted(
            measured,
            before,
            connections="connections",
            opened="connections_opened_total",
            closed="connections_closed_total",
            channels_opened="channels_opened_total",
            channels_closed="channels_closed_total",
            declared="queues_declared_total",
            created="queues_created_total",
            deleted="queues_deleted_total",
        ),
        {
            "connections": 0,
            "opened": 1,
            "closed": 1,
            "channels_opened": 1,
            "channels_closed": 1,
            "declared": 2,
            "created": 1,
            "deleted": 1,
        },
    )
    channel.sync()


def test_logins_are_counted(measured: Broker) -> None:
    """Logins that succeed and that fail are counted by protocol."""
    before = scrape(measured)
    Connection(measured.url).close()
    wrong = measured.url.replace("guest:guest", "guest:wrong")
    with pytest.raises(Exception, match="403"):
        Connection(wrong)

    def grown() -> dict[str, float]:
        now = scrape(measured)
        names = {
            name: f"rabbitmq_auth_attempts{name}_total" for name in ("", "_succeeded", "_failed")
        }
        return {
            name: total(now, metric, protocol="amqp091") - total(before, metric, protocol="amqp091")
            for name, metric in names.items()
        }

    eventually(grown, {"": 2, "_succeeded": 1, "_failed": 1})


def test_dead_letters_are_counted(measured: Broker, channel: Channel) -> None:
    """Messages that end without an ack are counted by the reason, with and without a DLX."""
    names = {
        "expired": "rabbitmq_global_messages_dead_lettered_expired_total",
        "rejected": "rabbitmq_global_messages_dead_lettered_rejected_total",
        "maxlen": "rabbitmq_global_messages_dead_lettered_maxlen_total",
    }
    arguments = {"x-dead-letter-exchange": "amq.fanout", "x-max-length": 1}
    queue = channel.declare(exclusive=True, arguments=arguments)
    plain = channel.declare(exclusive=True)
    before = scrape(measured)
    channel.publish("", queue, b"pushed out")
    channel.publish("", queue, b"rejected")
    channel.sync()
    tag = channel.get(queue, no_ack=False).method["delivery_tag"]
    channel.send("basic.reject", delivery_tag=tag, requeue=False)
    channel.publish("", plain, b"expired", expiration="1")

    def grown() -> dict[str, tuple[float, float]]:
        now = scrape(measured)
        return {
            name: tuple(
                total(now, metric, dead_letter_strategy=strategy)
                - total(before, metric, dead_letter_strategy=strategy)
                for strategy in ("at_most_once", "disabled")
            )
            for name, metric in names.items()
        }

    eventually(grown, {"expired": (0, 1), "rejected": (1, 0), "maxlen": (1, 0)})


def test_letters_taken_are_counted(measured: Broker, channel: Channel) -> None:
    """With the strategy at-least-once a dead letter counts by it, and again when it is taken."""
    arguments = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "amq.fanout",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    channel.declare("lettered", durable=True, arguments=arguments)
    taker = channel.declare(exclusive=True)
    channel.bind(taker, "amq.fanout")
    before = scrape(measured)
    channel.publish("", "lettered", b"rejected")
    channel.sync()
    eventually(
        lambda: channel.call("queue.declare", queue="lettered", passive=True)["message_count"], 1
    )
    tag = channel.get("lettered", no_ack=False).method["delivery_tag"]
    channel.send("basic.reject", delivery_tag=tag, requeue=False)
    names = [f"global_messages_dead_lettered_{name}_total" for name in ("rejected", "confirmed")]

    def grown() -> list[float]:
        now = scrape(measured)
        labels = {"dead_letter_strategy": "at_least_once", "queue_type": "rabbit_quorum_queue"}
        return [
            total(now, f"rabbitmq_{name}", **labels) - total(before, f"rabbitmq_{name}", **labels)
            for name in names
        ]

    eventually(grown, [1, 1])
    channel.call("queue.delete", queue="lettered")
