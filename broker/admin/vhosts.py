"""Virtual hosts and their limits."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import click

from broker.admin import completion
from broker.admin.api import NotFound, absent_is
from broker.admin.command import Session, command
from broker.admin.documents import parse
from broker.admin.failure import NoVhost
from broker.admin.listings import Column, choose, show
from broker.admin.values import Kind, compact, tags

VHOSTS = {
    name: Column(name)
    for name in ("name", "description", "tracing", "default_queue_type", "messages")
} | {"tags": Column("tags", Kind.TAGS), "cluster_state": Column("cluster_state")}
LIMITS = ("max-connections", "max-queues")


@command
@click.argument("columns", metavar="[COLUMN]...", nargs=-1)
def list_vhosts(session: Session, columns: Sequence[str]) -> None:
    """List the virtual hosts."""
    chosen = choose(VHOSTS, columns, "name")
    session.out.heading("Listing vhosts ...")
    show(session, chosen, session.api.get("vhosts"))


@command
@click.argument("vhost_name", metavar="VHOST")
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--tags", "tag_list", metavar="TAG,TAG", help="Words to find it by.")
@click.option("--default-queue-type", metavar="TYPE", help="Type of queues declared without one.")
def add_vhost(
    session: Session,
    vhost_name: str,
    description: str | None,
    tag_list: str | None,
    default_queue_type: str | None,
) -> None:
    """Create a virtual host; one that exists is left alone.

    Who makes it over HTTP may do everything in it; set_permissions lets others in.
    """
    session.out.note(f'Adding vhost "{vhost_name}" ...')
    body: dict[str, Any] = {}
    if description is not None:
        body["description"] = description
    if tag_list is not None:
        body["tags"] = ",".join(tags(tag_list))
    if default_queue_type is not None:
        body["default_queue_type"] = default_queue_type
    session.api.put("vhosts", vhost_name, body=body)
    session.out.done()


@command
@completion.vhost
def delete_vhost(session: Session, vhost_name: str) -> None:
    """Delete a virtual host with everything in it."""
    session.out.note(f'Deleting vhost "{vhost_name}" ...')
    with absent_is(NoVhost(vhost_name)):
        session.api.delete("vhosts", vhost_name)
    session.out.done()


@command
@completion.vhost
@click.argument("tag", nargs=-1)
def set_vhost_tags(session: Session, vhost_name: str, tag: tuple[str, ...]) -> None:
    """Replace the words to find a virtual host by."""
    session.out.note(f'Setting tags for virtual host "{vhost_name}" to [{", ".join(tag)}] ...')
    with absent_is(NoVhost(vhost_name)):  # otherwise it would be made
        session.api.get("vhosts", vhost_name)
    session.api.put("vhosts", vhost_name, body={"tags": ",".join(tag)})
    session.out.done()


@command
@click.argument("definition")
def set_vhost_limits(session: Session, definition: str) -> None:
    """Limit how many queues and connections a virtual host may have.

    DEFINITION is JSON with max-queues, max-connections or both.
    """
    session.out.note(f'Setting vhost limits to "{definition}" for vhost "{session.vhost}" ...')
    session.check_vhost()
    for name, value in parse(definition).items():
        session.api.put("vhost-limits", session.vhost, name, body={"value": value})
    session.out.done()


@command
def clear_vhost_limits(session: Session) -> None:
    """Lift the limits of a virtual host."""
    session.out.note(f'Clearing vhost "{session.vhost}" limits ...')
    session.check_vhost()
    for name in LIMITS:
        with contextlib.suppress(NotFound):
            session.api.delete("vhost-limits", session.vhost, name)
    session.out.done()


@command
@click.option("--global", "every", is_flag=True, help="Of all virtual hosts.")
def list_vhost_limits(session: Session, every: bool) -> None:
    """List the limits of a virtual host."""
    if every:
        session.out.heading("Listing limits for all vhosts ...")
        columns = {"vhost": Column("vhost"), "limits": Column("value", Kind.DOCUMENT)}
        show(session, columns, session.api.get("vhost-limits"))
        return
    session.out.heading(f'Listing limits for vhost "{session.vhost}" ...')
    session.check_vhost()
    found = session.api.find("vhost-limits", session.vhost) or []
    limits = found[0]["value"] if found else {}
    session.out.answer(compact(limits) if limits else "", limits)


@command
def trace_on(session: Session) -> None:
    """Copy every message of a virtual host to the exchange amq.rabbitmq.trace."""
    _trace(session, True)


@command
def trace_off(session: Session) -> None:
    """Stop copying messages to the exchange amq.rabbitmq.trace."""
    _trace(session, False)


def _trace(session: Session, tracing: bool) -> None:
    doing, state = ("Starting", "enabled") if tracing else ("Stopping", "disabled")
    session.out.note(f'{doing} tracing for vhost "{session.vhost}" ...')
    session.check_vhost()
    session.api.put("vhosts", session.vhost, body={"tracing": tracing})
    words = f"Trace {state} for vhost {session.vhost}"
    session.out.answer(words, {"result": "ok", "message": words})
