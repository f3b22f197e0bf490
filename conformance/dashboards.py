"""What RabbitMQ's own Grafana dashboards read: names of metrics, their types, how panels join them.

These are facts about the dashboard RabbitMQ-Overview (10991 at Grafana's) from series 3.8 to 4; the
expressions made of them are ours. ``OVERVIEW`` is the one place that says which metrics it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Series(NamedTuple):
    """The dashboard of some series of RabbitMQ: how a panel finds the node a sample comes from."""

    name: str
    join: str  # labels that a metric has in common with rabbitmq_identity_info
    selects_endpoint: bool = False


SERIES = {
    "3.8": Series("3.8", "instance"),
    "3.9": Series("3.9", "instance"),
    "3.13": Series("3.13", "instance, job"),
    "4": Series("4", "instance, job", selects_endpoint=True),
}


class Read(NamedTuple):
    """A metric that panels read, and in which series."""

    metric: str
    type: str
    series: tuple[str, ...] = tuple(SERIES)


_CHANNELS = ("3.8",)  # which adds up over channels what there were no totals of
_TOTALS = ("3.9", "3.13", "4")
_SOCKETS = ("3.8", "3.9", "3.13")
_SIZES = ("4",)


def _reads(kind: str, names: str, series: tuple[str, ...] = tuple(SERIES)) -> Iterator[Read]:
    for name in names.split():
        yield Read(f"rabbitmq_{name}", kind, series)


OVERVIEW = (
    *_reads(
        "gauge",
        """
        connections channels queues queue_messages_ready queue_messages_unacked
        disk_space_available_bytes process_resident_memory_bytes resident_memory_limit_bytes
        process_max_fds process_open_fds
        """,
    ),
    *_reads("gauge", "process_max_tcp_sockets process_open_tcp_sockets", _SOCKETS),
    *_reads("gauge", "channel_consumers channel_messages_unconfirmed", _CHANNELS),
    *_reads("gauge", "global_publishers global_consumers erlang_uptime_seconds", _TOTALS),
    *_reads(
        "counter",
        """
        connections_opened_total connections_closed_total channels_opened_total
        channels_closed_total queues_declared_total queues_created_total queues_deleted_total
        """,
    ),
    *_reads(
        "counter",
        """
        channel_messages_published_total channel_messages_confirmed_total
        channel_messages_unroutable_dropped_total channel_messages_unroutable_returned_total
        channel_messages_delivered_total channel_messages_delivered_ack_total
        channel_messages_redelivered_total channel_messages_acked_total
        channel_get_total channel_get_ack_total channel_get_empty_total
        queue_messages_published_total
        """,
        _CHANNELS,
    ),
    *_reads(
        "counter",
        """
        global_messages_received_total global_messages_received_confirm_total
        global_messages_confirmed_total global_messages_routed_total
        global_messages_unroutable_dropped_total global_messages_unroutable_returned_total
        global_messages_delivered_total global_messages_delivered_consume_auto_ack_total
        global_messages_delivered_consume_manual_ack_total
        global_messages_delivered_get_auto_ack_total
        global_messages_delivered_get_manual_ack_total
        global_messages_get_empty_total global_messages_redelivered_total
        global_messages_acknowledged_total
        """,
        _TOTALS,
    ),
    *_reads("histogram", "message_size_bytes", _SIZES),
    *_reads("untyped", "build_info identity_info"),
)

DIFFERENCES = (
    ("resident_memory_limit_bytes", "process_resident_memory_bytes", tuple(SERIES)),
    ("process_max_fds", "process_open_fds", tuple(SERIES)),
    ("process_max_tcp_sockets", "process_open_tcp_sockets", _SOCKETS),
    ("channels", "channel_consumers", _CHANNELS),
)
"""What panels subtract from each other."""

SIZES = ["100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08", "+Inf"]
"""The bounds of messages' sizes, as panels spell them."""

BUILD = ("rabbitmq_version", "erlang_version", "prometheus_plugin_version")
"""Labels of rabbitmq_build_info that the table of nodes shows."""


def expressions(series: Series, cluster: str, namespace: str = "") -> list[str]:
    """One for each thing that the panels of a series read, for Prometheus to evaluate."""
    chosen = f'rabbitmq_cluster="{cluster}", namespace="{namespace}"'
    if series.selects_endpoint:
        chosen += ', rabbitmq_endpoint="aggregated"'
    node = "group_left(rabbitmq_cluster, rabbitmq_node)"
    who = f"* on({series.join}) {node} rabbitmq_identity_info{{{chosen}}}"
    read = [one for one in OVERVIEW if series.name in one.series]
    found = [f"count(rabbitmq_identity_info{{{chosen}}})"]
    for one in read:
        if one.type == "gauge":
            found += [f"{one.metric} {who}", f"sum by(rabbitmq_node) ({one.metric} {who})"]
        elif one.type == "counter":
            found += [f"sum(rate({one.metric}[60s]) {who})", f"sum(irate({one.metric}[60s]) {who})"]
    for large, small, when in DIFFERENCES:
        if series.name in when:
            found.append(f"sum(rabbitmq_{large} {who}) - sum(rabbitmq_{small} {who})")
    table = f"* on({series.join}) group_left({', '.join(BUILD)}) rabbitmq_build_info"
    found.append(f"rabbitmq_erlang_uptime_seconds {table} {who}")
    if series.name in _SIZES:
        found += _sizes(who)
    return found


def _sizes(who: str) -> Iterator[str]:
    name = "rabbitmq_message_size_bytes"
    grown = {part: f"sum(increase({name}_{part}[60s]) {who})" for part in ("sum", "count")}
    yield f"{grown['sum']} / {grown['count']}"
    for bound in SIZES:
        bucket = f'sum(increase({name}_bucket{{le="{bound}"}}[60s]) {who})'
        yield f"{bucket} / {grown['count']}"
