"""The life of the process: ending it, turning clients away, and what upgrades ask for."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct

import click

from broker import local_socket
from broker.admin.api import absent_is
from broker.admin.command import Session, command
from broker.admin.failure import EX_SOFTWARE, EX_USAGE, Failure

_ALONE = "Target node seems to be the only one in a single node cluster, the command does not apply"


@command
@click.argument("pid_file", required=False)
def stop(session: Session, pid_file: str | None) -> None:
    """Tell the broker of this machine to end, and wait until it has.

    PID_FILE, which RabbitMQ needs, is not looked at.
    """
    session.out.note("Stopping and halting the broker ...")
    _stop(session)


@command
@click.option("--wait/--no-wait", hidden=True)
def shutdown(session: Session, wait: bool) -> None:
    """Tell the broker of this machine to end, and wait until it has: as stop."""
    session.out.note("Shutting down the broker ...")
    _stop(session)


@command
def start_app(session: Session) -> None:
    """Do nothing, successfully: a broker that answers is started."""
    session.out.note(f"Starting node {session.node} ...")
    session.out.done()


@command
def drain(session: Session) -> None:
    """Turn clients away: close their connections and let no new ones in, until revive.

    The management API goes on answering. A broker that is started again is not drained.
    """
    session.out.note(
        f"Will put node {session.node} into maintenance mode. "
        "The node will no longer serve any client traffic!"
    )
    _maintain(session, "drain")


@command
def revive(session: Session) -> None:
    """Let clients in again after drain."""
    session.out.note(
        f"Will put node {session.node} back into regular operating mode. "
        "The node will again serve client traffic and host primary queue replicas."
    )
    _maintain(session, "revive")


@command
def suspend_listeners(session: Session) -> None:
    """Let no new clients in; those that are connected stay."""
    session.out.note(
        f"Will suspend client connection listeners on node {session.node}. "
        "The node will no longer accept client connections!"
    )
    _maintain(session, "suspend")


@command
def resume_listeners(session: Session) -> None:
    """Let new clients in again after suspend_listeners."""
    session.out.note(
        f"Will resume client connection listeners on node {session.node}. "
        "The node will now accept client connections"
    )
    _maintain(session, "resume")


@command
def await_online_quorum_plus_one(session: Session) -> None:
    """Do nothing, successfully: queues have one replica, whose node answers."""
    session.out.note(
        "Will wait for a quorum + 1 of nodes to be online for all quorum queues for "
        f"{session.timeout_or_s(120):.0f} seconds..."
    )
    _alone(session)


@command
def await_online_synchronized_mirror(session: Session) -> None:
    """Do nothing, successfully: queues have no mirrors."""
    session.out.note(
        "Will wait for a synchronised mirror be online for all classic mirrored queues for "
        f"{session.timeout_or_s(120):.0f} seconds..."
    )
    _alone(session)


@command
def post_upgrade(session: Session) -> None:
    """Do nothing, successfully: what an upgrade changes is done at the start."""
    session.out.note("Executing post upgrade tasks...")
    _alone(session)


@command
def restart_vhost(session: Session) -> None:
    """Do nothing, successfully: a virtual host that exists runs."""
    vhost, node = session.vhost, session.node
    session.out.note(f"Trying to restart vhost '{vhost}' on node '{node}' ...")
    if session.api.find("vhosts", vhost) is None:
        raise Failure(
            f"Failed to start vhost '{vhost}' on node '{node}': it does not exist", EX_SOFTWARE
        )
    words = f"Vhost '{vhost}' is already running on node '{node}'"
    session.out.answer(words, {"result": "ok", "message": words})


@command
def force_gc(session: Session) -> None:
    """Do nothing, successfully: the broker gives memory back by itself, every 10 s."""
    session.out.note(f"Will ask all processes on node {session.node} to schedule a full sweep GC")
    session.out.done()


@command
@click.argument("directory", required=False)
def hipe_compile(session: Session, directory: str | None) -> None:
    """Do nothing, successfully, as with RabbitMQ."""
    session.out.note(
        "This command is a no-op. HiPE is no longer supported by modern Erlang versions"
    )


def _alone(session: Session) -> None:
    """Say that there is nothing to do; a broker that does not answer fails."""
    message = {"node": session.node, "result": "ok", "message": _ALONE}
    session.out.answer(_ALONE, message)


def _maintain(session: Session, step: str) -> None:
    with absent_is(Failure("this broker's API has no maintenance mode")):
        session.api.post("nodes", session.node, "maintenance", step, body={})
    session.out.done()


def _stop(session: Session) -> None:
    directory = session.target.data_dir
    if directory is None:
        raise Failure("only a broker of this machine can be stopped: see --data-dir", EX_USAGE)
    try:
        with local_socket.connect(directory, session.timeout_s) as connection:
            process = os.pidfd_open(_peer(connection))
        if session.dry_run:
            os.close(process)
            return
        signal.pidfd_send_signal(process, signal.SIGTERM)
    except (ConnectionError, FileNotFoundError, ProcessLookupError):
        raise Failure(f"no broker runs in {directory}") from None
    except PermissionError:
        raise Failure(f"not allowed to stop the broker in {directory}") from None
    try:
        if not select.select([process], [], [], session.timeout_s)[0]:
            raise Failure(f"the broker still runs after {session.timeout_s:.0f} s")
    finally:
        os.close(process)
    session.out.done()


def _peer(connection: socket.socket) -> int:
    """Give the process id of whoever listens at the other end: the kernel knows."""
    credentials = struct.Struct("3i")
    known = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    pid: int = credentials.unpack(known)[0]
    return pid
