"""Who asks: credentials to a user, and what that user may see and do, as RabbitMQ decides it.

Every request is authenticated by itself (Basic or Bearer in the header Authorization). There is no
cookie and no session, so another site's page cannot act in a user's name.

A request over the process's own socket (``TRUSTED``) that names no user acts as the process itself.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from broker.management.errors import ApiError
from protocol.errors import LoginRefused

if TYPE_CHECKING:
    from broker.core.vhost import Vhost
    from broker.server import Server

ADMINISTRATOR, MONITORING, POLICYMAKER, MANAGEMENT = (
    "administrator",
    "monitoring",
    "policymaker",
    "management",
)
INTERNAL_USER = "rmq-internal"
TRUSTED: web.AppKey[bool] = web.AppKey("trusted")
_MONITORS = frozenset({ADMINISTRATOR, MONITORING})
_POLICYMAKERS = frozenset({ADMINISTRATOR, POLICYMAKER})
_MANAGERS = frozenset({ADMINISTRATOR, MONITORING, POLICYMAKER, MANAGEMENT})


@dataclass(slots=True, frozen=True)
class Caller:
    """A user that asks."""

    server: Server
    name: str
    tags: tuple[str, ...] = field(default_factory=tuple)
    all_powerful: bool = False  # the process itself: needs no permissions

    @property
    def is_administrator(self) -> bool:
        """May do everything but what needs permissions in a vhost."""
        return ADMINISTRATOR in self.tags

    @property
    def is_monitor(self) -> bool:
        """May see everything that runs."""
        return not _MONITORS.isdisjoint(self.tags)

    @property
    def is_policymaker(self) -> bool:
        """May set policies and parameters."""
        return not _POLICYMAKERS.isdisjoint(self.tags)

    @property
    def is_manager(self) -> bool:
        """May use the API."""
        return not _MANAGERS.isdisjoint(self.tags)

    async def may_access(self, vhost: str) -> bool:
        """Whether it has permissions in a vhost."""
        return self.all_powerful or vhost in self.server.broker.vhosts

    async def may_see(self, vhost: str) -> bool:
        """Whether what is in a vhost is shown to it."""
        return self.is_monitor or await self.may_access(vhost)

    async def visible(self) -> list[Vhost]:
        """The vhosts it may see, by name."""
        vhosts = [vhost for _, vhost in sorted(self.server.broker.vhosts.items())]
        return [vhost for vhost in vhosts if await self.may_see(vhost.name)]

    async def require(self, vhost: str, kind: str, name: str, permission: str) -> None:
        """Raise unless it may configure, write or read an exchange or queue."""

    async def require_topic(
        self, vhost: str, exchange: str, permission: str, routing_key: str
    ) -> None:
        """Raise unless it may use the routing key."""


async def identify(request: web.Request, server: Server) -> Caller:
    """The user that a request comes from; raises what RabbitMQ answers to strangers."""
    credentials = request.headers.get("Authorization")
    if credentials is None:
        if request.app.get(TRUSTED):
            return Caller(server, INTERNAL_USER, (ADMINISTRATOR,), all_powerful=True)
        raise ApiError(401, headers={"WWW-Authenticate": 'Basic realm="RabbitMQ Management"'})
    scheme, _, given = credentials.partition(" ")
    if scheme.lower() != "basic":
        raise _login_failed()
    try:
        name, colon, password = base64.b64decode(given, validate=True).partition(b":")
    except binascii.Error:
        raise ApiError(400) from None
    if not colon:
        raise ApiError(400)
    peer = request.transport.get_extra_info("peername") if request.transport else None
    try:
        user = server.authenticate("PLAIN", b"\0" + name + b"\0" + password, peer[0] if peer else "")
    except LoginRefused:
        raise _login_failed() from None
    return Caller(server, user, server.config.default_user_tags)


def _login_failed() -> ApiError:
    return ApiError(401, "not_authorized", "Login failed")
