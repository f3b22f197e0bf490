"""The data plane: publish, ack and deliver without building an object per frame.

This is the only code here written for speed. Everything it does, ``connection`` does too, one
frame at a time; with ``fast_path = false`` the broker runs without ``scan`` and behaves the
same. Invariants, named by the tests that hold them:

* **F1** ``routes`` maps the exact octets of one basic.publish frame (type octet to end octet)
  to what is done with the content behind it. Equal octets mean equal effect.
* **F2** An entry exists only while its channel is open, not transactional and not in the
  middle of a content, and while the topology and permissions it was resolved under stand.
  Whatever changes one of these clears the whole dict. Nothing else runs during a scan.
* **F3** ``scan`` consumes whole units only: publish + header + exactly one body frame on one
  channel, or one basic.ack. Anything else it leaves untouched, and returns where that stands.
* **F4** ``scan`` never raises and never replies. What it does not understand the slow path
  sees from its first octet, and raises the one right error.
* **F5** ``scan`` keeps no state between calls.
* **F6** What it passes on are ``bytes`` slices, never views of the receive buffer: a queued
  message pins only itself.
* **F7** Work per call is bounded by the buffer, one socket read.

Costs, on the machine of ARCHITECTURE.md's table: a publish 1.0 us of scan, an ack 0.4 us.
"""

from collections.abc import Callable
from struct import Struct

from protocol.constants import FRAME_END
from protocol.content import peek

# content octets, body size, persistent, priority, expiration in ms or -1; true: this content is
# not for the fast path, and nothing was done with it
Publish = Callable[[bytes, int, bool, int, int], bool]
# delivery tag, multiple; false: this ack is not for the fast path
Ack = Callable[[int, bool], bool]

_size_at = Struct(">I").unpack_from
# type, channel, size, class and weight, body size, flags of a content header frame
_header_at = Struct(">BHIIQH").unpack_from
_body_at = Struct(">BHI").unpack_from
_ack_at = Struct(">BHIIQBB").unpack_from
_deliver_head = Struct(">BHIHH").pack
pack_tag = Struct(">QB").pack

_ACK = 0x003C0050
_ACK_OCTETS = 21
_BASIC = 60 << 16  # class basic and the weight, which is always 0
_SMALLEST_TAIL = 7 + 14 + 1 + 7 + 1 + 1  # header without properties, body of one octet


def scan(
    buffer: bytes,
    position: int,
    routes: dict[bytes, Publish],
    acks: dict[int, Ack],
    frame_max: int,
    end: int,
) -> int:
    """Consume publishes and acks from ``position`` on; returns where the first other octet is.

    ``frame_max`` bounds header and body payloads, as the slow path bounds them. Nothing beyond
    ``end`` is looked at.
    """
    while position + _ACK_OCTETS <= end:
        after_method = position + 8 + _size_at(buffer, position + 3)[0]
        publish = routes.get(buffer[position:after_method])
        if publish is None:
            kind, channel, size, method, tag, multiple, last = _ack_at(buffer, position)
            ack = acks.get(channel)
            if method != _ACK or kind != 1 or size != 13 or last != FRAME_END or ack is None:
                return position
            if multiple > 1 or not ack(tag, multiple == 1):
                return position
            position += _ACK_OCTETS
            continue
        if after_method + _SMALLEST_TAIL > end:
            return position
        kind, channel, size, class_and_weight, body_size, flags = _header_at(buffer, after_method)
        header_end = after_method + 7 + size
        if kind != 2 or class_and_weight != _BASIC or header_end + 9 > end:
            return position
        body_kind, body_channel, size = _body_at(buffer, header_end + 1)
        after_body = header_end + 9 + size
        if (
            after_body > end
            or body_kind != 3
            or size != body_size
            or not 0 < size <= frame_max
            or header_end - after_method > frame_max
            or buffer[header_end] != FRAME_END
            or buffer[after_body - 1] != FRAME_END
            or not buffer[position + 1] << 8 | buffer[position + 2] == channel == body_channel
        ):
            return position
        if not flags and header_end == after_method + 21:
            if publish(buffer[after_method:after_body], size, False, 0, -1):
                return position
        else:
            found = peek(buffer, after_method + 21, header_end, flags)
            if found is None:
                return position
            if publish(buffer[after_method:after_body], size, *found):
                return position
        position = after_body
    return position


def deliver_template(channel: int, consumer_tag: bytes, address: bytes) -> tuple[bytes, bytes]:
    """The constant octets of a basic.deliver frame around delivery tag and redelivered flag.

    ``consumer_tag`` without its length octet; ``address`` is exchange and routing key, both
    with theirs. A delivery is ``prefix + pack_tag(tag, redelivered) + suffix + content``.
    """
    size = 4 + 1 + len(consumer_tag) + 9 + len(address)
    head = _deliver_head(1, channel, size, 60, 60)
    return head + bytes((len(consumer_tag),)) + consumer_tag, address + b"\xce"
