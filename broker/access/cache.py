"""The backend that remembers what another one said, for ``cache_ttl``.

Refusals are remembered only with ``cache_refusals``. A password is remembered as a keyed digest.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from asyncio import Future
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from broker.access.backend import Backend, Granted, Login, May, Refused, Unavailable, later
from broker.core.permissions import Question

if TYPE_CHECKING:
    from broker.config.sections import CacheAuth

ENTRIES_MAX = 10_000


class Cache:
    """See ``Backend``."""

    def __init__(
        self, backend: Backend, options: CacheAuth, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._ttl_s = options.cache_ttl_ms / 1000
        self._refusals = options.cache_refusals
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    async def authenticate(self, login: Login) -> Granted:
        """Ask only if the same was not asked lately."""
        digest = None
        if login.password is not None:
            digest = hashlib.blake2b(login.password, key=self._key).digest()
        return await self._login("in", digest, login, self._backend.authenticate)

    async def authorize(self, login: Login) -> Granted:
        """The same."""
        return await self._login("as", None, login, self._backend.authorize)

    async def _login(
        self,
        how: str,
        digest: bytes | None,
        login: Login,
        ask: Callable[[Login], Awaitable[Granted]],
    ) -> Granted:
        key = (how, login.name, digest, login.peer_host)
        found = self._find(key)
        if isinstance(found, Refused):
            raise found
        if isinstance(found, Granted):
            return found
        try:
            granted = await ask(login)
        except Refused as refused:
            if self._refusals and not isinstance(refused, Unavailable):
                self._remember(key, refused)
            raise
        granted = replace(granted, may=self._remembering(granted, key), asks_outside=True)
        self._remember(key, granted)
        return granted

    def _remembering(self, granted: Granted, login: Hashable) -> May:
        def may(question: Question) -> bool | Future[bool]:
            key = (login, question)
            found = self._find(key)
            if found is not None:
                return bool(found)
            answer = granted.may(question)
            return later(learn(key, answer)) if isinstance(answer, Future) else keep(key, answer)

        async def learn(key: Hashable, answer: Future[bool]) -> bool:
            return keep(key, await answer)

        def keep(key: Hashable, allowed: bool) -> bool:
            if allowed or self._refusals:
                self._remember(key, allowed)
            return allowed

        return may

    def _find(self, key: Hashable) -> Any:
        until_s, found = self._known.get(key, (0.0, None))
        return found if self._clock() < until_s else None

    def _remember(self, key: Hashable, answer: Any) -> None:
        self._known.pop(key, None)
        self._known[key] = (self._clock() + self._ttl_s, answer)
        if len(self._known) > ENTRIES_MAX:
            self._known.popitem(last=False)

    async def close(self) -> None:
        """Close the backend behind it."""
        await self._backend.close()
