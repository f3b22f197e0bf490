"""SASL mechanisms: from the octets of a response to a ``Login``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from broker.access.backend import Login, Refused
from broker.access.certificate import login_name
from protocol.errors import CommandInvalid, HardError
from protocol.tables import Truncated, split_pairs

if TYPE_CHECKING:
    from broker.config import Config


class Peer:
    """What is known of a client beside its response; ``certificate`` is DER, None without one."""

    def __init__(self, host: str, certificate: bytes | None = None) -> None:
        self.host = host
        self.certificate = certificate


def read(mechanism: str, response: bytes, peer: Peer, config: Config) -> Login:
    """What the client claims.

    Raises ``CommandInvalid`` for a mechanism nobody offered or a response that is none, and
    ``Refused`` for a client that cannot use the mechanism.
    """
    reader = _MECHANISMS.get(mechanism)
    if reader is None or mechanism not in config.auth_mechanisms:
        raise CommandInvalid(f"unsupported authentication mechanism {mechanism}")
    return reader(response, peer, config)


def _plain(response: bytes, peer: Peer, _: Config) -> Login:
    """RFC 4616 without an authorization identity, as RabbitMQ reads it."""
    parts = response.split(b"\0", 2)
    if len(parts) != 3 or parts[0]:
        raise _malformed()
    return Login(parts[1].decode(errors="replace"), parts[2], peer.host)


def _amqplain(response: bytes, peer: Peer, _: Config) -> Login:
    """AMQP 0-8's mechanism: a field table's body with LOGIN and PASSWORD."""
    try:
        pairs = dict(split_pairs(response))
    except (Truncated, IndexError):
        raise _malformed() from None
    login, password = pairs.get(b"LOGIN", b""), pairs.get(b"PASSWORD", b"")
    if not (login.startswith(b"S") and password.startswith(b"S")):
        raise _malformed()
    return Login(login[5:].decode(errors="replace"), password[5:], peer.host)


def _external(_response: bytes, peer: Peer, config: Config) -> Login:
    """The certificate says who it is; that it is genuine was checked in the TLS handshake."""
    if peer.certificate is None or config.tls.verify != "verify_peer":
        raise Refused("connection peer presented no TLS (x.509) certificate")
    return Login(login_name(peer.certificate, config), None, peer.host)


def _anonymous(_response: bytes, peer: Peer, config: Config) -> Login:
    if config.anonymous_login_user is None:
        raise Refused("anonymous_login_user is none")
    return Login(config.anonymous_login_user, config.anonymous_login_pass.encode(), peer.host)


def _malformed() -> HardError:
    return CommandInvalid("malformed authentication response")


_MECHANISMS: dict[str, Callable[[bytes, Peer, Config], Login]] = {
    "PLAIN": _plain,
    "AMQPLAIN": _amqplain,
    "EXTERNAL": _external,
    "ANONYMOUS": _anonymous,
}
