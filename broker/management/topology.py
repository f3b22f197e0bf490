"""What routes where, as a graph: exchanges, queues, and the ways that messages take between them.

A way is a binding, an alternate exchange, or where a queue's dead letters go.

Invariant: at most ``LIMIT_MAX`` exchanges and as many queues are described, however many there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from aiohttp import web

from broker.core.exchange import Exchange
from broker.management import answers, rows, shapes
from broker.management.call import exchange_name

if TYPE_CHECKING:
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost
    from broker.management.call import Call
    from broker.management.sampler import Sampler

LIMIT, LIMIT_MAX = 100, 500
STEPS_MAX = 10
CHUNK = 500  # things compared at a time
ALTERNATE, DEAD_LETTER = "alternate", "dead-letter"
Thing = TypeVar("Thing", "Exchange", "Queue")


class Way(NamedTuple):
    """A way that is no binding; ``key`` is the routing key if the way gives messages another."""

    kind: str
    source: Exchange | Queue
    destination: Exchange | Queue
    key: str | None


async def get(call: Call) -> web.StreamResponse:
    """GET /api/topology/{vhost}: all, or what has ``name`` in its name and what is near that.

    Instead of ``name`` one ``exchange`` or ``queue`` can be given; near is up to ``steps`` away.
    """
    vhost = call.vhost
    limit = min(call.number("limit") or LIMIT, LIMIT_MAX)
    ways = await _ways(vhost)
    exchanges, queues, is_part = await _wanted(call, ways)
    omitted = {"exchanges": len(exchanges) - limit, "queues": len(queues) - limit}
    if is_part:
        found: set[Exchange | Queue] = {*await _first(exchanges, limit)}
        found |= {*await _first(queues, limit)}
        near = await _around(found, ways, min(call.number("steps") or 1, STEPS_MAX))
        exchanges = [one for one in near if isinstance(one, Exchange)]
        queues = [one for one in near if not isinstance(one, Exchange)]
    shown_exchanges, shown_queues = await _first(exchanges, limit), await _first(queues, limit)
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
            "ways": [
                _of_way(way) for way in ways if way.source in ends and way.destination in ends
            ],
            "omitted": {
                "exchanges": max(0, omitted["exchanges"], len(exchanges) - limit),
                "queues": max(0, omitted["queues"], len(queues) - limit),
            },
        }
    )


async def _ways(vhost: Vhost) -> list[Way]:
    """All ways that are no bindings, and lead to something that exists."""
    slices = answers.Slices()
    ways: list[Way] = []
    for exchange in list(vhost.exchanges.values()):
        alternate = vhost.exchanges.get(exchange.alternate or "")
        if exchange.alternate and alternate is not None:
            ways.append(Way(ALTERNATE, exchange, alternate, None))
    for queue in list(vhost.queues.values()):
        name, key = queue.settings.dead_letter_exchange, queue.settings.dead_letter_routing_key
        if name is not None:
            # The default exchange is bound to all: what is meant is the queue.
            found = vhost.exchanges.get(name) if name else vhost.queues.get(key or "")
            if found is not None:
                ways.append(Way(DEAD_LETTER, queue, found, key))
        if slices.over:
            await slices.rest()
    return ways


async def _wanted(call: Call, ways: list[Way]) -> tuple[list[Exchange], list[Queue], bool]:
    """What the query asks for, and whether it asks for a part only."""
    vhost, query = call.vhost, call.query
    if "exchange" in query:
        exchange = vhost.exchanges.get(exchange_name(query["exchange"]))
        return [exchange] if exchange is not None else [], [], True
    if "queue" in query:
        queue = vhost.queues.get(query["queue"])
        return [], [queue] if queue is not None else [], True
    part = query.get("name", "").lower()
    exchanges = await _named(vhost.exchanges.values(), part)
    queues = await _named(vhost.queues.values(), part)
    if not part:
        # Those that every vhost has are in the way where nobody made use of them.
        idle = {one for one in exchanges if one.predeclared and not (one.bindings or one.incoming)}
        for way in ways:
            idle -= {way.source, way.destination}
        exchanges = [one for one in exchanges if one not in idle]
    return exchanges, queues, bool(part)


async def _named(things: Iterable[Thing], part: str) -> list[Thing]:
    slices = answers.Slices()
    found = []
    for one in list(things):
        if part in one.name.lower():
            found.append(one)
        if slices.over:
            await slices.rest()
    return found


async def _around(
    found: set[Exchange | Queue], ways: list[Way], steps: int
) -> set[Exchange | Queue]:
    """What was found, and what is so many ways away from it in either direction."""
    slices = answers.Slices()
    by_way: dict[Exchange | Queue, list[Exchange | Queue]] = {}
    for way in ways:
        by_way.setdefault(way.source, []).append(way.destination)
        by_way.setdefault(way.destination, []).append(way.source)
        if slices.over:
            await slices.rest()
    near, edge = set(found), set(found)
    for _ in range(steps):
        reached: set[Exchange | Queue] = set()
        for one in edge:
            reached.update(by_way.get(one, ()))
            for binding in list(one.incoming):
                reached.add(binding.source)
            for binding in list(one.bindings.values()) if isinstance(one, Exchange) else ():
                reached.add(binding.destination)
                if slices.over:
                    await slices.rest()
        edge = reached - near
        near |= edge
    return near


async def _first(things: list[Thing], limit: int) -> list[Thing]:
    """The first by name, those that something routes to before the others."""
    slices = answers.Slices()
    best: list[Thing] = []
    for start in range(0, len(things), CHUNK):
        some = best + things[start : start + CHUNK]
        best = heapq.nsmallest(limit, some, key=lambda one: (not one.incoming, one.name))
        if slices.over:
            await slices.rest()
    return best


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


def _of_way(way: Way) -> dict[str, Any]:
    return {
        "kind": way.kind,
        "source": way.source.name,
        "destination": way.destination.name,
        "destination_type": "exchange" if isinstance(way.destination, Exchange) else "queue",
        "routing_key": way.key,
    }
