"""Content headers and framed contents: nothing is lost, and peeking agrees with decoding."""

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import content
from protocol.errors import InternalError
from protocol.tables import Field, encode_table, table
from tests.frames import header, header_payload, message, split

ALL_PROPERTIES: dict[str, Any] = {
    "content_type": b"ct",
    "content_encoding": b"ce",
    "headers": {"n": Field("I", 1), "s": Field("S", b"text")},
    "delivery_mode": 2,
    "priority": 9,
    "correlation_id": b"ci",
    "reply_to": b"rt",
    "expiration": b"100000",
    "message_id": b"mi",
    "timestamp": 1700000000,
    "type": b"ty",
    "user_id": b"guest",
    "app_id": b"ai",
    "cluster_id": b"cl",
}


def test_pamqp_writes_what_we_read() -> None:
    """All fourteen properties of a header that pamqp wrote decode to their values."""
    framed = header(
        1,
        0,
        content_type="ct",
        content_encoding="ce",
        headers={"n": 1, "s": "text"},
        delivery_mode=2,
        priority=9,
        correlation_id="ci",
        reply_to="rt",
        expiration="100000",
        message_id="mi",
        timestamp=datetime.datetime.fromtimestamp(1700000000, tz=datetime.UTC),
        message_type="ty",
        user_id="guest",
        app_id="ai",
    )  # pamqp writes no cluster_id
    decoded = content.decode_properties(content.header_payload(framed))
    headers = decoded.pop("headers")
    assert decoded == {
        k: v for k, v in ALL_PROPERTIES.items() if k not in ("headers", "cluster_id")
    }
    assert {name: value.value for name, value in headers.items()} == {"n": 1, "s": b"text"}


@given(st.sets(st.sampled_from(sorted(ALL_PROPERTIES))), st.integers(0, (1 << 64) - 1))
def test_any_set_of_properties_survives(names: set[str], size: int) -> None:
    """Decoding is the inverse of encoding, whichever properties are set."""
    wanted = {name: value for name, value in ALL_PROPERTIES.items() if name in names}
    payload = content.encode_header(size, wanted)
    assert content.decode_properties(payload) == wanted
    assert list(content.decode_properties(payload)) == [n for n in ALL_PROPERTIES if n in names]


@pytest.mark.parametrize("cut", range(1, 60))
def test_truncated_properties_are_refused(cut: int) -> None:
    """A property list that ends early is 541 without a reason, as in RabbitMQ."""
    payload = content.encode_header(0, ALL_PROPERTIES)
    with pytest.raises(InternalError) as caught:
        content.decode_properties(payload[:-cut])
    assert caught.value.reply_text == b"INTERNAL_ERROR"
    assert not caught.value.about_method


def test_surplus_octets_are_refused() -> None:
    """Octets behind the last property are 541."""
    with pytest.raises(InternalError):
        content.decode_properties(content.encode_header(0, ALL_PROPERTIES) + b"\x00")


def test_continuation_flag_is_refused() -> None:
    """The flag that announces more flags, which no property needs, is 541 as in RabbitMQ."""
    with pytest.raises(InternalError):
        content.decode_properties(header_payload(1, b"\x00\x00\x03abc", flags=0x8001))


def test_unused_flag_is_ignored() -> None:
    """The one flag bit without a property is ignored, as in RabbitMQ."""
    assert content.decode_properties(header_payload(1, flags=0x0002)) == {}


def test_unknown_field_type_in_headers_is_refused() -> None:
    """A headers table with a value type nobody knows is 541, as in RabbitMQ."""
    with pytest.raises(InternalError):
        content.decode_properties(
            header_payload(1, b"\x00\x00\x00\x06\x01aZxyz", flags=content.HEADERS_FLAG)
        )


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 10000])
def test_content_is_reframed_for_its_reader(size: int) -> None:
    """For another channel and a small frame-max, no frame is too large and no octet is lost."""
    octets = bytes(range(256)) * (size // 256 + 1)
    octets = octets[:size]
    reframed = content.for_channel(message(7, octets, message_id="mi"), 300, 4096)
    frames = split(reframed)
    assert {channel for _, channel, _ in frames} == {300}
    assert [kind for kind, _, _ in frames] == [2] + [3] * (len(frames) - 1)
    assert all(len(payload) <= 4088 for _, _, payload in frames[1:])
    assert b"".join(payload for _, _, payload in frames[1:]) == octets
    assert content.decode_properties(frames[0][2]) == {"message_id": b"mi"}
    assert all(payload for _, _, payload in frames)


def test_parts_of_a_content() -> None:
    """Body, size and headers can be read from a framed content."""
    framed = message(3, b"hello", headers={"k": 1})
    assert content.body_of(framed) == b"hello"
    assert content.body_size(framed) == 5
    assert content.headers_of(framed)["k"].value == 1
    empty = message(3, b"")
    assert content.body_of(empty) == b""
    assert content.headers_of(empty) == {}
    assert content.frame_content(3, content.header_payload(framed), b"hello") == framed
    assert content.frame_content(3, content.header_payload(empty), b"") == empty


def test_properties_are_replaced_in_place() -> None:
    """Changing some properties leaves body, channel and all others as they were."""
    framed = message(3, b"hello", content_type="ct", expiration="5", delivery_mode=2)
    changed = content.with_properties(framed, {"expiration": None, "headers": {"k": Field("I", 1)}})
    assert content.body_of(changed) == b"hello"
    assert split(changed)[0][1] == 3
    assert content.decode_properties(content.header_payload(changed)) == {
        "content_type": b"ct",
        "headers": {"k": Field("I", 1)},
        "delivery_mode": 2,
    }


def peeked(framed: bytes) -> content.Peeked | None:
    """What peek finds in a framed content."""
    payload = content.header_payload(framed)
    flags = int.from_bytes(payload[12:14], "big")
    end = content.FRAME_HEAD.size + len(payload)
    return content.peek(framed, content.PROPERTIES_START, end, flags)


@pytest.mark.parametrize(
    ("properties", "found"),
    [
        ({}, (False, 0, -1)),
        ({"delivery_mode": 1}, (False, 0, -1)),
        ({"delivery_mode": 2}, (True, 0, -1)),
        ({"priority": 255}, (False, 255, -1)),
        ({"expiration": b"0"}, (False, 0, 0)),
        ({"expiration": b"001000"}, (False, 0, 1000)),
        ({"expiration": b"4294967296"}, (False, 0, 4294967296)),
        ({"headers": {"a": Field("S", b"x" * 300)}, "delivery_mode": 2}, (True, 0, -1)),
        # what a full check must look at
        ({"delivery_mode": 0}, None),
        ({"delivery_mode": 3}, None),
        ({"user_id": b"guest"}, None),
        ({"expiration": b""}, None),
        ({"expiration": b"-1"}, None),
        ({"expiration": b" 1000"}, None),
        ({"expiration": b"99999999999"}, None),
        ({"headers": {"CC": Field("A", [])}}, None),
        ({"headers": {"BCC": Field("A", [])}}, None),
    ],
)
def test_peek_finds_what_queueing_needs(
    properties: dict[str, Any], found: content.Peeked | None
) -> None:
    """Durability, priority and expiration are found, and anything that needs a check is left."""
    payload = content.encode_header(0, properties)
    assert peeked(content.frame_content(1, payload, b"")) == found


property_values = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.binary(max_size=30),
        "headers": st.dictionaries(st.text(max_size=5), st.integers(0, 9)).map(table),
        "delivery_mode": st.integers(0, 3),
        "priority": st.integers(0, 255),
        "correlation_id": st.binary(max_size=255),
        "reply_to": st.binary(max_size=30),
        "expiration": st.one_of(st.integers(0, 1 << 40).map(lambda n: b"%d" % n), st.binary()),
        "message_id": st.binary(max_size=30),
        "timestamp": st.integers(0, (1 << 64) - 1),
        "type": st.binary(max_size=30),
        "app_id": st.binary(max_size=30),
        "cluster_id": st.binary(max_size=30),
    },
)


@given(property_values)
def test_peek_agrees_with_decoding(properties: dict[str, Any]) -> None:
    """Whatever peek finds is what the decoded properties say."""
    properties["expiration"] = properties.get("expiration", b"1")[:255]
    found = peeked(content.frame_content(1, content.encode_header(0, properties), b""))
    if found is not None:
        persistent, priority, ttl_ms = found
        assert persistent == (properties.get("delivery_mode") == 2)
        assert priority == properties.get("priority", 0)
        assert ttl_ms == int(properties["expiration"])


@given(st.binary(max_size=40), st.integers(0, 65535))
def test_peek_never_reads_beyond_the_header(octets: bytes, flags: int) -> None:
    """On arbitrary octets peek answers None or what a header of exactly that length says."""
    padded = octets + b"\x05" * 300
    found = content.peek(padded, 0, len(octets), flags)
    assert found == content.peek(octets + b"\x09" * 300, 0, len(octets), flags)


@pytest.mark.parametrize("pairs", [b"\x01aZxyz", b"\x01aS\x00\x00\x00\x09x", b"\x05ab"])
def test_peek_leaves_malformed_headers(pairs: bytes) -> None:
    """Headers that do not decode are left for the full check, which refuses them."""
    wire = len(pairs).to_bytes(4, "big") + pairs
    payload = header_payload(1, wire, flags=content.HEADERS_FLAG)
    assert peeked(content.frame_content(1, payload, b"")) is None


def test_a_table_in_headers_is_measured_by_its_length() -> None:
    """Peek steps over headers by their length field, without decoding them."""
    headers = {"a": Field("F", table({"b": [1, 2]}))}
    payload = content.encode_header(0, {"headers": headers, "priority": 4})
    assert peeked(content.frame_content(1, payload, b"")) == (False, 4, -1)
    assert encode_table(headers) in payload
