"""A real Prometheus scrapes the broker, and every expression of a dashboard returns data.

Runs Debian's ``prometheus`` on 127.0.0.1 with its data in a temporary directory, and is skipped
where it is not installed. Judged is what RabbitMQ's dashboards read (``dashboards``), on RabbitMQ
too, and the dashboard and the alert rules in ``config/monitoring``.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance import dashboards
from conformance.brokers import REPOSITORY, Broker, broker_of, free_port
from conformance.conftest import URL, Target
from conformance.wire import Connection

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed (apt-get install)"
)

MONITORING = REPOSITORY / "config/monitoring"
DASHBOARD = MONITORING / "grafana/dashboards/leveret-overview.json"
DEADLINE_S = 30.0


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

    def cluster(self) -> str:
        """The name of the cluster that it scrapes."""
        (who,) = self.get("query", query="rabbitmq_identity_info")["result"]
        name: str = who["metric"]["rabbitmq_cluster"]
        return name

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


@pytest.mark.parametrize("name", dashboards.SERIES)
def test_expressions_of_dashboards(prometheus: Prometheus, target: Target, name: str) -> None:
    """What RabbitMQ's own dashboards ask returns data, whatever series they were made for."""
    if target.is_rabbitmq and name == "4":
        pytest.skip("RabbitMQ 3.10 has neither rabbitmq_endpoint nor sizes of messages")
    wanted = dashboards.expressions(dashboards.SERIES[name], prometheus.cluster())
    assert len(wanted) > 50
    assert without_data(prometheus, wanted) == []


def test_variables_of_dashboards(prometheus: Prometheus, target: Target) -> None:
    """What dashboards offer to choose from is there: a cluster, and the page they read."""
    (who,) = prometheus.get("series", **{"match[]": 'rabbitmq_identity_info{namespace=""}'})
    assert who["rabbitmq_cluster"]
    assert who["rabbitmq_cluster_permanent_id"]
    assert target.is_rabbitmq or who["rabbitmq_endpoint"] == "aggregated"


def test_our_dashboard(prometheus: Prometheus, target: Target) -> None:
    """Every panel of the dashboard that is shipped has data."""
    if target.is_rabbitmq:
        pytest.skip("our dashboard has metrics that RabbitMQ lacks")
    cluster = prometheus.cluster()
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


def test_every_alert_is_tested(target: Target) -> None:
    """For each alert there is a case in which it fires."""
    if target.kind not in ("fast", "foreign"):
        pytest.skip("this is about files, and checked once")
    alerts = re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text())
    cases = (MONITORING / "alerts_test.yml").read_text()
    fired = re.findall(r"alertname: (\w+)\n +exp_alerts:\n", cases)
    assert sorted(set(fired)) == sorted(alerts)
