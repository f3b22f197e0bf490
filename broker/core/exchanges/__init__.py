"""The exchange types there are; importing them makes them known in ``EXCHANGE_TYPES``."""

from broker.core.exchange import EXCHANGE_TYPES
from broker.core.exchanges import (
    chance,
    deduplication,
    delayed,
    federation,
    hashing,
    history,
    standard,
)

__all__ = [
    "EXCHANGE_TYPES",
    "chance",
    "deduplication",
    "delayed",
    "federation",
    "hashing",
    "history",
    "standard",
]
