"""The overview, and other facts about the broker as a whole."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker import __version__
from broker.core.runtime_parameters import set_global_parameter
from broker.identity import CLUSTER_NAME, cluster_name
from broker.management import answers, details, places, rows
from broker.management.errors import bad_request
from broker.management.exchanges import exchange_types
from broker.management.listing import Columns
from broker.management.sampler import OVERVIEW
from broker.management.series import GLOBAL

if TYPE_CHECKING:
    from broker.management.call import Call


async def get(call: Call) -> web.StreamResponse:
    """GET /api/overview."""
    config, state = call.server.config, call.state
    shown: dict[str, Any] = {
        "management_version": config.version,
        "rates_mode": config.management_rates_mode,
        "sample_retention_policies": {
            "global": [600, 3600, 28800, 86400],
            "basic": [600, 3600],
            "detailed": [600],
        },
        "exchange_types": exchange_types(),
        "product_version": config.version,
        "product_name": config.product,
        "rabbitmq_version": config.version,
        "leveret_version": __version__,
        "cluster_name": cluster_name(config, call.broker),
        "cluster_tags": {},
        "node_tags": {},
        "erlang_version": platform.python_version(),
        "erlang_full_version": f"Python {platform.python_version()}",
        "release_series_support_status": "supported",
        "disable_stats": state.shows_no_statistics(call),
        "is_op_policy_updating_enabled": True,
        "enable_queue_totals": config.management_enable_queue_totals,
    }
    if state.shows_no_statistics(call):
        shown["message_stats"] = shown["churn_rates"] = {}
        shown["queue_totals"] = {}
    else:
        shown |= await _statistics(call)
    vhosts = await call.visible()
    sessions = [session for session in call.server.sessions if session.opened]
    if not call.caller.is_monitor:
        sessions = [session for session in sessions if session.user == call.caller.name]
    shown["object_totals"] = {
        "channels": sum(len(session.channels) for session in sessions),
        "connections": len(sessions),
        "consumers": sum(len(queue.consumers) for one in vhosts for queue in one.queues.values()),
        "exchanges": sum(len(vhost.exchanges) for vhost in vhosts),
        "queues": sum(len(vhost.queues) for vhost in vhosts),
    }
    shown |= {"statistics_db_event_queue": 0, "node": state.node}
    if call.caller.is_monitor:
        contexts = [{"ssl_opts": [], "node": state.node, **one} for one in places.contexts(call)]
        shown |= {"listeners": places.listeners(call), "contexts": contexts}
    shown["default_queue_type"] = config.default_queue_type or "classic"
    return answers.answer(Columns(call.query.get("columns")).of(shown))


async def _statistics(call: Call) -> dict[str, Any]:
    """Message statistics: of all vhosts to a monitor, of those it may access to others."""
    sampler = call.state.sampler
    totals, row = await sampler.totals()
    sampler.watch(OVERVIEW, GLOBAL)
    track = sampler.track(OVERVIEW, lambda: row)
    if not call.caller.is_monitor:
        seen = [totals[vhost.name] for vhost in await call.visible() if vhost.name in totals]
        sums = [sum(column) for column in zip(*seen, strict=True)] or [0] * len(rows.VHOST)
        row = [*sums, *row[len(rows.VHOST) :]]
    lengths = details.window_of(call.query, details.LENGTHS_QUERY)
    rates = details.window_of(call.query, details.MESSAGES_QUERY)
    stats = details.message_stats(rows.OVERVIEW, row, track, rates)
    stats |= details.shown(rows.OVERVIEW, row, track, rows.DISK, rates)
    return {
        "message_stats": stats,
        "churn_rates": details.shown(rows.OVERVIEW, row, track, rows.CHURN, rates),
        "queue_totals": details.shown(rows.OVERVIEW, row, track, rows.LENGTHS, lengths),
    }


async def get_cluster_name(call: Call) -> web.StreamResponse:
    """GET /api/cluster-name."""
    return answers.answer({"name": cluster_name(call.server.config, call.broker)})


async def put_cluster_name(call: Call) -> web.StreamResponse:
    """PUT /api/cluster-name: a global parameter, which comes before the settings."""
    body = await call.read()
    call.need("name")
    if not isinstance(body["name"], str):
        raise bad_request("name must be a text")
    with call.acting():
        set_global_parameter(call.broker, CLUSTER_NAME, body["name"])
    await call.durable()
    return answers.empty(204)


async def get_version(call: Call) -> web.StreamResponse:
    """GET /api/version."""
    return answers.answer(call.server.config.version)


async def get_whoami(call: Call) -> web.StreamResponse:
    """GET /api/whoami."""
    identity = call.caller.identity
    is_internal = identity.name in call.broker.users
    tags = sorted(identity.tags)
    return answers.answer({"name": identity.name, "tags": tags, "is_internal_user": is_internal})


async def get_extensions(call: Call) -> web.StreamResponse:
    """GET /api/extensions: scripts of plugins of RabbitMQ's pages, of which there are none."""
    return answers.answer([])


async def get_feature_flags(call: Call) -> web.StreamResponse:
    """GET /api/feature-flags: those of RabbitMQ 3.13, all enabled."""
    return answers.answer(
        [
            {
                "name": name,
                "desc": "",
                "doc_url": "",
                "state": "enabled",
                "stability": "required",
                "provided_by": "rabbit",
            }
            for name in FEATURE_FLAGS
        ]
    )


FEATURE_FLAGS = (
    "classic_mirrored_queue_version",
    "classic_queue_type_delivery_support",
    "detailed_queues_endpoint",
    "direct_exchange_routing_v2",
    "drop_unroutable_metric",
    "empty_basic_get_metric",
    "feature_flags_v2",
    "implicit_default_bindings",
    "listener_records_in_ets",
    "maintenance_mode_status",
    "message_containers",
    "quorum_queue",
    "stream_queue",
    "tracking_records_in_ets",
    "user_limits",
    "virtual_host_metadata",
)


async def enable_feature_flag(call: Call) -> web.StreamResponse:
    """PUT /api/feature-flags/{flag}/enable: it is already, or does not exist."""
    if call.path("flag") not in FEATURE_FLAGS:
        raise bad_request(f"unknown feature flag {call.path('flag')}")
    return answers.empty(204)


async def get_nothing(call: Call) -> web.StreamResponse:
    """Lists of what cannot exist here: deprecated features in use, shovels, links, traces."""
    return answers.answer([])


async def do_nothing(call: Call) -> web.StreamResponse:
    """What has no effect on one node: rebalancing queues, starting a vhost that runs."""
    return answers.empty(204)


async def get_auth(call: Call) -> web.StreamResponse:
    """GET /api/auth: how a page is to log in."""
    return answers.answer({"enable_uaa": False, "uaa_client_id": "", "uaa_location": ""})
