"""What a declaration has to satisfy: of a new thing, and of one that exists.

RabbitMQ's checks in RabbitMQ's order; what is wrong is raised with RabbitMQ's text. Nothing is
changed here.
"""

from __future__ import annotations

from typing import NamedTuple

from broker.core.arguments import (
    QUEUE_ARGUMENTS_COMPARED,
    check_equivalent,
    check_exchange_arguments,
    check_queue_arguments,
    check_queue_properties,
    check_same,
)
from broker.core.exchange import Exchange, exchange_type
from broker.core.exchanges.deduplication import check_cache_arguments
from broker.core.queue import Queue
from protocol.errors import PreconditionFailed, ResourceLocked
from protocol.tables import Table


class ExchangeDeclaration(NamedTuple):
    """What exchange.declare says; ``described`` is how texts name the exchange."""

    described: str
    name: str
    kind: str
    durable: bool
    auto_delete: bool
    internal: bool
    arguments: Table

    def check_same(self, current: Exchange) -> None:
        """It exists already: it has to be the same."""
        check_same("type", self.described, self.kind, current.type)
        check_same("durable", self.described, self.durable, current.durable)
        check_same("auto_delete", self.described, self.auto_delete, current.auto_delete)
        check_same("internal", self.described, self.internal, current.internal)
        check_equivalent(("alternate-exchange",), self.described, self.arguments, current.arguments)

    def make(self) -> Exchange:
        """A new one: its arguments have to be in order."""
        made = exchange_type(self.kind)
        check_exchange_arguments(self.described, self.arguments)
        made.check_arguments(self.arguments)
        exchange = made(
            self.name,
            durable=self.durable,
            auto_delete=self.auto_delete,
            internal=self.internal,
            arguments=self.arguments,
        )
        if exchange.deduplicates:
            check_cache_arguments(self.arguments)
        return exchange


class QueueDeclaration(NamedTuple):
    """What queue.declare says on a connection; ``described`` is how texts name the queue."""

    described: str
    durable: bool
    exclusive: bool
    auto_delete: bool
    arguments: Table
    connection: object

    @property
    def owner(self) -> object | None:
        """The connection that the queue is to belong to."""
        return self.connection if self.exclusive else None

    def check_same(self, current: Queue) -> None:
        """It exists already: it has to be the same."""
        # Exclusive first: a difference there is 405, whatever else differs.
        check_owner(current, self.owner, exactly=True)
        if not self.exclusive:
            check_same("durable", self.described, self.durable, current.durable)
        check_same("auto_delete", self.described, self.auto_delete, current.auto_delete)
        check_equivalent(
            QUEUE_ARGUMENTS_COMPARED, self.described, self.arguments, current.arguments
        )

    def check_new(self, *, generated: bool) -> None:
        """It is to be made: its arguments and properties have to be in order."""
        queue_type = check_queue_arguments(self.described, self.arguments)
        if generated and queue_type != "classic":
            raise PreconditionFailed(
                f"Cannot declare a server-named queue for type rabbit_{queue_type}_queue"
            )
        check_queue_properties(
            self.described,
            queue_type,
            durable=self.durable,
            exclusive=self.exclusive,
            auto_delete=self.auto_delete,
        )


def check_owner(queue: Queue, connection: object | None, *, exactly: bool = False) -> None:
    """Raise ``ResourceLocked`` for another connection's exclusive queue.

    ``exactly``: also for one that should be exclusive and is not.
    """
    if queue.owner is not connection and (exactly or queue.owner is not None):
        raise ResourceLocked(
            f"cannot obtain exclusive access to locked {queue}. It could be originally declared "
            "on another connection or the exclusive property value does not match that of the "
            "original declaration."
        )
