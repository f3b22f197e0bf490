"""Doing something to what is there: queues, connections, definitions."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

import click

from broker.admin import completion
from broker.admin.api import NotFound, absent_is
from broker.admin.command import Session, command
from broker.admin.documents import load
from broker.admin.failure import EX_DATAERR, EX_USAGE, Failure
from broker.admin.listings import Column, show
from broker.admin.values import Kind, compact, printable

_PEEKED = {
    **{name: Column(name) for name in ("position", "exchange", "routing_key", "redelivered")},
    "properties": Column("properties", Kind.DOCUMENT),
    "payload": Column("payload"),
}


@command
@completion.queue
def purge_queue(session: Session, queue: str) -> None:
    """Delete the messages of a queue that are ready."""
    session.out.note(f"Purging queue '{queue}' in vhost '{session.vhost}' ...")
    with absent_is(session.absent(_named(session, queue), "not_found")):
        session.api.delete("queues", session.vhost, queue, "contents")
    session.out.done()


@command
@completion.queue
@click.argument("position", type=click.IntRange(1), default=1)
@click.option("--count", type=click.IntRange(1), default=1, metavar="N", help="So many from there.")
def peek(session: Session, queue: str, position: int, count: int) -> None:
    """Look at messages that are ready, and leave them as they are.

    POSITION 1 is the next that a consumer would get. Unlike with get,
    nothing about them changes, not even whether they were redelivered.
    """
    node = session.node
    session.out.heading(f"Peeking at queue {queue} at position {position} on node {node} ...")
    asked = {"offset": position - 1, "count": count}
    missing = f"Target queue was not found in virtual host '{session.vhost}'"
    with absent_is(session.absent(_named(session, queue), missing)):
        found = session.api.post("queues", session.vhost, queue, "peek", body=asked, changes=False)
    if not found["messages"]:
        raise Failure(f"queue '{queue}' has {found['total']} messages, none at {position}")
    for message in found["messages"]:
        message["position"] += 1
    show(session, _PEEKED, found["messages"])


@command
@completion.queue
@click.option("-e", "--if-empty", is_flag=True, help="Only if it has no messages.")
@click.option("-u", "--if-unused", is_flag=True, help="Only if it has no consumers.")
def delete_queue(session: Session, queue: str, if_empty: bool, if_unused: bool) -> None:
    """Delete a queue with its messages."""
    conditions = [word for word, on in (("is empty", if_empty), ("is unused", if_unused)) if on]
    condition = f" if queue {' and '.join(conditions)}" if conditions else ""
    session.out.note(f"Deleting queue '{queue}' on vhost '{session.vhost}'{condition} ...")
    asked = {"if-empty": if_empty, "if-unused": if_unused}
    query = {name: "true" for name, on in asked.items() if on}
    with absent_is(session.absent(_named(session, queue), "Queue not found", EX_USAGE)):
        found = session.api.get("queues", session.vhost, queue)
        session.api.delete("queues", session.vhost, queue, query=query)
    ready = found.get("messages_ready", 0)
    words = f"Queue was successfully deleted with {ready} ready messages"
    session.out.answer(words, {"result": "ok", "message": words})


@command
@click.argument("connection")
@click.argument("reason")
def close_connection(session: Session, connection: str, reason: str) -> None:
    """Close a connection, by its name or the `pid` that list_connections shows."""
    session.out.note(f"Closing connection {connection}, reason: {reason}...")
    with absent_is(Failure(f'no connection "{connection}"')):
        _close(session, connection, reason)
    session.out.done()


@command
@click.argument("reason")
@click.option("--global", "every", is_flag=True, help="Of all virtual hosts.")
@click.option("--limit", type=int, default=0, metavar="N", help="At most so many.")
@click.option("--per-connection-delay", "delay_ms", type=int, default=0, metavar="MS")
def close_all_connections(
    session: Session, reason: str, every: bool, limit: int, delay_ms: int
) -> None:
    """Close the connections of a virtual host, or of all with --global."""
    where = "all vhosts" if every else f"vhost {session.vhost}"
    session.out.note(f"Closing {limit or 'all'} connections in {where}, reason: {reason}...")
    found = session.api.get("connections", columns="name,vhost")
    names = [item["name"] for item in found if every or item.get("vhost") == session.vhost]
    closed = _close_each(session, names[: limit or None], reason, delay_ms)
    words = f"Closed {closed} connections"
    session.out.answer(words, {"result": "ok", "message": words})


@command
@completion.username
@click.argument("reason")
def close_all_user_connections(session: Session, username: str, reason: str) -> None:
    """Close the connections of a user."""
    session.out.note(f"Closing connections of user {username}, reason: {reason}...")
    found = session.api.get("connections", columns="name,user")
    names = [item["name"] for item in found if item.get("user") == username]
    _close_each(session, names, reason, 0)
    session.out.done()


@command
@click.argument("file")
@click.option("--format", "kind", type=click.Choice(["json"]), default="json", hidden=True)
def export_definitions(session: Session, file: str, kind: str) -> None:
    """Write what the broker has to FILE, or `-`, as JSON; all but messages.

    These are users, vhosts, permissions, policies, exchanges, queues and bindings. It holds
    hashes of passwords, so the file is made readable for you only.
    """
    if file != "-":
        session.out.note(f'Exporting definitions in JSON to a file at "{file}" ...')
    text = compact(session.api.get("definitions"))
    if file == "-":
        click.echo(text)
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as written:
            written.write(text + "\n")
    except OSError as error:
        raise Failure(f"cannot write {file}: {error.strerror}", EX_DATAERR) from None
    session.out.done()


@command
@click.argument("file")
@click.option("--format", "kind", type=click.Choice(["json"]), default="json", hidden=True)
def import_definitions(session: Session, file: str, kind: str) -> None:
    """Add what FILE, or `-`, defines to what there is; nothing is deleted."""
    where = "standard input" if file == "-" else f'a file at "{file}"'
    session.out.note(f"Importing definitions in JSON from {where} ...")
    session.api.post("definitions", body=load(file))
    session.out.done("Successfully imported definitions")


@command
@click.argument("name")
def set_cluster_name(session: Session, name: str) -> None:
    """Name the installation, as clients and dashboards show it."""
    session.out.note(f"Setting cluster name to {name} ...")
    session.api.put("cluster-name", body={"name": name})
    session.out.done()


def _named(session: Session, queue: str) -> str:
    return f"queue '{queue}' in vhost '{session.vhost}'"


def _close(session: Session, connection: str, reason: str) -> None:
    # UTF-8, and one line: it is a header.
    headers = {"X-Reason": printable(reason).encode()}
    session.api.delete("connections", connection, headers=headers)


def _close_each(session: Session, names: Sequence[str], reason: str, delay_ms: int) -> int:
    closed = 0
    for name in names:
        with contextlib.suppress(NotFound):  # it went by itself meanwhile
            _close(session, name, reason)
            closed += 1
        time.sleep(delay_ms / 1000)
    return closed
