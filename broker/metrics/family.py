"""The pieces metrics are made of.

Pages are made in ``Step``s: a family that the library writes, further lines of the family before as
octets, or None where work was done that gave no text yet. Between two steps, each of which looks at
no more than ``CHUNK`` objects, the loop may do something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest

from broker.core.counters import Spread

if TYPE_CHECKING:
    from broker.server import Server

CHUNK = 100  # objects: less than half a millisecond

Step = Metric | bytes | None
Steps = Iterator[Step]
Labels = dict[str, str]
Value = float | None
Object = TypeVar("Object")

GAUGE, COUNTER, UNTYPED = "gauge", "counter", "unknown"


class Part:
    """One family, as the registry that the library wants."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """See ``prometheus_client.registry.Collector``."""
        return (self._metric,)


@dataclass(frozen=True)
class Scope:
    """What a scrape asks for. ``prefix`` begins RabbitMQ's names, ``own`` those RabbitMQ lacks.

    ``endpoint`` is what RabbitMQ calls the page, by which dashboards tell pages apart.
    """

    server: Server
    endpoint: str = "aggregated"
    per_object: bool = False
    prefix: str = "rabbitmq_"
    own: str = "leveret_"
    vhosts: frozenset[str] | None = None


@dataclass(frozen=True)
class Column(Generic[Object]):
    """One value of each object. ``own`` if RabbitMQ has no such metric.

    Over all objects it is added up, or what ``combine`` makes of it. None is no value.
    """

    name: str
    type: str
    help: str
    read: Callable[[Object], Value]
    own: bool = False
    combine: Callable[[Iterable[float]], float] = sum


def family(name: str, kind: str, text: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
    """A family with samples of its own name; counters are called ``..._total``."""
    metric = Metric(name.removesuffix("_total"), text, kind)
    for labels, value in samples:
        metric.add_sample(name, labels, value)
    return metric


def single(name: str, kind: str, text: str, value: float) -> Metric:
    """A family of one sample without labels."""
    return family(name, kind, text, [({}, value)])


def histogram(name: str, text: str, spread: Spread, unit_s: float, first: int, last: int) -> Metric:
    """A histogram of times that were counted in units; buckets ``first`` to ``last`` are shown."""
    metric = Metric(name, text, "histogram")
    buckets = list(spread.buckets)
    for number in range(first, last + 1):
        upper = format(2**number * unit_s, ".9g")
        metric.add_sample(f"{name}_bucket", {"le": upper}, sum(buckets[: number + 1]))
    metric.add_sample(f"{name}_bucket", {"le": "+Inf"}, sum(buckets))
    metric.add_sample(f"{name}_count", {}, sum(buckets))
    metric.add_sample(f"{name}_sum", {}, spread.total * unit_s)
    return metric


def by_object(
    scope: Scope,
    columns: Sequence[Column[Object]],
    objects: Sequence[Object],
    labels_of: Callable[[Object], Labels],
) -> Steps:
    """The families of ``columns``: with a sample for each object, or one for all of them."""
    if scope.per_object:
        yield from _each(scope, columns, objects, labels_of)
    else:
        yield from _over_all(scope, columns, objects)


def _each(
    scope: Scope,
    columns: Sequence[Column[Object]],
    objects: Sequence[Object],
    labels_of: Callable[[Object], Labels],
) -> Steps:
    labelled: list[tuple[str, Object]] = []
    for part in parts(objects):
        labelled += zip(label_texts([labels_of(one) for one in part]), part, strict=True)
        yield None
    for column in columns:
        name = _name(scope, column)
        yield family(name, column.type, column.help, ())
        for some in parts(labelled):
            read = [(labels, column.read(one)) for labels, one in some]
            lines = [f"{name}{labels} {value}\n" for labels, value in read if value is not None]
            yield "".join(lines).encode()


def label_texts(labels: Iterable[Labels]) -> list[str]:
    """Labels as the library writes them: once for each object, as that takes most of the time."""
    metric = Metric("x", "", GAUGE)
    for one in labels:
        metric.add_sample("x", one, 0)
    lines = generate_latest(Part(metric)).decode().splitlines()
    return [line.removeprefix("x").removesuffix(" 0.0") for line in lines[2:]]


def _over_all(scope: Scope, columns: Sequence[Column[Object]], objects: Sequence[Object]) -> Steps:
    found: list[list[float]] = [[] for _ in columns]
    for part in parts(objects):
        for column, values in zip(columns, found, strict=True):
            read = [value for value in map(column.read, part) if value is not None]
            if read:
                values.append(column.combine(read))
        yield None
    for column, values in zip(columns, found, strict=True):
        # Without objects a count is 0, and there is no oldest message.
        known = bool(values) or column.combine is sum
        samples: list[tuple[Labels, float]] = [({}, column.combine(values))] if known else []
        yield family(_name(scope, column), column.type, column.help, samples)


def _name(scope: Scope, column: Column[Object]) -> str:
    return f"{scope.own if column.own else scope.prefix}{column.name}"


def parts(objects: Sequence[Object]) -> Iterator[Sequence[Object]]:
    """``objects`` in pieces that take about a millisecond."""
    for start in range(0, len(objects), CHUNK):
        yield objects[start : start + CHUNK]


def info(name: str, text: str, labels: Mapping[str, str]) -> Metric:
    """A family whose one sample, always 1, tells something by its labels."""
    return family(name, UNTYPED, text, [(dict(labels), 1)])
