"""The node: what it uses, where memory goes, who logged in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker import __version__
from broker.alarms import resident_bytes
from broker.management import answers, details, measures, places
from broker.management.errors import not_found
from broker.management.exchanges import exchange_types
from broker.management.listing import Columns
from broker.management.sampler import NODE
from broker.management.series import BASIC
from broker.memory import breakdown, paged_out
from broker.plugins import BUILT_IN
from broker.resources import open_files_max

if TYPE_CHECKING:
    from broker.management.call import Call

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
    "metadata_store",
    "other_proc",
    "metrics",
    "mgmt_db",
    "mnesia",
    "quorum_ets",
    "metadata_store_ets",
    "other_ets",
    "binary",
    "msg_index",
    "code",
    "atom",
    "other_system",
    "allocated_unused",
    "reserved_unallocated",
)
"""Where RabbitMQ sees memory go; ``broker.memory`` says which of them mean something here."""


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
        "fd_total": open_files_max(),
        "sockets_total": open_files_max(),
        "mem_limit": alarms.memory_max,
        "mem_alarm": alarms.memory_alarm,
        "disk_free_limit": alarms.disk_free_min,
        "disk_free_alarm": alarms.disk_alarm,
        "proc_total": 1 << 20,
        "rates_mode": config.management_rates_mode,
        "uptime": state.uptime_ms,
        "run_queue": measures.run_queue(),
        "processors": state.processors,
        "exchange_types": exchange_types(),
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
        "contexts": places.contexts(call),
        "log_files": [str(log_file)] if log_file else ["<stdout>"],
        "db_dir": config.data_dir,
        "config_files": [],
        "net_ticktime": 60,
        "enabled_plugins": [*BUILT_IN],
        "mem_calculation_strategy": "rss",
        "ra_open_file_metrics": {"ra_log_wal": 1, "ra_log_segment_writer": 0},
        "name": state.node,
        "running": True,
        "being_drained": server.maintenance.drained,
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
        shown["memory"] = await _memory(call)
    if call.flag("binary"):
        shown["binary"] = {part: 0 for part in MEMORY_PARTS if part not in ("code", "atom")}
    return answers.answer(Columns(call.query.get("columns")).of(shown))


def _check_node(call: Call) -> None:
    if call.path("node") != call.state.node:
        raise not_found()


async def _memory(call: Call) -> dict[str, Any]:
    """Where memory goes, see ``broker.memory``."""
    slices = answers.Slices()
    messages = body_bytes = 0
    for vhost in list(call.broker.vhosts.values()):
        for keeper in list(vhost.keepers()):
            gone, gone_bytes = paged_out(keeper)
            messages += len(keeper) - gone
            body_bytes += keeper.backlog.size_bytes - gone_bytes
            if slices.over:
                await slices.rest()
    output = sum(session.transport.get_write_buffer_size() for session in call.server.sessions)
    resident = resident_bytes()
    parts = dict.fromkeys(MEMORY_PARTS, 0) | breakdown(messages, body_bytes, output)
    total = {"erlang": resident, "rss": resident, "allocated": resident}
    return {**parts, "strategy": "rss", "total": total}


async def get_memory(call: Call) -> web.StreamResponse:
    """GET /api/nodes/{node}/memory."""
    _check_node(call)
    return answers.answer({"memory": await _memory(call)})


async def get_memory_relative(call: Call) -> web.StreamResponse:
    """GET /api/nodes/{node}/memory/relative: percent, rounded up."""
    _check_node(call)
    memory = await _memory(call)
    total = max(1, memory["total"]["rss"])
    shares = {part: -(-memory[part] * 100 // total) for part in MEMORY_PARTS}
    return answers.answer({"memory": {"total": 100, **shares}})


async def get_attempts(call: Call) -> web.StreamResponse:
    """GET /api/auth/attempts/{node}: logins by protocol."""
    _check_node(call)
    logins = call.broker.logins
    return answers.answer(
        [
            {
                "protocol": protocol,
                "auth_attempts": logins[protocol, True] + logins[protocol, False],
                "auth_attempts_failed": logins[protocol, False],
                "auth_attempts_succeeded": logins[protocol, True],
            }
            for protocol in ("http", "amqp091")
        ]
    )


async def get_attempts_by_source(call: Call) -> web.StreamResponse:
    """GET /api/auth/attempts/{node}/source: RabbitMQ counts these only if told to, too."""
    _check_node(call)
    return answers.answer([])


async def reset_attempts(call: Call) -> web.StreamResponse:
    """DELETE: count from 0 again."""
    _check_node(call)
    call.broker.logins.clear()
    return answers.empty(204)
