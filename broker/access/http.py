"""The backend that asks a web service, with the requests that RabbitMQ sends.

A user is let in by ``allow`` and its tags; everything else is allowed by ``allow`` alone.
"""

from __future__ import annotations

import logging
from asyncio import Future
from typing import TYPE_CHECKING

import aiohttp

from broker.access.backend import Granted, Login, Refused, Unavailable, later
from broker.config.kinds import shown_address
from broker.core.permissions import Question, ResourceAccess, VhostAccess
from broker.net.client_tls import client_context

if TYPE_CHECKING:
    from broker.config.sections import HttpAuth

ANSWER_BYTES_MAX = 8192
CONNECTIONS_MAX = 100

_log = logging.getLogger("leveret.auth")


class Http:
    """See ``Backend``."""

    def __init__(self, options: HttpAuth) -> None:
        self._options = options
        self._tls = client_context("auth_http.ssl_options", options)
        self._timeout = aiohttp.ClientTimeout(
            total=options.request_timeout_ms / 1000,
            sock_connect=options.connection_timeout_ms / 1000,
        )
        self._client: aiohttp.ClientSession | None = None

    async def authenticate(self, login: Login) -> Granted:
        """Ask whether name and password belong together; the answer has the user's tags."""
        asked = {"username": login.name}
        if login.password is not None:
            asked["password"] = login.password.decode("utf-8", "replace")
        answer = await self._ask(self._options.user_path, asked)
        word, *tags = answer.split() or [""]
        if word.lower() != "allow":
            raise Refused(f"user '{login.name}' - denied by the HTTP backend")

        def may(question: Question) -> Future[bool]:
            return later(self._may(login, tags, question))

        return Granted(login.name, may, frozenset(tags), asks_outside=True)

    async def authorize(self, login: Login) -> Granted:
        """Ask for the tags of a user that needs no password here."""
        return await self.authenticate(Login(login.name, None, login.peer_host))

    async def _may(self, login: Login, tags: list[str], question: Question) -> bool:
        asked = {"username": login.name, "vhost": question.vhost}
        named = {"tags": " ".join(tags)}
        if isinstance(question, VhostAccess):
            path = self._options.vhost_path
            asked |= {"ip": login.peer_host, **named}
        elif isinstance(question, ResourceAccess):
            path = self._options.resource_path
            asked |= {"resource": question.kind, "name": question.name}
            asked |= {"permission": question.permission, **named}
        else:
            path = self._options.topic_path
            asked |= {"resource": "topic", "name": question.exchange}
            asked |= {"permission": question.permission, **named}
            asked |= {"routing_key": question.routing_key}
            asked |= {"variable_map.username": login.name, "variable_map.vhost": question.vhost}
        try:
            return (await self._ask(path, asked)).lower() == "allow"
        except Unavailable as reason:
            _log.error("a backend cannot be asked: %s", reason, extra={"source": ""})
            return False

    async def _ask(self, url: str, asked: dict[str, str]) -> str:
        if self._client is None:  # made late: it belongs to the running loop
            connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ssl=self._tls)
            self._client = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        post = self._options.http_method == "post"
        try:
            async with self._client.request(
                self._options.http_method,
                url,
                data=asked if post else None,
                params=None if post else asked,
                allow_redirects=False,
            ) as response:
                if response.status not in (200, 201):
                    raise Unavailable(
                        f"{shown_address(url)} answered with status {response.status}"
                    )
                answer = await body(response, ANSWER_BYTES_MAX)
        except (aiohttp.ClientError, ValueError, OSError) as error:
            # Not the error itself: it may have the whole address in it, password included.
            raise Unavailable(f"{shown_address(url)}: {type(error).__name__}") from None
        return answer.decode("utf-8", "replace").strip()

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()


async def body(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """Read an answer that may be so long; raises ``ValueError`` for a longer one."""
    octets = b""
    async for chunk in response.content.iter_any():
        octets += chunk
        if len(octets) > bytes_max:
            raise ValueError(f"the answer is longer than {bytes_max} octets")
    return octets
