"""Exchanges: which destinations a routing key and headers select. Routing is pure.

An ``Exchange`` owns the bindings of which it is the source; each kind keeps them in the
structure its rule needs. A destination is a queue or another exchange; the walk over
exchanges, alternate exchanges included, is ``Vhost.route``.

Kinds are found by name in ``EXCHANGE_TYPES``; a kind is a class with ``add``, ``remove`` and
``match``, and may check its bindings' and its own arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from broker.core.headers import HeadersMatch, check_match_argument
from broker.core.topic import TopicTrie
from protocol.tables import Table, encode_table

if TYPE_CHECKING:
    from broker.core.queue import Queue

NO_ARGUMENTS = encode_table({})


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


class Exchange:
    """What all kinds share: properties, the set of bindings, where unroutable messages go."""

    type: ClassVar[str]
    uses_headers: ClassVar[bool] = False  # then the route of a message cannot be cached by key

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
        self.bindings: dict[tuple[bool, str, str, bytes], Binding] = {}
        self.incoming: dict[Binding, None] = {}  # bindings that lead here
        alternate = self.arguments.get("alternate-exchange")
        self.alternate: str | None = alternate.value.decode() if alternate else None

    @staticmethod
    def check_binding(routing_key: str, arguments: Table) -> None:
        """Raise ``PreconditionFailed`` for a binding this kind cannot hold."""

    def add(self, binding: Binding) -> None:
        """Index a new binding."""
        raise NotImplementedError

    def remove(self, binding: Binding) -> None:
        """Drop a binding that ``add`` indexed."""
        raise NotImplementedError

    def match(self, routing_key: str, headers: Table) -> Iterable[Binding]:
        """The bindings a message takes; one may come twice."""
        raise NotImplementedError


class DirectExchange(Exchange):
    """The routing key equals the binding key."""

    type = "direct"

    def __init__(self, name: str, **properties: object) -> None:
        super().__init__(name, **properties)  # type: ignore[arg-type]
        self._by_key: dict[str, dict[Binding, None]] = {}

    def add(self, binding: Binding) -> None:
        self._by_key.setdefault(binding.routing_key, {})[binding] = None

    def remove(self, binding: Binding) -> None:
        bindings = self._by_key[binding.routing_key]
        del bindings[binding]
        if not bindings:
            del self._by_key[binding.routing_key]

    def match(self, routing_key: str, headers: Table) -> Iterable[Binding]:
        return self._by_key.get(routing_key, ())


class FanoutExchange(Exchange):
    """Every binding, whatever the key."""

    type = "fanout"

    def add(self, binding: Binding) -> None:
        """``bindings`` is the index."""

    def remove(self, binding: Binding) -> None:
        """``bindings`` is the index."""

    def match(self, routing_key: str, headers: Table) -> Iterable[Binding]:
        return self.bindings.values()


class TopicExchange(Exchange):
    """The routing key's words match the binding's pattern."""

    type = "topic"

    def __init__(self, name: str, **properties: object) -> None:
        super().__init__(name, **properties)  # type: ignore[arg-type]
        self._trie: TopicTrie[Binding] = TopicTrie()

    def add(self, binding: Binding) -> None:
        self._trie.add(binding.routing_key, binding)

    def remove(self, binding: Binding) -> None:
        self._trie.remove(binding.routing_key, binding)

    def match(self, routing_key: str, headers: Table) -> Iterable[Binding]:
        return self._trie.match(routing_key)


class HeadersExchange(Exchange):
    """The message's headers match the binding's arguments, see ``broker.core.headers``."""

    type = "headers"
    uses_headers = True

    def __init__(self, name: str, **properties: object) -> None:
        super().__init__(name, **properties)  # type: ignore[arg-type]
        self._rules: dict[Binding, HeadersMatch] = {}

    @staticmethod
    def check_binding(routing_key: str, arguments: Table) -> None:
        check_match_argument(arguments)

    def add(self, binding: Binding) -> None:
        self._rules[binding] = HeadersMatch(binding.arguments)

    def remove(self, binding: Binding) -> None:
        del self._rules[binding]

    def match(self, routing_key: str, headers: Table) -> Iterable[Binding]:
        return [binding for binding, rule in self._rules.items() if rule.matches(headers)]


EXCHANGE_TYPES: dict[str, type[Exchange]] = {
    kind.type: kind for kind in (DirectExchange, FanoutExchange, TopicExchange, HeadersExchange)
}
