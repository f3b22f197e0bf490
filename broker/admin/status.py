"""What the broker says about itself: status, memory, listeners, versions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from broker import __version__
from broker.admin.api import Json, NotFound, absent_is
from broker.admin.command import Session, command
from broker.admin.failure import EX_USAGE, Failure, WrongArgument
from broker.admin.health import ALARMS, listeners_of
from broker.admin.listings import Column, show
from broker.admin.values import Voice

_ERLANG_ONLY = (
    "crypto_lib_version",
    "enabled_plugin_file",
    "net_ticktime",
    "raft_data_directory",
)
"""Keys of rabbitmqctl's status that the API says nothing about; here they are null."""
LOG_POLL_S = 0.5
UNITS = {"bytes": 1, "mb": 1000**2, "gb": 1000**3}
_unit = click.option("--unit", type=click.Choice([*UNITS]), default="gb", help="Of memory, disk.")


@command
@_unit
def status(session: Session, unit: str) -> None:
    """Show how the broker is: versions, memory, disk, alarms, totals, listeners."""
    session.out.heading(f"Status of node {session.node} ...")
    facts = _facts(session)
    session.out.sections(_status(facts, unit), facts)


@command
def cluster_status(session: Session) -> None:
    """Show the node as a cluster of one, for scripts that ask."""
    node = session.node
    session.out.heading(f"Cluster status of node {node} ...")
    overview = session.api.get("overview")
    state = session.api.get("nodes", node)
    alarms = _alarms(state)
    maintenance = f"{'' if state.get('being_drained') else 'not '}under maintenance"
    flags = session.api.get("feature-flags")
    listeners = listeners_of(session)
    facts = {
        "alarms": alarms,
        "cluster_name": overview["cluster_name"],
        "disk_nodes": [node],
        "feature_flags": flags,
        "listeners": {node: listeners},
        "maintenance_status": {node: maintenance},
        "partitions": {},
        "ram_nodes": [],
        "running_nodes": [node],
        "versions": {
            node: {
                "erlang_version": overview["erlang_version"],
                "rabbitmq_name": overview["product_name"],
                "rabbitmq_version": overview["rabbitmq_version"],
            }
        },
    }
    sections = {
        "Basics": f"Cluster name: {overview['cluster_name']}",
        "Disk Nodes": node,
        "Running Nodes": node,
        "Versions": f"{node}: {overview['product_name']} {overview['rabbitmq_version']} "
        f"on {_runtime(overview)}",
        "Maintenance status": f"Node: {node}, status: {maintenance}",
        "Alarms": "\n".join(alarms) or "(none)",
        "Network Partitions": "(none)",
        "Listeners": "\n".join(f"Node: {node}, {_listener(item, 'i')}" for item in listeners),
        "Feature flags": "\n".join(f"Flag: {f['name']}, state: {f['state']}" for f in flags),
    }
    session.out.sections(sections, facts)


@command
def listeners(session: Session) -> None:
    """List the addresses and protocols the broker listens on."""
    session.out.heading(f"Asking node {session.node} to report its protocol listeners ...")
    found = listeners_of(session)
    answer = {"result": "ok", "node": session.node, "listeners": found}
    session.out.answer("\n".join(_listener(item, "I") for item in found), answer)


@command
@_unit
def memory_breakdown(session: Session, unit: str) -> None:
    """Show what the broker's memory is used for."""
    session.out.heading(f"Reporting memory breakdown on node {session.node}...")
    parts = _memory(session)
    whole = sum(parts.values()) or 1
    shares = {name: round(100 * count / whole, 2) for name, count in parts.items()}
    lines = [f"{name}: {_amount(parts[name], unit)} ({shares[name]}%)" for name in parts]
    document = {name: {"bytes": parts[name], "percentage": shares[name]} for name in parts}
    session.out.answer("\n".join(lines), document)


@command
def server_version(session: Session) -> None:
    """Show the version that the broker tells clients."""
    session.out.heading(f"Asking node {session.node} for its RabbitMQ version...")
    version = session.api.get("overview")["rabbitmq_version"]
    session.out.answer(version, {"result": "ok", "value": version})


@command
@click.option("--details", is_flag=True, hidden=True)
def erlang_version(session: Session, details: bool) -> None:
    """Show what the broker runs on: Python, as it is Leveret."""
    session.out.heading(f"Asking node {session.node} for its Erlang/OTP version...")
    overview = session.api.get("overview")
    shown = overview["erlang_full_version"] if details else _runtime(overview, "Erlang/OTP")
    session.out.answer(shown, {"result": "ok", "value": shown})


@command
def version(session: Session) -> None:
    """Show the version of this program."""
    session.out.answer(__version__, __version__)


@command
@click.option("--all", "-a", "every", is_flag=True, hidden=True)
def log_location(session: Session, every: bool) -> None:
    """Show where the broker writes its log."""
    node = session.node
    session.out.heading(f"Log file location(s) on node {node} ...")
    paths = session.api.get("nodes", node).get("log_files", [])
    session.out.answer("\n".join(paths), {"result": "ok", "node_name": node, "paths": paths})


@command
@click.option("-N", "--number", type=click.IntRange(1), default=50, help="How many, at most.")
def log_tail(session: Session, number: int) -> None:
    """Show the last lines of the broker's log."""
    session.out.heading(f"Last {number} log lines on node {session.node} ...")
    found = _log(session)["lines"][-number:]
    session.out.answer("\n".join(map(_log_line, found)), found)


@command
@click.option("-d", "--duration", type=float, metavar="S", help="For so many seconds.")
def log_tail_stream(session: Session, duration: float | None) -> None:
    """Show lines of the broker's log as they come, until interrupted."""
    words = "until interrupted" if duration is None else f"for {duration:g} seconds"
    session.out.heading(f"Streaming logs from node {session.node} {words} ...")
    end_s = time.monotonic() + (float("inf") if duration is None else duration)
    last = _log(session)["last"]
    while (left_s := end_s - time.monotonic()) > 0:
        time.sleep(min(LOG_POLL_S, left_s))
        found = _log(session, after=str(last))
        last = found["last"]
        for line in found["lines"]:
            session.out.answer(_log_line(line), line)


@command
def list_feature_flags(session: Session) -> None:
    """List the feature flags; all are on."""
    session.out.heading("Listing feature flags ...")
    columns = {"name": Column("name"), "state": Column("state")}
    show(session, columns, session.api.get("feature-flags"))


@command
@click.argument("flag")
def enable_feature_flag(session: Session, flag: str) -> None:
    """Do nothing, successfully: every feature is on."""
    if not flag:
        raise WrongArgument("feature_flag cannot be an empty string.")
    what = "all feature flags" if flag == "all" else f'feature flag "{flag}"'
    session.out.note(f"Enabling {what} ...")
    known = {item["name"] for item in session.api.get("feature-flags")}
    if flag != "all" and flag not in known:
        raise Failure(f"This feature flag is not supported by node {session.node}", EX_USAGE)
    session.out.done()


def _runtime(overview: Json, erlang: str = "Erlang") -> str:
    """Say what the broker runs on; Leveret's API says Python in full only."""
    if "leveret_version" in overview:
        return str(overview["erlang_full_version"])
    return f"{erlang} {overview['erlang_version']}"


def _log(session: Session, **query: str) -> Json:
    with absent_is(Failure("this broker's API does not give out its log")):
        return session.api.get("logs", **query)


def _log_line(line: Json) -> str:
    return f"{line['time']} [{line['level']}] {line['category']}: {line['message']}"


def _facts(session: Session) -> dict[str, Any]:
    """Gather what status shows, under rabbitmqctl's names."""
    overview = session.api.get("overview")
    node = session.api.get("nodes", session.node)
    totals = overview["object_totals"]
    limit = node.get("mem_limit")
    return {
        "os": "Linux",
        "pid": int(node["os_pid"]),
        "uptime": int(node["uptime"]) // 1000,
        "is_under_maintenance": bool(node.get("being_drained")),
        "rabbitmq_version": overview["rabbitmq_version"],
        "leveret_version": overview.get("leveret_version", ""),
        "product_name": overview["product_name"],
        "product_version": overview["product_version"],
        "release_series_support_status": overview.get("release_series_support_status"),
        "erlang_version": overview.get("erlang_full_version"),
        "node": session.node,
        "active_plugins": node.get("enabled_plugins", []),
        "data_directory": node.get("db_dir"),
        **dict.fromkeys(_ERLANG_ONLY),
        "config_files": node.get("config_files", []),
        "log_files": node.get("log_files", []),
        "alarms": _alarms(node),
        "memory": _memory(session),
        "vm_memory_calculation_strategy": node.get("mem_calculation_strategy"),
        "vm_memory_high_watermark_limit": limit,
        "vm_memory_high_watermark_setting": _watermark(session, limit),
        "file_descriptors": {
            "total_used": node.get("fd_used"),
            "total_limit": node.get("fd_total"),
            "sockets_used": node.get("sockets_used"),
            "sockets_limit": node.get("sockets_total"),
        },
        "processes": {"used": node.get("proc_used"), "limit": node.get("proc_total")},
        "run_queue": node.get("run_queue"),
        "disk_free": node.get("disk_free"),
        "disk_free_limit": node.get("disk_free_limit"),
        "totals": {
            "virtual_host_count": len(session.api.get("vhosts", columns="name")),
            "connection_count": totals["connections"],
            "queue_count": totals["queues"],
        },
        "listeners": listeners_of(session),
    }


def _status(facts: Mapping[str, Any], unit: str) -> dict[str, str]:
    memory, descriptors, totals = facts["memory"], facts["file_descriptors"], facts["totals"]
    whole = sum(memory.values()) or 1
    sections = {
        "Runtime": [
            f"OS PID: {facts['pid']}",
            f"OS: {facts['os']}",
            f"Uptime (seconds): {facts['uptime']}",
            f"Is under maintenance?: {str(facts['is_under_maintenance']).lower()}",
            f"RabbitMQ version: {facts['rabbitmq_version']}",
            *([f"Leveret version: {own}"] if (own := facts["leveret_version"]) else []),
            f"Node name: {facts['node']}",
            f"Erlang configuration: {facts['erlang_version']}",
        ],
        "Plugins": ["Enabled plugins:", "", *_bullets(facts["active_plugins"])],
        "Data directory": [f"Node data directory: {facts['data_directory']}"],
        "Config files": _bullets(facts["config_files"]),
        "Log file(s)": _bullets(facts["log_files"]),
        "Alarms": facts["alarms"] or ["(none)"],
        "Memory": [
            f"Total memory used: {_amount(whole, unit)}",
            f"Calculation strategy: {facts['vm_memory_calculation_strategy']}",
            f"Memory high watermark setting: {_watermark_words(facts, unit)}computed to: "
            f"{_amount(facts['vm_memory_high_watermark_limit'], unit)}",
            "",
            *(
                f"{name}: {_amount(count, unit)} ({round(100 * count / whole, 2)} %)"
                for name, count in memory.items()
            ),
        ],
        "File Descriptors": [
            f"Total: {descriptors['total_used']}, limit: {descriptors['total_limit']}",
            f"Sockets: {descriptors['sockets_used']}, limit: {descriptors['sockets_limit']}",
        ],
        "Free Disk Space": [
            f"Low free disk space watermark: {_amount(facts['disk_free_limit'], unit)}",
            f"Free disk space: {_amount(facts['disk_free'], unit)}",
        ],
        "Totals": [
            f"Connection count: {totals['connection_count']}",
            f"Queue count: {totals['queue_count']}",
            f"Virtual host count: {totals['virtual_host_count']}",
        ],
        "Listeners": [_listener(item, "I") for item in facts["listeners"]],
    }
    return {title: "\n".join(lines) for title, lines in sections.items()}


def _bullets(names: Sequence[str]) -> list[str]:
    return [f" * {name}" for name in names] or ["(none)"]


def _listener(item: Json, first: str) -> str:
    return (
        f"{first}nterface: {item['interface']}, port: {item['port']}, "
        f"protocol: {item['protocol']}, purpose: {item['purpose']}"
    )


def _alarms(node: Json) -> list[str]:
    return [f"{words} on node {node['name']}" for key, words in ALARMS.items() if node.get(key)]


def _memory(session: Session) -> dict[str, int]:
    """Give octets by use, most first; totals and whatever is no count are left out."""
    try:
        found = session.api.get("nodes", session.node, "memory")["memory"]
    except NotFound:
        return {}
    counts = {name: n for name, n in (found or {}).items() if isinstance(n, int)}
    if session.voice is Voice.LEVERET:  # a person does not read what is nothing
        counts = {name: n for name, n in counts.items() if n}
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


def _watermark(session: Session, limit: Any) -> dict[str, float] | None:
    """Give the memory watermark as it is set; RabbitMQ's API does not tell."""
    settings = session.api.find("settings")
    if settings is None:
        return None
    if settings["vm_memory_high_watermark.absolute"]:
        return {"absolute": limit}
    return {"relative": float(settings["vm_memory_high_watermark.relative"])}


def _watermark_words(facts: Mapping[str, Any], unit: str) -> str:
    setting = facts["vm_memory_high_watermark_setting"] or {}
    if "absolute" in setting:
        return f"{_amount(setting['absolute'], unit)}, "
    return f"{setting['relative']} of available memory, " if setting else ""


def _amount(count: Any, unit: str) -> str:
    if not isinstance(count, int | float):
        return str(count)
    return f"{count} bytes" if unit == "bytes" else f"{round(count / UNITS[unit], 4)} {unit}"
