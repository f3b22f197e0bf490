"""Who may log in: SASL mechanisms, and passwords of the users in the model.

Invariant: whatever is wrong with a user's credentials, the client gets one and the same answer
after the same work; only the log has the reason.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from functools import partial

from broker.amqp.access import Identity
from broker.config import Config
from broker.core.broker import Broker
from broker.core.permissions import is_allowed
from broker.core.users import NOBODY
from protocol.errors import CommandInvalid, HardError, LoginRefused
from protocol.tables import Truncated, split_pairs

_log = logging.getLogger("leveret.auth")


class Refused(Exception):
    """A login that failed; the text is for the operator, not for the client."""


class Authentication:
    """See the module."""

    def __init__(self, config: Config, broker: Broker) -> None:
        self._broker = broker
        self._loopback_only = config.loopback_users
        self._mechanisms = config.auth_mechanisms

    def authenticate(self, mechanism: str, response: bytes, peer_host: str) -> Identity:
        """Who an AMQP client proved to be.

        Raises ``LoginRefused`` for wrong credentials, another ``HardError`` for a mechanism
        nobody offered or a response that is none.
        """
        read = _MECHANISMS.get(mechanism)
        if read is None or mechanism not in self._mechanisms:
            raise CommandInvalid(f"unsupported authentication mechanism {mechanism}")
        try:
            return self.login(*read(response), peer_host)
        except Refused as reason:
            _log.warning("%s login refused: %s", mechanism, reason)
            raise LoginRefused(
                f"Login was refused using authentication mechanism {mechanism}. "
                "For details see the broker logfile.",
                about_method=False,
            ) from reason

    def login(self, name: str, password: bytes, peer_host: str) -> Identity:
        """The user of that name and password, or ``Refused``."""
        user = self._broker.users.get(name, NOBODY)
        if not user.has_password(password):
            raise Refused(f"user '{name}' - invalid credentials")
        if name in self._loopback_only and not _is_loopback(peer_host):
            raise Refused(f"user '{name}' can only connect via localhost (loopback_users)")
        return Identity(name, partial(is_allowed, self._broker, name), frozenset(user.tags))


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _plain(response: bytes) -> tuple[str, bytes]:
    """RFC 4616 without an authorization identity, as RabbitMQ reads it."""
    parts = response.split(b"\0", 2)
    if len(parts) != 3 or parts[0]:
        raise _malformed()
    return parts[1].decode(errors="replace"), parts[2]


def _amqplain(response: bytes) -> tuple[str, bytes]:
    """AMQP 0-8's mechanism: a field table's body with LOGIN and PASSWORD."""
    try:
        pairs = dict(split_pairs(response))
    except (Truncated, IndexError):
        raise _malformed() from None
    login, password = pairs.get(b"LOGIN", b""), pairs.get(b"PASSWORD", b"")
    if not (login.startswith(b"S") and password.startswith(b"S")):
        raise _malformed()
    return login[5:].decode(errors="replace"), password[5:]


def _malformed() -> HardError:
    return CommandInvalid("malformed authentication response")


_MECHANISMS: dict[str, Callable[[bytes], tuple[str, bytes]]] = {
    "PLAIN": _plain,
    "AMQPLAIN": _amqplain,
}
