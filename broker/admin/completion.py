"""Names that the shell completes: queues, users, virtual hosts and policies of the broker.

Owns: the arguments and the way to their names. Completion is a moment while somebody types, so it
never asks for a password, waits `TIMEOUT_S` at most and offers nothing where that is not enough.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from broker.admin import target
from broker.admin.api import Api
from broker.admin.command import TARGET_OPTIONS, Session
from broker.admin.failure import Failure

TIMEOUT_S = 1.0
OFFERED_MAX = 100
_Function = TypeVar("_Function", bound=Callable[..., Any])


def argument(name: str, *path: str, **how: Any) -> Callable[[_Function], _Function]:
    """Make an argument that names one of what the API lists at `path`; `{vhost}` stands for it."""

    def complete(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        session = context.find_object(Session)
        if session is None:
            return []
        try:
            return _names(session, [part.format(vhost=session.vhost) for part in path], typed)
        except Failure:
            return []

    return click.argument(name, shell_complete=complete, **how)


def _names(session: Session, path: list[str], typed: str) -> list[str]:
    options = {name: session.options.get(name) for name in TARGET_OPTIONS}
    found_target = target.find(options, session.options.get("node"), os.environ, None)
    # Users and virtual hosts come whole; queues, of which there may be many, by their beginning.
    query = {"columns": "name", "page": "1", "page_size": str(OFFERED_MAX)}
    query |= {"name": f"^{re.escape(typed)}", "use_regex": "true"}
    answer = Api(found_target, TIMEOUT_S).get(*path, **query)
    items = answer["items"] if isinstance(answer, dict) else answer
    return [item["name"] for item in items if item["name"].startswith(typed)][:OFFERED_MAX]


queue = argument("queue", "queues", "{vhost}")
username = argument("username", "users")
vhost = argument("vhost_name", "vhosts", metavar="VHOST")
policy = argument("name", "policies", "{vhost}")
operator_policy = argument("name", "operator-policies", "{vhost}")
