"""Content: the header and body that follow basic.publish, deliver, get-ok and return.

A message's content is kept *framed*, in one ``bytes`` object: the content header frame and,
unless the body is empty, one body frame, type octet to end octet, as on the wire. It is
written to the log and to consumers as it is; only the channel number in the two frames is
adapted, and a body longer than the consumer's frame-max is split (``for_channel``).

Layout: 7 octets frame head, then class (2), weight (2), body size (8), property flags (2)
and the properties present, in the order of ``PROPERTIES`` (spec 4.2.6.1), end octet.
"""

from struct import Struct
from struct import error as struct_error
from typing import Any

from protocol.constants import CLASS_BASIC, FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_OVERHEAD
from protocol.errors import Drop, InternalError
from protocol.methods import shortstr
from protocol.tables import (
    Field,
    Table,
    Truncated,
    decode_table,
    encode_table,
    find_field,
    is_well_formed,
)

FRAME_HEAD = Struct(">BHI")
CONTENT_HEAD = Struct(">HHQH")
_END = bytes((FRAME_END,))
_CHANNEL = Struct(">H")
_LONG = Struct(">I")
_LONGLONG = Struct(">Q")

PROPERTIES_START = FRAME_HEAD.size + CONTENT_HEAD.size  # 21: where properties begin in content
_REPLY_TO = b"\x15amq.rabbitmq.reply-to"  # direct reply-to: to be replaced by an address
_SIZE_AT = FRAME_HEAD.size + 4
_FLAGS_AT = FRAME_HEAD.size + 12

PROPERTIES = (
    # name, flag, wire type
    ("content_type", 1 << 15, "shortstr"),
    ("content_encoding", 1 << 14, "shortstr"),
    ("headers", 1 << 13, "table"),
    ("delivery_mode", 1 << 12, "octet"),
    ("priority", 1 << 11, "octet"),
    ("correlation_id", 1 << 10, "shortstr"),
    ("reply_to", 1 << 9, "shortstr"),
    ("expiration", 1 << 8, "shortstr"),
    ("message_id", 1 << 7, "shortstr"),
    ("timestamp", 1 << 6, "longlong"),
    ("type", 1 << 5, "shortstr"),
    ("user_id", 1 << 4, "shortstr"),
    ("app_id", 1 << 3, "shortstr"),
    ("cluster_id", 1 << 2, "shortstr"),
)
HEADERS_FLAG = 1 << 13
DELIVERY_MODE_FLAG = 1 << 12
_MORE_FLAGS = 1  # announces a second word of flags, which class basic does not have


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One frame, type octet to end octet."""
    return FRAME_HEAD.pack(kind, channel, len(payload)) + payload + _END


def frame_content(channel: int, header: bytes, body: bytes) -> bytes:
    """A message's content from a content header frame's payload and the whole body."""
    framed = frame(FRAME_HEADER, channel, header)
    return framed + frame(FRAME_BODY, channel, body) if body else framed


def body_size(content: bytes) -> int:
    """Octets of body that the content header announces."""
    return int(_LONGLONG.unpack_from(content, _SIZE_AT)[0])


def header_payload(content: bytes) -> bytes:
    """The payload of the content header frame."""
    return content[FRAME_HEAD.size : FRAME_HEAD.size + FRAME_HEAD.unpack_from(content)[2]]


def body_of(content: bytes) -> bytes:
    """The body, without framing."""
    start = FRAME_OVERHEAD + FRAME_HEAD.unpack_from(content)[2] + FRAME_HEAD.size
    return content[start:-1] if start < len(content) else b""


def for_channel(content: bytes, channel: int, frame_max: int) -> bytes:
    """The content framed for another channel and for a peer that takes ``frame_max`` octets."""
    body_max = frame_max - FRAME_OVERHEAD
    header_end = FRAME_OVERHEAD + FRAME_HEAD.unpack_from(content)[2]
    number = _CHANNEL.pack(channel)
    header = content[:1] + number + content[3:header_end]
    if header_end == len(content):
        return header
    start, end = header_end + FRAME_HEAD.size, len(content) - 1
    if end - start <= body_max:
        return header + content[header_end : header_end + 1] + number + content[header_end + 3 :]
    pieces = [content[at : min(at + body_max, end)] for at in range(start, end, body_max)]
    return b"".join([header, *[frame(FRAME_BODY, channel, piece) for piece in pieces]])


def decode_properties(header: bytes) -> dict[str, Any]:
    """The properties in a content header payload that are set, in the order of the wire.

    Short strings are ``bytes`` (RabbitMQ does not ask for UTF-8 here), headers a ``Table``.
    Raises ``InternalError`` for a malformed list, as RabbitMQ answers it with 541.
    """
    properties: dict[str, Any] = {}
    try:
        flags = CONTENT_HEAD.unpack_from(header)[3]
        position = CONTENT_HEAD.size
        if flags & _MORE_FLAGS:
            raise Truncated("flags")
        for name, flag, kind in PROPERTIES:
            if flags & flag:
                properties[name], position = _read(header, position, kind)
        if position != len(header):
            raise Truncated("surplus")
    except (Truncated, Drop, IndexError, struct_error):
        raise InternalError(about_method=False) from None
    return properties


def _read(header: bytes, position: int, kind: str) -> tuple[Any, int]:
    if kind == "shortstr":
        end = position + 1 + header[position]
        if end > len(header):
            raise Truncated("short string")
        return header[position + 1 : end], end
    if kind == "octet":
        return header[position], position + 1
    if kind == "longlong":
        return _LONGLONG.unpack_from(header, position)[0], position + 8
    return decode_table(header, position)


def encode_header(size: int, properties: dict[str, Any]) -> bytes:
    """A content header payload for a body of ``size`` octets; ``None`` leaves a property out."""
    flags, parts = 0, []
    for name, flag, kind in PROPERTIES:
        value = properties.get(name)
        if value is None:
            continue
        flags |= flag
        if kind == "shortstr":
            parts.append(shortstr(value))
        elif kind == "octet":
            parts.append(bytes((value,)))
        elif kind == "longlong":
            parts.append(_LONGLONG.pack(value))
        else:
            parts.append(encode_table(value))
    return CONTENT_HEAD.pack(CLASS_BASIC, 0, size, flags) + b"".join(parts)


def with_properties(content: bytes, changes: dict[str, Any]) -> bytes:
    """The content with some properties replaced, or removed where the value is ``None``."""
    header = header_payload(content)
    properties = decode_properties(header) | changes
    channel = FRAME_HEAD.unpack_from(content)[1]
    body = body_of(content)
    return frame_content(channel, encode_header(len(body), properties), body)


def headers_of(content: bytes) -> Table:
    """The headers table of a content, empty if it has none."""
    if not _CHANNEL.unpack_from(content, _FLAGS_AT)[0] & HEADERS_FLAG:
        return {}
    headers: Table = decode_properties(header_payload(content)).get("headers", {})
    return headers


def header_of(content: bytes, name: bytes) -> Field | None:
    """One field of the headers of a content that is well formed, without decoding the others."""
    flags = _CHANNEL.unpack_from(content, _FLAGS_AT)[0]
    if not flags & HEADERS_FLAG:
        return None
    position = PROPERTIES_START
    if flags & 0x8000:
        position += 1 + content[position]
    if flags & 0x4000:
        position += 1 + content[position]
    end = position + 4 + int(_LONG.unpack_from(content, position)[0])
    return find_field(content, position + 4, end, name)


# What peek() found, as plain values: persistent, priority, expiration in ms (-1: none).
Peeked = tuple[bool, int, int]


def peek(octets: bytes, position: int, end: int, flags: int) -> Peeked | None:
    """What routing and queueing need from a header's properties, without decoding them.

    ``position`` is where the properties begin, ``end`` the frame's end octet. ``None`` means:
    something a full check must look at (malformed list, CC or BCC, a user-id, direct reply-to,
    an expiration that is no plain number, a delivery mode other than 1 or 2). By hand, because
    decoding all properties costs 10 us a message and this 0.7.
    """
    persistent, priority, ttl_ms = False, 0, -1
    try:
        if flags & 0x8000:
            position += 1 + octets[position]
        if flags & 0x4000:
            position += 1 + octets[position]
        if flags & 0x2000:
            start = position
            position += 4 + _LONG.unpack_from(octets, position)[0]
            if position > end or octets.find(b"CC", start, position) >= 0:
                return None
            if not is_well_formed(octets, start + 4, position):
                return None
        if flags & 0x1000:
            mode = octets[position]
            if mode != 2 and mode != 1:
                return None
            persistent = mode == 2
            position += 1
        if flags & 0x0800:
            priority = octets[position]
            position += 1
        if flags & 0x07FF:
            if flags & 0x0400:
                position += 1 + octets[position]
            if flags & 0x0200:
                if octets.startswith(_REPLY_TO, position):
                    return None
                position += 1 + octets[position]
            if flags & 0x0100:
                start, position = position + 1, position + 1 + octets[position]
                digits = octets[start:position]
                if not digits.isdigit() or len(digits) > 10:
                    return None
                ttl_ms = int(digits)
            if flags & 0x0080:
                position += 1 + octets[position]
            if flags & 0x0040:
                position += 8
            if flags & 0x0020:
                position += 1 + octets[position]
            if flags & 0x0013:
                return None
            if flags & 0x0008:
                position += 1 + octets[position]
            if flags & 0x0004:
                position += 1 + octets[position]
    except (IndexError, struct_error):
        return None
    return (persistent, priority, ttl_ms) if position == end else None


def peek_content(content: bytes) -> Peeked:
    """As ``peek``, for a content that was accepted once: it has no faults to look for."""
    flags = _CHANNEL.unpack_from(content, _FLAGS_AT)[0]
    if not flags:
        return False, 0, -1
    found = peek(content, PROPERTIES_START, FRAME_HEAD.size + len(header_payload(content)), flags)
    if found is not None:
        return found
    properties = decode_properties(header_payload(content))
    return (
        properties.get("delivery_mode") == 2,
        properties.get("priority", 0),
        int(properties.get("expiration", -1)),
    )
