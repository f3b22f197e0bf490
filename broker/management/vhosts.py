"""Virtual hosts and their limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.core import vhost_settings
from broker.core.permissions import set_permissions
from broker.management import answers, details, rows
from broker.management.errors import bad_request, not_found
from broker.management.listing import Columns, Item, reply, reply_rows
from broker.management.permissions import permissions_in, topic_permissions_in

if TYPE_CHECKING:
    from broker.core.vhost import Vhost
    from broker.management.call import Call


def _row(call: Call, vhost: Vhost, totals: dict[str, list[int]]) -> dict[str, Any]:
    default_type = vhost.default_queue_type or "undefined"
    metadata: dict[str, Any] = {"description": vhost.description, "tags": list(vhost.tags)}
    if vhost.default_queue_type is not None:
        metadata["default_queue_type"] = default_type
    shown: dict[str, Any] = {
        "name": vhost.name,
        "description": vhost.description,
        "tags": list(vhost.tags),
        "default_queue_type": default_type,
        "metadata": metadata,
        "tracing": vhost.tracing,
        "cluster_state": {call.state.node: "running"},
        "protected_from_deletion": False,
    }
    now = totals.get(vhost.name)
    if now is None or call.state.shows_no_statistics(call):
        return shown
    track = call.state.sampler.track(("vhost", vhost.name), lambda: now)
    window = details.window_of
    lengths = window(call.query, details.LENGTHS_QUERY)
    octets = window(call.query, details.OCTETS_QUERY)
    shown |= details.shown(rows.VHOST, now, track, rows.OCTETS, octets)
    shown |= details.shown(rows.VHOST, now, track, rows.LENGTHS, lengths)
    rates = window(call.query, details.MESSAGES_QUERY)
    stats = details.message_stats(rows.VHOST, now, track, rates)
    if stats:
        shown["message_stats"] = stats
    return shown


async def get_all(call: Call) -> web.StreamResponse:
    """GET /api/vhosts."""
    totals, _ = await call.state.sampler.totals()
    vhosts = await call.visible()
    items = (Item((vhost.name,), vhost.name, vhost) for vhost in vhosts)
    return await reply(call, items, lambda vhost: _row(call, vhost, totals))


async def get(call: Call) -> web.StreamResponse:
    """GET /api/vhosts/{vhost}."""
    totals, _ = await call.state.sampler.totals()
    columns = Columns(call.query.get("columns"))
    return answers.answer(columns.of(_row(call, call.vhost, totals)))


async def put(call: Call) -> web.StreamResponse:
    """PUT: make it, or change what it says about itself."""
    body = await call.read()
    name = call.path("vhost")
    is_new = name not in call.broker.vhosts
    vhost = call.change(lambda: call.broker.declare_vhost(name))
    maker = call.caller.name
    if is_new and maker in call.broker.users:  # as RabbitMQ: who makes a vhost may use it
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        call.change(lambda: set_permissions(vhost, maker, **everything))
    description = str(body.get("description", vhost.description))
    tags = body.get("tags", vhost.tags)
    if isinstance(tags, str):
        tags = [tag.strip() for tag in tags.split(",") if tag.strip()]
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        raise bad_request("tags must be a list of texts, or one text with commas between them")
    if description != vhost.description or tuple(tags) != vhost.tags:
        call.change(lambda: vhost_settings.set_metadata(vhost, description, tags))
    queue_type = body.get("default_queue_type", body.get("defaultqueuetype"))
    if queue_type not in (None, "undefined"):
        call.change(lambda: vhost_settings.set_default_queue_type(vhost, queue_type))
    if "tracing" in body:
        vhost.trace(on=call.boolean("tracing"))
    await call.durable()
    return answers.empty(201 if is_new else 204)


async def delete(call: Call) -> web.StreamResponse:
    """DELETE, with all that is in it."""
    name = call.vhost.name
    call.change(lambda: call.broker.delete_vhost(name))
    await call.durable()
    return answers.empty(204)


async def get_permissions(call: Call) -> web.StreamResponse:
    """GET /api/vhosts/{vhost}/permissions."""
    return await reply_rows(call, permissions_in(call.vhost))


async def get_topic_permissions(call: Call) -> web.StreamResponse:
    """GET /api/vhosts/{vhost}/topic-permissions."""
    return await reply_rows(call, topic_permissions_in(call.vhost))


# -- limits ----------------------------------------------------------------------------


def _limits(vhosts: list[Vhost]) -> Iterator[dict[str, Any]]:
    for vhost in vhosts:
        if vhost.limits:
            yield {"vhost": vhost.name, "value": dict(vhost.limits)}


async def get_limits(call: Call) -> web.StreamResponse:
    """GET /api/vhost-limits and /api/vhost-limits/{vhost}."""
    vhosts = [call.vhost] if call.has("vhost") else await call.visible()
    return await reply_rows(call, _limits(vhosts))


async def put_limit(call: Call) -> web.StreamResponse:
    """PUT /api/vhost-limits/{vhost}/{limit}."""
    vhost, name = call.vhost, call.path("limit")
    await call.read()
    call.need("value")
    call.change(lambda: vhost_settings.set_limit(vhost, name, call.body["value"]))
    await call.durable()
    return answers.empty(204)


async def delete_limit(call: Call) -> web.StreamResponse:
    """DELETE /api/vhost-limits/{vhost}/{limit}."""
    vhost, name = call.vhost, call.path("limit")
    if name not in vhost_settings.LIMITS:
        raise not_found()
    call.change(lambda: vhost_settings.clear_limit(vhost, name))
    await call.durable()
    return answers.empty(204)
