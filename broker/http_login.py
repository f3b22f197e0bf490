"""Who asks over HTTP: the header Authorization to an identity, for every service.

Each request is authenticated by itself, by Basic or Bearer, and counted as a login.
"""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING

from broker.access.backend import Refused

if TYPE_CHECKING:
    from broker.amqp.access import Identity
    from broker.server import Server

MONITORS = frozenset({"administrator", "monitoring"})
"""The tags whose users may see everything that runs."""

_log = logging.getLogger("leveret.management")


class Malformed(Exception):
    """What the header says cannot be read."""


async def log_in(server: Server, authorization: str, host: str) -> Identity:
    """The user of a request from ``host``; raises ``Malformed`` or ``Refused``."""
    try:
        identity = await server.auth.login(*_name_and_password(authorization), host)
    except Refused as reason:
        server.broker.logins["http", False] += 1
        text = "HTTP access from %s denied: %s"
        _log.warning(text, host or "the socket", reason, extra={"source": host})
        raise
    server.broker.logins["http", True] += 1
    return identity


def _name_and_password(authorization: str) -> tuple[str, bytes]:
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return "", given.strip().encode()
    if scheme.lower() != "basic":
        raise Refused("the header Authorization is neither Basic nor Bearer")
    try:
        name, colon, password = base64.b64decode(given, validate=True).partition(b":")
        if colon:
            return name.decode(), password
    except ValueError:
        pass
    raise Malformed
