"""The exchange types of the AMQP specification: direct, fanout, topic, headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from broker.core.exchange import Binding, Envelope, Exchange
from broker.core.headers import HeadersMatch, check_match_argument
from broker.core.topic import TopicTrie

if TYPE_CHECKING:
    from broker.core.queue import Queue
    from protocol.tables import Table


class DirectExchange(Exchange):
    """The routing key equals the binding key."""

    type = "direct"

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        self._by_key: dict[str, dict[Binding, None]] = {}

    def add(self, binding: Binding) -> None:
        """See ``Exchange``."""
        self._by_key.setdefault(binding.routing_key, {})[binding] = None

    def remove(self, binding: Binding) -> None:
        """See ``Exchange``."""
        bindings = self._by_key[binding.routing_key]
        del bindings[binding]
        if not bindings:
            del self._by_key[binding.routing_key]

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        for key in envelope.keys:
            for binding in self._by_key.get(key, ()):
                yield binding.destination


class FanoutExchange(Exchange):
    """Every binding, whatever the key."""

    type = "fanout"

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        return [binding.destination for binding in self.bindings.values()]


class TopicExchange(Exchange):
    """The routing key's words match the binding's pattern."""

    type = "topic"

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        self._trie: TopicTrie[Binding] = TopicTrie()

    def add(self, binding: Binding) -> None:
        """See ``Exchange``."""
        self._trie.add(binding.routing_key, binding)

    def remove(self, binding: Binding) -> None:
        """See ``Exchange``."""
        self._trie.remove(binding.routing_key, binding)

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        for key in envelope.keys:
            for binding in self._trie.match(key):
                yield binding.destination


class HeadersExchange(Exchange):
    """The message's headers match the binding's arguments, see ``broker.core.headers``."""

    type = "headers"
    cacheable = False

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        self._rules: dict[Binding, HeadersMatch] = {}

    def check_binding(self, destination: Queue | Exchange, key: str, arguments: Table) -> None:
        """See ``Exchange``."""
        check_match_argument(arguments)

    def add(self, binding: Binding) -> None:
        """See ``Exchange``."""
        self._rules[binding] = HeadersMatch(binding.arguments)

    def remove(self, binding: Binding) -> None:
        """See ``Exchange``."""
        del self._rules[binding]

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        headers = envelope.headers
        for binding, rule in self._rules.items():
            if rule.matches(headers):
                yield binding.destination
