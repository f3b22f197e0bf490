"""Virtual hosts and their limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.core import vhost_settings
from broker.core.permissions import set_permissions
from broker.management import answers, details, rows
from broker.management.call import as_words
from broker.management.errors import ApiError, bad_request, not_found
from broker.management.listing import Columns, Item, reply, reply_rows
from broker.management.permissions import permissions_in, topic_permissions_in
from protocol.errors import PreconditionFailed

if TYPE_CHECKING:
    from broker.core.vhost import Vhost
    from broker.management.call import Call

PROTECTED = "protected_from_deletion"


def _row(call: Call, vhost: Vhost, totals: dict[str, list[int]]) -> dict[str, Any]:
    default_type = vhost.default_queue_type or "undefined"
    metadata: dict[str, Any] = {"description": vhost.description, "tags": list(vhost.tags)}
    if vhost.default_queue_type is not None:
        metadata["default_queue_type"] = default_type
    if vhost.protected:
        metadata[PROTECTED] = True
    shown: dict[str, Any] = {
        "name": vhost.name,
        "description": vhost.description,
        "tags": list(vhost.tags),
        "default_queue_type": default_type,
        "metadata": metadata,
        "tracing": vhost.tracing,
        "cluster_state": {call.state.node: "running"},
        PROTECTED: vhost.protected,
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
    call.check_new_name("vhost", name)
    tags = body.get("tags")
    words = None if tags is None else as_words(tags, "tags")
    queue_type = body.get("default_queue_type", body.get("defaultqueuetype"))
    if queue_type == "undefined":
        queue_type = None
    call.change(lambda: vhost_settings.check_default_queue_type(queue_type))
    wanted = {key: call.boolean(key) for key in ("tracing", PROTECTED) if key in body}
    is_new = name not in call.broker.vhosts
    vhost = call.change(lambda: call.broker.declare_vhost(name))
    maker = call.caller.name
    if is_new and maker in call.broker.users:  # as RabbitMQ: who makes a vhost may use it
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        call.change(lambda: set_permissions(vhost, maker, **everything))
    description = str(body.get("description", vhost.description))
    words = list(vhost.tags) if words is None else words
    if description != vhost.description or tuple(words) != vhost.tags:
        call.change(lambda: vhost_settings.set_metadata(vhost, description, words))
    if queue_type is not None:
        call.change(lambda: vhost_settings.set_default_queue_type(vhost, queue_type))
    if PROTECTED in wanted:
        call.change(lambda: vhost_settings.set_protection(vhost, on=wanted[PROTECTED]))
    if "tracing" in wanted:
        vhost.trace(on=wanted["tracing"])
        call.record("vhost.trace", vhost=name, on=vhost.tracing)
    await call.durable()
    return answers.empty(201 if is_new else 204)


async def delete(call: Call) -> web.StreamResponse:
    """DELETE, with all that is in it."""
    name = call.vhost.name
    try:
        with call.acting():
            call.broker.delete_vhost(name)
    except PreconditionFailed as error:
        raise ApiError(412, "precondition_failed", error.text) from None
    await call.durable()
    return answers.empty(204)


async def protect(call: Call) -> web.StreamResponse:
    """POST .../deletion/protection: refuse DELETE from now on."""
    return await _set_protection(call, on=True)


async def unprotect(call: Call) -> web.StreamResponse:
    """DELETE .../deletion/protection."""
    return await _set_protection(call, on=False)


async def _set_protection(call: Call, *, on: bool) -> web.StreamResponse:
    vhost = call.vhost
    call.change(lambda: vhost_settings.set_protection(vhost, on=on))
    await call.durable()
    return answers.empty(204)


async def start(call: Call) -> web.StreamResponse:
    """POST .../start/{node}: a vhost of this node runs always."""
    call.vhost  # noqa: B018 - it has to exist
    node = call.path("node")
    if node != call.state.node:
        raise bad_request(f"Request to node {node} failed with nodedown")
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
