"""What routes where, as a graph: exchanges, queues and the bindings between them.

Invariant: at most ``LIMIT_MAX`` exchanges and as many queues are described, however many there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from broker.core.exchange import Exchange
from broker.management import answers, rows, shapes

if TYPE_CHECKING:
    from broker.core.queue import Queue
    from broker.management.call import Call
    from broker.management.sampler import Sampler

LIMIT, LIMIT_MAX = 100, 500
Thing = TypeVar("Thing", "Exchange", "Queue")


async def get(call: Call) -> web.StreamResponse:
    """GET /api/topology/{vhost}: all, or what has ``name`` in it and what that is joined with."""
    vhost, part = call.vhost, call.query.get("name", "").lower()
    limit = min(call.number("limit") or LIMIT, LIMIT_MAX)
    exchanges = await _named(vhost.exchanges.values(), part)
    queues = await _named(vhost.queues.values(), part)
    if part:
        _add_neighbours(exchanges, queues)
    else:
        exchanges = {
            one for one in exchanges if one.bindings or one.incoming or not one.predeclared
        }
    shown_exchanges, shown_queues = _first(exchanges, limit), _first(queues, limit)
    ends: set[Exchange | Queue] = {*shown_exchanges, *shown_queues}
    sampler = call.state.sampler
    return answers.answer(
        {
            "exchanges": [_of_exchange(one, sampler) for one in shown_exchanges],
            "queues": [_of_queue(one, sampler) for one in shown_queues],
            "bindings": [
                shapes.of_binding(binding, vhost.name)
                for end in ends
                for binding in end.incoming
                if binding.source in ends
            ],
            "omitted": {
                "exchanges": len(exchanges) - len(shown_exchanges),
                "queues": len(queues) - len(shown_queues),
            },
        }
    )


async def _named(things: Iterable[Thing], part: str) -> set[Thing]:
    slices = answers.Slices()
    found = set()
    for one in list(things):
        if part in one.name.lower():
            found.add(one)
        if slices.over:
            await slices.rest()
    return found


def _add_neighbours(exchanges: set[Exchange], queues: set[Queue]) -> None:
    """Add what is one binding away from what was found."""
    found: list[Exchange | Queue] = [*exchanges, *queues]
    sources = {binding.source for one in found for binding in one.incoming}
    for exchange in list(exchanges):
        for binding in exchange.bindings.values():
            if isinstance(binding.destination, Exchange):
                exchanges.add(binding.destination)
            else:
                queues.add(binding.destination)
    exchanges |= sources


def _first(things: set[Thing], limit: int) -> list[Thing]:
    """The first by name, those that something routes to before the others."""
    return heapq.nsmallest(limit, things, key=lambda one: (not one.incoming, one.name))


def _of_exchange(exchange: Exchange, sampler: Sampler) -> dict[str, Any]:
    return {
        "name": exchange.name,
        "type": exchange.type,
        "durable": exchange.durable,
        "internal": exchange.internal,
        "publish_in_rate": sampler.rate(exchange, rows.EXCHANGE, "publish_in"),
    }


def _of_queue(queue: Queue, sampler: Sampler) -> dict[str, Any]:
    return {
        "name": queue.name,
        "type": queue.type,
        "messages": len(queue) + queue.unacked,
        "consumers": len(queue.consumers),
        "deliver_rate": sampler.rate(queue, rows.QUEUE, "deliver_get"),
    }
