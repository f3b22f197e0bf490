"""One row of the table of paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from broker.management.access import Rule

if TYPE_CHECKING:
    from broker.management.call import Call

Handler = Callable[["Call"], Awaitable[web.StreamResponse]]


class Path(NamedTuple):
    """One path: the rule for whoever asks, and a handler for each method."""

    path: str
    rule: Rule
    handlers: dict[str, Handler]


def path(where: str, rule: Rule, **handlers: Handler) -> Path:
    """A row, with handlers by methods in small letters."""
    return Path(where, rule, {method.upper(): handler for method, handler in handlers.items()})
