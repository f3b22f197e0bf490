"""Who may log in: users and the SASL mechanisms PLAIN and AMQPLAIN.

Invariant: whatever is wrong with a user's credentials, the client gets one and the same
answer, and passwords are compared in constant time.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
from collections.abc import Callable

from broker.config import Config
from protocol.errors import CommandInvalid, HardError, LoginRefused
from protocol.tables import Truncated, split_pairs

_log = logging.getLogger("leveret.auth")


class Users:
    """The users the configuration names."""

    def __init__(self, config: Config) -> None:
        self._passwords = {config.default_user: config.default_pass.encode()}
        self._loopback_only = config.loopback_users
        self._mechanisms = config.auth_mechanisms

    def authenticate(self, mechanism: str, response: bytes, peer_host: str) -> str:
        """The name of the user a client proved to be.

        Raises ``LoginRefused`` for wrong credentials, another ``HardError`` for a mechanism
        nobody offered or a response that is none.
        """
        read = _MECHANISMS.get(mechanism)
        if read is None or mechanism not in self._mechanisms:
            raise CommandInvalid(f"unsupported authentication mechanism {mechanism}")
        name, password = read(response)
        expected = self._passwords.get(name)
        granted = hmac.compare_digest(expected or b"", password) and bool(expected)
        if granted and name in self._loopback_only and not _is_loopback(peer_host):
            _log.warning("user '%s' can only connect from this machine (loopback_users)", name)
            granted = False
        if not granted:
            raise LoginRefused(
                f"Login was refused using authentication mechanism {mechanism}. "
                "For details see the broker logfile.",
                about_method=False,
            )
        return name


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
