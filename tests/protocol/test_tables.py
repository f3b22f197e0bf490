"""Field tables: every wire type survives, RabbitMQ's equality, and no octets can do harm."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode as pamqp_decode
from pamqp import encode as pamqp_encode

from protocol.errors import Drop
from protocol.tables import (
    Field,
    Truncated,
    decode_table,
    encode_table,
    field,
    is_integer,
    is_well_formed,
    join_pairs,
    json_table,
    plain,
    same_value,
    split_pairs,
    table,
)

WIRE_VALUES = [
    # tag, octets after it, value
    ("t", b"\x01", True),
    ("b", b"\xff", -1),
    ("B", b"\xff", 255),
    ("s", b"\xff\xfe", -2),
    ("u", b"\xff\xfe", 65534),
    ("I", b"\xff\xff\xff\xff", -1),
    ("i", b"\xff\xff\xff\xff", 4294967295),
    ("l", b"\x80\x00\x00\x00\x00\x00\x00\x00", -(1 << 63)),
    ("L", b"\x80\x00\x00\x00\x00\x00\x00\x00", -(1 << 63)),
    ("f", b"\x3f\x80\x00\x00", 1.0),
    ("d", b"\x40\x04\x00\x00\x00\x00\x00\x00", 2.5),
    ("D", b"\x02\x00\x00\x00\x7b", (2, 123)),
    ("S", b"\x00\x00\x00\x03a\xffb", b"a\xffb"),
    ("x", b"\x00\x00\x00\x02\x00\x01", b"\x00\x01"),
    ("T", b"\x00\x00\x00\x00\x65\x53\xf1\x00", 1700000000),
    ("V", b"", None),
    ("A", b"\x00\x00\x00\x03t\x01V", [Field("t", True), Field("V", None)]),
    ("F", b"\x00\x00\x00\x04\x01kt\x00", {"k": Field("t", False)}),
]


@pytest.mark.parametrize(("tag", "octets", "value"), WIRE_VALUES, ids=str)
def test_each_wire_type_survives(tag: str, octets: bytes, value: object) -> None:
    """Each of RabbitMQ's eighteen value types decodes to its value and encodes to its octets."""
    pair = b"\x01n" + tag.encode() + octets
    wire = len(pair).to_bytes(4, "big") + pair
    decoded, end = decode_table(wire)
    assert decoded == {"n": Field(tag, value)}
    assert end == len(wire)
    assert encode_table(decoded) == wire


def test_all_types_are_named() -> None:
    """Error texts can name the type of every value that decodes."""
    assert {Field(tag, None).type_name for tag, _, _ in WIRE_VALUES} >= {"longstr", "void", "table"}


def test_pamqp_reads_what_we_write() -> None:
    """A table of the types both know means the same to an independent decoder."""
    values = {"n": 5, "s": "text", "t": True, "f": {"deep": [1, "two"]}, "d": 1.5}
    _, decoded = pamqp_decode.field_table(encode_table(table(values)))
    assert decoded == values


def test_we_read_what_pamqp_writes() -> None:
    """A table written by an independent encoder decodes to its values."""
    values = {"n": 5, "big": 1 << 40, "s": "text", "t": True, "f": {"deep": [1, "two"]}}
    decoded, _ = decode_table(pamqp_encode.field_table(values))
    assert {name: plain(value) for name, value in decoded.items()} == values


@pytest.mark.parametrize("cut", range(1, 40))
def test_truncation_is_reported(cut: int) -> None:
    """A table cut anywhere, its length adapted, is Truncated and nothing else."""
    whole = encode_table(table({"s": "text", "n": 1, "l": [1, 2], "f": {"x": 2.5}, "t": True}))[4:]
    part = whole[:-cut]
    assert len(part) > 0
    try:
        decoded, _ = decode_table(len(part).to_bytes(4, "big") + part)
    except Truncated:
        return
    # A cut between two pairs is a shorter table.
    assert whole.startswith(encode_table(decoded)[4:])


def test_length_beyond_the_octets_is_reported() -> None:
    """A table longer than what holds it is Truncated."""
    with pytest.raises(Truncated):
        decode_table(b"\x00\x00\x01\x00abc")
    with pytest.raises(Truncated):
        decode_table(b"\x00\x00")


def test_unknown_type_drops_the_connection() -> None:
    """A value type nobody knows drops the socket, as RabbitMQ does."""
    with pytest.raises(Drop):
        decode_table(b"\x00\x00\x00\x03\x01kZ")


def test_deep_nesting_cannot_exhaust_the_stack() -> None:
    """Tables in tables beyond any sense are refused before they recurse deeply."""
    wire = b"\x00\x00\x00\x00"
    for _ in range(5000):
        wire = b"\x01kF" + wire
        wire = len(wire).to_bytes(4, "big") + wire
    with pytest.raises(Drop):
        decode_table(wire)


def test_the_last_of_two_equal_names_wins() -> None:
    """A repeated name keeps its last value in a dict, and all its pairs where they are kept raw."""
    pairs = b"\x01aI\x00\x00\x00\x01\x01aI\x00\x00\x00\x02"
    decoded, _ = decode_table(len(pairs).to_bytes(4, "big") + pairs)
    assert decoded == {"a": Field("I", 2)}
    assert join_pairs(split_pairs(pairs)) == pairs
    assert [name for name, _ in split_pairs(pairs)] == [b"a", b"a"]


def test_split_pairs_reports_truncation() -> None:
    """Raw pairs are checked as decoded ones are."""
    with pytest.raises(Truncated):
        split_pairs(b"\x05ab")
    with pytest.raises(Drop):
        split_pairs(b"\x01kZ")


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (Field("I", 5), Field("l", 5), True),
        (Field("b", 5), Field("i", 5), True),
        (Field("I", 5), Field("I", 6), False),
        (Field("S", b"5"), Field("I", 5), False),
        (Field("t", True), Field("I", 1), False),
        (Field("S", b"a"), Field("S", b"a"), True),
        (Field("S", b"a"), Field("S", b"b"), False),
    ],
)
def test_arguments_compare_as_in_rabbitmq(left: Field, right: Field, same: bool) -> None:
    """Numbers are the same across wire widths, other values only with the same type."""
    assert same_value(left, right) is same
    assert same_value(right, left) is same


def test_integers_are_the_integer_types() -> None:
    """Counts and times may come in any integer width, but not as timestamp, float or bool."""
    assert all(is_integer(Field(tag, 1)) for tag in "IbBlsui")
    assert not any(is_integer(Field(tag, 1)) for tag in "TdftSxFAVD")


def test_python_values_take_the_types_rabbitmq_uses() -> None:
    """The server's own tables use the wire types that RabbitMQ uses."""
    assert field(True).tag == "t"
    assert field((1 << 31) - 1).tag == "I"
    assert field(1 << 31).tag == "l"
    assert field("é") == Field("S", "é".encode())
    assert field(b"\xff") == Field("S", b"\xff")
    assert field(None).tag == "V"
    assert field((1, "a")) == Field("A", [Field("I", 1), Field("S", b"a")])
    assert field(Field("x", b"z")) == Field("x", b"z")
    with pytest.raises(TypeError):
        field(object())


fields = st.recursive(
    st.one_of(
        st.builds(Field, st.just("t"), st.booleans()),
        st.builds(Field, st.just("I"), st.integers(-(1 << 31), (1 << 31) - 1)),
        st.builds(Field, st.just("l"), st.integers(-(1 << 63), (1 << 63) - 1)),
        st.builds(Field, st.just("u"), st.integers(0, 65535)),
        st.builds(Field, st.just("d"), st.floats(allow_nan=False)),
        st.builds(Field, st.sampled_from("Sx"), st.binary(max_size=20)),
        st.builds(Field, st.just("D"), st.tuples(st.integers(0, 255), st.integers(0, 1 << 31))),
        st.just(Field("V", None)),
    ),
    lambda inner: st.one_of(
        st.builds(Field, st.just("A"), st.lists(inner, max_size=4)),
        st.builds(Field, st.just("F"), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=20), fields, max_size=6))
def test_any_table_survives(values: dict[str, Field]) -> None:
    """Decoding is the inverse of encoding."""
    wire = encode_table(values)
    assert decode_table(wire) == (values, len(wire))
    assert join_pairs(split_pairs(wire[4:])) == wire[4:]


@given(st.one_of(st.binary(max_size=60), st.dictionaries(st.text(max_size=8), fields, max_size=4)))
def test_well_formed_is_what_decodes(made: bytes | dict[str, Field]) -> None:
    """A table is well formed exactly if it decodes, whole or cut, wherever it stands."""
    whole = made if isinstance(made, bytes) else encode_table(made)[4:]
    for end in range(len(whole) + 1):
        pairs = whole[:end]
        try:
            decode_table(len(pairs).to_bytes(4, "big") + pairs)
        except (Truncated, Drop):
            decodes = False
        else:
            decodes = True
        assert is_well_formed(b"??" + pairs + b"!!", 2, 2 + end) == decodes


@pytest.mark.parametrize("inner", [b"", b"\x01kt\x01"])
@pytest.mark.parametrize("depth", range(60, 70))
def test_nesting_has_one_limit(depth: int, inner: bytes) -> None:
    """Tables nest as deep when they are checked as when they are decoded."""
    pairs = inner
    for _ in range(depth):
        pairs = b"\x01kF" + len(pairs).to_bytes(4, "big") + pairs
    try:
        decode_table(len(pairs).to_bytes(4, "big") + pairs)
    except Drop:
        assert not is_well_formed(pairs, 0, len(pairs))
    else:
        assert is_well_formed(pairs, 0, len(pairs))


@given(st.binary(max_size=60))
def test_any_octets_decode_or_are_refused(octets: bytes) -> None:
    """Arbitrary octets give a table, Truncated or Drop; what decodes stays within its length."""
    wire = len(octets).to_bytes(4, "big") + octets
    try:
        decoded, end = decode_table(wire)
    except (Truncated, Drop):
        return
    assert end == len(wire)
    again, _ = decode_table(encode_table(decoded))
    assert repr(again) == repr(decoded)  # repr, since a NaN equals nothing


def test_not_a_number_survives() -> None:
    """A NaN keeps its octets, though it equals nothing."""
    decoded, _ = decode_table(b"\x00\x00\x00\x0b\x01nd\x7f\xf8\x00\x00\x00\x00\x00\x00")
    assert math.isnan(decoded["n"].value)
    assert encode_table(decoded)[-8:] == b"\x7f\xf8\x00\x00\x00\x00\x00\x00"


def test_integers_of_json_are_longs() -> None:
    """As RabbitMQ reads JSON, at any depth; what a long cannot hold is refused with its word."""
    made = json_table({"n": 1, "l": [2, True], "t": {"n": 3}}, null=False)
    assert made == {
        "n": Field("l", 1),
        "l": Field("A", [Field("l", 2), Field("t", True)]),
        "t": Field("F", {"n": Field("l", 3)}),
    }
    for value in (1 << 63, -(1 << 63) - 1):
        with pytest.raises(ValueError, match="integer_too_large"):
            json_table({"l": [value]}, null=False)


def test_null_of_json_is_asked_for() -> None:
    """Requests may not say null; definitions may, as exports of tables with voids do."""
    with pytest.raises(ValueError, match="null_not_allowed"):
        json_table({"t": {"n": None}}, null=False)
    assert json_table({"l": [None]}, null=True) == {"l": Field("A", [Field("V", None)])}
