"""Metrics of the node: what came and went, resources, the disk, and messages in all."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version

from prometheus_client import PROCESS_COLLECTOR

from broker import __version__
from broker.alarms import DISK, MEMORY, free_disk_bytes, resident_bytes
from broker.identity import cluster_id, cluster_name, node_name
from broker.metrics.clients import sessions_of
from broker.metrics.family import (
    COUNTER,
    GAUGE,
    UNTYPED,
    Scope,
    Steps,
    family,
    histogram,
    info,
    single,
)
from broker.metrics.messages import consumers
from broker.metrics.queues import queues_of
from broker.resources import open_files, open_files_max

OTHER_FILES = 100  # descriptors kept for the log and the like, which are no sockets
_LIBRARY = version("prometheus-client")  # which takes a millisecond to find out
_STARTED_S = time.time()


def process(_: Scope) -> Steps:
    """The process, as the library looks at it: memory, CPU time, start."""
    yield from PROCESS_COLLECTOR.collect()


def alarms(scope: Scope) -> Steps:
    """Which alarms are raised; there is none for file descriptors."""
    reasons = scope.server.alarms.reasons
    for name, text, raised in (
        ("file_descriptor_limit", "file descriptor limit", False),
        ("free_disk_space_watermark", "free disk space watermark", DISK in reasons),
        ("memory_used_watermark", "VM memory watermark", MEMORY in reasons),
    ):
        text = f"is 1 if {text} alarm is in effect"
        yield single(f"{scope.prefix}alarms_{name}", UNTYPED, text, raised)


def connection_churn_metrics(scope: Scope) -> Steps:
    """What has come and gone."""
    churn = scope.server.broker.churn
    for name, text, count in (
        ("connections_opened", "connections opened", churn.connection_created),
        ("connections_closed", "connections closed or terminated", churn.connection_closed),
        ("channels_opened", "channels opened", churn.channel_created),
        ("channels_closed", "channels closed", churn.channel_closed),
        ("queues_declared", "queues declared", churn.queue_declared),
        ("queues_created", "queues created", churn.queue_created),
        ("queues_deleted", "queues deleted", churn.queue_deleted),
    ):
        yield single(f"{scope.prefix}{name}_total", COUNTER, f"Total number of {text}", count)


def node_coarse_metrics(scope: Scope) -> Steps:
    """Resources in use."""
    server = scope.server
    for name, text, value in (
        ("process_open_fds", "Open file descriptors", open_files()),
        ("process_open_tcp_sockets", "Open TCP sockets", len(server.sessions)),
        ("process_resident_memory_bytes", "Memory used in bytes", resident_bytes()),
        (
            "disk_space_available_bytes",
            "Disk space available in bytes",
            free_disk_bytes(server.config.data_dir),
        ),
    ):
        yield single(scope.prefix + name, GAUGE, text, value)


def node_metrics(scope: Scope) -> Steps:
    """Limits of resources, and uptime."""
    alarm, files = scope.server.alarms, open_files_max()
    for name, text, value in (
        ("process_max_fds", "Open file descriptors limit", files),
        ("process_max_tcp_sockets", "Open TCP sockets limit", max(0, files - OTHER_FILES)),
        (
            "resident_memory_limit_bytes",
            "Memory high watermark in bytes",
            alarm.memory_max or 0,
        ),
        (
            "disk_space_available_limit_bytes",
            "Free disk space low watermark in bytes",
            alarm.disk_free_min,
        ),
        ("erlang_uptime_seconds", "Node uptime", round(time.time() - _STARTED_S, 3)),
    ):
        yield single(scope.prefix + name, GAUGE, text, value)


def node_persister_metrics(scope: Scope) -> Steps:
    """The disk. Writing and syncing is one call here, so both have its count and time."""
    disk, log = scope.server.disk, scope.server.log
    writes, write_s = disk.writes, disk.write_us.total / 1e6
    for name, text, value in (
        ("io_read_ops", "Total number of I/O read operations", disk.reads),
        ("io_read_bytes", "Total number of I/O bytes read", disk.read_bytes),
        ("io_write_ops", "Total number of I/O write operations", writes),
        ("io_write_bytes", "Total number of I/O bytes written", disk.written_bytes),
        ("io_sync_ops", "Total number of I/O sync operations", writes),
        ("io_read_time_seconds", "Total I/O read time", disk.read_us / 1e6),
        ("io_write_time_seconds", "Total I/O write time", write_s),
        ("io_sync_time_seconds", "Total I/O sync time", write_s),
    ):
        yield single(f"{scope.prefix}{name}_total", COUNTER, text, value)
    yield histogram(
        f"{scope.own}log_sync_seconds",
        "Time to write a batch of the log and have it on the disk",
        disk.write_us,
        unit_s=1e-6,
        first=5,
        last=23,
    )
    yield single(f"{scope.own}log_bytes", GAUGE, "Octets in the log", log.disk_bytes)
    yield single(f"{scope.own}log_segments", GAUGE, "Files of the log", log.segments)


def latency(scope: Scope) -> Steps:
    """How long messages wait."""
    yield histogram(
        f"{scope.own}message_time_in_queue_seconds",
        "Time from publishing to delivery; of messages delivered together, that of the oldest",
        scope.server.broker.waited_ms,
        unit_s=1e-3,
        first=0,
        last=24,
    )


def totals(scope: Scope) -> Steps:
    """How much there is of everything."""
    sessions, queues = sessions_of(scope), queues_of(scope)
    channels = sum(len(session.channels) for session in sessions)
    for name, text, value in (
        ("connections", "Connections currently open", len(sessions)),
        ("channels", "Channels currently open", channels),
        ("consumers", "Consumers currently connected", consumers(queues)),
        ("queues", "Queues available", len(queues)),
    ):
        yield single(scope.prefix + name, GAUGE, text, value)


def identity(scope: Scope) -> Steps:
    """Who this is; every panel of a dashboard joins with it by instance."""
    config = scope.server.config
    yield info(
        "rabbitmq_build_info",
        "RabbitMQ & Erlang/OTP version info",
        {
            "rabbitmq_version": config.version,
            "prometheus_plugin_version": __version__,
            "prometheus_client_version": _LIBRARY,
            "erlang_version": f"Python {platform.python_version()}",
            "product_name": "Leveret",
            "product_version": __version__,
        },
    )
    yield info(
        "rabbitmq_identity_info",
        "RabbitMQ node & cluster identity info",
        {
            "rabbitmq_node": node_name(),
            "rabbitmq_cluster": cluster_name(config, scope.server.broker),
            "rabbitmq_cluster_permanent_id": cluster_id(config),
            "rabbitmq_endpoint": scope.endpoint,
        },
    )


def auth_attempt_metrics(scope: Scope) -> Steps:
    """Logins, by protocol."""
    logins = scope.server.broker.logins
    protocols = dict.fromkeys(protocol for protocol, _ in logins)
    for name, text, outcomes in (
        ("", "Total number of authorization attempts", (True, False)),
        ("_succeeded", "Total number of successful authentication attempts", (True,)),
        ("_failed", "Total number of failed authentication attempts", (False,)),
    ):
        samples = [
            ({"protocol": protocol}, sum(logins[protocol, outcome] for outcome in outcomes))
            for protocol in protocols
        ]
        yield family(f"{scope.prefix}auth_attempts{name}_total", COUNTER, text, samples)
