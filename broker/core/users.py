"""Internal users: names, tags, password hashes, limits.

A hash is RabbitMQ's: base64 of a salt of four octets and the digest of salt and password. So users
can be taken from RabbitMQ and given back with their passwords. Salts come from the caller.

Limits are ``max-connections`` and ``max-channels``; a negative one is none. They bound what comes
new: lowering one closes nothing. ``Broker.connections`` and ``Broker.channels`` count what is open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from broker.core.validation import check_limits
from protocol.errors import NotAllowed
from protocol.tables import field as amqp_field
from protocol.tables import plain, table

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.operations import Operation

SALT_OCTETS = 4
SHA256 = "rabbit_password_hashing_sha256"
MD5 = "rabbit_password_hashing_md5"  # of users that were imported
HASHINGS: dict[str, Callable[[bytes], bytes]] = {
    SHA256: lambda octets: hashlib.sha256(octets).digest(),
    "rabbit_password_hashing_sha512": lambda octets: hashlib.sha512(octets).digest(),
    MD5: lambda octets: hashlib.md5(octets).digest(),
}
"""Schemes by RabbitMQ's name."""

LIMITS = ("max-connections", "max-channels")


@dataclass(slots=True, frozen=True)
class User:
    """One user as it is now; a change makes another one."""

    name: str
    password_hash: str = ""  # base64; empty: no password fits
    hashing_algorithm: str = SHA256
    tags: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)

    def operation(self) -> Operation:
        """What makes this user."""
        return {
            "op": "user.set",
            "name": self.name,
            "password_hash": self.password_hash,
            "hashing_algorithm": self.hashing_algorithm,
            "tags": [amqp_field(tag) for tag in self.tags],
            "limits": table(dict(self.limits)),
        }

    def has_password(self, password: bytes) -> bool:
        """Whether the password is this user's; an empty one never is."""
        stored = base64.b64decode(self.password_hash)
        salt, digest = stored[:SALT_OCTETS], stored[SALT_OCTETS:]
        found = HASHINGS[self.hashing_algorithm](salt + password)
        return hmac.compare_digest(found, digest) and bool(password)


NOBODY = User("", base64.b64encode(bytes(36)).decode())
"""To compare a password with when there is no such user: it takes as long, and never fits."""


def hash_password(password: str, salt: bytes, hashing_algorithm: str = SHA256) -> str:
    """The hash of a password for ``User.password_hash``."""
    digest = HASHINGS[hashing_algorithm](salt + password.encode())
    return base64.b64encode(salt + digest).decode()


# -- what operators do -----------------------------------------------------------------


def put_user(
    broker: Broker,
    name: str,
    *,
    password_hash: str,
    hashing_algorithm: str = SHA256,
    tags: Sequence[str] = (),
    limits: Mapping[str, Any] | None = None,
) -> bool:
    """Create or replace a user; true if it is new. Limits are kept unless given.

    Raises ``InvalidParameter`` for limits that are none, ``ValueError`` for a hash or an algorithm
    that is none.
    """
    base64.b64decode(password_hash, validate=True)
    if hashing_algorithm not in HASHINGS:
        raise ValueError(f"unknown hashing algorithm {hashing_algorithm}")
    before = broker.users.get(name)
    if limits is None:
        limits = before.limits if before is not None else {}
    else:
        check_user_limits(limits)
    user = User(name, password_hash, hashing_algorithm, tuple(tags), limits)
    broker.change(user.operation(), durable=True)
    return before is None


def delete_user(broker: Broker, name: str) -> bool:
    """Delete a user with all permissions; false if there is none."""
    if name not in broker.users:
        return False
    broker.change({"op": "user.delete", "name": name}, durable=True)
    return True


def check_user_limits(limits: Mapping[str, Any]) -> None:
    """Raise ``InvalidParameter`` for limits that are none."""
    check_limits(limits, LIMITS, "user-limits")


def set_user_limit(broker: Broker, name: str, limit: str, value: Any) -> None:
    """Set one limit of a user. Raises ``InvalidParameter``."""
    user = broker.users[name]
    check_user_limits({limit: value})
    _replace_limits(broker, user, {**user.limits, limit: value})


def clear_user_limit(broker: Broker, name: str, limit: str) -> None:
    """Lift one limit; one that is not set is no error."""
    user = broker.users[name]
    rest = {kind: value for kind, value in user.limits.items() if kind != limit}
    _replace_limits(broker, user, rest)


def _replace_limits(broker: Broker, user: User, limits: Mapping[str, int]) -> None:
    broker.change(replace(user, limits=limits).operation(), durable=True)


# -- effects ---------------------------------------------------------------------------


def apply_set(broker: Broker, operation: Operation) -> None:
    """Effect of user.set."""
    broker.users[operation["name"]] = User(
        operation["name"],
        operation["password_hash"],
        operation["hashing_algorithm"],
        tuple(plain(tag) for tag in operation["tags"]),
        {name: plain(value) for name, value in operation["limits"].items()},
    )


def apply_delete(broker: Broker, operation: Operation) -> None:
    """Effect of user.delete: permissions go with the user."""
    broker.users.pop(operation["name"], None)
    for vhost in broker.vhosts.values():
        vhost.permissions.remove_user(operation["name"])
        vhost.generation += 1


def operations(broker: Broker) -> Iterator[Operation]:
    """What restores all users."""
    for user in broker.users.values():
        yield user.operation()


# -- limits ----------------------------------------------------------------------------


def check_connection_limit(broker: Broker, name: str) -> None:
    """Raise ``NotAllowed`` if the user may not have one more connection."""
    limit = _limit(broker, name, "max-connections")
    if 0 <= limit <= broker.connections[name]:
        raise NotAllowed(
            f"connection refused for user '{name}': user connection limit ({limit}) is reached"
        )


def check_channel_limit(broker: Broker, name: str) -> None:
    """Raise ``NotAllowed`` if the user may not have one more channel."""
    limit = _limit(broker, name, "max-channels")
    if 0 <= limit <= broker.channels[name]:
        raise NotAllowed(
            f"number of channels opened for user '{name}' has reached the maximum allowed "
            f"user limit of ({limit})",
            about_method=False,
        )


def _limit(broker: Broker, name: str, kind: str) -> int:
    user = broker.users.get(name)
    return -1 if user is None else user.limits.get(kind, -1)
