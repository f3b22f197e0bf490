"""Exchanges that spread messages over their bindings by a hash, one destination a message.

``x-consistent-hash``: the binding key is the destination's weight. What is hashed is the
routing key, or a header or property named by an argument. Where a message goes depends on
nothing but the set of destinations and their weights: the order of binding, and restarts,
change nothing, and a destination that comes or goes takes or leaves only its own share.

``x-modulus-hash``: the routing key's hash modulo the number of bindings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from math import log
from typing import TYPE_CHECKING, Any

from broker.core.exchange import Binding, Envelope, Exchange
from protocol.errors import PreconditionFailed
from protocol.methods import erlang_binary
from protocol.tables import encode_field

if TYPE_CHECKING:
    from broker.core.queue import Queue
    from protocol.tables import Table

_INTEGER = re.compile(r"[+-]?[0-9]+")
_HASH_PROPERTIES = ("correlation_id", "message_id", "timestamp")
_MASK = (1 << 64) - 1


def _hash(octets: bytes) -> int:
    return int.from_bytes(blake2b(octets, digest_size=8).digest(), "little")


def _octets(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


class _Share:
    """One destination on a consistent hash exchange, with the bindings that lead to it."""

    __slots__ = ("bindings", "destination", "seed")

    def __init__(self, destination: Queue | Exchange) -> None:
        self.destination = destination
        self.bindings: dict[Binding, None] = {}
        kind = b"x" if isinstance(destination, Exchange) else b"q"
        self.seed = _hash(kind + _octets(destination.name))

    def distance(self, hashed: int) -> float:
        """How far a message is from here: an exponential variate whose rate is the weight.

        The least of several such variates is each one's as often as its weight says.
        """
        mixed = ((hashed ^ self.seed) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ mixed >> 31) * 0x94D049BB133111EB) & _MASK
        mixed ^= mixed >> 29
        weight = int(next(iter(self.bindings)).routing_key)
        return -log((mixed + 1) / (_MASK + 2)) / weight


class ConsistentHashExchange(Exchange):
    """See the module. A destination bound twice has the weight of its oldest binding."""

    type = "x-consistent-hash"

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        self._shares: dict[tuple[bool, str], _Share] = {}
        self._header = self._named("hash-header")
        self._property = self._named("hash-property")
        self.cacheable = self._header is None and self._property is None

    def _named(self, argument: str) -> str | None:
        value = self.arguments.get(argument)
        return None if value is None else value.value.decode("utf-8", "surrogateescape")

    @staticmethod
    def check_arguments(arguments: Table) -> None:
        """See ``Exchange``."""
        for name in ("hash-header", "hash-property"):
            if name in arguments and arguments[name].tag != "S":
                raise PreconditionFailed(f"{name} must be a string")
        if "hash-property" not in arguments:
            return
        if "hash-header" in arguments:
            raise PreconditionFailed("hash-header and hash-property are mutually exclusive")
        wanted = arguments["hash-property"].value.decode(errors="replace")
        if wanted not in _HASH_PROPERTIES:
            raise PreconditionFailed(f"Unsupported property: {wanted}")

    def check_binding(self, destination: Queue | Exchange, key: str, arguments: Table) -> None:
        """See ``Exchange``."""
        if not _INTEGER.fullmatch(key):
            shown = erlang_binary(_octets(key))
            raise PreconditionFailed(f"The binding key must be an integer: {shown}")
        if int(key) < 1:
            raise PreconditionFailed("The binding key must be greater than 0")

    def add(self, binding: Binding) -> None:
        """See ``Exchange``."""
        destination = binding.destination
        share = self._shares.setdefault(binding.identity[:2], _Share(destination))
        share.bindings[binding] = None

    def remove(self, binding: Binding) -> None:
        """See ``Exchange``."""
        share = self._shares[binding.identity[:2]]
        del share.bindings[binding]
        if not share.bindings:
            del self._shares[binding.identity[:2]]

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        if not self._shares:
            return ()
        hashed = _hash(self._hashed_on(envelope))
        nearest = min(self._shares.values(), key=lambda share: share.distance(hashed))
        return (nearest.destination,)

    def _hashed_on(self, envelope: Envelope) -> bytes:
        """Messages without the header or property are all alike."""
        if self._header is not None:
            value = envelope.headers.get(self._header)
            return b"" if value is None else encode_field(value)
        if self._property is not None:
            found = envelope.properties.get(self._property, b"")
            return found if isinstance(found, bytes) else b"%d" % found
        return _octets(envelope.keys[0])


class ModulusHashExchange(Exchange):
    """See the module. Bindings are numbered in the order of destination, then binding key."""

    type = "x-modulus-hash"

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        self._sorted: list[Binding] = []

    def add(self, binding: Binding) -> None:
        """See ``Exchange``."""
        self._sorted = [found for _, found in sorted(self.bindings.items())]

    remove = add

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        if not self._sorted:
            return ()
        place = _hash(_octets(envelope.keys[0])) % len(self._sorted)
        return (self._sorted[place].destination,)
