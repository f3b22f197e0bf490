"""One channel as the wire knows it: open or closing, and the content in progress.

Owns the assembly of a publish from its method, header and body frames. Invariants:

* A content belongs to one channel: frames of other channels may come between its own.
* A body beyond the size limit is counted and not kept, so it costs no memory.
"""

from struct import Struct

from protocol import methods
from protocol.constants import CLASS_BASIC, FRAME_BODY, FRAME_HEADER
from protocol.content import FRAME_HEAD, frame_content
from protocol.errors import UnexpectedFrame
from protocol.events import PublishReceived

# What a channel waits for.
METHOD, CONTENT_HEADER, CONTENT_BODY = range(3)

_class_and_size_at = Struct(">HHQ").unpack_from
_CLASS_AND_SIZE_OCTETS = 14  # class, weight, body size and the property flags behind them


class ChannelState:
    """See the module."""

    __slots__ = ("body", "closing", "expects", "header", "publish", "received", "size", "target")

    def __init__(self) -> None:
        self.closing = False
        self.reset()

    def reset(self) -> None:
        """Forget the content in progress."""
        self.expects = METHOD
        self.publish = b""
        self.target = ("", "", 0, b"")
        self.header = b""
        self.body: list[bytes] = []
        self.size = 0
        self.received = 0

    def begin(self, raw: bytes) -> None:
        """Take a raw basic.publish frame, whose content follows."""
        self.publish, self.target = raw, decode_publish(raw)
        self.expects = CONTENT_HEADER

    def content_frame(
        self, number: int, kind: int, payload: bytes, size_max: int
    ) -> PublishReceived | None:
        """Take the next frame of the content in progress; the publish, once it is whole."""
        if self.expects == CONTENT_HEADER:
            self._content_header(kind, payload)
        else:
            self._content_body(kind, payload, size_max)
        return self._assembled(number) if self.received == self.size else None

    def _content_header(self, kind: int, payload: bytes) -> None:
        if kind != FRAME_HEADER:
            raise UnexpectedFrame(
                f"expected content header for class {CLASS_BASIC}, "
                "got non content header frame instead"
            )
        if len(payload) < _CLASS_AND_SIZE_OCTETS:
            raise methods.frame_error(kind, payload, ": unknown_frame")
        class_id, weight, self.size = _class_and_size_at(payload)
        if class_id != CLASS_BASIC:
            raise UnexpectedFrame(
                f"expected content header for class {CLASS_BASIC}, "
                f"got one for class {class_id} instead"
            )
        if weight:  # as RabbitMQ, which matches a header of weight 0 and nothing else
            raise UnexpectedFrame(
                f"expected content header for class {CLASS_BASIC}, "
                "got non content header frame instead"
            )
        self.header = payload
        self.expects = CONTENT_BODY

    def _content_body(self, kind: int, payload: bytes, size_max: int) -> None:
        if kind != FRAME_BODY:
            raise UnexpectedFrame("expected content body, got non content body frame instead")
        self.received += len(payload)
        if max(self.received, self.size) <= size_max:
            self.body.append(payload)
        else:  # it will be refused once it is complete; until then it costs nothing
            self.body.clear()

    def _assembled(self, number: int) -> PublishReceived:
        exchange, routing_key, flags, address = self.target
        whole = PublishReceived(
            number,
            self.publish,
            exchange,
            routing_key,
            bool(flags & 1),
            bool(flags & 2),
            address,
            frame_content(number, self.header, b"".join(self.body)),
            self.size,
        )
        self.reset()
        return whole


def decode_publish(raw: bytes) -> tuple[str, str, int, bytes]:
    """Exchange, routing key, flags and address of a raw basic.publish frame, by hand.

    0.9 us where the catalogue takes 8: this is what a publish to a fresh routing key costs.
    """
    try:
        key_at = 14 + raw[13]
        flags_at = key_at + 1 + raw[key_at]
        if flags_at != len(raw) - 2:
            raise IndexError
        # Here, and only here, RabbitMQ does not ask for UTF-8: the key goes octet for octet.
        exchange = raw[14:key_at].decode("utf-8", "surrogateescape")
        routing_key = raw[key_at + 1 : flags_at].decode("utf-8", "surrogateescape")
    except IndexError:
        raise methods.undecodable(raw[FRAME_HEAD.size : -1]) from None
    return exchange, routing_key, raw[flags_at], raw[13:flags_at]
