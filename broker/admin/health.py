"""Health checks and waiting: commands whose answer is mostly their exit code.

Owns: what each check asks the API, and rabbitmq-diagnostics's words for the outcome. A check that
fails ends with 69; with `--formatter json` what it found goes to standard error, as there.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from broker.admin.api import Api, Json, Refused, Unreachable
from broker.admin.command import Session, command
from broker.admin.failure import (
    EX_DATAERR,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    EX_USAGE,
    Failure,
    NoBroker,
    WrongArgument,
)

POLL_S = 0.2
CONNECT_TIMEOUT_S = 5.0
AWAIT_TIMEOUT_S = 300.0
OK = {"result": "ok"}

PROTOCOLS = {"amqps": "amqp/ssl", "amqp091": "amqp", "amqp0.9.1": "amqp", "https": "https"}
"""Other names rabbitmq-diagnostics takes for a protocol."""

ALARMS = {"mem_alarm": "Memory alarm", "disk_free_alarm": "Free disk space alarm"}


@command
def ping(session: Session) -> None:
    """Tell whether the broker answers and lets you in."""
    try:
        node = session.node
    except Unreachable as failure:
        raise Failure(
            f"Failed to connect and authenticate to {session.target}\n{failure}"
        ) from None
    milliseconds = round(session.timeout_s * 1000)
    session.out.heading(
        f"Will ping {node}. This only checks if the OS process is running and registered with "
        f"epmd. Timeout: {milliseconds} ms."
    )
    session.out.answer("Ping succeeded", {"message": "Ping succeeded"})


@command
def check_running(session: Session) -> None:
    """Tell whether the broker has started and runs."""
    node = session.node
    session.out.heading(f"Checking if RabbitMQ is running on node {node} ...")
    if not _state(session).get("running", True):
        raise Failure(f"RabbitMQ on node {node} is not running or has not fully booted yet")
    words = f"RabbitMQ on node {node} is fully booted and running"
    session.out.answer(words, {"message": words})


@command
def is_running(session: Session) -> None:
    """Say whether the broker has started and runs."""
    session.out.heading(f"Asking node {session.node} for its status ...")
    words = f"RabbitMQ on node {session.node} is fully booted and running"
    session.out.answer(words, {"message": words, "result": True})


@command
def is_booting(session: Session) -> None:
    """Say whether the broker is still starting; once it answers, it is not."""
    session.out.heading(f"Asking node {session.node} for its boot status ...")
    words = (
        f"RabbitMQ on node {session.node} is fully booted (check with is_running), stopped or "
        "has not started booting yet"
    )
    session.out.answer(words, {"message": words, "result": False})


@command
def alarms(session: Session) -> None:
    """List the alarms: memory, disk."""
    node = session.node
    session.out.heading(f"Asking node {node} to report any known resource alarms ...")
    found = _alarms(session)
    if found:
        words = "\n".join(found)
        reported = {"message": f"Node {node} reported alarms", "local": found, "global": []}
        session.out.answer(words, OK | reported)
    else:
        words = f"Node {node} reported no alarms, local or clusterwide"
        session.out.answer(words, OK | {"node": node, "alarms": []})


@command
def check_alarms(session: Session) -> None:
    """Fail if there is an alarm: memory or disk."""
    _check_alarms(session, "alarms", "alarms, local or clusterwide")


@command
def check_local_alarms(session: Session) -> None:
    """Fail if there is an alarm of this node: memory or disk."""
    _check_alarms(session, "local alarms", "local alarms")


@command
def check_virtual_hosts(session: Session) -> None:
    """Fail if a virtual host is down."""
    session.out.heading(f"Checking if all vhosts are running on node {session.node} ...")
    _ask(session, "virtual-hosts")
    session.out.answer(f"Node {session.node} reported all vhosts as running", OK)


@command
@click.option("--within", type=int, default=4, metavar="N", help="So many units from now.")
@click.option("--unit", type=click.Choice(["days", "weeks", "months", "years"]), default="weeks")
def check_certificate_expiration(session: Session, within: int, unit: str) -> None:
    """Fail if a certificate of a TLS listener expires soon."""
    session.out.heading(f"Checking certificate expiration on node {session.node} ...")
    _ask(session, "certificate-expiration", str(within), unit)
    session.out.answer(f"No certificates are expiring within {within} {unit}.", OK)


@command
def check_if_node_is_quorum_critical(session: Session) -> None:
    """Fail if queues would lose their majority without this node: never here."""
    _check_critical(session, "quorum", "quorum of any quorum queues")


@command
def check_if_node_is_mirror_sync_critical(session: Session) -> None:
    """Fail if mirrored queues need this node: never so on one node."""
    _check_critical(session, "mirror-sync", "data safety of any classic mirrored queues")


@command
@click.argument("port", type=int)
def check_port_listener(session: Session, port: int) -> None:
    """Fail if the broker does not listen on PORT."""
    node = session.node
    session.out.heading(f"Asking node {node} if there's an active listener on port {port} ...")
    listeners = listeners_of(session)
    ports = sorted({int(item["port"]) for item in listeners})
    if port not in ports:
        words = (
            f"No listener for port {port} is active on node {node}. Found listeners that use the "
            f"following ports: {', '.join(map(str, ports))}"
        )
        detail = {"result": "error", "missing": port, "ports": ports, "listeners": listeners}
        raise Failure(words, detail=detail)
    words = f"A listener for port {port} is running on node {node}."
    session.out.answer(words, {"node": node, "port": str(port), "result": "ok"})


@command
@click.argument("protocol")
def check_protocol_listener(session: Session, protocol: str) -> None:
    """Fail if the broker does not listen for PROTOCOL: amqp, amqps or http."""
    node = session.node
    session.out.heading(
        f"Asking node {node} if there's an active listener for protocol {protocol} ..."
    )
    wanted = PROTOCOLS.get(protocol.lower(), protocol.lower())
    listeners = listeners_of(session)
    active = sorted({str(item["protocol"]) for item in listeners})
    if wanted not in active:
        words = (
            f"No listener for protocol {wanted} is active on node {node}. Found listeners for the "
            f"following protocols: {', '.join(active)}"
        )
        detail = {"result": "error", "missing": wanted, "protocols": active, "listeners": listeners}
        raise Failure(words, detail=detail)
    words = f"A listener for protocol {protocol} is running on node {node}."
    session.out.answer(words, {"node": node, "protocol": protocol, "result": "ok"})


@command
def check_port_connectivity(session: Session) -> None:
    """Fail if one of the broker's ports does not take a TCP connection from here."""
    node = session.node
    session.out.heading(f"Testing TCP connections to all active listeners on node {node} ...")
    listeners = listeners_of(session)
    host = urlsplit(session.target.url).hostname or "localhost"
    failed = [item for item in listeners if not _connects(item, host)]
    if failed:
        ports = ", ".join(sorted(str(item["port"]) for item in failed))
        words = f"Connection attempts failed for ports {ports} on node {node}"
        raise Failure(words, EX_UNAVAILABLE, {"result": "error", "listeners": failed})
    ports = ", ".join(map(str, sorted({int(item["port"]) for item in listeners})))
    words = f"Successfully connected to ports {ports} on node {node}."
    session.out.answer(words, OK | {"node": node, "listeners": listeners})


@command
def node_health_check(session: Session) -> None:
    """Check everything at once; the checks one by one say more."""
    session.out.heading(f"Checking health of node {session.node} ...")
    if found := _alarms(session):
        raise Failure("\n".join(found))
    _ask(session, "virtual-hosts")
    session.out.answer("Health check passed", {"message": "Health check passed"})


@command
def await_startup(session: Session) -> None:
    """Wait until the broker answers, 300 s if --timeout says nothing else."""
    _await(session, None)


@command
@click.argument("count", type=int)
def await_online_nodes(session: Session, count: int) -> None:
    """Wait until COUNT nodes run: there is one."""
    session.out.note(
        f"Will wait for at least {count} nodes to join the cluster of {session.target}. "
        f"Timeout: {session.timeout_or_s(AWAIT_TIMEOUT_S):.0f} seconds."
    )
    if count > 1:  # which no waiting changes
        raise Failure("there is one node: Leveret does not form clusters", EX_SOFTWARE)
    _await(session, None)


@command
@click.argument("pid_file", required=False)
@click.option("-P", "--pid", type=int, metavar="PID", help="Fail when this process ends.")
def wait(session: Session, pid_file: str | None, pid: int | None) -> None:
    """Wait until the broker answers, as long as its process runs."""
    if (pid is None) == (pid_file is None):
        raise WrongArgument("No pid or pidfile specified", EX_USAGE)
    deadline = time.monotonic() + session.timeout_or_s(AWAIT_TIMEOUT_S)
    if pid_file is not None:
        session.out.note(f"Waiting for pid file '{pid_file}' to appear")
        pid = _pid_from(Path(pid_file), deadline)
        session.out.note(f"pid is {pid}")
    _await(session, pid)
    session.out.note(f"Applications 'rabbit_and_plugins' are running on node '{session.node}'")


def listeners_of(session: Session) -> list[Json]:
    """Give the broker's listeners under the names rabbitmq-diagnostics has for their parts."""
    found = session.api.get("overview", columns="listeners")["listeners"]
    return [
        {
            "node": item["node"],
            "interface": _bracketed(item["ip_address"]),
            "port": item["port"],
            "protocol": item["protocol"],
            "purpose": PURPOSES.get(item["protocol"], item["protocol"]),
        }
        for item in found
    ]


PURPOSES = {
    "amqp": "AMQP 0-9-1",
    "amqp/ssl": "AMQP 0-9-1 over TLS",
    "clustering": "inter-node and CLI tool communication",
    "http": "HTTP API",
    "https": "HTTP API over TLS (HTTPS)",
    "http/prometheus": "Prometheus exporter API over HTTP",
    "https/prometheus": "Prometheus exporter API over TLS (HTTPS)",
}


def _check_alarms(session: Session, which: str, none: str) -> None:
    node = session.node
    session.out.heading(f"Asking node {node} to report any local resource alarms ...")
    if found := _alarms(session):
        detail: dict[str, Any] = {"result": "error", "local": found}
        if which == "alarms":
            detail["global"] = []
        detail["message"] = f"Node {node} reported {which}"
        raise Failure("\n".join(found), EX_UNAVAILABLE, detail)
    session.out.answer(f"Node {node} reported no {none}", OK)


def _check_critical(session: Session, which: str, what: str) -> None:
    session.out.heading(f"Checking if node {session.node} is critical for {what} ...")
    _ask(session, f"node-is-{which}-critical")
    words = "seems to be the only one in a single node cluster, the check does not apply"
    session.out.answer(
        f"Node {session.node} {words}", {"message": f"Target node {words}", "result": "ok"}
    )


def _alarms(session: Session) -> list[str]:
    state = _state(session)
    return [f"{words} on node {session.node}" for key, words in ALARMS.items() if state.get(key)]


def _state(session: Session) -> Json:
    return session.api.get("nodes", session.node)


def _ask(session: Session, *check: str) -> None:
    """Ask the API for one of its own checks; a failed one is HTTP status 503."""
    try:
        session.api.get("health", "checks", *check)
    except Refused as refusal:
        detail = {"result": "error", "message": refusal.reason}
        raise Failure(refusal.reason, EX_UNAVAILABLE, detail) from None


def _connects(listener: Json, host: str) -> bool:
    address = str(listener["interface"]).strip("[]")
    to = host if address in ("::", "0.0.0.0", "") else address
    try:
        socket.create_connection((to, int(listener["port"])), CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _await(session: Session, pid: int | None) -> None:
    deadline = time.monotonic() + session.timeout_or_s(AWAIT_TIMEOUT_S)
    while not _answers(session):
        if pid is not None and not Path(f"/proc/{pid}").exists():
            raise Failure(f"process {pid} ended before the broker answered")
        if time.monotonic() > deadline:
            raise Failure(f"{session.target} did not answer in time", EX_TEMPFAIL)
        time.sleep(POLL_S)


def _answers(session: Session) -> bool:
    try:
        Api(session.target, CONNECT_TIMEOUT_S).get("overview", columns="node")
    except (Unreachable, NoBroker):  # it may be about to make its socket
        return False
    return True


def _pid_from(path: Path, deadline: float) -> int:
    while not path.exists():
        if time.monotonic() > deadline:
            raise Failure(f"there is no {path} after the time to wait", EX_TEMPFAIL)
        time.sleep(POLL_S)
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        raise Failure(f"{path} holds no process id", EX_DATAERR) from None
