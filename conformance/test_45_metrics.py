"""Metrics for Prometheus: RabbitMQ's names, types and labels, and how they are asked for.

``recorded/metrics.json`` has what RabbitMQ 3.10.8 exports and Leveret too, with the labels on
``/metrics``, on ``/metrics/per-object`` and in the families of ``/metrics/detailed``.
"""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from conformance import dashboards
from conformance.brokers import Broker, broker_of
from conformance.conftest import URL, Target
from conformance.replay import RECORDED
from conformance.scraping import Families, eventually, fetch, scrape, total
from conformance.wire import Connection

METRICS: list[dict[str, Any]] = json.loads((RECORDED / "metrics.json").read_text())


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


def test_names_in_labels(measured: Broker, target: Target) -> None:
    """Whatever a queue is called, its label says so and the text can be read."""
    if target.is_rabbitmq:
        pytest.skip("RabbitMQ 3.10 does not escape quotes, and its text cannot be read then")
    with Connection(measured.url) as connection:
        queue = connection.channel(1).declare('"quoted"} 1 \\ häschen', exclusive=True)
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
