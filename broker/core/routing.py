"""The walk of a message over exchanges, from the one it was published to, to queues.

From each exchange it goes on to the destinations that the exchange gives, or to the alternate
exchange if there are none. No exchange and no queue is taken twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from broker.core import intake
from broker.core.exchange import Exchange

if TYPE_CHECKING:
    from broker.core.exchange import Envelope
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost


def route(vhost: Vhost, exchange: Exchange, envelope: Envelope) -> list[Queue]:
    """The queues a message reaches, each once."""
    if exchange is vhost.default_exchange and not exchange.delays:
        return list(dict.fromkeys(_named(vhost, envelope.keys)))
    found: dict[Queue, None] = {}
    seen = {exchange}
    todo = [exchange]
    while todo:
        source = todo.pop()
        routed = False
        for destination in _destinations(vhost, source, envelope):
            if not isinstance(destination, Exchange):
                found[destination] = None
                routed = routed or destination.counts_as_route
                continue
            routed = True
            if destination not in seen:
                seen.add(destination)
                todo.append(destination)
        if not routed and source.alternate:
            alternate = vhost.exchanges.get(source.alternate)
            if alternate is not None and alternate not in seen:
                seen.add(alternate)
                todo.append(alternate)
    return list(found)


def _destinations(vhost: Vhost, source: Exchange, envelope: Envelope) -> Iterable[Queue | Exchange]:
    """Where a message goes from one exchange."""
    if source.delays or source.deduplicates:
        elsewhere = intake.take_in(vhost, source, envelope)
        if elsewhere is not None:
            return elsewhere
    if source is vhost.default_exchange:
        return _named(vhost, envelope.keys)
    return source.destinations(envelope)


def _named(vhost: Vhost, names: tuple[str, ...]) -> list[Queue]:
    """What the default exchange leads to: queues by name, and direct reply-to addresses."""
    found: list[Queue] = []
    for name in names:
        queue = vhost.queues.get(name)
        if queue is None:
            queue = vhost.replies.get(name)
        if queue is not None:
            found.append(queue)
    return found


def is_cacheable(vhost: Vhost, exchange: Exchange) -> bool:
    """Whether the key alone decides a route from here: all exchanges reachable say so."""
    seen = {exchange}
    todo = [exchange]
    while todo:
        source = todo.pop()
        if source.delays or source.deduplicates or not source.cacheable:
            return False
        reachable = [binding.destination for binding in source.bindings.values()]
        if source.alternate is not None and source.alternate in vhost.exchanges:
            reachable.append(vhost.exchanges[source.alternate])
        for destination in reachable:
            if isinstance(destination, Exchange) and destination not in seen:
                seen.add(destination)
                todo.append(destination)
    return True
