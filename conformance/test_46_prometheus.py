"""A real Prometheus scrapes the broker, and every expression of a dashboard returns data.

Runs Debian's ``prometheus`` on 127.0.0.1 with its data in a temporary directory, and is skipped
where it is not installed. Judged are the kinds of expressions that dashboards for RabbitMQ have, on
RabbitMQ too, and those of the dashboard and the alert rules in ``config/monitoring``.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.brokers import REPOSITORY, Broker, broker_of, free_port
from conformance.conftest import URL, Target
from conformance.wire import Connection

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed (apt-get install)"
)

MONITORING = REPOSITORY / "config/monitoring"
DASHBOARD = MONITORING / "grafana/dashboards/leveret-overview.json"
DEADLINE_S = 30.0

NODE = (
    "rabbitmq_process_resident_memory_bytes",
    "rabbitmq_resident_memory_limit_bytes",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
    "rabbitmq_process_max_fds",
    "rabbitmq_process_open_fds",
    "rabbitmq_process_max_tcp_sockets",
    "rabbitmq_process_open_tcp_sockets",
    "rabbitmq_erlang_uptime_seconds",
    "rabbitmq_queue_messages_ready",
    "rabbitmq_queue_messages_unacked",
    "rabbitmq_connections",
    "rabbitmq_channels",
    "rabbitmq_consumers",
    "rabbitmq_channel_consumers",
    "rabbitmq_queues",
    "rabbitmq_global_publishers",
    "rabbitmq_global_consumers",
)
RATES = (
    "rabbitmq_global_messages_received_total",
    "rabbitmq_global_messages_received_confirm_total",
    "rabbitmq_global_messages_confirmed_total",
    "rabbitmq_global_messages_routed_total",
    "rabbitmq_global_messages_unroutable_dropped_total",
    "rabbitmq_global_messages_unroutable_returned_total",
    "rabbitmq_global_messages_delivered_total",
    "rabbitmq_global_messages_delivered_consume_auto_ack_total",
    "rabbitmq_global_messages_delivered_consume_manual_ack_total",
    "rabbitmq_global_messages_delivered_get_auto_ack_total",
    "rabbitmq_global_messages_delivered_get_manual_ack_total",
    "rabbitmq_global_messages_get_empty_total",
    "rabbitmq_global_messages_redelivered_total",
    "rabbitmq_global_messages_acknowledged_total",
    "rabbitmq_queues_declared_total",
    "rabbitmq_queues_created_total",
    "rabbitmq_queues_deleted_total",
    "rabbitmq_channels_opened_total",
    "rabbitmq_channels_closed_total",
    "rabbitmq_connections_opened_total",
    "rabbitmq_connections_closed_total",
)
WHO = "on(instance) group_left(rabbitmq_cluster, rabbitmq_node) rabbitmq_identity_info"
EXPRESSIONS = (
    *(f"sum({metric} * {WHO})" for metric in NODE),
    *(f"sum by(rabbitmq_node) (rate({metric}[60s]) * {WHO})" for metric in RATES),
    f"(rabbitmq_resident_memory_limit_bytes - rabbitmq_process_resident_memory_bytes) * {WHO}",
    f"(rabbitmq_process_max_fds - rabbitmq_process_open_fds) * {WHO}",
    f"(rabbitmq_process_max_tcp_sockets - rabbitmq_process_open_tcp_sockets) * {WHO}",
    f"sum(rabbitmq_channels * {WHO}) - sum(rabbitmq_channel_consumers * {WHO})",
    f"rabbitmq_build_info * {WHO}",
    'count(rabbitmq_identity_info{rabbitmq_cluster!="", rabbitmq_cluster_permanent_id!=""})',
)


class Prometheus:
    """A private Prometheus that scrapes one broker twice a second."""

    def __init__(self, broker: Broker, place: Path) -> None:
        self._port = free_port()
        target = f"127.0.0.1:{broker.prometheus_port}"
        detailed = {"family": ["queue_coarse_metrics", "queue_consumer_count"]}
        jobs = [
            {"job_name": "broker", "static_configs": [{"targets": [target]}]},
            {
                "job_name": "queues",
                "metrics_path": "/metrics/detailed",
                "params": detailed,
                "static_configs": [{"targets": [target]}],
                "metric_relabel_configs": [
                    {
                        "source_labels": ["__name__"],
                        "regex": "rabbitmq_(build|identity)_info",
                        "action": "drop",
                    }
                ],
            },
        ]
        config = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "1s"},
            "rule_files": [str(MONITORING / "alerts.yml")],
            "scrape_configs": jobs,
        }
        (place / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML, too
        with (place / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={place}/prometheus.yml",
                    f"--storage.tsdb.path={place}/data",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )

    def get(self, path: str, **parameters: str) -> Any:
        """The data that its HTTP API gives."""
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[float]:
        """What an expression gives now."""
        result = self.get("query", query=expression)["result"]
        return [float(sample["value"][1]) for sample in result]

    def wait(self, expression: str) -> None:
        """Wait until an expression holds for anything."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                if self.values(expression):
                    return
            except OSError:
                pass  # it has only just started
            time.sleep(0.2)
        pytest.fail(f"nothing came of {expression}")

    def end(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(DEADLINE_S)


@pytest.fixture(scope="module")
def prometheus(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a broker at work for a while."""
    if URL:
        pytest.skip("where a foreign broker has its metrics is not known")
    if target.kind == "slow":
        pytest.skip("the metrics of the slow path are those of the fast one, see test_45")
    settings = {"collect_statistics_interval": "200"}
    broker = broker_of(target.kind, settings, ["rabbitmq_prometheus"])
    with broker, Connection(broker.url) as connection:
        channel = connection.channel(1)
        channel.declare("scraped", durable=True)
        channel.publish("", "scraped", b"stays")
        running = Prometheus(broker, tmp_path_factory.mktemp("prometheus"))
        try:
            running.wait('count_over_time(up{job="broker"}[60s]) >= 2')
            for _ in range(3):
                channel.publish("", "scraped", b"body", delivery_mode=2)
                channel.get("scraped")
                seen = running.values("max(rabbitmq_global_messages_received_total)")
                running.wait(f"max(rabbitmq_global_messages_received_total) > {seen[0]}")
            yield running
        finally:
            running.end()


def without_data(prometheus: Prometheus, expressions: list[str]) -> list[str]:
    """Those expressions that give nothing, or no number."""
    found = {expression: prometheus.values(expression) for expression in expressions}
    return [one for one, values in found.items() if not values or any(map(math.isnan, values))]


def test_targets_are_up(prometheus: Prometheus) -> None:
    """Prometheus reads what it gets without complaint."""
    targets = prometheus.get("targets")["activeTargets"]
    assert [(target["health"], target["lastError"]) for target in targets] == [("up", "")] * 2


def test_expressions_of_dashboards(prometheus: Prometheus) -> None:
    """What dashboards for RabbitMQ ask returns data."""
    assert without_data(prometheus, list(EXPRESSIONS)) == []


def test_our_dashboard(prometheus: Prometheus, target: Target) -> None:
    """Every panel of the dashboard that is shipped has data."""
    if target.is_rabbitmq:
        pytest.skip("our dashboard has metrics that RabbitMQ lacks")
    (cluster,) = {
        sample["metric"]["rabbitmq_cluster"]
        for sample in prometheus.get("query", query="rabbitmq_identity_info")["result"]
    }
    expressions = [
        one["expr"].replace("$cluster", cluster).replace("$__rate_interval", "60s")
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for one in panel.get("targets", ())
    ]
    assert len(expressions) > 50
    assert without_data(prometheus, expressions) == []


def test_our_rules_are_evaluated(prometheus: Prometheus) -> None:
    """All alert rules are loaded and evaluated without an error."""
    prometheus.wait("ALERTS or vector(1)")
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 10
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []


def test_configuration_is_valid(target: Target) -> None:
    """What is shipped passes Prometheus's own checks and the tests of the rules."""
    if target.kind not in ("fast", "foreign"):
        pytest.skip("this is about files, and checked once")
    for command in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        done = subprocess.run(
            ["promtool", *command], cwd=MONITORING, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
