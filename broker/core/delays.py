"""``x-delay`` on exchanges of any type: a policy with ``delayed-message`` switches it on.

Messages to such an exchange with the header ``x-delay`` wait as those of the exchange type
``x-delayed-message`` do (``broker.core.exchanges.delayed``), with the same store, so they are as
durable, and can be listed and cancelled in the same way.

Invariants:

* The store is opened with the first message that waits, and stays for as long as the exchange:
  what waits when the policy goes is still routed when it is due.
* Which queue id it has stands in the log: opening is an operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from broker.core.exchanges.delayed import DelayStore, delay_of

if TYPE_CHECKING:
    from broker.core.exchange import Envelope, Exchange
    from broker.core.operations import Operation
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost


def held_back(
    vhost: Vhost, exchange: Exchange, envelope: Envelope
) -> Iterable[Queue | Exchange] | None:
    """Where a message waits that an exchange with ``delays`` is to route later; else None."""
    if delay_of(envelope.headers) <= 0:
        return None
    if exchange.delayed is None:
        vhost.broker.change(
            _open_operation(vhost.name, exchange.name, vhost.broker.next_queue_id),
            durable=exchange.durable,
        )
    assert exchange.delayed is not None
    return (exchange.delayed,)


def _open_operation(vhost: str, exchange: str, queue_id: int) -> Operation:
    return {"op": "delay_store.open", "vhost": vhost, "exchange": exchange, "id": queue_id}


def apply_open(vhost: Vhost, operation: Operation) -> None:
    """Effect of delay_store.open."""
    exchange = vhost.exchanges.get(operation["exchange"])
    if exchange is not None and exchange.delayed is None:
        exchange.delayed = DelayStore(vhost, exchange, operation["id"])
        exchange.stores = (*exchange.stores, exchange.delayed)
        vhost.broker.next_queue_id = max(vhost.broker.next_queue_id, operation["id"] + 1)


def operations(vhost: Vhost) -> Iterator[Operation]:
    """What opens the stores of durable exchanges again; others come with their exchange."""
    for exchange in vhost.exchanges.values():
        store = exchange.delayed
        if exchange.durable and store is not None and store.id != exchange.first_store_id:
            yield _open_operation(vhost.name, exchange.name, store.id)
