"""Octets <-> frames, methods, properties and field tables of AMQP 0-9-1 with RabbitMQ's extensions.

Owns the table of every method and the seventeen field types. It is written from the wire format
alone and shares nothing with the broker, so that a mistake there cannot hide here.

A field value is written as a plain Python value (``5`` is ``I`` or, beyond 32 bits, ``l``; ``"x"``
is ``S``) or with its exact wire type as ``{"l": 5}``. Decoded values always carry their type.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = 0xCE
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

# One line per method: id, name, then argument:type. Types: o octet, h short, l long, q longlong,
# b bit, s short string, S long string, T table. An argument nobody gives is zero or empty.
_METHODS = """
10 connection
 10 start version_major:o version_minor:o server_properties:T mechanisms:S locales:S
 11 start-ok client_properties:T mechanism:s response:S locale:s
 20 secure challenge:S
 21 secure-ok response:S
 30 tune channel_max:h frame_max:l heartbeat:h
 31 tune-ok channel_max:h frame_max:l heartbeat:h
 40 open virtual_host:s capabilities:s insist:b
 41 open-ok known_hosts:s
 50 close reply_code:h reply_text:s class_id:h method_id:h
 51 close-ok
 60 blocked reason:s
 61 unblocked
 70 update-secret new_secret:S reason:s
 71 update-secret-ok
20 channel
 10 open out_of_band:s
 11 open-ok channel_id:S
 20 flow active:b
 21 flow-ok active:b
 40 close reply_code:h reply_text:s class_id:h method_id:h
 41 close-ok
30 access
 10 request realm:s exclusive:b passive:b active:b write:b read:b
 11 request-ok ticket:h
40 exchange
 10 declare ticket:h exchange:s exchange_type:s passive:b durable:b auto_delete:b internal:b \
nowait:b arguments:T
 11 declare-ok
 20 delete ticket:h exchange:s if_unused:b nowait:b
 21 delete-ok
 30 bind ticket:h destination:s source:s routing_key:s nowait:b arguments:T
 31 bind-ok
 40 unbind ticket:h destination:s source:s routing_key:s nowait:b arguments:T
 51 unbind-ok
50 queue
 10 declare ticket:h queue:s passive:b durable:b exclusive:b auto_delete:b nowait:b arguments:T
 11 declare-ok queue:s message_count:l consumer_count:l
 20 bind ticket:h queue:s exchange:s routing_key:s nowait:b arguments:T
 21 bind-ok
 30 purge ticket:h queue:s nowait:b
 31 purge-ok message_count:l
 40 delete ticket:h queue:s if_unused:b if_empty:b nowait:b
 41 delete-ok message_count:l
 50 unbind ticket:h queue:s exchange:s routing_key:s arguments:T
 51 unbind-ok
60 basic
 10 qos prefetch_size:l prefetch_count:h global_:b
 11 qos-ok
 20 consume ticket:h queue:s consumer_tag:s no_local:b no_ack:b exclusive:b nowait:b arguments:T
 21 consume-ok consumer_tag:s
 30 cancel consumer_tag:s nowait:b
 31 cancel-ok consumer_tag:s
 40 publish ticket:h exchange:s routing_key:s mandatory:b immediate:b
 50 return reply_code:h reply_text:s exchange:s routing_key:s
 60 deliver consumer_tag:s delivery_tag:q redelivered:b exchange:s routing_key:s
 70 get ticket:h queue:s no_ack:b
 71 get-ok delivery_tag:q redelivered:b exchange:s routing_key:s message_count:l
 72 get-empty cluster_id:s
 80 ack delivery_tag:q multiple:b
 90 reject delivery_tag:q requeue:b
 100 recover-async requeue:b
 110 recover requeue:b
 111 recover-ok
 120 nack delivery_tag:q multiple:b requeue:b
85 confirm
 10 select nowait:b
 11 select-ok
90 tx
 10 select
 11 select-ok
 20 commit
 21 commit-ok
 30 rollback
 31 rollback-ok
"""

# The fourteen properties of class basic, from the highest flag bit down.
_PROPERTIES = (
    "content_type:s content_encoding:s headers:T delivery_mode:o priority:o correlation_id:s "
    "reply_to:s expiration:s message_id:s timestamp:q type:s user_id:s app_id:s cluster_id:s"
)

_FIXED = {"o": ">B", "h": ">H", "l": ">I", "q": ">Q"}
_NUMBERS = {"b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q"} | {
    "f": ">f",
    "d": ">d",
    "T": ">Q",
}
FIELD_TYPES = frozenset("tbBsuIilfdDSxATFV")

Args = list[tuple[str, str]]


def _parse_methods() -> tuple[dict[str, tuple[int, int]], dict[tuple[int, int], tuple[str, Args]]]:
    ids: dict[str, tuple[int, int]] = {}
    specs: dict[tuple[int, int], tuple[str, Args]] = {}
    class_id, class_name = 0, ""
    for line in _METHODS.strip().splitlines():
        words = line.split()
        if not line.startswith(" "):
            class_id, class_name = int(words[0]), words[1]
            continue
        name = f"{class_name}.{words[1]}"
        key = (class_id, int(words[0]))
        ids[name] = key
        specs[key] = (name, [(a.split(":")[0], a.split(":")[1]) for a in words[2:]])
    return ids, specs


IDS, SPECS = _parse_methods()
PROPERTIES: Args = [(p.split(":")[0], p.split(":")[1]) for p in _PROPERTIES.split()]


@dataclass
class Frame:
    """One frame as it travelled."""

    type: int
    channel: int
    payload: bytes


@dataclass
class Method:
    """A decoded method; arguments by name."""

    name: str
    channel: int
    args: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.args[name]


@dataclass
class Header:
    """A decoded content header; ``raw`` is its property list, flags included."""

    channel: int
    class_id: int
    body_size: int
    props: dict[str, Any]
    raw: bytes


@dataclass
class Body:
    """One content body frame."""

    channel: int
    data: bytes


@dataclass
class Other:
    """A frame of any other type; a heartbeat is type 8."""

    type: int
    channel: int
    payload: bytes


Event = Method | Header | Body | Other


def frame(frame_type: int, channel: int, payload: bytes, end: int = FRAME_END) -> bytes:
    """Build one frame."""
    return struct.pack(">BHI", frame_type, channel, len(payload)) + payload + bytes([end])


def _octets(value: Any) -> bytes:
    if isinstance(value, dict):  # {"hex": "00ff"}: octets that are no text
        return bytes.fromhex(value["hex"])
    return value if isinstance(value, bytes) else str(value).encode()


def _short(value: Any) -> bytes:
    octets = _octets(value)
    return bytes([len(octets)]) + octets


def _long(value: Any) -> bytes:
    octets = _octets(value)
    return struct.pack(">I", len(octets)) + octets


def _typed(value: Any) -> tuple[str, Any]:
    """The wire type a plain value stands for."""
    if isinstance(value, dict):
        if len(value) == 1:
            tag, inner = next(iter(value.items()))
            if tag in FIELD_TYPES:
                return tag, inner
        return "F", value
    if value is None:
        return "V", None
    if isinstance(value, bool):
        return "t", value
    if isinstance(value, int):
        return ("I" if -(2**31) <= value < 2**31 else "l"), value
    if isinstance(value, float):
        return "d", value
    return ("A", value) if isinstance(value, list) else ("S", value)


def encode_value(value: Any) -> bytes:
    """One field value with its type octet."""
    tag, inner = _typed(value)
    if tag in _NUMBERS:
        octets = struct.pack(_NUMBERS[tag], inner)
    elif tag == "t":
        octets = bytes([int(inner)])
    elif tag == "D":
        octets = struct.pack(">Bi", *inner)
    elif tag in "Sx":
        octets = _long(inner)
    elif tag == "A":
        octets = _long(b"".join(encode_value(item) for item in inner))
    elif tag == "F":
        octets = encode_table(inner)
    else:
        octets = b""
    return tag.encode() + octets


def encode_table(table: Any) -> bytes:
    """A table from a mapping, a list of pairs (which may repeat a name), or its raw octets."""
    if isinstance(table, bytes | str):
        return _long(table)
    pairs = table.items() if isinstance(table, dict) else table or ()
    return _long(b"".join(_short(name) + encode_value(value) for name, value in pairs))


class _Reader:
    def __init__(self, octets: bytes) -> None:
        self.octets, self.at = octets, 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.octets), "the server sent a truncated frame"
        self.at += count
        return self.octets[self.at - count : self.at]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self, layout: str) -> Any:
        octets = self.take(self.number(layout))
        try:
            return octets.decode()
        except UnicodeDecodeError:
            return {"hex": octets.hex()}

    def value(self) -> dict[str, Any]:
        tag = chr(self.number(">B"))
        if tag in _NUMBERS:
            return {tag: self.number(_NUMBERS[tag])}
        if tag == "t":
            return {"t": bool(self.number(">B"))}
        if tag == "D":
            return {"D": [self.number(">B"), self.number(">i")]}
        if tag == "S":
            return {"S": self.text(">I")}
        if tag == "x":
            return {"x": {"hex": self.take(self.number(">I")).hex()}}
        if tag == "F":
            return {"F": self.table()}
        if tag == "A":
            end = self.number(">I") + self.at
            items = []
            while self.at < end:
                items.append(self.value())
            return {"A": items}
        assert tag == "V", f"the server sent field type {tag!r}"
        return {"V": None}

    def table(self) -> dict[str, Any]:
        """A table; a name that comes again is kept as ``name#dup``."""
        end = self.number(">I") + self.at
        table: dict[str, Any] = {}
        while self.at < end:
            name = self.text(">B")
            if isinstance(name, dict):
                name = f"hex:{name['hex']}"
            table[name if name not in table else f"{name}#dup"] = self.value()
        assert self.at == end, "the server sent a table that overruns its length"
        return table

    def argument(self, kind: str) -> Any:
        if kind in _FIXED:
            return self.number(_FIXED[kind])
        return self.table() if kind == "T" else self.text(">B" if kind == "s" else ">I")


def encode_method(name: str, args: dict[str, Any]) -> bytes:
    """The payload of a method frame."""
    key = IDS[name]
    spec = SPECS[key][1]
    unknown = set(args) - {argument for argument, _ in spec}
    assert not unknown, f"{name} has no arguments {sorted(unknown)}"
    out = struct.pack(">HH", *key)
    bits: list[bool] = []
    for argument, kind in spec:
        if kind == "b":
            bits.append(bool(args.get(argument)))
            continue
        out, bits = out + _pack_bits(bits), []
        if kind in _FIXED:
            out += struct.pack(_FIXED[kind], args.get(argument, 0))
        elif kind == "T":
            out += encode_table(args.get(argument))
        else:
            out += (_short if kind == "s" else _long)(args.get(argument, ""))
    return out + _pack_bits(bits)


def _pack_bits(bits: list[bool]) -> bytes:
    return bytes([sum(bit << n for n, bit in enumerate(bits))]) if bits else b""


def _decode_method(channel: int, payload: bytes) -> Method:
    reader = _Reader(payload)
    name, spec = SPECS[(reader.number(">H"), reader.number(">H"))]
    args: dict[str, Any] = {}
    octet, bit = 0, 0
    for argument, kind in spec:
        if kind == "b":
            if bit == 0:
                octet = reader.number(">B")
            args[argument] = bool(octet >> bit & 1)
            bit += 1
        else:
            bit = 0
            args[argument] = reader.argument(kind)
    assert reader.at == len(payload), f"{name} has surplus octets"
    return Method(name, channel, args)


def encode_properties(props: dict[str, Any]) -> bytes:
    """Property flags and values; a property that is absent or None is not sent."""
    flags, out = 0, b""
    for n, (name, kind) in enumerate(PROPERTIES):
        value = props.get(name)
        if value is None:
            continue
        flags |= 1 << (15 - n)
        if kind in _FIXED:
            out += struct.pack(_FIXED[kind], value)
        else:
            out += encode_table(value) if kind == "T" else _short(value)
    return struct.pack(">H", flags) + out


def encode_header(body_size: int, props: dict[str, Any], class_id: int = 60) -> bytes:
    """The payload of a content header frame."""
    return struct.pack(">HHQ", class_id, 0, body_size) + encode_properties(props)


def _decode_header(channel: int, payload: bytes) -> Header:
    reader = _Reader(payload)
    class_id, weight, body_size = reader.number(">H"), reader.number(">H"), reader.number(">Q")
    assert weight == 0, "the weight of a content header is zero"
    raw = payload[reader.at :]
    flags = reader.number(">H")
    props = {
        name: reader.argument(kind)
        for n, (name, kind) in enumerate(PROPERTIES)
        if flags >> (15 - n) & 1
    }
    assert reader.at == len(payload), "the content header has surplus octets"
    return Header(channel, class_id, body_size, props, raw)


def decode(got: Frame) -> Event:
    """What a frame of the server means."""
    if got.type == METHOD:
        return _decode_method(got.channel, got.payload)
    if got.type == HEADER:
        return _decode_header(got.channel, got.payload)
    if got.type == BODY:
        return Body(got.channel, got.payload)
    return Other(got.type, got.channel, got.payload)
