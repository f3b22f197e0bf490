"""Control methods: a method frame's payload to a method object and back.

pamqp is the catalogue: its ``commands`` module lists every method with its arguments, their
wire types and the reply it expects, and its classes are what handlers receive. The values are
read here, because pamqp cannot tell a truncated method from a malformed one, refuses names
that RabbitMQ takes (over 127 characters, a ticket other than 0) and forgets the wire types of
field tables, which RabbitMQ's equivalence rules and error texts are about. Text arguments are
``str``, long strings ``bytes``, tables ``protocol.tables.Table``.

Errors: ``FrameError`` with RabbitMQ's text for arguments that do not decode, ``Drop`` for a
method or a field type that does not exist.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, ClassVar

from pamqp import base, commands

from protocol.errors import Drop, FrameError
from protocol.tables import Table, Truncated, decode_table, encode_table

Method = base.Frame


class AccessRequest(base.Frame):
    """access.request (30, 10): gone from 0-9-1, still sent by old clients; see ``AccessOk``."""

    __slots__: ClassVar[list[str]] = [
        "active",
        "exclusive",
        "passive",
        "read",
        "realm",
        "write",
    ]
    name = "Access.Request"
    index: ClassVar[int] = 0x001E000A


class AccessRequestOk(base.Frame):
    """access.request-ok (30, 11): RabbitMQ always grants ticket 1."""

    __slots__: ClassVar[list[str]] = ["ticket"]
    name = "Access.RequestOk"
    index: ClassVar[int] = 0x001E000B
    _ticket = "short"


_CATALOGUE: dict[int, type[base.Frame]] = {
    **commands.INDEX_MAPPING,
    AccessRequest.index: AccessRequest,
    AccessRequestOk.index: AccessRequestOk,
}
_REPLIES_OF_CLIENTS = ("Basic.CancelOk",)
_SAID_BY_SERVERS = ("Basic.Return", "Basic.Deliver", "Basic.GetEmpty")
# What a client may not send on a channel: a server's words, and all of class connection.
NOT_FOR_SERVERS = frozenset(
    index
    for index, cls in _CATALOGUE.items()
    if index >> 16 == 10
    or (cls.name.endswith("Ok") and cls.name not in _REPLIES_OF_CLIENTS)
    or cls.name in _SAID_BY_SERVERS
)
_SHORT, _LONG, _LONGLONG = Struct(">H"), Struct(">I"), Struct(">Q")
_INTEGERS = {"octet": Struct(">B"), "short": _SHORT, "long": _LONG, "longlong": _LONGLONG}
_INTEGERS["timestamp"] = _LONGLONG


def _arguments(cls: type[base.Frame]) -> list[tuple[str, str]]:
    if cls is AccessRequest:
        flags = ("exclusive", "passive", "active", "write", "read")
        return [("realm", "shortstr"), *((name, "bit") for name in flags)]
    return [(name, getattr(cls, f"_{name}")) for name in cls.__slots__]


_ARGUMENTS = {index: _arguments(cls) for index, cls in _CATALOGUE.items()}


def erlang_binary(octets: bytes) -> str:
    """Octets as Erlang prints a binary, which is how RabbitMQ's error texts show them."""
    if octets and all(32 <= octet < 127 for octet in octets):
        text = octets.decode().replace("\\", "\\\\").replace('"', '\\"')
        return f'<<"{text}">>'
    return "<<" + ",".join(map(str, octets)) + ">>"


def all_octets(kind: int, payload: bytes) -> str:
    """A frame as RabbitMQ's error texts show one that cannot be understood."""
    return f"type {kind}, all octets = {erlang_binary(payload)}"


def frame_error(kind: int, payload: bytes, reason: str) -> FrameError:
    """501 for a frame that is none, whatever method it holds."""
    return FrameError(all_octets(kind, payload) + reason, about_method=False)


def method_ids(payload: bytes) -> tuple[int, int]:
    """Class and method id at the head of a method payload of at least four octets."""
    return _SHORT.unpack_from(payload)[0], _SHORT.unpack_from(payload, 2)[0]


def ids_of(method: Method) -> tuple[int, int]:
    """Class and method id of a method object."""
    return method.index >> 16, method.index & 0xFFFF


def decode(payload: bytes) -> Method:
    """The method in a method frame's payload (at least four octets)."""
    index = _LONG.unpack_from(payload)[0]
    cls = _CATALOGUE.get(index)
    if cls is None:
        raise Drop(f"unknown method {index >> 16},{index & 0xFFFF}")
    method = cls.__new__(cls)
    position, bit = 4, 0
    try:
        for name, kind in _ARGUMENTS[index]:
            if kind == "bit":
                octet = payload[position]
                value: Any = bool(octet >> bit & 1)
                bit += 1
            else:
                if bit:
                    position, bit = position + 1, 0
                value, position = _READERS[kind](payload, position)
            setattr(method, name, value)
    except (IndexError, Truncated):
        raise undecodable(payload) from None
    if position + (1 if bit else 0) != len(payload):
        raise undecodable(payload)
    return method


def undecodable(payload: bytes) -> FrameError:
    """The error for a method whose arguments do not decode, in RabbitMQ's words."""
    return FrameError(f"cannot decode {erlang_binary(payload[4:])}")


def _read_shortstr(payload: bytes, position: int) -> tuple[str, int]:
    end = position + 1 + payload[position]
    if end > len(payload):
        raise Truncated("short string")
    return text(payload[position + 1 : end]), end


def _read_longstr(payload: bytes, position: int) -> tuple[bytes, int]:
    start = position + 4
    if start > len(payload):
        raise Truncated("long string")
    end = start + _LONG.unpack_from(payload, position)[0]
    if end > len(payload):
        raise Truncated("long string")
    return payload[start:end], end


def _integer_reader(layout: Struct) -> Callable[[bytes, int], tuple[int, int]]:
    def read(payload: bytes, position: int) -> tuple[int, int]:
        end = position + layout.size
        if end > len(payload):
            raise Truncated("integer")
        return layout.unpack_from(payload, position)[0], end

    return read


_READERS: dict[str, Callable[[bytes, int], tuple[Any, int]]] = {
    "shortstr": _read_shortstr,
    "longstr": _read_longstr,
    "table": decode_table,
    **{kind: _integer_reader(layout) for kind, layout in _INTEGERS.items()},
}


def text(octets: bytes) -> str:
    """A short string's text; RabbitMQ refuses what is not UTF-8 without naming the method."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise FrameError("Malformed UTF-8 in shortstr", about_method=False) from None


def shortstr(value: str | bytes) -> bytes:
    """A short string with its length octet."""
    encoded = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return bytes((len(encoded),)) + encoded


def encode(cls: type[Method], **arguments: str | bytes | int | bool | Table) -> bytes:
    """A method payload; arguments left out are empty, zero or false."""
    index = cls.index
    parts = [_LONG.pack(index)]
    bits: list[bool] = []
    for name, kind in _ARGUMENTS[index]:
        value: Any = arguments.pop(name, None)
        if kind == "bit":
            bits.append(bool(value))
            continue
        if bits:
            parts.append(_pack_bits(bits))
            bits = []
        if kind == "shortstr":
            parts.append(shortstr(value or b""))
        elif kind == "longstr":
            encoded = value.encode() if isinstance(value, str) else value or b""
            parts.append(_LONG.pack(len(encoded)) + encoded)
        elif kind == "table":
            parts.append(encode_table(value or {}))
        else:
            parts.append(_INTEGERS[kind].pack(value or 0))
    if bits:
        parts.append(_pack_bits(bits))
    assert not arguments, f"{cls.name} has no arguments {sorted(arguments)}"
    return b"".join(parts)


def _pack_bits(bits: list[bool]) -> bytes:
    assert len(bits) <= 8, "no method has more than eight adjacent flags"
    return bytes((sum(1 << place for place, bit in enumerate(bits) if bit),))
