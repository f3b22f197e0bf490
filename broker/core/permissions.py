"""What internal users may do: in each vhost three patterns, and two more for topics of an exchange.

The rules are RabbitMQ's. A user without permissions in a vhost has no access to it. An empty
pattern matches nothing but the empty name. The default exchange is checked as ``amq.default``.
Where no topic permission is set for a user and exchange every routing key is allowed; in its
patterns ``{username}`` and ``{vhost}`` stand for those of the client.

Invariant: a permission is checked as it is now. Whoever keeps the outcome of a check (the fast path
does, as a route) keeps it for a ``Vhost.generation`` only, which each change here ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from broker.core.pattern import InvalidPattern, Pattern
from protocol.errors import AccessRefused, NotAllowed

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.operations import Operation
    from broker.core.vhost import Vhost

CONFIGURE, WRITE, READ = "configure", "write", "read"
EXCHANGE, QUEUE = "exchange", "queue"


class VhostAccess(NamedTuple):
    """May it open a connection to this vhost?"""

    vhost: str

    def refusal(self, user: str) -> NotAllowed:
        """What a client is told that may not."""
        return NotAllowed(f"access to vhost '{self.vhost}' refused for user '{user}'")


class ResourceAccess(NamedTuple):
    """May it configure, write or read the exchange or queue of this name?"""

    vhost: str
    kind: str
    name: str
    permission: str

    def refusal(self, user: str) -> AccessRefused:
        """What a client is told that may not."""
        return AccessRefused(
            f"access to {self.kind} '{self.name}' in vhost '{self.vhost}' refused for user '{user}'"
        )


class TopicAccess(NamedTuple):
    """May it write or read messages of this routing key in this exchange?"""

    vhost: str
    exchange: str
    permission: str
    routing_key: str

    def refusal(self, user: str) -> AccessRefused:
        """What a client is told that may not."""
        return AccessRefused(
            f"access to topic '{self.routing_key}' in exchange '{self.exchange}' in vhost "
            f"'{self.vhost}' refused for user '{user}'"
        )


Question = VhostAccess | ResourceAccess | TopicAccess


def is_allowed(broker: Broker, user: str, question: Question) -> bool:
    """The answer for an internal user."""
    vhost = broker.vhosts.get(question.vhost)
    if vhost is None or user not in broker.users:
        return False
    if isinstance(question, TopicAccess):
        return vhost.permissions.allow_topic(user, question)
    permission = vhost.permissions.of_users.get(user)
    if isinstance(question, VhostAccess) or permission is None:
        return permission is not None
    return permission.patterns[question.permission].matches(question.name)


def _pattern(text: str) -> Pattern:
    return Pattern(text or "^$")


@dataclass(slots=True, frozen=True)
class Permission:
    """Of one user in one vhost: texts as they were given, and compiled."""

    configure: str
    write: str
    read: str
    patterns: dict[str, Pattern] = field(compare=False)


@dataclass(slots=True, frozen=True)
class TopicPermission:
    """Of one user for one exchange: texts as they were given, and compiled for that user."""

    write: str
    read: str
    # None: with the user's name in it, it is no pattern.
    patterns: dict[str, Pattern | None] = field(compare=False)

    def allows(self, question: TopicAccess) -> bool:
        """Whether the routing key is one of those."""
        pattern = self.patterns[question.permission]
        return pattern is not None and pattern.matches(question.routing_key)


class Permissions:
    """All permissions in one vhost."""

    def __init__(self) -> None:
        self.of_users: dict[str, Permission] = {}
        self.on_topics: dict[str, dict[str, TopicPermission]] = {}  # by user, then by exchange

    def allow_topic(self, user: str, question: TopicAccess) -> bool:
        """Whether a user may use the routing key; without a topic permission it may."""
        permission = self.on_topics.get(user, {}).get(question.exchange)
        return permission is None or permission.allows(question)

    def remove_user(self, user: str) -> None:
        """Forget all about a user."""
        self.of_users.pop(user, None)
        self.on_topics.pop(user, None)

    def operations(self, vhost: str) -> Iterator[Operation]:
        """What restores them."""
        for user, permission in self.of_users.items():
            yield _set_operation(
                vhost, user, permission.configure, permission.write, permission.read
            )
        for user, by_exchange in self.on_topics.items():
            for exchange, topic in by_exchange.items():
                yield _set_topic_operation(vhost, user, exchange, topic.write, topic.read)


# -- what operators do -----------------------------------------------------------------


def set_permissions(vhost: Vhost, user: str, *, configure: str, write: str, read: str) -> bool:
    """Give a user permissions; true if it had none. Raises ``InvalidPattern``."""
    for text in (configure, write, read):
        Pattern(text)
    is_new = user not in vhost.permissions.of_users
    operation = _set_operation(vhost.name, user, configure, write, read)
    vhost.broker.change(operation, durable=True)
    return is_new


def clear_permissions(vhost: Vhost, user: str) -> bool:
    """Take a user's permissions; false if it has none. Topic permissions stay."""
    if user not in vhost.permissions.of_users:
        return False
    operation = {"op": "permission.clear", "vhost": vhost.name, "user": user}
    vhost.broker.change(operation, durable=True)
    return True


def set_topic_permissions(vhost: Vhost, user: str, exchange: str, *, write: str, read: str) -> bool:
    """Bound a user's routing keys in an exchange; true if it is new. Raises ``InvalidPattern``."""
    for text in (write, read):
        Pattern(text)
    is_new = exchange not in vhost.permissions.on_topics.get(user, {})
    operation = _set_topic_operation(vhost.name, user, exchange, write, read)
    vhost.broker.change(operation, durable=True)
    return is_new


def clear_topic_permissions(vhost: Vhost, user: str, exchange: str | None = None) -> bool:
    """Lift the bounds in one exchange, or in all; false if there are none."""
    found = vhost.permissions.on_topics.get(user, {})
    names = [name for name in found if exchange in (None, name)]
    for name in names:
        vhost.broker.change(
            {"op": "topic_permission.clear", "vhost": vhost.name, "user": user, "exchange": name},
            durable=True,
        )
    return bool(names)


def _set_operation(vhost: str, user: str, configure: str, write: str, read: str) -> Operation:
    return {
        "op": "permission.set",
        "vhost": vhost,
        "user": user,
        "configure": configure,
        "write": write,
        "read": read,
    }


def _set_topic_operation(vhost: str, user: str, exchange: str, write: str, read: str) -> Operation:
    return {
        "op": "topic_permission.set",
        "vhost": vhost,
        "user": user,
        "exchange": exchange,
        "write": write,
        "read": read,
    }


# -- effects ---------------------------------------------------------------------------


def apply_set(vhost: Vhost, operation: Operation) -> None:
    """Effect of permission.set."""
    texts = {kind: operation[kind] for kind in (CONFIGURE, WRITE, READ)}
    patterns = {kind: _pattern(text) for kind, text in texts.items()}
    vhost.permissions.of_users[operation["user"]] = Permission(**texts, patterns=patterns)


def apply_clear(vhost: Vhost, operation: Operation) -> None:
    """Effect of permission.clear."""
    vhost.permissions.of_users.pop(operation["user"], None)


def apply_set_topic(vhost: Vhost, operation: Operation) -> None:
    """Effect of topic_permission.set."""
    user, texts = operation["user"], {kind: operation[kind] for kind in (WRITE, READ)}
    patterns = {kind: _expanded(text, user, vhost.name) for kind, text in texts.items()}
    by_exchange = vhost.permissions.on_topics.setdefault(user, {})
    by_exchange[operation["exchange"]] = TopicPermission(**texts, patterns=patterns)


def _expanded(text: str, user: str, vhost: str) -> Pattern | None:
    try:
        return _pattern(text.replace("{username}", user).replace("{vhost}", vhost))
    except InvalidPattern:
        return None


def apply_clear_topic(vhost: Vhost, operation: Operation) -> None:
    """Effect of topic_permission.clear."""
    by_exchange = vhost.permissions.on_topics.get(operation["user"], {})
    by_exchange.pop(operation["exchange"], None)
    if not by_exchange:
        vhost.permissions.on_topics.pop(operation["user"], None)
