"""Exchanges: lists, one in detail, declaring, deleting, their bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.core.exchanges import EXCHANGE_TYPES
from broker.core.permissions import CONFIGURE, EXCHANGE, READ, WRITE, ResourceAccess
from broker.management import answers, details, rows, shapes
from broker.management.channels import channels_of
from broker.management.errors import bad_request, refused
from broker.management.listing import Columns, Item, reply, reply_rows
from broker.management.series import Track, Window

if TYPE_CHECKING:
    from broker.core.exchange import Binding, Exchange
    from broker.core.vhost import Vhost
    from broker.management.call import Call

TYPES = {
    "direct": "AMQP direct exchange, as per the AMQP specification",
    "fanout": "AMQP fanout exchange, as per the AMQP specification",
    "headers": "AMQP headers exchange, as per the AMQP specification",
    "topic": "AMQP topic exchange, as per the AMQP specification",
    "x-consistent-hash": "Consistent Hashing Exchange",
    "x-delayed-message": "Delayed Message Exchange.",
    "x-local-random": "Picks one random local binding (queue) to route via (to).",
    "x-message-deduplication": "Message Deduplication Exchange.",
    "x-modulus-hash": "Modulus Hashing Exchange",
    "x-random": "Randomly picks a binding (queue) to route via (to).",
    "x-recent-history": "Recent History Exchange.",
}
"""Exchange types that people may choose, with descriptions."""


def exchange_types() -> list[dict[str, Any]]:
    """The exchange types, as the overview lists them."""
    return [{"name": name, "description": text, "enabled": True} for name, text in TYPES.items()]


_SHOWN = ("publish_in", "publish_out", "confirm", "drop_unroutable", "return_unroutable")
_COLUMNS = rows.EXCHANGE


def row(call: Call, exchange: Exchange, vhost: Vhost) -> dict[str, Any]:
    """An exchange as in lists."""
    policy = vhost.policies.match(EXCHANGE, exchange.name)
    shown = {
        "arguments": shapes.of_table(exchange.arguments),
        "auto_delete": exchange.auto_delete,
        "durable": exchange.durable,
        "internal": exchange.internal,
        "name": exchange.name,
        "policy": policy.name if policy is not None else None,
        "type": exchange.type,
        "user_who_performed_action": "rmq-internal" if exchange.predeclared else "",
        "vhost": vhost.name,
    }
    if policy is None:
        del shown["policy"]
    if call.state.shows_no_statistics(call):
        return shown
    now = rows.of_exchange(exchange)
    track = call.state.sampler.track(exchange, lambda: now)
    stats = _message_stats(now, track, details.window_of(call.query, details.MESSAGES_QUERY))
    if stats:
        shown["message_stats"] = stats
    return shown


def _message_stats(now: tuple[int, ...], track: Track, window: Window | None) -> dict[str, Any]:
    """publish_in and publish_out; the rest only if it has counted anything."""
    values = dict(zip(_COLUMNS, now, strict=True))
    if not values["publish_in"]:
        return {}
    wanted = tuple(name for name in _SHOWN if values[name] or name.startswith("publish_"))
    return details.shown(_COLUMNS, now, track, wanted, window)


async def _detail(call: Call, exchange: Exchange, vhost: Vhost) -> dict[str, Any]:
    """An exchange with who publishes to it, and which queues that reaches, as iterators."""
    await call.state.sampler.count()
    call.state.sampler.watch(exchange)
    shown = row(call, exchange, vhost)
    if not call.state.shows_no_statistics(call):
        shown["incoming"] = _incoming(call, exchange)
        shown["outgoing"] = _outgoing(exchange, vhost)
    return shown


def _incoming(call: Call, exchange: Exchange) -> Iterator[dict[str, Any] | None]:
    for channel in channels_of(call):
        tally = channel.counters.tallies.get(exchange)
        if tally is None:
            yield None
        else:
            yield {
                "channel_details": shapes.channel_details(channel, call.state.node),
                "stats": dict(zip(rows.PUBLISHES, rows.of_publishes(tally), strict=True)),
            }


def _outgoing(exchange: Exchange, vhost: Vhost) -> Iterator[dict[str, Any] | None]:
    for queue in list(vhost.queues.values()):
        count = queue.counters.incoming.get(exchange.name)
        if count:
            yield {"queue": {"name": queue.name, "vhost": vhost.name}, "stats": {"publish": count}}
        else:
            yield None


def _items(vhosts: list[Vhost]) -> Iterator[Item]:
    for vhost in vhosts:
        for exchange in list(vhost.exchanges.values()):
            yield Item((vhost.name, exchange.name), exchange.name, (exchange, vhost))


_QUICK: dict[str, Callable[[Any], Any]] = {
    "name": lambda pair: pair[0].name,
    "type": lambda pair: pair[0].type,
    "vhost": lambda pair: pair[1].name,
}


async def get_all(call: Call) -> web.StreamResponse:
    """GET /api/exchanges and /api/exchanges/{vhost}."""
    vhosts = [call.vhost] if call.has("vhost") else await call.visible()
    return await reply(call, _items(vhosts), lambda pair: row(call, *pair), _QUICK)


async def get(call: Call) -> web.StreamResponse:
    """GET /api/exchanges/{vhost}/{exchange}."""
    shown = await _detail(call, call.exchange, call.vhost)
    columns = Columns(call.query.get("columns"))
    return await answers.stream_object(call.request, columns.of(shown).items())


async def put(call: Call) -> web.StreamResponse:
    """PUT: declare, or check that it is the same."""
    body = await call.read()
    vhost, name = call.vhost_to_change(), call.exchange_name
    arguments = call.arguments()
    kind = body.get("type", "direct")
    call.check_new_name("exchange", name)
    if not isinstance(kind, str) or kind not in EXCHANGE_TYPES:
        raise bad_request(f"invalid exchange type '{kind}'")  # AMQP would say "unknown"
    await call.caller.require(ResourceAccess(vhost.name, EXCHANGE, name, CONFIGURE))
    if "alternate-exchange" in arguments:
        alternate = shapes.of_field(arguments["alternate-exchange"])
        await call.caller.require(
            ResourceAccess(vhost.name, EXCHANGE, name, READ),
            ResourceAccess(vhost.name, EXCHANGE, alternate, WRITE),
        )
    is_new = name not in vhost.exchanges
    declare = partial(
        vhost.declare_exchange,
        name,
        kind,
        durable=call.boolean("durable"),
        auto_delete=call.boolean("auto_delete"),
        internal=call.boolean("internal"),
        arguments=arguments,
    )
    call.change(declare)
    await call.durable()
    return answers.empty(201 if is_new else 204)


async def delete(call: Call) -> web.StreamResponse:
    """DELETE, perhaps only if nothing is bound to it."""
    exchange, vhost = call.exchange, call.vhost
    if exchange.predeclared:
        raise refused()
    await call.caller.require(ResourceAccess(vhost.name, EXCHANGE, exchange.name, CONFIGURE))
    call.change(lambda: vhost.delete_exchange(exchange.name, if_unused=call.flag("if-unused")))
    await call.durable()
    return answers.empty(204)


async def bindings_from(call: Call) -> web.StreamResponse:
    """GET .../bindings/source: what is bound to it."""
    vhost, exchange = call.vhost, call.exchange
    if exchange is vhost.default_exchange:
        names = sorted(vhost.queues)
        return await reply_rows(call, (shapes.default_binding(vhost.name, name) for name in names))
    return await _bindings(call, list(exchange.bindings.values()))


async def bindings_to(call: Call) -> web.StreamResponse:
    """GET .../bindings/destination: what it is bound to."""
    return await _bindings(call, list(call.exchange.incoming))


async def _bindings(call: Call, bindings: list[Binding]) -> web.StreamResponse:
    vhost = call.vhost
    return await reply_rows(call, (shapes.of_binding(one, vhost.name) for one in bindings))
