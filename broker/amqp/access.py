"""Who a client is, and what it may do: each check that a method needs, with RabbitMQ's refusals.

An ``Identity`` is what a login yields. Whom it asks, its ``may``, is the process's affair: the
users in the model (``broker.core.permissions``) or something outside that may take its time
(``broker.amqp.decisions``).
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from broker.amqp import audit
from broker.core.permissions import (
    CONFIGURE,
    EXCHANGE,
    QUEUE,
    READ,
    WRITE,
    Question,
    ResourceAccess,
    TopicAccess,
    VhostAccess,
)
from protocol.errors import ConnectionForced
from protocol.tables import plain

if TYPE_CHECKING:
    from broker.amqp.session import Session
    from broker.core.exchange import Exchange
    from protocol.tables import Table

IMPERSONATOR = "impersonator"


@dataclass(slots=True, frozen=True, eq=False)
class Identity:
    """A user that has logged in; ``may`` answers at once, or later if it has to ask elsewhere."""

    name: str
    may: Callable[[Question], bool | Future[bool]]
    tags: frozenset[str] = field(default_factory=frozenset)
    expires_s: float | None = None  # when its credentials end, in seconds of the epoch
    renew: Callable[[bytes], Identity | Future[Identity]] | None = None  # with a new secret
    asks_outside: bool = False  # answers may change without a change of the model


def _nobody(_: Question) -> bool:
    return False


class Access:
    """The checks of one session; each returns, or raises what the client is told."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.identity = Identity("", _nobody)

    def adopt(self, identity: Identity) -> None:
        """The client is this user from now on, until its credentials expire."""
        self.identity = identity
        session = self._session
        session.user = identity.name
        if identity.asks_outside:
            session.decisions.forget_later()
        if "credentials" in session.timers:
            session.timers.pop("credentials").cancel()
        if identity.expires_s is not None:
            left_s = identity.expires_s - session.broker.now_ms / 1000
            session.timers["credentials"] = session.host.call_later(max(0.0, left_s), self._expire)

    def renew(self, secret: bytes) -> None:
        """The client has a new secret, such as a token; if there is none to renew, any will do."""
        session = self._session
        if self.identity.renew is not None:
            identity = session.decisions.decide(secret, self.identity.renew)
            session.decisions.forget()
            self.adopt(replace(identity, name=self.identity.name))
        session.connection.update_secret_ok()

    def _expire(self) -> None:
        self._session.close_for(ConnectionForced("credential expired", about_method=False))

    def _require(self, question: Question) -> None:
        identity = self.identity
        if not self._session.decisions.decide(question, identity.may):
            audit.access_refused(self._session, question)
            raise question.refusal(identity.name)

    def _require_resource(self, kind: str, name: str, permission: str) -> None:
        if kind == EXCHANGE and not name:
            name = "amq.default"
        self._require(ResourceAccess(self._session.vhost.name, kind, name, permission))

    def vhost(self, name: str) -> None:
        """It may open a connection to the vhost."""
        self._require(VhostAccess(name))

    def configure_exchange(self, name: str) -> None:
        """It may declare and delete the exchange."""
        self._require_resource(EXCHANGE, name, CONFIGURE)

    def write_exchange(self, name: str) -> None:
        """It may publish to the exchange, and bind it to another one."""
        self._require_resource(EXCHANGE, name, WRITE)

    def read_exchange(self, name: str) -> None:
        """It may bind something to the exchange."""
        self._require_resource(EXCHANGE, name, READ)

    def configure_queue(self, name: str) -> None:
        """It may declare and delete the queue."""
        self._require_resource(QUEUE, name, CONFIGURE)

    def write_queue(self, name: str) -> None:
        """It may bind the queue."""
        self._require_resource(QUEUE, name, WRITE)

    def read_queue(self, name: str) -> None:
        """It may consume from the queue, and purge it."""
        self._require_resource(QUEUE, name, READ)

    def topic(self, exchange: Exchange, permission: str, routing_key: str) -> None:
        """It may use the routing key, if the exchange is a topic exchange."""
        if exchange.type == "topic":
            vhost = self._session.vhost.name
            self._require(TopicAccess(vhost, exchange.name, permission, routing_key))

    def bind_to(self, source: str, routing_key: str) -> None:
        """It may bind something to the exchange, with this routing key."""
        self.read_exchange(source)
        exchange = self._session.vhost.exchanges.get(source)
        if exchange is not None:
            self.topic(exchange, READ, routing_key)

    def dead_letter_exchange(self, queue: str, arguments: Table) -> None:
        """It may have the queue's dead letters published to the exchange that arguments name."""
        target = arguments.get("x-dead-letter-exchange")
        if target is not None and target.tag == "S":
            self.read_queue(queue)
            self.write_exchange(plain(target))

    def alternate_exchange(self, exchange: str, arguments: Table) -> None:
        """It may have what the exchange cannot route published to the one that arguments name."""
        target = arguments.get("alternate-exchange")
        if target is not None and target.tag == "S":
            self.read_exchange(exchange)
            self.write_exchange(plain(target))
