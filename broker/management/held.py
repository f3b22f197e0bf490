"""What clients hold of a queue: messages delivered and not acknowledged, by whom and since when.

Looking changes nothing. Each channel knows its own deliveries only, so all channels of the vhost
that got anything of the queue are asked, of each at most its ``SCANNED_MAX`` oldest deliveries.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from broker.amqp.consumer import AmqpConsumer
from broker.amqp.journal import client_name
from broker.management import answers, browse, messages, shapes

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.core.message import Message
    from broker.core.queue import Queue
    from broker.management.call import Call

COUNT = 50
SCANNED_MAX = 20_000


class Held(NamedTuple):
    """A delivery that is not settled."""

    since_ms: int
    delivery_tag: int
    channel: Channel
    consumer_tag: str  # empty: basic.get
    message: Message


async def get(call: Call) -> web.StreamResponse:
    """GET /api/queues/{vhost}/{queue}/unacked: the oldest deliveries first."""
    queue = await browse.readable(call)
    count = min(call.number("count") or COUNT, browse.COUNT_MAX)
    limit = call.number("truncate")
    slices = answers.Slices()
    found: list[Held] = []
    for session in list(call.server.sessions):
        for channel in list(session.channels.values()):
            if queue in channel.counters.deliveries:
                found += islice(_of_channel(channel, queue), count)
                if slices.over:
                    await slices.rest()
    oldest = nsmallest(count, found, key=lambda held: held[:2])
    shown = [
        {
            "position": position,
            "state": "unacked",
            "since_ms": held.since_ms,
            "delivery_tag": held.delivery_tag,
            "consumer_tag": held.consumer_tag,
            "channel_details": shapes.channel_details(held.channel, call.state.node),
            "client": client_name(held.channel.session),
            **messages.describe(held.message, "auto", limit),
        }
        for position, held in enumerate(oldest)
    ]
    return answers.answer({"messages": shown, "total": queue.unacked})


def _of_channel(channel: Channel, queue: Queue) -> Iterator[Held]:
    for tag, (message, holder) in islice(channel.unacked.items(), SCANNED_MAX):
        if holder.queue is queue:
            name = holder.tag if isinstance(holder, AmqpConsumer) else ""
            yield Held(channel.ages.delivered_ms(tag), tag, channel, name, message)
