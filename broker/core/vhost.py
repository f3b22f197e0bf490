"""A virtual host: names of exchanges and queues, what clients may do with them, routing.

Each operation checks in RabbitMQ's order and raises with RabbitMQ's text; what passes is
stated as an operation (``broker.core.operations``) and applied. ``generation`` counts changes
of topology: routes resolved under another generation are void.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from broker.core import routing
from broker.core.arguments import check_name
from broker.core.counters import Deliveries, Publishes
from broker.core.declarations import ExchangeDeclaration, QueueDeclaration, check_owner
from broker.core.exchange import Binding, Envelope, Exchange, exchange_type
from broker.core.exchanges import predeclared
from broker.core.operations import Operation, binding_operation, declare_exchange_operation
from broker.core.permissions import Permissions
from broker.core.policies import Policies
from broker.core.queue import Queue
from broker.core.reply import ReplyQueue
from broker.core.vhost_settings import check_queue_limit, with_queue_type
from protocol.errors import (
    AccessRefused,
    NotFound,
    PreconditionFailed,
)
from protocol.tables import Table

if TYPE_CHECKING:
    from broker.core.broker import Broker


def _allowed() -> None:
    """Nobody objects."""


class Vhost:
    """See the module."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker = broker
        self.name = name
        self.generation = 0
        self._cacheable: dict[Exchange, bool] = {}  # what was worked out at ``_cacheable_at``
        self._cacheable_at = 0
        self.tracing = False  # see ``broker.amqp.firehose``
        self.queues: dict[str, Queue] = {}
        self.exchanges: dict[str, Exchange] = {}
        self.replies: dict[str, ReplyQueue] = {}  # direct reply-to, by address
        self._owned: dict[object, dict[Queue, None]] = {}  # exclusive queues by their connection
        self.policies = Policies("policy")
        self.operator_policies = Policies("operator_policy")
        self.permissions = Permissions()
        self.parameters: dict[tuple[str, str], Any] = {}  # by component and name
        self.description = ""
        self.tags: tuple[str, ...] = ()
        self.protected = False  # from deletion
        self.limits: dict[str, int] = {}
        self.default_queue_type: str | None = None
        self.retired_deliveries = Deliveries()  # of queues that are gone
        self.retired_publishes = Publishes()  # of exchanges that are gone
        self.connections = 0  # open ones, which a limit may bound
        self.exchanges.update((exchange.name, exchange) for exchange in predeclared())
        self.default_exchange = self.exchanges[""]

    # -- routing -----------------------------------------------------------------------

    def route(
        self,
        exchange: Exchange,
        routing_key: str,
        content: bytes,
        more_keys: Iterable[str] = (),
        properties: dict[str, Any] | None = None,
    ) -> list[Queue]:
        """The queues a message reaches, see ``broker.core.routing``.

        ``more_keys`` are those of CC and BCC; ``properties`` those of the content, if they were
        decoded already. Called once a message: some exchanges take note.
        """
        envelope = Envelope(self.broker, (routing_key, *more_keys), content, properties)
        return routing.route(self, exchange, envelope)

    def is_cacheable(self, exchange: Exchange) -> bool:
        """Whether the key alone decides a route from here."""
        if self._cacheable_at != self.generation:
            self._cacheable_at = self.generation
            self._cacheable.clear()
        known = self._cacheable.get(exchange)
        if known is None:
            known = self._cacheable[exchange] = routing.is_cacheable(self, exchange)
        return known

    def trace(self, *, on: bool) -> None:
        """Switch the firehose; routes resolved before know nothing of it."""
        self.tracing = on
        self.generation += 1

    # -- exchanges ---------------------------------------------------------------------

    def exchange(self, name: str) -> Exchange:
        """The exchange of that name, or ``NotFound``."""
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise NotFound(f"no exchange '{name}' in vhost '{self.name}'")
        return exchange

    def _describe(self, exchange: str) -> str:
        return f"exchange '{exchange}' in vhost '{self.name}'"

    def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
        before_new: Callable[[], None] = _allowed,
    ) -> None:
        """exchange.declare: create it, or check that what exists is the same.

        ``before_new`` may still object, when all is checked but the arguments of a new one.
        """
        wanted = ExchangeDeclaration(
            self._describe(name), name, kind, durable, auto_delete, internal, arguments
        )
        exchange_type(kind)  # an unknown one is wrong whatever exists
        if name in self.exchanges:
            wanted.check_same(self.exchanges[name])
            return
        check_name("exchange", name)
        before_new()
        self.broker.limits.check_exchange(self.broker, wanted.described)
        exchange = wanted.make()
        exchange.first_store_id = self.broker.next_queue_id
        self.broker.change(declare_exchange_operation(self.name, exchange), durable=durable)

    def check_deletable(self, name: str) -> None:
        """Raise ``AccessRefused`` for a predeclared exchange."""
        if name == "":
            raise AccessRefused("operation not permitted on the default exchange")
        if name.startswith("amq."):
            raise AccessRefused(f"deletion of system {self._describe(name)} not allowed")

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """exchange.delete: a missing one is no error, a predeclared one may not go."""
        self.check_deletable(name)
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.bindings:
            raise PreconditionFailed(f"{self._describe(name)} in use")
        self._drop_exchange(exchange)

    def _drop_exchange(self, exchange: Exchange) -> None:
        sources = [binding.source for binding in exchange.incoming]
        self.broker.change(
            {"op": "exchange.delete", "vhost": self.name, "name": exchange.name},
            durable=exchange.durable,
        )
        for store in exchange.stores:
            store.delete()
        self._drop_unused(sources)

    def _drop_unused(self, sources: list[Exchange]) -> None:
        """Auto-delete exchanges go when the last binding they are the source of goes."""
        for source in sources:
            if source.auto_delete and not source.bindings and source.name in self.exchanges:
                self._drop_exchange(source)

    # -- queues ------------------------------------------------------------------------

    def queue(self, name: str, owner: object | None = None) -> Queue:
        """The queue of that name for a connection, or ``NotFound`` / ``ResourceLocked``."""
        queue = self.queues.get(name)
        if queue is None:
            raise self.no_queue(name)
        check_owner(queue, owner)
        return queue

    def no_queue(self, name: str) -> NotFound:
        """The error for a queue that does not exist."""
        return NotFound(f"no queue '{name}' in vhost '{self.name}'")

    def declare_queue(
        self,
        name: str,
        *,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Table,
        owner: object,
        generated: bool = False,
        typed: bool = False,
        before_new: Callable[[], None] = _allowed,
    ) -> Queue:
        """queue.declare: create it, or check that what exists is the same.

        ``generated``: the name is the server's own, so the reserved prefix is in order. ``typed``:
        the arguments say what type it is, whatever the vhost's default.
        ``before_new`` may still object, when all is checked but the arguments of a new one.
        """
        current = self.queues.get(name)
        if not generated:
            check_name("queue", name)
        replicable = durable and not (exclusive or auto_delete or generated or typed)
        arguments = with_queue_type(self, arguments, current, replicable=replicable)
        described = f"queue '{name}' in vhost '{self.name}'"
        wanted = QueueDeclaration(described, durable, exclusive, auto_delete, arguments, owner)
        if current is not None:
            wanted.check_same(current)
            return current
        check_queue_limit(self, name)
        self.broker.limits.check_queue(self.broker, name)
        before_new()
        wanted.check_new(generated=generated)
        operation: Operation = {
            "op": "queue.declare",
            "vhost": self.name,
            "name": name,
            "id": self.broker.next_queue_id,
            "durable": durable and not exclusive,
            "auto_delete": auto_delete,
            "arguments": arguments,
        }
        self.broker.change(operation, durable=durable and not exclusive, owner=wanted.owner)
        if exclusive:
            self._owned.setdefault(owner, {})[self.queues[name]] = None
        return self.queues[name]

    def delete_queue(
        self,
        name: str,
        owner: object | None = None,
        *,
        if_unused: bool = False,
        if_empty: bool = False,
    ) -> int:
        """queue.delete: how many ready messages went with it; a missing queue is no error."""
        queue = self.queues.get(name)
        if queue is None:
            return 0
        check_owner(queue, owner)
        queue.refresh()
        if if_empty and len(queue):
            raise PreconditionFailed(f"{queue} not empty")
        if if_unused and queue.consumers:
            raise PreconditionFailed(f"{queue} in use")
        return self.drop_queue(queue)

    def drop_queue(self, queue: Queue) -> int:
        """Delete a queue for whatever reason; how many ready messages went with it."""
        if queue.deleted:
            return 0
        sources = [binding.source for binding in queue.incoming]
        self.broker.change(
            {"op": "queue.delete", "vhost": self.name, "name": queue.name},
            durable=queue.durable,
        )
        dropped = queue.delete()
        self._drop_unused(sources)
        owned = self._owned.get(queue.owner)
        if owned is not None:
            owned.pop(queue, None)
            if not owned:
                del self._owned[queue.owner]
        return dropped

    def keepers(self) -> Iterator[Queue]:
        """All that holds messages the log may hold: queues, and what exchanges keep."""
        yield from self.queues.values()
        for exchange in self.exchanges.values():
            yield from exchange.stores

    def drop_exclusive(self, owner: object) -> None:
        """A connection is gone: its exclusive queues go with it."""
        for queue in list(self._owned.get(owner, ())):
            self.drop_queue(queue)

    def open_reply(self, address: str) -> ReplyQueue:
        """A direct reply-to address comes into being."""
        self.replies[address] = queue = ReplyQueue(self.broker, self.name, address)
        self.generation += 1
        return queue

    def close_reply(self, queue: ReplyQueue) -> None:
        """Its consumer is gone."""
        if self.replies.pop(queue.name, None) is not None:
            queue.delete()
            self.generation += 1

    # -- bindings ----------------------------------------------------------------------

    def bind(
        self, source: str, destination: Queue | Exchange, routing_key: str, arguments: Table
    ) -> None:
        """queue.bind and exchange.bind; a binding that exists already is no error."""
        exchange = self.exchange(source)
        exchange.check_binding(destination, routing_key, arguments)
        binding = Binding(exchange, destination, routing_key, arguments)
        if binding.identity not in exchange.bindings:
            self.broker.change(
                binding_operation("bind", self.name, binding), durable=binding.durable
            )
            exchange.bound(self, binding)

    def unbind(
        self, source: str, destination: Queue | Exchange, routing_key: str, arguments: Table
    ) -> None:
        """queue.unbind and exchange.unbind; a binding that is missing is no error."""
        binding = self.binding(source, destination, routing_key, arguments)
        if binding is not None:
            self.broker.change(
                binding_operation("unbind", self.name, binding), durable=binding.durable
            )
            self._drop_unused([binding.source])

    def binding(
        self, source: str, destination: Queue | Exchange, routing_key: str, arguments: Table
    ) -> Binding | None:
        """The binding, if there is such a one."""
        exchange = self.exchanges.get(source)
        if exchange is None:
            return None
        binding = Binding(exchange, destination, routing_key, arguments)
        return binding if binding.identity in exchange.bindings else None
