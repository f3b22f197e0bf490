"""Who may use a path: rules by tag and vhost, with RabbitMQ's words for those who may not.

A rule is checked before the handler runs. What a user may do with a queue or exchange is a matter
of its permissions in the vhost, which handlers check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from broker.management.errors import no_vhost, not_found, refused

if TYPE_CHECKING:
    from broker.management.call import Call
    from broker.management.caller import Caller

SEEING = ("GET", "HEAD")


@dataclass(frozen=True)
class Rule:
    """What a caller must be; ``methods`` are rules of their own for some methods."""

    check: Callable[[Call], Awaitable[None]]
    needs_user: bool = True
    methods: dict[str, Rule] = field(default_factory=dict)

    def but(self, **rules: Rule) -> Rule:
        """The same with other rules for some methods."""
        return replace(self, methods={method.upper(): rule for method, rule in rules.items()})

    def of(self, method: str) -> Rule:
        """The rule for a method."""
        return self.methods.get("GET" if method == "HEAD" else method, self)


async def _anybody(call: Call) -> None:
    """There may be no user at all."""


def _manager(caller: Caller) -> None:
    if not caller.is_manager:
        raise refused("Not management user")


async def _is_manager(call: Call) -> None:
    _manager(call.caller)


async def _is_monitor(call: Call) -> None:
    _manager(call.caller)
    if not call.caller.is_monitor:
        raise refused("Not monitor user")


async def _is_administrator(call: Call) -> None:
    _manager(call.caller)
    if not call.caller.is_administrator:
        raise refused("Not administrator user")


async def _is_policymaker(call: Call) -> None:
    _manager(call.caller)
    if not call.caller.is_policymaker:
        raise refused("User not authorised to access object")


async def _has_vhost(call: Call) -> None:
    """A monitor needs no permission in a vhost to see what is in it."""
    _manager(call.caller)
    name = call.path("vhost")
    if name not in call.broker.vhosts:
        if call.request.method in SEEING:
            raise not_found()
        return
    seeing = call.request.method in SEEING
    if not await (call.caller.may_see(name) if seeing else call.caller.may_access(name)):
        raise refused("User not authorised to access virtual host")


async def _is_policymaker_in_vhost(call: Call) -> None:
    """An administrator needs no permission in the vhost, a policymaker does."""
    await _is_policymaker(call)
    name = call.path("vhost")
    if name not in call.broker.vhosts:
        raise no_vhost() if call.request.method == "PUT" else not_found()
    if not (call.caller.is_administrator or await call.caller.may_access(name)):
        raise refused("User not authorised to access object")


ANYBODY = Rule(_anybody, needs_user=False)
MANAGER = Rule(_is_manager)
MONITOR = Rule(_is_monitor)
ADMINISTRATOR = Rule(_is_administrator)
POLICYMAKER = Rule(_is_policymaker)
IN_VHOST = Rule(_has_vhost)
POLICYMAKER_IN_VHOST = Rule(_is_policymaker_in_vhost)
