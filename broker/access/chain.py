"""The chain of ``auth_backends``: who is asked, in which order.

The first backend that lets a client in decides; what it may do, the same one says, or the one
that the step names for that.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.access.backend import Backend, Granted, Login, Refused, Renew, Unavailable

if TYPE_CHECKING:
    from broker.config import Config
    from broker.core.broker import Broker

_log = logging.getLogger("leveret.auth")


class Chain:
    """Steps of a backend that authenticates and one that authorizes, which may be the same."""

    def __init__(self, steps: Sequence[tuple[Backend, Backend]]) -> None:
        self._steps = tuple(steps)

    async def login(self, login: Login) -> Granted:
        """Let the client in, or raise ``Refused`` with the reasons of all."""
        reasons: dict[str, None] = {}
        for authn, authz in self._steps:
            try:
                granted = await authn.authenticate(login)
                return granted if authz is authn else await _split(granted, authz, login)
            except Unavailable as reason:
                _log.error("a backend cannot be asked: %s", reason, extra={"source": ""})
                reasons["a backend cannot be asked"] = None
            except Refused as reason:
                reasons[str(reason)] = None
        raise Refused("; ".join(reasons))

    async def close(self) -> None:
        """Close every backend."""
        for backend in {one for step in self._steps for one in step}:
            await backend.close()


async def _split(granted: Granted, authz: Backend, login: Login) -> Granted:
    authorized = await authz.authorize(replace(login, name=granted.name))
    ends = [e for e in (granted.expires_s, authorized.expires_s) if e is not None]
    return replace(
        authorized,
        name=granted.name,
        tags=granted.tags | authorized.tags,
        expires_s=min(ends, default=None),
        renew=granted.renew and _renewing(granted, authz, login),
    )


def _renewing(granted: Granted, authz: Backend, login: Login) -> Renew:
    async def renew(secret: bytes) -> Granted:
        assert granted.renew is not None
        return await _split(await granted.renew(secret), authz, login)

    return renew


def build(config: Config, broker: Broker) -> Chain:
    """The chain that the configuration asks for; raises ``ConfigError``."""
    made: dict[str, Backend] = {}
    return Chain(
        [
            (_backend(authn, config, broker, made), _backend(authz, config, broker, made))
            for authn, authz in config.auth_backends
        ]
    )


def _backend(name: str, config: Config, broker: Broker, made: dict[str, Backend]) -> Backend:
    """Make each backend once. Their libraries are loaded only if they are used."""
    if name not in made:
        made[name] = _make(name, config, broker, made)
    return made[name]


def _make(name: str, config: Config, broker: Broker, made: dict[str, Backend]) -> Backend:
    if name == "internal":
        from broker.access.internal import Internal

        return Internal(broker)
    if name == "http":
        from broker.access.http import Http

        return Http(config.auth_http)
    if name == "oauth2":
        from broker.access.oauth2 import OAuth2

        return OAuth2(config.auth_oauth2)
    if name == "ldap":
        from broker.access.ldap import Ldap

        return Ldap(config.auth_ldap)
    from broker.access.cache import Cache

    cached = _backend(config.auth_cache.cached_backend, config, broker, made)
    return Cache(cached, config.auth_cache)
