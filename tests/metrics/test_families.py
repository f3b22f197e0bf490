"""How metrics are made and written: histograms, sums, slices, what is left out."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from broker.core.counters import Spread
from broker.metrics.family import (
    CHUNK,
    COUNTER,
    GAUGE,
    Column,
    Part,
    Scope,
    Step,
    by_object,
    histogram,
    label_texts,
    single,
)
from broker.metrics.loop_lag import INTERVAL_S, LoopLag
from broker.metrics.registries import DETAILED, LEFT_OUT
from broker.metrics.render import render
from broker.metrics.telemetry import Telemetry

NAMES = ("a", 'quoted "name"', "back\\slash", "line\nfeed", "häschen")


def scope(**options: Any) -> Scope:
    """A scope whose server nobody asks."""
    return Scope(SimpleNamespace(), **options)  # type: ignore[arg-type]


def text_of(steps: Iterable[Step], *, openmetrics: bool = False) -> str:
    """What a scrape would get."""
    encode = generate_openmetrics if openmetrics else generate_latest
    page = asyncio.run(render(steps, encode, compress=False))
    return b"".join(page.pieces).decode()


# -- spreads and histograms -----------------------------------------------------------------------


def test_spread() -> None:
    """A value is counted in the bucket of its number of bits; what is below 0 is 0."""
    spread = Spread()
    for value in (0, 1, 2, 3, 4, 1023, 1024):
        spread.add(value)
    spread.add(5, times=10)
    spread.add(-7)
    counted = {bits: count for bits, count in enumerate(spread.buckets) if count}
    assert counted == {0: 2, 1: 1, 2: 2, 3: 11, 10: 1, 11: 1}
    assert spread.total == 0 + 1 + 2 + 3 + 4 + 1023 + 1024 + 50


def test_histogram() -> None:
    """Buckets are cumulative, hold what is below their bound, and the last one holds all."""
    spread = Spread()
    for milliseconds in (0, 1, 3, 4, 100, 10**9):
        spread.add(milliseconds)
    metric = histogram("wait_seconds", "", spread, unit_s=0.001, first=1, last=7)
    found = {sample.labels.get("le", sample.name): sample.value for sample in metric.samples}
    assert found == {
        "0.002": 2,
        "0.004": 3,
        "0.008": 4,
        "0.016": 4,
        "0.032": 4,
        "0.064": 4,
        "0.128": 5,
        "+Inf": 6,
        "wait_seconds_count": 6,
        "wait_seconds_sum": spread.total / 1000,
    }
    generate_openmetrics(Part(metric))  # which checks that it is a histogram


# -- objects --------------------------------------------------------------------------------------

COLUMNS: tuple[Column[int], ...] = (
    Column("numbers", GAUGE, "The numbers", lambda number: number),
    Column("seen_total", COUNTER, "How many", lambda _: 1),
    Column(
        "largest_odd",
        GAUGE,
        "Odd ones",
        lambda number: number if number % 2 else None,
        own=True,
        combine=max,
    ),
)


def objects(count: int, *, per_object: bool) -> dict[str, dict[str, float]]:
    """The samples of so many numbers, by name and label."""
    made = by_object(
        scope(per_object=per_object), COLUMNS, range(count), lambda number: {"name": str(number)}
    )
    return {
        family.name: {sample.labels.get("name", ""): sample.value for sample in family.samples}
        for family in parse(text_of(made))
    }


def test_over_all_objects() -> None:
    """Values are added up or combined, also those of more objects than fit in a slice."""
    count = 2 * CHUNK + 2
    assert objects(count, per_object=False) == {
        "rabbitmq_numbers": {"": sum(range(count))},
        "rabbitmq_seen": {"": count},
        "leveret_largest_odd": {"": count - 1},
    }


def test_each_object() -> None:
    """Each object has its sample, unless it has no such value."""
    count = 2 * CHUNK + 2
    found = objects(count, per_object=True)
    numbers = {str(number): float(number) for number in range(count)}
    odd = {name: value for name, value in numbers.items() if value % 2}
    assert found["rabbitmq_numbers"] == numbers
    assert found["leveret_largest_odd"] == odd
    assert set(found["rabbitmq_seen"].values()) == {1}


def test_no_objects() -> None:
    """Sums over nothing are 0; there is no largest of nothing."""
    assert objects(0, per_object=False) == {
        "rabbitmq_numbers": {"": 0},
        "rabbitmq_seen": {"": 0},
        "leveret_largest_odd": {},
    }


@pytest.mark.parametrize("openmetrics", [False, True])
def test_labels(openmetrics: bool) -> None:
    """Labels written once are the same octets that the library writes in either format."""
    metric = Metric("x", "", GAUGE)
    labels = [{"vhost": "/", "queue": name} for name in NAMES]
    for one in labels:
        metric.add_sample("x", one, 0)
    encode = generate_openmetrics if openmetrics else generate_latest
    lines = encode(Part(metric)).decode().splitlines()[2:]
    expected = [line[1:-4] for line in lines if not line.startswith("#")]
    assert label_texts(labels) == expected


# -- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("openmetrics", [False, True])
def test_page(openmetrics: bool) -> None:
    """Each family has one heading; a page in OpenMetrics ends once."""
    steps: list[Step] = [
        single("a", GAUGE, "A", 1),
        b'a{b="c"} 2\n',
        None,
        single("b", GAUGE, "B", 3),
    ]
    text = text_of(steps, openmetrics=openmetrics)
    assert text.count("# HELP") == text.count("# TYPE") == 2
    assert text.index('a{b="c"} 2\n') < text.index("# HELP b")
    assert text.count("# EOF\n") == text.endswith("# EOF\n") == openmetrics


def test_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between slices of a page, others have their turn."""
    monkeypatch.setattr("broker.metrics.render.SLICE_S", 0)
    turns: list[str] = []

    def steps() -> Iterator[Step]:
        for _ in range(3):
            turns.append("page")
            yield None

    async def other() -> None:
        for _ in range(3):
            turns.append("other")
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(render(steps(), generate_latest, compress=False), other())

    asyncio.run(both())
    assert turns == ["page", "other"] * 3


def test_compressed_page() -> None:
    """A compressed page is smaller than its text, and knows both sizes."""
    lines = [f'a{{b="{number}"}} 1\n'.encode() for number in range(1000)]
    page = asyncio.run(render(lines, generate_latest, compress=True))
    assert page.size == sum(map(len, lines))
    assert page.encoded_size == sum(map(len, page.pieces)) < page.size / 2


def test_telemetry() -> None:
    """A registry tells what its earlier scrapes cost, and nothing of others."""
    telemetry = Telemetry()
    for size in (10, 20):
        page = asyncio.run(render([b"x" * size], generate_latest, compress=False))
        telemetry.note("default", "text/plain", "identity", page, 0.5)
    found = {
        sample.name: sample.value
        for step in telemetry.families("default")
        if isinstance(step, Metric)
        for sample in step.samples
    }
    assert found["telemetry_scrape_size_bytes_count"] == 2
    assert found["telemetry_scrape_size_bytes_sum"] == 30
    assert found["telemetry_scrape_encoded_size_bytes_sum"] == 30
    assert found["telemetry_scrape_duration_seconds_sum"] == 1
    others = [step for step in telemetry.families("detailed") if isinstance(step, Metric)]
    assert all(not step.samples for step in others)


# -- what there is --------------------------------------------------------------------------------


def test_nothing_is_missing_without_a_reason() -> None:
    """What RabbitMQ exports is exported here, or left out for a reason that is written down."""
    recorded = Path(__file__).parent.parent.parent / "conformance/recorded"
    rows = json.loads((recorded / "metrics.json").read_text())
    wanted = {family for row in rows for family in row.get("families", ())}
    assert wanted <= set(DETAILED)
    absent = (recorded / "metrics_absent.txt").read_text().split()
    assert [name for name in absent if not any(part in name for part in LEFT_OUT)] == []
    assert [part for part in LEFT_OUT if not any(part in name for name in absent)] == []
    assert {row["name"] for row in rows}.isdisjoint(absent)


# -- how late the loop is -------------------------------------------------------------------------


class Clock:
    """A clock and timers that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.cancelled = False

    def call_later(self, delay_s: float, callback: Any) -> "Clock":
        """Keep what was asked for."""
        self.delay_s, self.callback = delay_s, callback
        return self

    def cancel(self) -> None:
        """Do not call."""
        self.cancelled = True


def test_loop_lag() -> None:
    """Each call counts how much later it came than asked for, and asks for the next."""
    clock = Clock()
    lag = LoopLag(lambda: clock.now_s, clock.call_later)
    lag.start()
    for late_s in (0.0, 0.005):
        clock.now_s += INTERVAL_S + late_s
        clock.callback()
    assert lag.late_us.total in range(4990, 5001)
    assert sum(lag.late_us.buckets) == 2
    lag.stop()
    assert clock.cancelled
