"""Asking a broker for its metrics: pages as families, and waiting for what they should say."""

from __future__ import annotations

import gzip
import time
import urllib.request
from collections.abc import Callable
from email.message import Message

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families as parse_text

from conformance.brokers import Broker

DEADLINE_S = 15.0
Families = dict[str, Metric]


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
