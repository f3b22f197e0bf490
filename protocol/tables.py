"""Field tables (spec 4.2.5.5) with the eighteen value types RabbitMQ reads and writes.

A decoded value keeps its wire type: ``Field("I", 5)`` and ``Field("l", 5)`` are the same
number, compare as equal where RabbitMQ says so (``same_value``), and encode to the octets
they came from. Tables are plain dicts from name to ``Field``; where a name occurs twice the
last one wins, so code that must keep a table bit for bit works on the raw pairs
(``split_pairs`` / ``join_pairs``) instead.

Errors: ``Truncated`` where the octets end early (a method answers 501 ``cannot decode``),
``protocol.errors.Drop`` for a value type nobody knows (RabbitMQ drops the socket).
"""

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Any, NamedTuple

from protocol.errors import Drop


class Truncated(ValueError):
    """The octets end before the value they announce."""


class Field(NamedTuple):
    """One value with its wire type tag, a single letter of the spec's grammar."""

    tag: str
    value: Any

    @property
    def type_name(self) -> str:
        """RabbitMQ's name of the type, used in its error texts."""
        return TYPE_NAMES[self.tag]


Table = dict[str, Field]

TYPE_NAMES = {
    "S": "longstr",
    "I": "signedint",
    "D": "decimal",
    "T": "timestamp",
    "F": "table",
    "A": "array",
    "b": "byte",
    "B": "unsignedbyte",
    "d": "double",
    "f": "float",
    "l": "long",
    "L": "long",
    "s": "short",
    "u": "unsignedshort",
    "i": "unsignedint",
    "t": "bool",
    "x": "binary",
    "V": "void",
}
_FIXED = {
    ord("I"): Struct(">i"),
    ord("T"): Struct(">Q"),
    ord("b"): Struct(">b"),
    ord("B"): Struct(">B"),
    ord("d"): Struct(">d"),
    ord("f"): Struct(">f"),
    ord("l"): Struct(">q"),
    ord("L"): Struct(">q"),  # as py-amqp writes large integers; signed, whatever the spec says
    ord("s"): Struct(">h"),
    ord("u"): Struct(">H"),
    ord("i"): Struct(">I"),
}
_DECIMAL = Struct(">BI")
_SIZES = {tag: layout.size for tag, layout in _FIXED.items()}
_SIZES |= {ord("D"): _DECIMAL.size, ord("t"): 1, ord("V"): 0}
_LENGTH = Struct(">I")
_INTEGERS = frozenset("IbBlLsui")
_FLOATS = frozenset("df")
NESTING_MAX = 64  # tables in tables; deeper is an attack on the stack, not a message


def decode_table(octets: bytes, position: int = 0, depth: int = 0) -> tuple[Table, int]:
    """The table whose length field stands at ``position``, and the position after it.

    ``depth`` is what it counts as nested; -1 for one that is put around a client's.
    """
    start, end = _extent(octets, position, len(octets))
    return _pairs(octets, start, end, depth), end


def _extent(octets: bytes, position: int, limit: int) -> tuple[int, int]:
    if position + 4 > limit:
        raise Truncated("length")
    start = position + 4
    end = start + int(_LENGTH.unpack_from(octets, position)[0])
    if end > limit:
        raise Truncated("contents")
    return start, end


def _pairs(octets: bytes, position: int, end: int, depth: int) -> Table:
    table: Table = {}
    while position < end:
        name_end = position + 1 + octets[position]
        if name_end >= end:
            raise Truncated("name")
        name = octets[position + 1 : name_end].decode("utf-8", "surrogateescape")
        table[name], position = _value(octets, name_end, end, depth)
    return table


def _value(octets: bytes, position: int, end: int, depth: int) -> tuple[Field, int]:
    if depth > NESTING_MAX:
        raise Drop("field table nested too deeply")
    tag = octets[position]
    position += 1
    fixed = _FIXED.get(tag)
    if fixed is not None:
        if position + fixed.size > end:
            raise Truncated("number")
        return Field(chr(tag), fixed.unpack_from(octets, position)[0]), position + fixed.size
    if tag in b"Sx":
        start, stop = _extent(octets, position, end)
        return Field(chr(tag), octets[start:stop]), stop
    if tag == 0x46:  # F
        start, stop = _extent(octets, position, end)
        return Field("F", _pairs(octets, start, stop, depth + 1)), stop
    if tag == 0x41:  # A
        start, stop = _extent(octets, position, end)
        items = []
        while start < stop:
            item, start = _value(octets, start, stop, depth + 1)
            items.append(item)
        return Field("A", items), stop
    return _odd_value(octets, position, end, tag)


def _odd_value(octets: bytes, position: int, end: int, tag: int) -> tuple[Field, int]:
    if tag == 0x56:  # V
        return Field("V", None), position
    if tag == 0x74:  # t
        if position >= end:
            raise Truncated("bool")
        return Field("t", octets[position] != 0), position + 1
    if tag == 0x44:  # D
        if position + 5 > end:
            raise Truncated("decimal")
        return Field("D", _DECIMAL.unpack_from(octets, position)), position + 5
    raise Drop(f"unknown field type {tag:#04x}")


def find_field(octets: bytes, position: int, end: int, name: bytes) -> Field | None:
    """The value of a name among well-formed pairs, as ``decode_table`` would give it."""
    found: Field | None = None
    while position < end:
        start, position = position + 1, position + 1 + octets[position]
        if octets[start:position] == name:
            found, position = _value(octets, position, end, 0)
        else:
            position = _value_end(octets, position, end, 0)
    return found


def is_well_formed(octets: bytes, position: int, end: int, depth: int = 0) -> bool:
    """Whether ``decode_table`` would take the pairs from ``position`` to ``end``; 0.3 us a pair."""
    while position < end:
        position += 1 + octets[position]
        if position >= end:
            return False
        position = _value_end(octets, position, end, depth)
    return position == end


def _value_end(octets: bytes, position: int, end: int, depth: int) -> int:
    """Where the value at ``position`` ends; beyond ``end`` if it is none."""
    tag = octets[position]
    size = _SIZES.get(tag)
    if size is not None and depth <= NESTING_MAX:
        return position + 1 + size
    start = position + 5
    if tag not in b"SxFA" or start > end or depth > NESTING_MAX:
        return end + 1
    stop = start + int(_LENGTH.unpack_from(octets, position + 1)[0])
    if stop > end or tag in b"Sx":
        return stop
    if tag == 0x46:  # F
        return stop if is_well_formed(octets, start, stop, depth + 1) else end + 1
    while start < stop:
        start = _value_end(octets, start, stop, depth + 1)
    return stop if start == stop else end + 1


def encode_table(table: Mapping[str, Field], depth: int = 0) -> bytes:
    """The table with its length field; the inverse of ``decode_table``.

    ``ValueError`` for what ``decode_table`` would not take: deep nesting, names that are too long.
    """
    body = b"".join(
        _encode_name(name) + encode_field(field, depth) for name, field in table.items()
    )
    return _LENGTH.pack(len(body)) + body


def _encode_name(name: str) -> bytes:
    encoded = name.encode("utf-8", "surrogateescape")
    return bytes((len(encoded),)) + encoded


def encode_field(field: Field, depth: int = 0) -> bytes:
    """One value with its type octet."""
    if depth > NESTING_MAX:
        raise ValueError("nested too deeply")
    tag, value = field
    code = ord(tag)
    head = bytes((code,))
    fixed = _FIXED.get(code)
    if fixed is not None:
        packed: bytes = fixed.pack(value)
        return head + packed
    if tag in "Sx":
        octets: bytes = value
        return head + _LENGTH.pack(len(octets)) + octets
    if tag == "F":
        return head + encode_table(value, depth + 1)
    if tag == "A":
        body = b"".join(encode_field(item, depth + 1) for item in value)
        return head + _LENGTH.pack(len(body)) + body
    if tag == "t":
        return head + (b"\x01" if value else b"\x00")
    if tag == "D":
        return head + _DECIMAL.pack(*value)
    return head


def field(value: object) -> Field:
    """A Python value as the type RabbitMQ itself would use for it.

    ``ValueError`` for a number of more than 64 bits.
    """
    if isinstance(value, Field):
        return value
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"{value} is too large a number")
        return Field("I" if -(1 << 31) <= value < 1 << 31 else "l", value)
    if isinstance(value, str):
        return Field("S", value.encode("utf-8", "surrogateescape"))
    if isinstance(value, bytes):
        return Field("S", value)
    if isinstance(value, float):
        return Field("d", value)
    if isinstance(value, Mapping):
        return Field("F", table(value))
    if isinstance(value, (list, tuple)):
        return Field("A", [field(item) for item in value])
    if value is None:
        return Field("V", None)
    raise TypeError(f"no field type for {type(value).__name__}")


def table(values: Mapping[str, object]) -> Table:
    """A table of plain Python values; raises as ``field`` does."""
    return {name: field(value) for name, value in values.items()}


def json_table(values: Mapping[str, object], *, null: bool) -> Table:
    """A table of a JSON object. As in RabbitMQ integers are longs; ``null`` may be allowed.

    Raises ``ValueError`` with RabbitMQ's word for what is wrong.
    """
    return {name: _json_field(value, null) for name, value in values.items()}


def _json_field(value: object, null: bool) -> Field:
    if value is None and not null:
        raise ValueError("null_not_allowed")
    if isinstance(value, Mapping):
        return Field("F", json_table(value, null=null))
    if isinstance(value, list):
        return Field("A", [_json_field(item, null) for item in value])
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(["integer_too_large", value])
        return Field("l", value)
    return field(value)


def plain(value: Field) -> Any:
    """A field as a plain Python value: the inverse of ``field`` but for number widths."""
    if value.tag == "S":
        return value.value.decode("utf-8", "surrogateescape")
    if value.tag == "F":
        return {name: plain(item) for name, item in value.value.items()}
    if value.tag == "A":
        return [plain(item) for item in value.value]
    return value.value


def same_value(left: Field, right: Field) -> bool:
    """Equality as RabbitMQ compares arguments: integers match across wire widths; so do floats."""
    for alike in (_INTEGERS, _FLOATS):
        if left.tag in alike and right.tag in alike:
            return bool(left.value == right.value)
    return left == right


def is_integer(value: Field) -> bool:
    """Whether the wire type is one of the integers RabbitMQ takes for a count or a time."""
    return value.tag in _INTEGERS


def split_pairs(octets: bytes) -> list[tuple[bytes, bytes]]:
    """The raw (name, type octet + value) pairs of a table's body, duplicates included.

    ``octets`` is the table without its length field. Raises as ``decode_table`` does.
    """
    pairs, position, end = [], 0, len(octets)
    while position < end:
        name_end = position + 1 + octets[position]
        if name_end >= end:
            raise Truncated("name")
        _, value_end = _value(octets, name_end, end, 0)
        pairs.append((octets[position + 1 : name_end], octets[name_end:value_end]))
        position = value_end
    return pairs


def join_pairs(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The inverse of ``split_pairs``: a table's body without its length field."""
    return b"".join(bytes((len(name),)) + name + value for name, value in pairs)
