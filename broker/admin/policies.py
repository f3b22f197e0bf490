"""Policies, operator policies and the other parameters that change while the broker runs."""

from __future__ import annotations

import click

from broker.admin import completion
from broker.admin.api import absent_is
from broker.admin.command import Session, command
from broker.admin.documents import parse, parse_value
from broker.admin.failure import NoVhost
from broker.admin.listings import Column, show
from broker.admin.values import Kind

_POLICY = {
    **{name: Column(name) for name in ("vhost", "name", "pattern", "apply-to")},
    "definition": Column("definition", Kind.DOCUMENT),
    "priority": Column("priority"),
}
_VALUE = {"name": Column("name"), "value": Column("value", Kind.DOCUMENT)}
_priority = click.option("--priority", type=int, default=0, help="The highest that matches holds.")
_apply_to = click.option("--apply-to", default="all", help="queues, exchanges or all.")


@command
@click.argument("name")
@click.argument("pattern")
@click.argument("definition")
@_priority
@_apply_to
def set_policy(
    session: Session, name: str, pattern: str, definition: str, priority: int, apply_to: str
) -> None:
    """Give settings to queues and exchanges whose names match PATTERN.

    PATTERN is a regular expression. DEFINITION is JSON, such as '{"max-length": 1000}'.
    """
    session.out.note(
        f'Setting policy "{name}" for pattern "{pattern}" to "{definition}" '
        f'with priority "{priority}" for vhost "{session.vhost}" ...'
    )
    _set(session, "policies", name, pattern, definition, priority, apply_to)


@command
@click.argument("name")
@click.argument("pattern")
@click.argument("definition")
@_priority
@_apply_to
def set_operator_policy(
    session: Session, name: str, pattern: str, definition: str, priority: int, apply_to: str
) -> None:
    """Set bounds that hold whatever policies and clients ask for."""
    session.out.note(
        f'Setting operator policy override "{name}" for pattern "{pattern}" to "{definition}" '
        f'with priority "{priority}" for vhost "{session.vhost}" ...'
    )
    _set(session, "operator-policies", name, pattern, definition, priority, apply_to)


@command
@completion.policy
def clear_policy(session: Session, name: str) -> None:
    """Delete a policy; what it held for goes back to its own settings."""
    session.out.note(f'Clearing policy "{name}" on vhost "{session.vhost}" ...')
    _clear(session, "policy", "policies", session.vhost, name)


@command
@completion.operator_policy
def clear_operator_policy(session: Session, name: str) -> None:
    """Delete an operator policy."""
    session.out.note(f'Clearing operator policy "{name}" on vhost "{session.vhost}" ...')
    _clear(session, "operator policy", "operator-policies", session.vhost, name)


@command
def list_policies(session: Session) -> None:
    """List the policies of a virtual host."""
    session.out.heading(f'Listing policies for vhost "{session.vhost}" ...')
    _list(session, "policies")


@command
def list_operator_policies(session: Session) -> None:
    """List the operator policies of a virtual host."""
    session.out.heading(f'Listing operator policy overrides for vhost "{session.vhost}" ...')
    _list(session, "operator-policies")


@command
@click.argument("component")
@click.argument("name")
@click.argument("value")
def set_parameter(session: Session, component: str, name: str, value: str) -> None:
    """Set a parameter of a part of the broker, such as a shovel, to VALUE (JSON)."""
    session.out.note(
        f'Setting runtime parameter "{name}" for component "{component}" to "{value}" '
        f'in vhost "{session.vhost}" ...'
    )
    body = {
        "component": component,
        "vhost": session.vhost,
        "name": name,
        "value": parse_value(value),
    }
    session.api.put("parameters", component, session.vhost, name, body=body)
    session.out.done()


@command
@click.argument("component")
@click.argument("name")
def clear_parameter(session: Session, component: str, name: str) -> None:
    """Delete a parameter."""
    session.out.note(
        f'Clearing runtime parameter "{name}" for component "{component}" '
        f'on vhost "{session.vhost}" ...'
    )
    _clear(session, "parameter", "parameters", component, session.vhost, name)


@command
def list_parameters(session: Session) -> None:
    """List the parameters of a virtual host."""
    session.out.heading(f'Listing runtime parameters for vhost "{session.vhost}" ...')
    found = [item for item in session.api.get("parameters") if item["vhost"] == session.vhost]
    if not found:
        session.check_vhost()
    show(session, {"component": Column("component"), **_VALUE}, found)


@command
@click.argument("name")
@click.argument("value")
def set_global_parameter(session: Session, name: str, value: str) -> None:
    """Set a parameter that belongs to no virtual host to VALUE (JSON)."""
    session.out.note(f'Setting global runtime parameter "{name}" to "{value}" ...')
    body = {"name": name, "value": parse_value(value)}
    session.api.put("global-parameters", name, body=body)
    session.out.done()


@command
@click.argument("name")
def clear_global_parameter(session: Session, name: str) -> None:
    """Delete a parameter that belongs to no virtual host."""
    session.out.note(f'Clearing global runtime parameter "{name}" ...')
    _clear(session, "global parameter", "global-parameters", name)


@command
def list_global_parameters(session: Session) -> None:
    """List the parameters that belong to no virtual host."""
    session.out.heading("Listing global runtime parameters ...")
    show(session, _VALUE, session.api.get("global-parameters"))


def _list(session: Session, what: str) -> None:
    with absent_is(NoVhost(session.vhost)):
        show(session, _POLICY, session.api.get(what, session.vhost))


def _set(
    session: Session,
    what: str,
    name: str,
    pattern: str,
    definition: str,
    priority: int,
    apply_to: str,
) -> None:
    body = {
        "pattern": pattern,
        "definition": parse(definition),
        "priority": priority,
        "apply-to": apply_to,
    }
    with absent_is(NoVhost(session.vhost)):
        session.api.put(what, session.vhost, name, body=body)
    session.out.done()


def _clear(session: Session, what: str, *path: str) -> None:
    with absent_is(session.absent(f"{what} '{path[-1]}'", "Parameter does not exist")):
        session.api.delete(*path)
    session.out.done()
