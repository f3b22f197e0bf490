"""Metrics of virtual hosts and exchanges. Each generator is a family of ``/metrics/detailed``.

All but ``exchange_metrics`` are about the whole cluster, and called so whatever the prefix is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from broker.metrics.family import COUNTER, GAUGE, Column, Labels, Scope, Steps, by_object

if TYPE_CHECKING:
    from broker.core.exchange import Exchange

PREFIX = "rabbitmq_cluster_"


class Place(NamedTuple):
    """An exchange and where it is."""

    vhost: str
    exchange: Exchange


_STATUS: tuple[Column[str], ...] = (
    Column("vhost_status", GAUGE, "Whether a given vhost is running", lambda _: 1),
)
_NAMES: tuple[Column[Place], ...] = (
    Column(
        "exchange_name",
        GAUGE,
        "Enumerates exchanges without any additional info. This value is cluster-wide. A cheaper "
        "alternative to `exchange_bindings`",
        lambda _: 1,
    ),
)
_BINDINGS: tuple[Column[Place], ...] = (
    Column(
        "exchange_bindings",
        GAUGE,
        "Number of bindings for an exchange. This value is cluster-wide.",
        lambda place: len(place.exchange.bindings),
    ),
)
_PUBLISHED: tuple[Column[Place], ...] = (
    Column(
        "exchange_messages_published_total",
        COUNTER,
        "Total number of messages published into an exchange",
        lambda place: place.exchange.publishes.publish,
    ),
    Column(
        "exchange_messages_confirmed_total",
        COUNTER,
        "Total number of messages published into an exchange and confirmed",
        lambda place: place.exchange.publishes.confirm,
    ),
    Column(
        "exchange_messages_unroutable_returned_total",
        COUNTER,
        "Total number of messages published as mandatory into an exchange and returned to the "
        "publisher as unroutable",
        lambda place: place.exchange.publishes.return_unroutable,
    ),
    Column(
        "exchange_messages_unroutable_dropped_total",
        COUNTER,
        "Total number of messages published as non-mandatory into an exchange and dropped as "
        "unroutable",
        lambda place: place.exchange.publishes.drop_unroutable,
    ),
)


def _labels(place: Place) -> Labels:
    return {"vhost": place.vhost, "exchange": place.exchange.name}


def _labels_and_type(place: Place) -> Labels:
    return {**_labels(place), "type": place.exchange.type}


def _exchanges(scope: Scope) -> list[Place]:
    wanted = scope.vhosts
    return [
        Place(vhost.name, exchange)
        for vhost in scope.server.broker.vhosts.values()
        if wanted is None or vhost.name in wanted
        for exchange in vhost.exchanges.values()
    ]


def _named_exchanges(scope: Scope) -> list[Place]:
    """All but the default exchange, which RabbitMQ does not list."""
    everywhere = replace(scope, vhosts=None)
    return [place for place in _exchanges(everywhere) if place.exchange.name]


def _of_cluster(scope: Scope) -> Scope:
    return replace(scope, prefix=PREFIX)


def vhost_status(scope: Scope) -> Steps:
    """Which vhosts there are; all of them run."""
    vhosts = list(scope.server.broker.vhosts)
    return by_object(_of_cluster(scope), _STATUS, vhosts, lambda name: {"vhost": name})


def exchange_names(scope: Scope) -> Steps:
    """Which exchanges there are."""
    exchanges = _named_exchanges(scope)
    return by_object(_of_cluster(scope), _NAMES, exchanges, _labels_and_type)


def exchange_bindings(scope: Scope) -> Steps:
    """How many bindings each exchange has."""
    exchanges = _named_exchanges(scope)
    return by_object(_of_cluster(scope), _BINDINGS, exchanges, _labels_and_type)


def exchange_metrics(scope: Scope) -> Steps:
    """What was published to each exchange."""
    return by_object(scope, _PUBLISHED, _exchanges(scope), _labels)
