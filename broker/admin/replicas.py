"""Replicated queues and streams: what there is to say of them on one node."""

from __future__ import annotations

import click

from broker.admin import completion
from broker.admin.api import Json, absent_is
from broker.admin.command import Session, command
from broker.admin.failure import Failure
from broker.admin.listings import Column, show

_KINDS = ("all", "classic", "quorum", "stream")
_RAFT = ("Node Name", "Raft State", "Log Index", "Commit Index", "Snapshot Index", "Term")


@command
@completion.queue
def quorum_status(session: Session, queue: str) -> None:
    """Show the replicas of a quorum queue: one, which leads."""
    session.out.heading(f"Status of quorum queue {queue} on node {session.node} ...")
    _of_type(session, queue, "quorum")
    found = session.api.get("queues", "quorum", session.vhost, queue, "status")
    show(session, {name: Column(name) for name in _RAFT}, found)


@command
@completion.queue
@click.option("--tracking", is_flag=True, hidden=True)
def stream_status(session: Session, queue: str, tracking: bool) -> None:
    """Show the replicas of a stream: one, which leads."""
    session.out.heading(f"Status of stream {queue} on node {session.node} ...")
    found = _of_type(session, queue, "stream")
    row = {"role": "leader", "node": session.node, "messages": found.get("messages", 0)}
    show(session, {name: Column(name) for name in row}, [row])


@command
@click.argument("kind", metavar="[all|classic|quorum|stream]", required=False, default="all")
@click.option("--vhost-pattern", hidden=True)
@click.option("--queue-pattern", hidden=True)
def rebalance(
    session: Session, kind: str, vhost_pattern: str | None, queue_pattern: str | None
) -> None:
    """Do nothing, successfully: every queue is on the one node."""
    if kind not in _KINDS:
        raise Failure(f"type {kind} is not supported. Try one of {', '.join(_KINDS)}.")
    session.out.note(f"Re-balancing leaders of {kind} queues...")
    session.api.post("rebalance", "queues", body={})
    session.out.done()


def _of_type(session: Session, queue: str, kind: str) -> Json:
    with absent_is(Failure("not_found")):
        found = session.api.get("queues", session.vhost, queue)
    if found["type"] != kind:
        raise Failure(f"Cannot get {kind} status of {found['type']} queue")
    return found
