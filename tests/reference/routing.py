"""Where a message goes, written down as the rules are told: recursion and loops, nothing cached."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Binding = tuple[str, str, str, str, dict[str, Any]]
"""Source, kind of destination (queue or exchange), destination, key, arguments."""


@dataclass
class Topology:
    """Exchanges, bindings and queues, by name."""

    exchanges: dict[str, "PlainExchange"] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    queues: set[str] = field(default_factory=set)

    def route(
        self, exchange: str, key: str, headers: dict[str, Any], more_keys: Iterable[str] = ()
    ) -> set[str]:
        """The names of the queues a message reaches; CC and BCC give it more keys."""
        return self._reach(exchange, {key, *more_keys}, headers, set())

    def _reach(
        self, name: str, keys: set[str], headers: dict[str, Any], seen: set[str]
    ) -> set[str]:
        if name in seen or name not in self.exchanges:
            return set()
        seen.add(name)
        if name == "":
            return keys & self.queues
        exchange = self.exchanges[name]
        reached: set[str] = set()
        matched = False
        for source, kind, destination, binding_key, arguments in self.bindings:
            if source == name and any(
                matches(exchange.type, binding_key, arguments, key, headers) for key in keys
            ):
                matched = True
                if kind == "queue":
                    reached.add(destination)
                else:
                    reached |= self._reach(destination, keys, headers, seen)
        if not matched and exchange.alternate is not None:
            reached |= self._reach(exchange.alternate, keys, headers, seen)
        return reached


@dataclass
class PlainExchange:
    """An exchange as its properties."""

    type: str
    durable: bool = False
    auto_delete: bool = False
    alternate: str | None = None


def matches(
    exchange_type: str,
    binding_key: str,
    arguments: dict[str, Any],
    key: str,
    headers: dict[str, Any],
) -> bool:
    """Whether a message takes a binding of an exchange of this type."""
    if exchange_type == "fanout":
        return True
    if exchange_type == "direct":
        return binding_key == key
    if exchange_type == "topic":
        return words_match(words(binding_key), words(key))
    return headers_match(arguments, headers)


def words(key: str) -> list[str]:
    """The words of a key; the empty key has none."""
    return key.split(".") if key else []


def words_match(pattern: list[str], key: list[str]) -> bool:
    """Topic matching by its definition: `*` is one word, `#` is none or more."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(words_match(pattern[1:], key[skipped:]) for skipped in range(len(key) + 1))
    return bool(key) and pattern[0] in ("*", key[0]) and words_match(pattern[1:], key[1:])


def headers_match(arguments: dict[str, Any], headers: dict[str, Any]) -> bool:
    """Headers matching by its definition, for plain values; None asks for presence only."""
    mode = arguments.get("x-match", "all")
    wanted = {name: value for name, value in arguments.items() if name != "x-match"}
    if not mode.endswith("-with-x"):
        wanted = {name: value for name, value in wanted.items() if not name.startswith("x-")}
    hits = []
    for name, value in wanted.items():
        present = name in headers
        same = present and headers[name] == value
        same = same and isinstance(headers[name], bool) == isinstance(value, bool)
        hits.append(present and (value is None or same))
    return all(hits) if mode.startswith("all") else any(hits)
