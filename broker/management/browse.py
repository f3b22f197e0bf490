"""What RabbitMQ's API lacks: looking into queues, moving messages, delayed messages, the log.

Looking into a queue changes nothing in it. A message is named by its id, which it keeps as long as
it stays in that queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.core import browsing
from broker.core.pattern import InvalidPattern, Pattern
from broker.core.permissions import EXCHANGE, QUEUE, READ, WRITE, ResourceAccess
from broker.logs import RECENT
from broker.management import answers, messages
from broker.management.call import as_boolean, as_integer, exchange_name
from broker.management.errors import bad_request, not_found
from broker.management.listing import Item, reply
from protocol.content import body_of

if TYPE_CHECKING:
    from broker.core.exchanges.delayed import DelayStore
    from broker.core.message import Message
    from broker.core.queue import Queue
    from broker.logs.recent import Line
    from broker.management.call import Call

SEARCHED_BYTES_MAX = 16_384  # of a body, by a regular expression: its work grows with the length
SCANNED_S = 0.02  # how long one call looks at messages, but for the first page
COUNT_MAX = 500  # messages shown in one call
CHOSEN_MAX = 10_000  # messages named in one call
AT_ONCE_MAX = 500  # messages moved at a time
KEEP_ALIVE_S = 15.0
LEVELS = ("debug", "info", "notice", "warning", "error", "critical")


# -- messages --------------------------------------------------------------------------


async def readable(call: Call) -> Queue:
    """The queue, if the caller may take from it."""
    queue = call.queue
    await call.caller.require(ResourceAccess(queue.vhost, QUEUE, queue.name, READ))
    return queue


async def peek(call: Call) -> web.StreamResponse:
    """POST .../peek: messages from ``offset`` on, all or those that ``search`` is found in."""
    queue = await readable(call)
    body = await call.read()
    offset, count = as_integer(body.get("offset", 0)), as_integer(body.get("count", 50))
    truncate = as_integer(body.get("truncate", 50_000))
    if offset < 0 or not 0 <= count <= COUNT_MAX or truncate < 0:
        raise bad_request(f"offset, count and truncate are at least 0, count at most {COUNT_MAX}")
    encoding = body.get("encoding", "auto")
    found = _searcher(body.get("search"), is_regex=as_boolean(body.get("regex", False)))
    total, returned = len(queue), set(queue.backlog.returned_ids())
    shown: list[dict[str, Any]] = []
    position, until = offset, perf_counter() + SCANNED_S
    for message in queue.backlog.browse(offset):
        if len(shown) == count or (position > offset and perf_counter() > until):
            break
        if found(message):
            redelivered = message.id in returned or message.id < queue.backlog.recovered_below
            place = {"id": str(message.id), "position": position, "state": "ready"}
            described = messages.describe(message, encoding, truncate)
            shown.append(place | described | {"redelivered": redelivered})
        position += 1
    return answers.answer(
        {
            "messages": shown,
            "next_offset": position if position < total else None,
            "scanned": position - offset,
            "total": total,
        }
    )


def _searcher(wanted: Any, *, is_regex: bool) -> Callable[[Message], bool]:
    """Whether a text is found in a message's payload, routing key or properties."""
    if not wanted:
        return lambda _: True
    if not isinstance(wanted, str):
        raise bad_request("search must be a text")
    if not is_regex:
        octets = wanted.encode("utf-8", "replace")
        return lambda message: octets in message.content or octets in message.address
    try:
        pattern = Pattern(wanted)
    except InvalidPattern as error:
        raise bad_request(str(error)) from None

    def found(message: Message) -> bool:
        key = message.routing_key.encode("utf-8", "surrogateescape")
        start = body_of(message.content)[:SEARCHED_BYTES_MAX]
        return pattern.found_in(start) or pattern.found_in(key)

    return found


def _chosen(body: dict[str, Any], queue: Queue) -> list[int]:
    """The messages that a body names, or the first ones if it names all; in ascending order."""
    if as_boolean(body.get("all", False)):
        return sorted(message.id for message in islice(queue.backlog.browse(), AT_ONCE_MAX))
    given = body.get("ids")
    if not isinstance(given, list) or len(given) > CHOSEN_MAX:
        raise bad_request(f'ids must be a list, of at most {CHOSEN_MAX}, or "all" true')
    return sorted({as_integer(number) for number in given})


async def move(call: Call) -> web.StreamResponse:
    """POST .../move: publish messages elsewhere, and take them out of this queue."""
    queue = await readable(call)
    body = await call.read()
    call.need("destination")
    target = await _target(call, body["destination"])
    call.server.tick.read_clock()
    moved = stuck = 0
    everything, rest = as_boolean(body.get("all", False)), len(queue)
    wanted = _chosen(body, queue)
    chosen = rest if everything else len(wanted)
    while wanted:
        went, stayed = browsing.move(queue, wanted[:AT_ONCE_MAX], target)
        moved, stuck = moved + went, stuck + stayed
        wanted = wanted[AT_ONCE_MAX:]
        if everything and not stayed and moved < rest:
            wanted = _chosen(body, queue)
        await answers.rest()
    call.record("queue.move", vhost=queue.vhost, name=queue.name, messages=moved)
    await call.durable()
    missing = max(0, chosen - moved - stuck)
    return answers.answer({"moved": moved, "unroutable": stuck, "missing": missing})


async def _target(call: Call, given: Any) -> Callable[[Message], browsing.Target | None]:
    """Where a body says messages go: a queue, an exchange, or back."""
    vhost = call.vhost
    if not isinstance(given, dict):
        raise bad_request("destination must be an object")
    if as_boolean(given.get("redrive", False)):
        await call.caller.require(ResourceAccess(vhost.name, EXCHANGE, "amq.default", WRITE))
        return lambda message: browsing.back(vhost, message)
    if "queue" in given:
        queue = vhost.queues.get(str(given["queue"]))
        if queue is None:
            raise bad_request(f"no queue '{given['queue']}' in vhost '{vhost.name}'")
        await call.caller.require(ResourceAccess(vhost.name, EXCHANGE, "amq.default", WRITE))
        return browsing.to_queue(queue)
    name = exchange_name(str(given.get("exchange", "")))
    exchange = vhost.exchanges.get(name)
    if exchange is None:
        raise bad_request(f"no exchange '{name}' in vhost '{vhost.name}'")
    access = ResourceAccess(vhost.name, EXCHANGE, name or "amq.default", WRITE)
    await call.caller.require(access)
    key = given.get("routing_key")
    return browsing.to_exchange(vhost, exchange, None if key is None else str(key))


async def delete_messages(call: Call) -> web.StreamResponse:
    """POST .../delete-messages: drop chosen messages, without dead-lettering."""
    queue = await readable(call)
    body = await call.read()
    call.server.tick.read_clock()
    if as_boolean(body.get("all", False)):
        wanted, deleted = [], queue.purge()
    else:
        wanted, deleted = _chosen(body, queue), 0
    for start in range(0, len(wanted), AT_ONCE_MAX):
        deleted += browsing.take_out(queue, wanted[start : start + AT_ONCE_MAX])
        await answers.rest()
    call.record("queue.delete_messages", vhost=queue.vhost, name=queue.name, messages=deleted)
    await call.durable()
    return answers.answer({"deleted": deleted, "missing": max(0, len(wanted) - deleted)})


# -- delayed messages ------------------------------------------------------------------


def _stores(call: Call) -> Iterator[DelayStore]:
    for exchange in list(call.vhost.exchanges.values()):
        if exchange.delayed is not None:
            yield exchange.delayed


async def get_delayed(call: Call) -> web.StreamResponse:
    """GET /api/delayed/{vhost}: what waits in exchanges, the next one first."""

    def row(entry: tuple[int, Message]) -> dict[str, Any]:
        due_ms, message = entry
        return {
            "id": str(message.id),
            "exchange": message.exchange,
            "vhost": call.vhost.name,
            "routing_key": message.routing_key,
            "due_ms": due_ms,
            "payload_bytes": message.size,
            "properties": messages.of_properties(message.content),
        }

    items = (
        Item((due_ms, message.id), message.exchange, (due_ms, message))
        for store in _stores(call)
        for due_ms, message in store.listed()
    )
    return await reply(call, items, row)


async def delete_delayed(call: Call) -> web.StreamResponse:
    """DELETE /api/delayed/{vhost}/{id}: it will never be delivered."""
    number = call.path("id")
    if not number.isdigit():
        raise not_found()
    for store in _stores(call):
        access = ResourceAccess(store.vhost, EXCHANGE, store.name, WRITE)
        await call.caller.require(access)
        if store.cancel([int(number)]):
            call.record("delayed.cancel", vhost=store.vhost, exchange=store.name, id=int(number))
            await call.durable()
            return answers.empty(204)
    raise not_found()


# -- the log ---------------------------------------------------------------------------


def _shown(line: Line) -> dict[str, Any]:
    return {
        "seq": line.seq,
        "time": line.time,
        "level": line.level,
        "category": line.category,
        "message": line.message,
    }


async def get_logs(call: Call) -> web.StreamResponse:
    """GET /api/logs: the last lines, from behind ``after`` on."""
    lines = RECENT.after(call.number("after") or 0, _level(call))
    return answers.answer({"lines": [_shown(line) for line in lines], "last": RECENT.last})


def _level(call: Call) -> str:
    level = call.query.get("level", "debug")
    if level not in LEVELS:
        raise bad_request(f"level must be one of {', '.join(LEVELS)}")
    return level


async def tail_logs(call: Call) -> web.StreamResponse:
    """GET /api/logs/stream: lines as they come, as server-sent events."""
    news, level = asyncio.Event(), _level(call)
    seen = call.number("after") or RECENT.last
    loop = asyncio.get_running_loop()
    response = web.StreamResponse(headers={**answers.HEADERS, "Content-Type": "text/event-stream"})
    await response.prepare(call.request)

    def tell(_: Line) -> None:
        loop.call_soon_threadsafe(news.set)

    unsubscribe = RECENT.subscribe(tell)
    try:
        while True:
            news.clear()
            for line in RECENT.after(seen, level):
                seen = line.seq
                octets = answers.encode(_shown(line))
                await response.write(b"id: %d\ndata: %s\n\n" % (seen, octets))
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await news.wait()
            except TimeoutError:
                await response.write(b": nothing new\n\n")  # fails if the reader is gone
    finally:
        unsubscribe()
