"""What the process asks when somebody wants in: AMQP clients and HTTP requests alike."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from broker.access import chain, mechanisms
from broker.access.backend import Granted, Login, Refused, later
from broker.access.backoff import Backoff
from broker.amqp.access import Identity
from broker.net.addresses import is_loopback
from protocol.errors import LoginRefused, NotAllowed

if TYPE_CHECKING:
    from broker.access.mechanisms import Peer
    from broker.config import Config
    from broker.core.broker import Broker

_log = logging.getLogger("leveret.auth")


class Authentication:
    """See the module. Raises ``ConfigError`` if a backend cannot work as it is set up."""

    def __init__(
        self,
        config: Config,
        broker: Broker,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._sleep = sleep
        self._chain = chain.build(config, broker)
        self._backoff = Backoff()

    def authenticate(self, mechanism: str, response: bytes, peer: Peer) -> asyncio.Future[Identity]:
        """Who an AMQP client proved to be.

        The future has ``LoginRefused`` for wrong credentials; another ``HardError`` is raised at
        once for a mechanism nobody offered or a response that is none.
        """
        try:
            login = mechanisms.read(mechanism, response, peer, self._config)
        except Refused as reason:
            return later(self._refuse(mechanism, peer.host, reason))
        return later(self._amqp_login(mechanism, login))

    async def _amqp_login(self, mechanism: str, login: Login) -> Identity:
        try:
            return await self._login(login)
        except Refused as reason:
            return await self._refuse(mechanism, login.peer_host, reason)

    async def _refuse(self, mechanism: str, peer_host: str, reason: Refused) -> Identity:
        text, whose = "%s login from %s refused: %s", {"source": peer_host}
        _log.warning(text, mechanism, peer_host, reason, extra=whose)
        await self._sleep(self._backoff.failed(peer_host, time.monotonic()))
        raise LoginRefused(
            f"Login was refused using authentication mechanism {mechanism}. "
            "For details see the broker logfile.",
            about_method=False,
        ) from reason  # for the audit log

    async def login(self, name: str, password: bytes, peer_host: str) -> Identity:
        """The user of that name and password, or ``Refused``, for instance for the HTTP API."""
        try:
            return await self._login(Login(name, password, peer_host))
        except Refused:
            await self._sleep(self._backoff.failed(peer_host, time.monotonic()))
            raise

    async def _login(self, login: Login) -> Identity:
        granted = await self._chain.login(login)
        name = granted.name
        if name in self._config.loopback_users and not is_loopback(login.peer_host):
            raise Refused(f"user '{name}' can only connect via localhost (loopback_users)")
        return self._identity(granted)

    def _identity(self, granted: Granted) -> Identity:
        def renew(secret: bytes) -> asyncio.Future[Identity]:
            return later(self._renew(granted, secret))

        return Identity(
            granted.name,
            granted.may,
            granted.tags,
            granted.expires_s,
            renew if granted.renew is not None else None,
            granted.asks_outside,
        )

    async def _renew(self, granted: Granted, secret: bytes) -> Identity:
        assert granted.renew is not None
        try:
            renewed = await granted.renew(secret)
            if renewed.name != granted.name:
                raise Refused(f"the new secret is that of '{renewed.name}'")
        except Refused as reason:
            text, whose = "new secret of '%s' refused: %s", {"source": granted.name}
            _log.warning(text, granted.name, reason, extra=whose)
            raise NotAllowed("New secret was refused by one of the backends") from None
        return self._identity(renewed)

    async def close(self) -> None:
        """Close the backends."""
        await self._chain.close()
