"""The exchange types there are; importing them makes them known in ``EXCHANGE_TYPES``."""

from collections.abc import Iterator

import broker.core.exchanges.chance
import broker.core.exchanges.deduplication
import broker.core.exchanges.delayed
import broker.core.exchanges.federation
import broker.core.exchanges.hashing
import broker.core.exchanges.history
import broker.core.exchanges.standard  # noqa: F401 - all of these for their effect
from broker.core.exchange import EXCHANGE_TYPES, Exchange

__all__ = ["EXCHANGE_TYPES", "predeclared"]

_PREDECLARED = (
    ("", "direct", False),
    ("amq.direct", "direct", False),
    ("amq.fanout", "fanout", False),
    ("amq.topic", "topic", False),
    ("amq.headers", "headers", False),
    ("amq.match", "headers", False),
    ("amq.rabbitmq.trace", "topic", True),
)


def predeclared() -> Iterator[Exchange]:
    """The exchanges that a new vhost has."""
    for name, kind, internal in _PREDECLARED:
        exchange = EXCHANGE_TYPES[kind](name, durable=True, internal=internal)
        exchange.predeclared = True
        yield exchange
