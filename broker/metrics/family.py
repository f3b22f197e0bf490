"""The pieces metrics are made of.

A family is made in ``Step``s: parts of it, which hold at most ``CHUNK`` samples, and None where
work was done that gave no samples yet. Between two steps the loop may do something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from prometheus_client.core import Metric

from broker.core.counters import Spread

if TYPE_CHECKING:
    from broker.server import Server

CHUNK = 250  # samples, or objects looked at: about a millisecond

Step = Metric | None
Steps = Iterator[Step]
Labels = dict[str, str]
Value = float | None
Object = TypeVar("Object")

GAUGE, COUNTER, UNTYPED = "gauge", "counter", "unknown"


@dataclass(frozen=True)
class Scope:
    """What a scrape asks for. ``prefix`` begins RabbitMQ's names, ``own`` those RabbitMQ lacks."""

    server: Server
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
    if not scope.per_object:
        yield from _over_all(scope, columns, objects)
        return
    for column in columns:
        name = _name(scope, column)
        for part in _parts(objects):
            read = ((one, column.read(one)) for one in part)
            samples = [(labels_of(one), value) for one, value in read if value is not None]
            yield family(name, column.type, column.help, samples)


def _over_all(scope: Scope, columns: Sequence[Column[Object]], objects: Sequence[Object]) -> Steps:
    found: list[list[float]] = [[] for _ in columns]
    for part in _parts(objects):
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


def _parts(objects: Sequence[Object]) -> Iterator[Sequence[Object]]:
    for start in range(0, max(1, len(objects)), CHUNK):
        yield objects[start : start + CHUNK]


def info(name: str, text: str, labels: Mapping[str, str]) -> Metric:
    """A family whose one sample, always 1, tells something by its labels."""
    return family(name, UNTYPED, text, [(dict(labels), 1)])
