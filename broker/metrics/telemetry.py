"""What scrapes cost: RabbitMQ's ``telemetry_scrape_...``, by registry."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client.core import Metric

from broker.metrics.family import Labels, Steps
from broker.metrics.render import Text


@dataclass
class _Summary:
    count: int = 0
    sum: float = 0

    def add(self, value: float) -> None:
        self.count += 1
        self.sum += value


@dataclass
class _Costs:
    """Of answers of one kind."""

    duration_s: _Summary = field(default_factory=_Summary)
    size: _Summary = field(default_factory=_Summary)
    encoded_size: dict[str, _Summary] = field(default_factory=dict)


class Telemetry:
    """See the module."""

    def __init__(self) -> None:
        self._costs: dict[tuple[str, str], _Costs] = {}

    def note(
        self, registry: str, content_type: str, encoding: str, text: Text, elapsed_s: float
    ) -> None:
        """A scrape was answered."""
        costs = self._costs.setdefault((registry, content_type), _Costs())
        costs.duration_s.add(elapsed_s)
        costs.size.add(text.size)
        costs.encoded_size.setdefault(encoding, _Summary()).add(text.encoded_size)

    def families(self, registry: str) -> Steps:
        """The earlier scrapes of a registry."""
        size = Metric("telemetry_scrape_size_bytes", "Scrape size, not encoded", "summary")
        encoded = Metric("telemetry_scrape_encoded_size_bytes", "Scrape size, encoded", "summary")
        duration = Metric("telemetry_scrape_duration_seconds", "Scrape duration", "summary")
        for (name, content_type), costs in self._costs.items():
            if name != registry:
                continue
            labels = {"registry": registry, "content_type": content_type}
            _add(size, labels, costs.size)
            _add(duration, labels, costs.duration_s)
            for encoding, summary in costs.encoded_size.items():
                _add(encoded, {**labels, "encoding": encoding}, summary)
        yield from (size, encoded, duration)


def _add(metric: Metric, labels: Labels, summary: _Summary) -> None:
    metric.add_sample(f"{metric.name}_count", labels, summary.count)
    metric.add_sample(f"{metric.name}_sum", labels, summary.sum)
