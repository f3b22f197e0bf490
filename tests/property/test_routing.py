"""Routing: cached equals fresh, and each kind equals its rule written as a loop or a recursion."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from broker.core.headers import HeadersMatch
from broker.core.topic import TopicTrie
from protocol.tables import table
from tests.frames import channel_open, commands_in, message, method, publish
from tests.reference.routing import (
    PlainExchange,
    Topology,
    headers_match,
    words,
    words_match,
)
from tests.world import Client, World

KEYS = ["", "a", "b", "a.b", "a.b.c", "#"]
PATTERNS = ["a", "", "#", "*", "a.*", "a.#", "#.b", "*.b.#"]
VALUES: list[Any] = [None, 1, 2, 1.0, True, "x", ""]
HEADERS = st.dictionaries(st.sampled_from(["a", "b", "x-c"]), st.sampled_from(VALUES), max_size=3)

word = st.sampled_from(["a", "b", "", "*", "#", "é"])
keys = st.lists(word, max_size=6).map(".".join)


@given(st.lists(keys, max_size=8), keys, st.data())
def test_topic_trie_equals_the_recursive_rule(
    patterns: list[str], key: str, data: st.DataObject
) -> None:
    """Whatever was added and removed, a key finds the patterns that match it word by word."""
    trie: TopicTrie[int] = TopicTrie()
    for number, pattern in enumerate(patterns):
        trie.add(pattern, number)
    kept = dict(enumerate(patterns))
    for number in range(len(patterns)):
        if data.draw(st.booleans()):
            trie.remove(kept.pop(number), number)
    expected = {n for n, pattern in kept.items() if words_match(words(pattern), words(key))}
    assert set(trie.match(key)) == expected


@given(
    HEADERS,
    st.sampled_from([None, "all", "any", "all-with-x", "any-with-x"]),
    HEADERS,
)
def test_headers_exchange_equals_the_rule(
    wanted: dict[str, Any], mode: str | None, headers: dict[str, Any]
) -> None:
    """The four modes of matching agree with their definition."""
    arguments = wanted if mode is None else {**wanted, "x-match": mode}
    found = HeadersMatch(table(arguments)).matches(table(headers))
    assert found == headers_match(arguments, headers)


EXCHANGES = {"d": "direct", "f": "fanout", "t": "topic", "h": "headers", "alt": "fanout"}
QUEUES = ["a", "b", "c"]


@st.composite
def changes(draw: st.DrawFn) -> tuple[Any, ...]:
    """One change of topology, or none."""
    kind = draw(st.sampled_from(["bind", "bind", "bind", "unbind", "queue", "exchange", "none"]))
    if kind in ("bind", "unbind"):
        arguments = draw(HEADERS.map(lambda h: {k: v for k, v in h.items() if v is not None}))
        if draw(st.booleans()):
            arguments = {**arguments, "x-match": draw(st.sampled_from(["any", "all"]))}
        source = draw(st.sampled_from(sorted(EXCHANGES)))
        to_queue = draw(st.integers(0, 3)) > 0
        destination = draw(st.sampled_from(QUEUES if to_queue else sorted(EXCHANGES)))
        return (
            kind,
            source,
            "queue" if to_queue else "exchange",
            destination,
            draw(st.sampled_from(PATTERNS)),
            arguments,
        )
    if kind == "queue":
        return (kind, draw(st.sampled_from(QUEUES)))
    if kind == "exchange":
        return (kind, draw(st.sampled_from(sorted(EXCHANGES))))
    return (kind,)


def _written(binding: tuple[Any, ...]) -> str:
    """What tells bindings apart: Python would say that 1 and True are equal."""
    *rest, arguments = binding
    return repr((rest, sorted(arguments.items())))


class Twins:
    """The broker and the plain topology, changed alike."""

    def __init__(self) -> None:
        self.world = World(segment_bytes=1 << 20)
        self.client: Client = self.world.connect()
        self.plain = Topology({"": PlainExchange("direct")})
        self.unread = channel_open(1)
        for name in EXCHANGES:
            self.declare_exchange(name)
        for name in QUEUES:
            self.declare_queue(name)
        self.change(("bind", "h", "queue", "b", "", {"a": 1}))
        self.change(("bind", "t", "exchange", "h", "a.#", {}))
        self.change(("bind", "f", "exchange", "d", "", {}))
        self.change(("bind", "f", "queue", "c", "", {}))
        self.read()
        self.world.run()
        self.client.said()
        self.published = 0

    def tell(self, command: Any) -> None:
        """Say something on channel 1, in the next read."""
        self.unread += method(1, command)

    def declare_exchange(self, name: str) -> None:
        """The exchange `d` has the alternate `alt`, the others have none."""
        arguments = {"alternate-exchange": "alt"} if name == "d" else {}
        kind = EXCHANGES[name]
        self.tell(commands.Exchange.Declare(exchange=name, exchange_type=kind, arguments=arguments))
        self.plain.exchanges[name] = PlainExchange(kind, alternate="alt" if name == "d" else None)

    def declare_queue(self, name: str) -> None:
        """A queue that is gone comes back without its bindings."""
        self.tell(commands.Queue.Declare(queue=name))
        self.plain.queues.add(name)

    def change(self, change: tuple[Any, ...]) -> None:
        """Apply a change to both; what is missing is declared first."""
        plain = self.plain
        if change[0] == "queue" and change[1] in plain.queues:
            self.tell(commands.Queue.Delete(queue=change[1]))
            plain.queues.discard(change[1])
            plain.bindings = [b for b in plain.bindings if b[1:3] != ("queue", change[1])]
        elif change[0] == "exchange" and change[1] in plain.exchanges:
            name = change[1]
            self.tell(commands.Exchange.Delete(exchange=name))
            del plain.exchanges[name]
            plain.bindings = [
                b for b in plain.bindings if b[0] != name and b[1:3] != ("exchange", name)
            ]
        elif change[0] in ("bind", "unbind"):
            self.change_binding(*change)

    def change_binding(self, kind: str, *binding: Any) -> None:
        """Bind or unbind, with both ends there."""
        source, to, destination, key, arguments = binding
        for name in (source, destination if to == "exchange" else source):
            if name not in self.plain.exchanges:
                self.declare_exchange(name)
        if to == "queue" and destination not in self.plain.queues:
            self.declare_queue(destination)
        classes = {
            ("bind", "queue"): commands.Queue.Bind,
            ("unbind", "queue"): commands.Queue.Unbind,
            ("bind", "exchange"): commands.Exchange.Bind,
            ("unbind", "exchange"): commands.Exchange.Unbind,
        }
        named = {"queue": destination, "exchange": source}
        if to == "exchange":
            named = {"destination": destination, "source": source}
        self.tell(classes[kind, to](**named, routing_key=key, arguments=arguments))
        others = [each for each in self.plain.bindings if _written(each) != _written(binding)]
        self.plain.bindings[:] = others
        if kind == "bind":
            self.plain.bindings.append(binding)

    def publish(self, exchange: str, key: str, headers: dict[str, Any]) -> bytes:
        """Publish in the next read; the body says how often something was published."""
        self.published += 1
        octets = b"|%d" % self.published
        properties = {"headers": headers} if headers else {}
        self.unread += publish(1, exchange, key) + message(1, octets, **properties)
        return octets

    def read(self) -> None:
        """Have the broker read what was said, in one piece."""
        octets, self.unread = self.unread, b""
        self.client.feed(octets)

    def holding(self, octets: bytes) -> set[str]:
        """The names of the queues that hold a message of this body."""
        return {
            name
            for name, queue in self.world.broker.vhosts["/"].queues.items()
            for stored in queue.backlog
            if stored.content.endswith(octets + b"\xce")
        }


@settings(max_examples=150)
@given(st.data())
def test_cached_routing_equals_fresh_routing(data: st.DataObject) -> None:
    """F1, F2: with changes of topology between any two publishes, also in one read, each message
    reaches the queues that the rules say for the topology at that moment."""
    twins = Twins()
    used: list[tuple[str, str, dict[str, Any]]] = []
    for _ in range(data.draw(st.integers(1, 20))):
        if used and data.draw(st.integers(0, 2)):
            exchange, key, headers = data.draw(st.sampled_from(used))
            target = (exchange, key, data.draw(st.sampled_from([headers, {}, {"a": 1}])))
        else:
            target = (
                data.draw(st.sampled_from(["", *sorted(EXCHANGES)])),
                data.draw(st.sampled_from([*KEYS, *QUEUES])),
                data.draw(HEADERS),
            )
            used.append(target)
        if data.draw(st.booleans()):
            twins.read()
        if target[0] in twins.plain.exchanges:
            twins.publish(*target)  # leaves a route that the change may void
        twins.change(data.draw(changes()))
        if target[0] and target[0] not in twins.plain.exchanges:
            twins.declare_exchange(target[0])
        octets = twins.publish(*target)
        twins.read()
        assert twins.holding(octets) == twins.plain.route(*target)
        if data.draw(st.booleans()):
            twins.world.run()
    twins.world.run()
    names = {type(command) for _, command in commands_in([twins.client.said()])}
    assert commands.Channel.Close not in names
    assert commands.Connection.Close not in names
