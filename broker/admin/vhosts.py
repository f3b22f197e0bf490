"""Virtual hosts and their limits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from broker.admin import completion
from broker.admin.api import NotFound, absent_is
from broker.admin.command import Session, command
from broker.admin.documents import parse
from broker.admin.failure import NoVhost, WrongArgument
from broker.admin.listings import Column, choose, show
from broker.admin.values import Kind, compact, tags

VHOSTS = {
    name: Column(name)
    for name in (
        "name",
        "description",
        "tracing",
        "default_queue_type",
        "messages",
        "protected_from_deletion",
    )
} | {"tags": Column("tags", Kind.TAGS), "cluster_state": Column("cluster_state")}
_Function = TypeVar("_Function", bound=Callable[..., None])
LIMITS = ("max-connections", "max-queues")


@command
@click.argument("columns", metavar="[COLUMN]...", nargs=-1)
def list_vhosts(session: Session, columns: Sequence[str]) -> None:
    """List the virtual hosts."""
    chosen = choose(VHOSTS, columns, "name")
    session.out.heading("Listing vhosts ...")
    show(session, chosen, session.api.get("vhosts"))


def _metadata(function: _Function) -> _Function:
    """Take what a virtual host says about itself."""
    queue_type = click.option(
        "--default-queue-type", metavar="TYPE", help="Type of queues declared without one."
    )
    tag_list = click.option("--tags", "tag_list", metavar="TAG,TAG", help="Words to find it by.")
    description = click.option("--description", metavar="TEXT", help="What it is for.")
    return description(tag_list(queue_type(function)))


@command
@click.argument("vhost_name", metavar="VHOST")
@_metadata
def add_vhost(session: Session, vhost_name: str, **metadata: str | None) -> None:
    """Create a virtual host; one that exists is left alone.

    Who makes it over HTTP may do everything in it; set_permissions lets others in.
    """
    session.out.note(f'Adding vhost "{vhost_name}" ...')
    session.api.put("vhosts", vhost_name, body=_body(**metadata))
    session.out.done()


@command
@completion.vhost
@_metadata
def update_vhost_metadata(session: Session, vhost_name: str, **metadata: str | None) -> None:
    """Change what a virtual host says about itself; what is not named stays."""
    body = _body(**metadata)
    if not body:
        raise WrongArgument("name at least one of --description, --tags, --default-queue-type")
    session.out.note(f'Updating metadata of vhost "{vhost_name}" ...')
    _exists(session, vhost_name)
    session.api.put("vhosts", vhost_name, body=body)
    session.out.done()


@command
@completion.vhost
def enable_vhost_protection_from_deletion(session: Session, vhost_name: str) -> None:
    """Refuse to delete a virtual host from now on."""
    session.out.note(f'Protecting vhost "{vhost_name}" from deletion ...')
    with absent_is(NoVhost(vhost_name)):
        session.api.post("vhosts", vhost_name, "deletion", "protection", body={})
    session.out.done()


@command
@completion.vhost
def disable_vhost_protection_from_deletion(session: Session, vhost_name: str) -> None:
    """Let a virtual host be deleted again."""
    session.out.note(f'Removing the protection from deletion of vhost "{vhost_name}" ...')
    with absent_is(NoVhost(vhost_name)):
        session.api.delete("vhosts", vhost_name, "deletion", "protection")
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
    _exists(session, vhost_name)
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


def _exists(session: Session, vhost_name: str) -> None:
    """Fail if there is no such virtual host, before a change that would make it."""
    with absent_is(NoVhost(vhost_name)):
        session.api.get("vhosts", vhost_name)


def _body(
    *, description: str | None, tag_list: str | None, default_queue_type: str | None
) -> dict[str, Any]:
    given = {
        "description": description,
        "tags": None if tag_list is None else ",".join(tags(tag_list)),
        "default_queue_type": default_queue_type,
    }
    return {name: value for name, value in given.items() if value is not None}
