"""The overview, the node, and other facts about the broker as a whole."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker import __version__
from broker.alarms import resident_bytes
from broker.identity import cluster_name
from broker.management import answers, details, measures, rows
from broker.management.errors import bad_request, not_found
from broker.management.exchanges import TYPES
from broker.management.listing import Columns
from broker.management.sampler import NODE, OVERVIEW
from broker.management.series import BASIC, GLOBAL

if TYPE_CHECKING:
    from broker.management.call import Call
    from broker.services import Listening

MECHANISMS = {
    "PLAIN": "SASL PLAIN authentication mechanism",
    "AMQPLAIN": "QPid AMQPLAIN mechanism",
    "EXTERNAL": "TLS peer certificate authentication mechanism",
    "ANONYMOUS": "SASL ANONYMOUS authentication mechanism",
}
MEMORY_PARTS = (
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "queue_procs",
    "queue_slave_procs",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "plugins",
    "other_proc",
    "metrics",
    "mgmt_db",
    "mnesia",
    "quorum_ets",
    "other_ets",
    "binary",
    "msg_index",
    "code",
    "atom",
    "other_system",
    "allocated_unused",
    "reserved_unallocated",
)
"""Where RabbitMQ sees memory go. Here bodies are ``binary``, and the rest is ``other_system``."""


def _exchange_types() -> list[dict[str, Any]]:
    return [{"name": name, "description": text, "enabled": True} for name, text in TYPES.items()]


def _contexts(call: Call) -> list[dict[str, Any]]:
    """The listeners of HTTP."""
    found = []
    for place in call.state.listening():
        if place.protocol in ("http", "https"):
            found.append(_context(place, "RabbitMQ Management"))
        elif place.protocol == "http/prometheus":
            found.append(_context(place, "RabbitMQ Prometheus") | {"protocol": "'http/prometheus'"})
    return found


def _context(place: Listening, description: str) -> dict[str, Any]:
    return {
        "description": description,
        "path": "/",
        "cowboy_opts": "[]",
        "ip": place.host,
        "port": str(place.port),
    }


def _listeners(call: Call) -> list[dict[str, Any]]:
    config = call.server.config
    amqp = {
        "backlog": config.tcp_backlog,
        "nodelay": config.tcp_nodelay,
        "linger": [config.tcp_linger, config.tcp_linger_timeout_s],
        "exit_on_close": False,
    }
    return [
        {
            "node": call.state.node,
            "protocol": place.protocol,
            "ip_address": place.host,
            "port": place.port,
            "socket_opts": amqp if place.protocol.startswith("amqp") else {"port": place.port},
        }
        for place in call.state.listening()
    ]


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
        "exchange_types": _exchange_types(),
        "product_version": config.version,
        "product_name": config.product,
        "rabbitmq_version": config.version,
        "leveret_version": __version__,
        "cluster_name": cluster_name(call.server.config),
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
        contexts = [{"ssl_opts": [], "node": state.node, **one} for one in _contexts(call)]
        shown |= {"listeners": _listeners(call), "contexts": contexts}
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


def _node(call: Call) -> dict[str, Any]:
    server, config, state = call.server, call.server.config, call.state
    alarms = server.alarms
    row = measures.row(server)
    state.sampler.watch(NODE, BASIC)
    track = state.sampler.track(NODE, lambda: row)
    window = details.window_of(call.query, details.NODE_QUERY)
    log_file = config.log_file
    return {
        "partitions": [],
        "os_pid": str(os.getpid()),
        "fd_total": measures.open_files_max(),
        "sockets_total": measures.open_files_max(),
        "mem_limit": alarms.memory_max,
        "mem_alarm": alarms.memory_alarm,
        "disk_free_limit": alarms.disk_free_min,
        "disk_free_alarm": alarms.disk_alarm,
        "proc_total": 1 << 20,
        "rates_mode": config.management_rates_mode,
        "uptime": state.uptime_ms,
        "run_queue": measures.run_queue(),
        "processors": state.processors,
        "exchange_types": _exchange_types(),
        "auth_mechanisms": [
            {"name": name, "description": text, "enabled": name in config.auth_mechanisms}
            for name, text in MECHANISMS.items()
        ],
        "applications": [
            {"name": "leveret", "description": "Leveret", "version": __version__},
            {"name": "rabbit", "description": "RabbitMQ", "version": config.version},
            {
                "name": "rabbitmq_management",
                "description": "RabbitMQ Management Console",
                "version": config.version,
            },
        ],
        "contexts": _contexts(call),
        "log_files": [str(log_file)] if log_file else ["<stdout>"],
        "db_dir": config.data_dir,
        "config_files": [],
        "net_ticktime": 60,
        "enabled_plugins": ["rabbitmq_management", "rabbitmq_prometheus"],
        "mem_calculation_strategy": "rss",
        "ra_open_file_metrics": {"ra_log_wal": 1, "ra_log_segment_writer": 0},
        "name": state.node,
        "running": True,
        "being_drained": False,
        "type": "disc",
        **details.shown(measures.NODE, row, track, measures.NODE, window),
        "cluster_links": [],
        "metrics_gc_queue_length": dict.fromkeys(
            (
                "connection_closed",
                "channel_closed",
                "consumer_deleted",
                "exchange_deleted",
                "queue_deleted",
                "vhost_deleted",
                "node_node_deleted",
                "channel_consumer_deleted",
            ),
            0,
        ),
    }


async def get_nodes(call: Call) -> web.StreamResponse:
    """GET /api/nodes: there is one."""
    return answers.answer(Columns(call.query.get("columns")).of([_node(call)]))


async def get_node(call: Call) -> web.StreamResponse:
    """GET /api/nodes/{node}, with memory=true and binary=true also where memory goes."""
    _check_node(call)
    shown = _node(call)
    if call.flag("memory"):
        shown["memory"] = _memory(call)
    if call.flag("binary"):
        shown["binary"] = {part: 0 for part in MEMORY_PARTS if part not in ("code", "atom")}
    return answers.answer(Columns(call.query.get("columns")).of(shown))


def _check_node(call: Call) -> None:
    if call.path("node") != call.state.node:
        raise not_found()


def _memory(call: Call) -> dict[str, Any]:
    """Where memory goes; only bodies can be told apart."""
    resident = resident_bytes()
    bodies = sum(
        keeper.backlog.size_bytes
        for vhost in call.broker.vhosts.values()
        for keeper in vhost.keepers()
    )
    parts = dict.fromkeys(MEMORY_PARTS, 0)
    parts |= {"binary": bodies, "other_system": max(0, resident - bodies)}
    total = {"erlang": resident, "rss": resident, "allocated": resident}
    return {**parts, "strategy": "rss", "total": total}


async def get_memory(call: Call) -> web.StreamResponse:
    """GET /api/nodes/{node}/memory."""
    _check_node(call)
    return answers.answer({"memory": _memory(call)})


async def get_memory_relative(call: Call) -> web.StreamResponse:
    """GET /api/nodes/{node}/memory/relative: percent, rounded up."""
    _check_node(call)
    memory = _memory(call)
    total = max(1, memory["total"]["rss"])
    shares = {part: -(-memory[part] * 100 // total) for part in MEMORY_PARTS}
    return answers.answer({"memory": {"total": 100, **shares}})


async def get_cluster_name(call: Call) -> web.StreamResponse:
    """GET /api/cluster-name."""
    return answers.answer({"name": cluster_name(call.server.config)})


async def put_cluster_name(call: Call) -> web.StreamResponse:
    """PUT /api/cluster-name: refused, because here the configuration says it."""
    await call.read()
    call.need("name")
    raise bad_request("the name of the cluster is set in the configuration (cluster_name)")


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
