"""A message as queues hold it. Who may write what: nothing changes after creation but ``batch``.

One ``Message`` is shared by all queues it was routed to; what differs by queue (redelivered,
delivery count) is kept by the queue.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocol.content import headers_of, with_properties
from protocol.tables import Field

HAS_TTL = 1 << 40


class Message:
    """A stored message.

    ``id``            grows with arrival, never reused: it is the order of every queue
    ``address``       exchange and routing key it was published to, as two short strings; then
                      the keys of its BCC, which nobody is shown (``with_blind_copies``)
    ``content``       content header frame and body frame, see ``protocol.content``
    ``size``          octets of body
    ``published_ms``  when it reached the broker, milliseconds since the epoch
    ``ttl_ms``        its own expiration, -1 for none
    ``priority``      its priority property, 0 for none
    ``batch``         the log batch that holds it, 0 for a message that is not logged
    """

    __slots__ = (
        "address",
        "batch",
        "content",
        "id",
        "priority",
        "published_ms",
        "size",
        "ttl_ms",
    )

    def __init__(
        self,
        message_id: int,
        address: bytes,
        content: bytes,
        size: int,
        published_ms: int,
        ttl_ms: int,
        priority: int,
        batch: int,
    ) -> None:
        self.id = message_id
        self.address = address
        self.content = content
        self.size = size
        self.published_ms = published_ms
        self.ttl_ms = ttl_ms
        self.priority = priority
        self.batch = batch

    def with_header(self, name: str, value: int) -> Message:
        """A copy whose headers table has one entry more, of the type long."""
        headers = headers_of(self.content) | {name: Field("l", value)}
        return Message(
            self.id,
            self.address,
            with_properties(self.content, {"headers": headers}),
            self.size,
            self.published_ms,
            self.ttl_ms,
            self.priority,
            self.batch,
        )

    @property
    def detail(self) -> int:
        """What the log tells of it without reading its content; see ``detail_of``."""
        return detail_of(self.size, self.priority, self.ttl_ms)

    @property
    def exchange(self) -> str:
        """Name of the exchange it was published to."""
        return self.address[1 : 1 + self.address[0]].decode("utf-8", "surrogateescape")

    @property
    def routing_key(self) -> str:
        """Routing key it was published with."""
        start = 2 + self.address[0]
        return self.address[start : _shown_length(self.address)].decode("utf-8", "surrogateescape")

    @property
    def blind_copies(self) -> list[str]:
        """More routing keys it was published with."""
        keys, address, position = [], self.address, _shown_length(self.address)
        while position < len(address):
            end = position + 4 + int.from_bytes(address[position : position + 4], "big")
            keys.append(address[position + 4 : end].decode("utf-8", "surrogateescape"))
            position = end
        return keys


def with_blind_copies(address: bytes, keys: Iterable[str]) -> bytes:
    """An address that also has these keys."""
    octets = [key.encode("utf-8", "surrogateescape") for key in keys]
    return address + b"".join(len(key).to_bytes(4, "big") + key for key in octets)


def shown_address(address: bytes) -> bytes:
    """The part of an address that clients are shown."""
    return address[: _shown_length(address)]


def _shown_length(address: bytes) -> int:
    key_at = 1 + address[0]
    return key_at + 1 + address[key_at]


def detail_of(size: int, priority: int, ttl_ms: int) -> int:
    """Size of the body, priority and whether there is an expiration, in one integer.

    It is the size alone for a message with neither. A size has at most 32 bits, a priority 8.
    """
    return size | priority << 32 | (HAS_TTL if ttl_ms >= 0 else 0)
