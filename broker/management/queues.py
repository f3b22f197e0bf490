"""Queues: lists, one in detail, declaring, deleting, purging."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.amqp.consumer import AmqpConsumer
from broker.core.permissions import (
    CONFIGURE,
    EXCHANGE,
    QUEUE,
    READ,
    WRITE,
    ResourceAccess,
)
from broker.core.policies import effective_definition
from broker.management import answers, details, rows, shapes
from broker.management.channels import channels_of
from broker.management.errors import ApiError, bad_request, not_found
from broker.management.listing import Columns, Item, reply
from broker.memory import paged_out
from protocol.content import decode_properties, header_payload
from protocol.errors import ResourceLocked

QUEUE_BYTES, MESSAGE_BYTES = 3000, 300  # what a queue and a message occupy, roughly

if TYPE_CHECKING:
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost
    from broker.management.call import Call


def basics(call: Call, queue: Queue) -> dict[str, Any]:
    """What a queue is, without statistics."""
    policy, operator = queue.policies
    return {
        "arguments": shapes.of_table(queue.arguments),
        "auto_delete": queue.auto_delete,
        "durable": queue.durable,
        "exclusive": queue.owner is not None,
        "name": queue.name,
        "node": call.state.node,
        "policy": policy.name if policy is not None else None,
        "operator_policy": operator.name if operator is not None else None,
        "effective_policy_definition": effective_definition(queue),
        "state": "running",
        "type": queue.type,
        "vhost": queue.vhost,
    }


def row(call: Call, queue: Queue) -> dict[str, Any]:
    """A queue as in lists."""
    if call.state.shows_no_statistics(call):
        return _without_statistics(call, queue)
    now = rows.of_queue(queue)
    track = call.state.sampler.track(queue, lambda: now)
    query = call.query
    lengths = details.window_of(query, details.LENGTHS_QUERY)
    rates = details.window_of(query, details.MESSAGES_QUERY)
    shown = basics(call, queue)
    shown |= details.shown(rows.QUEUE, now, track, rows.LENGTHS, lengths)
    stats = details.message_stats(rows.QUEUE, now, track, rates)
    if stats:
        shown["message_stats"] = stats
    if track.idle:
        shown["idle_since"] = shapes.timestamp(track.changed_ms)
    shown |= _sizes(queue)
    shown |= _consumption(queue)
    if queue.owner is not None:
        shown["owner_pid_details"] = shapes.peer(queue.owner)  # type: ignore[arg-type]
    return shown | _OF_TYPE[queue.type](call, queue)


def _without_statistics(call: Call, queue: Queue) -> dict[str, Any]:
    shown = basics(call, queue)
    for name in ("operator_policy", "effective_policy_definition"):
        del shown[name]
    if queue.type != "classic":
        node = call.state.node
        shown |= {"leader": node, "members": [node], "online": [node]}
    if call.state.shows_totals(call):
        shown |= dict(zip(rows.LENGTHS, rows.of_queue(queue)[:3], strict=True))
    return shown


def _sizes(queue: Queue) -> dict[str, Any]:
    """Octets of bodies; see ``_unacked_bytes`` and ``_persistent_share`` for what is estimated."""
    ready, unacked = len(queue), queue.unacked
    ready_bytes, unacked_bytes = queue.backlog.size_bytes, _unacked_bytes(queue)
    share = _persistent_share(queue)
    paged, paged_bytes = paged_out(queue)
    resident, resident_bytes = ready + unacked - paged, ready_bytes + unacked_bytes - paged_bytes
    return {
        "head_message_timestamp": head_timestamp(queue),
        "memory": QUEUE_BYTES + resident_bytes + MESSAGE_BYTES * resident,
        "message_bytes": ready_bytes + unacked_bytes,
        "message_bytes_paged_out": paged_bytes,
        "message_bytes_persistent": round((ready_bytes + unacked_bytes) * share),
        "message_bytes_ram": resident_bytes,
        "message_bytes_ready": ready_bytes,
        "message_bytes_unacknowledged": unacked_bytes,
        "messages_paged_out": paged,
        "messages_persistent": round((ready + unacked) * share),
        "messages_ram": resident,
        "messages_ready_ram": ready - paged,
        "messages_unacknowledged_ram": unacked,
        "oldest_message_age_ms": queue.oldest_age_ms,
    }


def _unacked_bytes(queue: Queue) -> int:
    """An estimate: unacked messages are as large as what their consumers got on average."""
    total = 0
    for consumer in queue.consumers:
        counted = consumer.deliveries
        if isinstance(consumer, AmqpConsumer) and consumer.outstanding and counted.deliver:
            total += consumer.outstanding * counted.delivered_bytes // counted.deliver
    return total


def _persistent_share(queue: Queue) -> float:
    """An estimate: what is there is persistent as often as what was published since the start."""
    if not queue.durable:
        return 0.0
    return queue.counters.persistent / queue.counters.publish if queue.counters.publish else 1.0


def head_timestamp(queue: Queue) -> int | None:
    """The property timestamp of the oldest message."""
    oldest = queue.backlog.oldest()
    if oldest is None:
        return None
    stated: int | None = decode_properties(header_payload(oldest.content)).get("timestamp")
    return stated


def _consumption(queue: Queue) -> dict[str, Any]:
    """Who consumes. A consumer that could take more is one that the queue does not wait for."""
    consumers = queue.consumers
    capable = bool(consumers) and (not queue.backlog or queue.scheduled)
    capacity: float = 1.0 if capable else 0
    first = consumers[0] if consumers else None
    return {
        "consumer_capacity": capacity,
        "consumer_utilisation": capacity,
        "consumers": len(consumers),
        "exclusive_consumer_tag": first.tag if first is not None and first.exclusive else None,
        "garbage_collection": shapes.GARBAGE_COLLECTION,
        "reductions": 0,
        "reductions_details": {"rate": 0.0},
    }


def _classic(call: Call, queue: Queue) -> dict[str, Any]:
    active = queue.dispatch.active
    return {
        "backing_queue_status": {"len": len(queue), "mode": "default", "version": 2},
        "recoverable_slaves": None,
        "single_active_consumer_tag": active.tag if active is not None else None,
    }


def _quorum(call: Call, queue: Queue) -> dict[str, Any]:
    active, node = queue.dispatch.active, call.state.node
    return {
        "delivery_limit": queue.settings.delivery_limit,
        "leader": node,
        "members": [node],
        "message_bytes_dlx": 0,
        "messages_dlx": 0,
        "online": [node],
        "open_files": {node: 0},
        "single_active_consumer_ctag": active.tag if active is not None else None,
        "single_active_consumer_tag": active.tag if active is not None else None,
    }


def _stream(call: Call, queue: Queue) -> dict[str, Any]:
    node = call.state.node
    return {
        "leader": node,
        "members": [node],
        "online": [node],
        "readers": {node: len(queue.consumers)},
    }


_OF_TYPE: dict[str, Callable[[Call, Queue], dict[str, Any]]] = {
    "classic": _classic,
    "quorum": _quorum,
    "stream": _stream,
}


async def _detail(call: Call, queue: Queue) -> dict[str, Any]:
    """A queue with those who use it; they may be many, so lists are iterators."""
    await call.state.sampler.count()
    call.state.sampler.watch(queue)
    shown = row(call, queue)
    if not call.state.shows_no_statistics(call):
        shown["consumer_details"] = _consumers(call, queue)
        shown["deliveries"] = _deliveries(call, queue)
        shown["incoming"] = [
            {"exchange": {"name": name, "vhost": queue.vhost}, "stats": {"publish": count}}
            for name, count in queue.counters.incoming.items()
        ]
    return shown


def _consumers(call: Call, queue: Queue) -> Iterator[dict[str, Any] | None]:
    for consumer in list(queue.consumers):
        if isinstance(consumer, AmqpConsumer):
            yield shapes.of_consumer(consumer, call.state.node)


def _deliveries(call: Call, queue: Queue) -> Iterator[dict[str, Any] | None]:
    for channel in channels_of(call):
        counted = channel.counters.deliveries.get(queue)
        if counted is None:
            yield None
        else:
            yield {
                "channel_details": shapes.channel_details(channel, call.state.node),
                "stats": dict(zip(rows.DELIVERIES, rows.of_deliveries(counted), strict=True)),
            }


def _items(vhosts: list[Vhost]) -> Iterator[Item]:
    for vhost in vhosts:
        for queue in list(vhost.queues.values()):
            yield Item((vhost.name, queue.name), queue.name, queue)


_QUICK: dict[str, Callable[[Any], Any]] = {
    "name": lambda queue: queue.name,
    "vhost": lambda queue: queue.vhost,
    "type": lambda queue: queue.type,
    "messages": lambda queue: len(queue) + queue.unacked,
    "messages_ready": len,
    "messages_unacknowledged": lambda queue: queue.unacked,
    "consumers": lambda queue: len(queue.consumers),
}


def _quick(call: Call) -> dict[str, Callable[[Any], Any]]:
    """What can be sorted by without describing each queue: counters and their rates as well."""
    if call.state.shows_no_statistics(call):
        return _QUICK
    sampler = call.state.sampler

    def counted(column: int, queue: Queue) -> int | None:
        return rows.of_queue(queue)[column] or None

    def rate(column: int, queue: Queue) -> float | None:
        return sampler.track(queue, lambda: rows.of_queue(queue)).rate(column) or None

    found = dict(_QUICK)
    for column, name in enumerate(rows.QUEUE):
        shown = name if name in rows.LENGTHS else f"message_stats.{name}"
        found.setdefault(shown, partial(counted, column))
        found[f"{shown}_details.rate"] = partial(rate, column)
    return found


async def get_all(call: Call) -> web.StreamResponse:
    """GET /api/queues and /api/queues/{vhost}."""
    vhosts = [call.vhost] if call.has("vhost") else await call.visible()
    return await reply(call, _items(vhosts), partial(row, call), _quick(call))


async def get(call: Call) -> web.StreamResponse:
    """GET /api/queues/{vhost}/{queue}."""
    shown = Columns(call.query.get("columns")).of(await _detail(call, call.queue))
    return await answers.stream_object(call.request, shown.items())


async def put(call: Call) -> web.StreamResponse:
    """PUT: declare, or check that it is the same."""
    body = await call.read()
    vhost, name = call.vhost_to_change(), call.path("queue")
    node = body.get("node")
    if node not in (None, call.state.node):
        raise bad_request(f"Node {node} could not be contacted")
    arguments = call.arguments()
    call.check_new_name("queue", name)
    await call.caller.require(ResourceAccess(vhost.name, QUEUE, name, CONFIGURE))
    if "x-dead-letter-exchange" in arguments:
        target = shapes.of_field(arguments["x-dead-letter-exchange"])
        await call.caller.require(
            ResourceAccess(vhost.name, QUEUE, name, READ),
            ResourceAccess(vhost.name, EXCHANGE, target, WRITE),
        )
    is_new = name not in vhost.queues
    queue = call.change(
        lambda: vhost.declare_queue(
            name,
            durable=call.boolean("durable"),
            exclusive=False,
            auto_delete=call.boolean("auto_delete"),
            arguments=arguments,
            owner=call,
        )
    )
    queue.used()
    await call.durable()
    return answers.empty(201 if is_new else 204)


async def delete(call: Call) -> web.StreamResponse:
    """DELETE, perhaps only if it is empty or unused."""
    queue = call.queue
    access = ResourceAccess(queue.vhost, QUEUE, queue.name, CONFIGURE)
    await call.caller.require(access)
    vhost = call.vhost
    if_unused, if_empty = call.flag("if-unused"), call.flag("if-empty")
    call.change(
        lambda: vhost.delete_queue(queue.name, call, if_unused=if_unused, if_empty=if_empty)
    )
    await call.durable()
    return answers.empty(204)


async def purge(call: Call) -> web.StreamResponse:
    """DELETE .../contents."""
    queue = call.queue
    await call.caller.require(ResourceAccess(queue.vhost, QUEUE, queue.name, READ))
    if queue.owner is not None:
        raise ApiError(400, "bad_request", _locked(queue).text)
    queue.refresh()
    count = queue.purge()
    call.record("queue.purge", vhost=queue.vhost, name=queue.name, messages=count)
    await call.durable()
    return answers.empty(204)


def _locked(queue: Queue) -> ResourceLocked:
    return ResourceLocked(f"cannot obtain exclusive access to locked {queue}")


async def act(call: Call) -> web.StreamResponse:
    """POST .../actions: those of mirrored queues, which change nothing on one node."""
    call.queue  # noqa: B018 - it has to exist
    body = await call.read()
    call.need("action")
    if body["action"] not in ("sync", "cancel_sync"):
        raise bad_request(["unknown", body["action"]])
    return answers.empty(204)


async def bindings(call: Call) -> web.StreamResponse:
    """GET .../bindings: a queue that is missing has its default binding all the same."""
    vhost, name = call.vhost, call.path("queue")
    queue = vhost.queues.get(name)
    found = [shapes.default_binding(vhost.name, name)]
    if queue is not None:
        found += [shapes.of_binding(binding, vhost.name) for binding in queue.incoming]
    return answers.answer(found)


async def quorum_status(call: Call) -> web.StreamResponse:
    """GET /api/queues/quorum/{vhost}/{queue}/status: a quorum of one."""
    if call.queue.type != "quorum":
        raise not_found()
    return answers.answer([{"Node Name": call.state.node, "Raft State": "leader"}])
