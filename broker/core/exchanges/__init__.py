"""The exchange types there are; importing them makes them known in ``EXCHANGE_TYPES``."""

import broker.core.exchanges.chance
import broker.core.exchanges.deduplication
import broker.core.exchanges.delayed
import broker.core.exchanges.federation
import broker.core.exchanges.hashing
import broker.core.exchanges.history
import broker.core.exchanges.standard  # noqa: F401 - all of these for their effect
from broker.core.exchange import EXCHANGE_TYPES

__all__ = ["EXCHANGE_TYPES"]
