"""What an exchange of any type may do with a message before it routes it.

* ``x-delay`` is honoured where a policy has ``delayed-message``: such messages wait as those of the
  exchange type ``x-delayed-message`` do (``broker.core.exchanges.delayed``), as durable, and can be
  listed and cancelled in the same way.
* Duplicates are dropped where the exchange has the argument ``x-message-deduplication``, as by the
  exchange type of that name (``broker.core.exchanges.deduplication``). A message that has to wait
  is compared when it is due.

Invariants:

* A store is opened with the first message that needs it, and stays for as long as the exchange:
  what waits when the policy goes is still routed when it is due.
* Which queue id a store has stands in the log: opening is an operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from broker.core.exchanges.deduplication import SeenStore, key_of
from broker.core.exchanges.delayed import DelayStore, delay_of

if TYPE_CHECKING:
    from broker.core.exchange import Envelope, Exchange
    from broker.core.operations import Operation
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost

DELAYED, SEEN = "delayed", "seen"


def take_in(
    vhost: Vhost, exchange: Exchange, envelope: Envelope
) -> Iterable[Queue | Exchange] | None:
    """Where a message goes that the exchange is not to route now; None if it is to."""
    if exchange.delays and delay_of(envelope.headers) > 0:
        if exchange.delayed is None:
            _open(vhost, exchange, DELAYED)
        assert exchange.delayed is not None
        return (exchange.delayed,)
    if exchange.deduplicates and key_of(envelope.headers) is not None:
        if exchange.seen is None:
            _open(vhost, exchange, SEEN)
        assert exchange.seen is not None
        return None if exchange.seen.lets_pass(envelope) else ()
    return None


def _open(vhost: Vhost, exchange: Exchange, kind: str) -> None:
    operation = _open_operation(vhost.name, exchange.name, kind, vhost.broker.next_queue_id)
    vhost.broker.change(operation, durable=exchange.durable)


def _open_operation(vhost: str, exchange: str, kind: str, queue_id: int) -> Operation:
    return {
        "op": "exchange_store.open",
        "vhost": vhost,
        "exchange": exchange,
        "kind": kind,
        "id": queue_id,
    }


def apply_open(vhost: Vhost, operation: Operation) -> None:
    """Effect of exchange_store.open."""
    exchange = vhost.exchanges.get(operation["exchange"])
    if exchange is None:
        return
    if operation["kind"] == DELAYED and exchange.delayed is None:
        exchange.delayed = DelayStore(vhost, exchange, operation["id"])
        exchange.stores = (*exchange.stores, exchange.delayed)
    elif operation["kind"] == SEEN and exchange.seen is None:
        exchange.seen = SeenStore(vhost, exchange, operation["id"])
        exchange.stores = (*exchange.stores, exchange.seen)
    vhost.broker.next_queue_id = max(vhost.broker.next_queue_id, operation["id"] + 1)


def operations(vhost: Vhost) -> Iterator[Operation]:
    """What opens the stores of durable exchanges again; others come with their exchange."""
    for exchange in vhost.exchanges.values():
        if not exchange.durable:
            continue
        first = exchange.first_store_id
        with_exchange = range(first, first + exchange.store_count)
        for kind, store in ((DELAYED, exchange.delayed), (SEEN, exchange.seen)):
            if store is not None and store.id not in with_exchange:
                yield _open_operation(vhost.name, exchange.name, kind, store.id)
