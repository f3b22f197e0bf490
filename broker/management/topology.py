"""What routes where, as a graph: exchanges, queues, and the ways that messages take between them.

A way is a binding, an alternate exchange, or where a queue's dead letters go.

Invariant: at most ``LIMIT_MAX`` exchanges and as many queues are described, however many there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
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
ALTERNATE, DEAD_LETTER = "alternate", "dead-letter"
Thing = TypeVar("Thing", "Exchange", "Queue")


class Way(NamedTuple):
    """A way that is no binding; ``key`` is the routing key if the way gives messages another."""

    kind: str
    source: Exchange | Queue
    destination: Exchange | Queue
    key: str | None


async def get(call: Call) -> web.StreamResponse:
    """GET /api/topology/{vhost}: all; or what is near things whose names have ``name`` in them,
    or near one ``exchange`` or ``queue``, so many ``steps`` away."""
    vhost, query = call.vhost, call.query
    limit = min(call.number("limit") or LIMIT, LIMIT_MAX)
    ways = await _ways(vhost)
    part, is_one = query.get("name", "").lower(), "exchange" in query or "queue" in query
    if is_one:
        one = (
            vhost.exchanges.get(exchange_name(query["exchange"]))
            if "exchange" in query
            else vhost.queues.get(query["queue"])
        )
        near: set[Exchange | Queue] = set() if one is None else {one}
    else:
        near = await _named([*vhost.exchanges.values(), *vhost.queues.values()], part)
    if part or is_one:
        _spread(near, ways, min(call.number("steps") or 1, STEPS_MAX))
    else:
        joined = {end for way in ways for end in way[1:3]}
        near = {one for one in near if one in joined or not _is_idle(one)}
    exchanges = [one for one in near if isinstance(one, Exchange)]
    queues = [one for one in near if not isinstance(one, Exchange)]
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
            "ways": [
                _of_way(way) for way in ways if way.source in ends and way.destination in ends
            ],
            "omitted": {
                "exchanges": len(exchanges) - len(shown_exchanges),
                "queues": len(queues) - len(shown_queues),
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


async def _named(things: Iterable[Exchange | Queue], part: str) -> set[Exchange | Queue]:
    slices = answers.Slices()
    found = set()
    for one in things:
        if part in one.name.lower():
            found.add(one)
        if slices.over:
            await slices.rest()
    return found


def _spread(near: set[Exchange | Queue], ways: list[Way], steps: int) -> None:
    """Add what is so many ways away, in either direction."""
    by_way: dict[Exchange | Queue, set[Exchange | Queue]] = {}
    for _, source, destination, _ in ways:
        by_way.setdefault(source, set()).add(destination)
        by_way.setdefault(destination, set()).add(source)
    edge = set(near)
    for _ in range(steps):
        edge = {other for one in edge for other in _neighbours(one)}.union(
            *(by_way.get(one, ()) for one in edge)
        ) - near
        near |= edge


def _neighbours(one: Exchange | Queue) -> Iterator[Exchange | Queue]:
    yield from (binding.source for binding in one.incoming)
    if isinstance(one, Exchange):
        yield from (binding.destination for binding in one.bindings.values())


def _is_idle(one: Exchange | Queue) -> bool:
    """Whether it is an exchange that every vhost has, and nobody made use of."""
    return isinstance(one, Exchange) and one.predeclared and not (one.bindings or one.incoming)


def _first(things: list[Thing], limit: int) -> list[Thing]:
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


def _of_way(way: Way) -> dict[str, Any]:
    return {
        "kind": way.kind,
        "source": way.source.name,
        "destination": way.destination.name,
        "destination_type": "exchange" if isinstance(way.destination, Exchange) else "queue",
        "routing_key": way.key,
    }
