"""Who asks: credentials to a user, and what that user may see and do, as RabbitMQ decides it.

Every request is authenticated by itself (Basic or Bearer in the header Authorization). There is no
cookie and no session; what browsers send by themselves nevertheless, ``origin`` refuses.

A request over the process's own socket (``TRUSTED``) that names no user acts as the process itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from broker.access.backend import Refused
from broker.amqp.access import Identity
from broker.core.permissions import Question, VhostAccess
from broker.http_login import MONITORS, Malformed, log_in
from broker.management.errors import ApiError, refused

if TYPE_CHECKING:
    from broker.management.state import State

ADMINISTRATOR, MONITORING, POLICYMAKER, MANAGEMENT = (
    "administrator",
    "monitoring",
    "policymaker",
    "management",
)
TRUSTED: web.AppKey[bool] = web.AppKey("trusted")
PROCESS = Identity("rmq-internal", lambda _: True, frozenset({ADMINISTRATOR}))
_POLICYMAKERS = frozenset({ADMINISTRATOR, POLICYMAKER})
_MANAGERS = frozenset({ADMINISTRATOR, MONITORING, POLICYMAKER, MANAGEMENT})


class Caller:
    """A user that asks; ``identity`` says who it is and what it may do in vhosts."""

    __slots__ = ("identity",)

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    @property
    def name(self) -> str:
        """The user's name."""
        return self.identity.name

    @property
    def is_administrator(self) -> bool:
        """May do everything but what needs permissions in a vhost."""
        return ADMINISTRATOR in self.identity.tags

    @property
    def is_monitor(self) -> bool:
        """May see everything that runs."""
        return not MONITORS.isdisjoint(self.identity.tags)

    @property
    def is_policymaker(self) -> bool:
        """May set policies and parameters."""
        return not _POLICYMAKERS.isdisjoint(self.identity.tags)

    @property
    def is_manager(self) -> bool:
        """May use the API."""
        return not _MANAGERS.isdisjoint(self.identity.tags)

    async def may(self, question: Question) -> bool:
        """Whether its permissions allow something."""
        answer = self.identity.may(question)
        return answer if isinstance(answer, bool) else await answer

    async def may_access(self, vhost: str) -> bool:
        """Whether it has permissions in a vhost."""
        return await self.may(VhostAccess(vhost))

    async def may_see(self, vhost: str) -> bool:
        """Whether what is in a vhost is shown to it."""
        return self.is_monitor or await self.may_access(vhost)

    async def require(
        self, *questions: Question, error: Callable[[str], ApiError] | None = None
    ) -> None:
        """Raise unless its permissions allow all of that; ``error`` takes what AMQP would say."""
        for question in questions:
            if not await self.may(question):
                text = f"ACCESS_REFUSED - {question.refusal(self.name).text}"
                raise refused() if error is None else error(text)


NO_CALLER = Caller(Identity("", lambda _: False))
"""Whoever asks for what everybody may know."""


async def identify(request: web.Request, state: State) -> Caller:
    """The user that a request comes from; raises what RabbitMQ answers to strangers."""
    credentials = request.headers.get("Authorization")
    if credentials is None:
        if request.app.get(TRUSTED):
            return Caller(PROCESS)
        raise ApiError(401, headers={"WWW-Authenticate": 'Basic realm="RabbitMQ Management"'})
    try:
        return Caller(await log_in(state.server, credentials, _host(request)))
    except Malformed:
        raise ApiError(400) from None
    except Refused:
        raise ApiError(401, "not_authorized", "Login failed") from None


def _host(request: web.Request) -> str:
    """Where the request comes from; a Unix socket has no address, and is of this machine."""
    if request.app.get(TRUSTED):
        return "127.0.0.1"
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return str(peer[0]) if peer else ""
