"""A message as queues hold it. Who may write what: nothing changes after creation but ``batch``.

One ``Message`` is shared by all queues it was routed to; what differs by queue (redelivered,
delivery count) is kept by the queue.
"""

from __future__ import annotations

from protocol.content import headers_of, with_properties
from protocol.tables import Field

HAS_TTL = 1 << 40


class Message:
    """A stored message.

    ``id``            grows with arrival, never reused: it is the order of every queue
    ``address``       exchange and routing key it was published to, as two short strings
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
        return self.address[2 + self.address[0] :].decode("utf-8", "surrogateescape")


def detail_of(size: int, priority: int, ttl_ms: int) -> int:
    """Size of the body, priority and whether there is an expiration, in one integer.

    It is the size alone for a message with neither. A size has at most 32 bits, a priority 8.
    """
    return size | priority << 32 | (HAS_TTL if ttl_ms >= 0 else 0)
