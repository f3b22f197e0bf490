"""Channels and consumers: lists, and channels in detail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.amqp.consumer import AmqpConsumer
from broker.management import answers, connections, details, rows, shapes
from broker.management.errors import not_found, refused
from broker.management.listing import Columns, Item, reply

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.amqp.session import Session
    from broker.management.call import Call


def row(call: Call, channel: Channel) -> dict[str, Any]:
    """A channel as in lists."""
    session, confirms = channel.session, channel.confirms
    transaction = channel.transaction
    shown = {
        "acks_uncommitted": len(transaction.held()) if transaction is not None else 0,
        "confirm": confirms.selected,
        "connection_details": shapes.peer(session),
        "consumer_count": len(channel.consumers),
        "garbage_collection": shapes.GARBAGE_COLLECTION,
        "global_prefetch_count": channel.global_prefetch,
        "messages_unacknowledged": len(channel.unacked),
        "messages_uncommitted": transaction.uncommitted if transaction is not None else 0,
        "messages_unconfirmed": confirms.unconfirmed,
        "name": shapes.channel_name(channel),
        "node": call.state.node,
        "number": channel.number,
        "pending_raft_commands": 0,
        "prefetch_count": channel.prefetch,
        "reductions": 0,
        "reductions_details": {"rate": 0.0},
        "state": "flow" if session.reading.held_back else "running",
        "transactional": transaction is not None,
        "user": session.user,
        "user_who_performed_action": session.user,
        "vhost": session.vhost.name,
    }
    if call.state.shows_no_statistics(call):
        return shown
    now = rows.of_channel(channel)
    track = call.state.sampler.track(channel, lambda: now)
    window = details.window_of(call.query, details.MESSAGES_QUERY)
    stats = details.message_stats(rows.CHANNEL, now, track, window)
    if stats:
        shown["message_stats"] = stats
    if track.idle:
        shown["idle_since"] = shapes.timestamp(track.changed_ms)
    return shown


def channels_of(call: Call) -> Iterator[Channel]:
    """All channels there are; some may have gone when it is their turn."""
    for session in list(call.server.sessions):
        yield from list(session.channels.values())


def _items(sessions: Iterable[Session]) -> Iterator[Item]:
    for session in sessions:
        for channel in list(session.channels.values()):
            name = shapes.channel_name(channel)
            yield Item((session.name, channel.number), name, channel)


async def get_all(call: Call) -> web.StreamResponse:
    """GET /api/channels and /api/vhosts/{vhost}/channels."""
    sessions = [item.thing for item in connections.items(call)]
    return await reply(call, _items(sessions), partial(row, call))


async def get_of_connection(call: Call) -> web.StreamResponse:
    """GET /api/connections/{connection}/channels."""
    return await reply(call, _items([connections.find(call)]), partial(row, call))


async def get(call: Call) -> web.StreamResponse:
    """GET /api/channels/{channel}."""
    name = call.path("channel")
    for session in call.server.sessions:
        if not name.startswith(session.name) or not session.opened:
            continue
        for channel in session.channels.values():
            if shapes.channel_name(channel) == name:
                if not connections.is_shown(call, session):
                    raise refused("User not authorised to access object")
                shown = _detail(call, channel)
                return answers.answer(Columns(call.query.get("columns")).of(shown))
    raise not_found()


def _detail(call: Call, channel: Channel) -> dict[str, Any]:
    """A channel with what it consumes, and what it gets and publishes where."""
    channel.counters.count()
    call.state.sampler.watch(channel)
    vhost = channel.session.vhost.name
    return row(call, channel) | {
        "consumer_details": [
            shapes.of_consumer(consumer, call.state.node) for consumer in channel.consumers.values()
        ],
        "deliveries": [
            {
                "queue": {"name": queue.name, "vhost": vhost},
                "stats": dict(zip(rows.DELIVERIES, rows.of_deliveries(counted), strict=True)),
            }
            for queue, counted in channel.counters.deliveries.items()
            if not queue.deleted
        ],
        "publishes": [
            {
                "exchange": {"name": exchange.name, "vhost": vhost},
                "stats": dict(zip(rows.PUBLISHES, rows.of_publishes(tally), strict=True)),
            }
            for exchange, tally in channel.counters.tallies.items()
        ],
    }


async def get_consumers(call: Call) -> web.StreamResponse:
    """GET /api/consumers and /api/consumers/{vhost}."""
    vhosts = [call.vhost] if call.has("vhost") else await call.visible()
    consumers = (
        consumer
        for vhost in vhosts
        for queue in list(vhost.queues.values())
        for consumer in list(queue.consumers)
        if isinstance(consumer, AmqpConsumer)
    )
    items = (
        Item((one.queue.vhost, one.queue.name, one.tag), one.queue.name, one) for one in consumers
    )
    return await reply(call, items, lambda one: shapes.of_consumer(one, call.state.node))
