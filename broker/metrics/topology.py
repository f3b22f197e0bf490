"""Metrics of virtual hosts and exchanges. Each generator is a family of ``/metrics/detailed``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from broker.metrics.family import GAUGE, Scope, Steps, family

if TYPE_CHECKING:
    from broker.core.exchange import Exchange


def _exchanges_of(scope: Scope) -> Iterator[tuple[str, Exchange]]:
    for vhost in scope.server.broker.vhosts.values():
        for exchange in vhost.exchanges.values():
            if exchange.name:  # the default exchange has no name and is not shown
                yield vhost.name, exchange


def vhost_status(scope: Scope) -> Steps:
    """Which vhosts there are; all of them run."""
    yield family(
        "rabbitmq_cluster_vhost_status",
        GAUGE,
        "Whether a given vhost is running",
        (({"vhost": name}, 1) for name in list(scope.server.broker.vhosts)),
    )


def exchange_names(scope: Scope) -> Steps:
    """Which exchanges there are."""
    yield family(
        "rabbitmq_cluster_exchange_name",
        GAUGE,
        "Enumerates exchanges without any additional info. This value is cluster-wide. A cheaper "
        "alternative to `exchange_bindings`",
        (
            ({"vhost": vhost, "exchange": exchange.name, "type": exchange.type}, 1)
            for vhost, exchange in _exchanges_of(scope)
        ),
    )


def exchange_bindings(scope: Scope) -> Steps:
    """How many bindings each exchange has."""
    yield family(
        "rabbitmq_cluster_exchange_bindings",
        GAUGE,
        "Number of bindings for an exchange. This value is cluster-wide.",
        (
            (
                {"vhost": vhost, "exchange": exchange.name, "type": exchange.type},
                len(exchange.bindings),
            )
            for vhost, exchange in _exchanges_of(scope)
        ),
    )
