"""Metrics of virtual hosts and exchanges. Each generator is a family of ``/metrics/detailed``.

They are about the whole cluster, and called so whatever the prefix of the others is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from broker.metrics.family import GAUGE, Column, Labels, Scope, Steps, by_object

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


def _labels(place: Place) -> Labels:
    exchange = place.exchange
    return {"vhost": place.vhost, "exchange": exchange.name, "type": exchange.type}


def _exchanges(scope: Scope) -> list[Place]:
    return [
        Place(vhost.name, exchange)
        for vhost in scope.server.broker.vhosts.values()
        for exchange in vhost.exchanges.values()
        if exchange.name  # the default exchange has none, and is not shown
    ]


def _of_cluster(scope: Scope) -> Scope:
    return replace(scope, prefix=PREFIX)


def vhost_status(scope: Scope) -> Steps:
    """Which vhosts there are; all of them run."""
    vhosts = list(scope.server.broker.vhosts)
    return by_object(_of_cluster(scope), _STATUS, vhosts, lambda name: {"vhost": name})


def exchange_names(scope: Scope) -> Steps:
    """Which exchanges there are."""
    return by_object(_of_cluster(scope), _NAMES, _exchanges(scope), _labels)


def exchange_bindings(scope: Scope) -> Steps:
    """How many bindings each exchange has."""
    return by_object(_of_cluster(scope), _BINDINGS, _exchanges(scope), _labels)
