"""Exchanges: what all kinds share. The kinds themselves are in ``broker.core.exchanges``.

An ``Exchange`` owns the bindings of which it is the source; each kind keeps them in the
structure its rule needs, and answers with ``destinations`` where a message goes from here. A
destination is a queue or another exchange; the walk over exchanges, alternate exchanges
included, is ``Vhost.route``.

A kind that keeps messages for itself has ``stores``: queues no client sees, which are among
the destinations of what they are to keep (see ``broker.core.store``).

A kind is known by its name in ``EXCHANGE_TYPES`` from when its module is imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from broker.core.counters import Publishes
from protocol.content import decode_properties, header_payload
from protocol.errors import CommandInvalid
from protocol.tables import Field, Table, encode_table

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.exchanges.deduplication import SeenStore
    from broker.core.exchanges.delayed import DelayStore
    from broker.core.queue import Queue
    from broker.core.store import Store
    from broker.core.vhost import Vhost

NO_ARGUMENTS = encode_table({})
EXCHANGE_TYPES: dict[str, type[Exchange]] = {}


def exchange_type(name: str) -> type[Exchange]:
    """The kind of that name, or ``CommandInvalid``."""
    kind = EXCHANGE_TYPES.get(name)
    if kind is None:
        # RabbitMQ knows the word if some module of it happens to use it.
        known = name.replace("-", "").replace("_", "").isalnum() and name.islower()
        raise CommandInvalid(f"{'unknown' if known else 'invalid'} exchange type '{name}'")
    return kind


class Binding:
    """One binding. Two are the same if source, destination, key and arguments are."""

    __slots__ = ("arguments", "destination", "identity", "routing_key", "source")

    def __init__(
        self,
        source: Exchange,
        destination: Queue | Exchange,
        routing_key: str,
        arguments: Table,
    ) -> None:
        self.source = source
        self.destination = destination
        self.routing_key = routing_key
        self.arguments = arguments
        self.identity = (
            isinstance(destination, Exchange),
            destination.name,
            routing_key,
            encode_table(dict(sorted(arguments.items()))) if arguments else NO_ARGUMENTS,
        )

    @property
    def durable(self) -> bool:
        """A binding survives a restart if both its ends do."""
        return self.source.durable and self.destination.durable


class Envelope:
    """What exchanges look at in a message: its keys, and its properties once one asks.

    ``keys`` are the routing key and what CC and BCC add, ``properties`` what the content has.
    """

    __slots__ = ("_properties", "broker", "content", "keys")

    def __init__(
        self,
        broker: Broker,
        keys: tuple[str, ...],
        content: bytes,
        properties: dict[str, Any] | None = None,
    ) -> None:
        self.broker = broker
        self.keys = keys
        self.content = content
        self._properties = properties

    @property
    def properties(self) -> dict[str, Any]:
        """The properties, see ``decode_properties``."""
        if self._properties is None:
            self._properties = decode_properties(header_payload(self.content))
        return self._properties

    @property
    def headers(self) -> Table:
        """The headers table, empty if there is none."""
        headers: Table = self.properties.get("headers", {})
        return headers


class Exchange:
    """Properties, the set of bindings, where unroutable messages go."""

    type: ClassVar[str]
    cacheable = True  # the routing key alone decides, and routing changes nothing
    always_delays = False  # otherwise a policy says whether x-delay is honoured
    store_count = 0  # how many ``stores`` the exchange needs

    def __init_subclass__(cls) -> None:
        EXCHANGE_TYPES[cls.type] = cls

    def __init__(
        self,
        name: str,
        *,
        durable: bool,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Table | None = None,
    ) -> None:
        self.name = name
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = arguments or {}
        self.predeclared = False  # every vhost has it: never logged, never deleted
        self.publishes = Publishes()
        self.bindings: dict[tuple[bool, str, str, bytes], Binding] = {}
        self.incoming: dict[Binding, None] = {}  # bindings that lead here
        self.stores: tuple[Store, ...] = ()
        # What may happen before routing, see ``broker.core.intake``; both stores are in ``stores``.
        self.delays = self.always_delays  # x-delay is honoured
        self.delayed: DelayStore | None = None
        self.deduplicates = self.arguments.get("x-message-deduplication") == Field("t", True)
        self.seen: SeenStore | None = None
        self.first_store_id = 0  # stores have queue ids in a row from here
        alternate = self.arguments.get("alternate-exchange")
        self.alternate: str | None = alternate.value.decode() if alternate else None

    @staticmethod
    def check_arguments(arguments: Table) -> None:
        """Raise ``PreconditionFailed`` for arguments this kind cannot be declared with."""

    def check_binding(self, destination: Queue | Exchange, key: str, arguments: Table) -> None:
        """Raise ``PreconditionFailed`` for a binding this kind cannot hold."""

    def open_stores(self, vhost: Vhost) -> None:
        """Make ``stores``; the exchange has come into being."""

    def add(self, binding: Binding) -> None:
        """Index a new binding, which is in ``bindings`` already."""

    def remove(self, binding: Binding) -> None:
        """Drop a binding that ``add`` indexed, and that is no more in ``bindings``."""

    def bound(self, vhost: Vhost, binding: Binding) -> None:
        """A client has made this binding: not called when a binding is recovered."""

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """Where a message goes from here; a destination may come twice."""
        raise NotImplementedError
