"""Content: how it is cut into frames, and properties and tables octet for octet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.channel import Channel
from conformance.codec import HEADER, encode_properties, frame
from conformance.conftest import Target
from conformance.wire import Connection

Connect = Callable[..., Connection]
Declare = Callable[..., str]
Name = Callable[[str], str]

ALL_TYPES: dict[str, Any] = {
    "t": True,
    "false": False,
    "b": {"b": -128},
    "B": {"B": 255},
    "s": {"s": -32768},
    "u": {"u": 65535},
    "I": {"I": -(2**31)},
    "i": {"i": 2**32 - 1},
    "l": {"l": -(2**63)},
    "f": {"f": 1.5},
    "d": {"d": -2.25e300},
    "D": {"D": [3, -12345]},
    "S": {"S": "text ☃"},
    "S-octets": {"S": {"hex": "00ff80"}},
    "S-empty": {"S": ""},
    "x": {"x": {"hex": "00ff"}},
    "A": [1, "two", [3, []], {"F": {"k": {"l": 4}}}, None, True],
    "T": {"T": 2**64 - 1},
    "F": {"F": {"deep": {"F": {"deeper": {"F": {}}}}}},
    "V": None,
}


def round_trip(ch: Channel, queue: str, **props: Any) -> bytes:
    """Publish with these properties; the octets of the property list as they come back."""
    ch.publish("", queue, "x", **props)
    ch.sync()
    return ch.get(queue).header.raw


# -- content framing


@pytest.mark.parametrize("size", [0, 1, 4087, 4088, 4089, 8176, 8177, 100_000])
def test_body_sizes_at_frame_max_4096(connect: Connect, name: Name, size: int) -> None:
    """A body comes back whole, in frames of frame_max less eight octets and a rest."""
    ch = connect(frame_max=4096).channel(1)
    queue = ch.declare(exclusive=True)
    body = bytes(n % 251 for n in range(size))
    ch.publish("", queue, body)
    ch.sync()
    content = ch.get(queue, body=body)
    assert content.body_frames == [4088] * (size // 4088) + [size % 4088] * (size % 4088 > 0)


@pytest.mark.parametrize("split", [[1] * 10, [10], [0, 10], [5, 0, 0, 5], [9, 1], [3, 3, 3, 1]])
def test_body_split_anyhow(ch: Channel, queue: str, split: list[int]) -> None:
    """The publisher cuts the body as it likes; empty frames are allowed."""
    ch.publish("", queue, "0123456789", split=split)
    ch.sync()
    ch.get(queue, body="0123456789")


def test_empty_body_frame_of_an_empty_body(ch: Channel, queue: str) -> None:
    """A body of no octets is complete with its header; a body frame then is too much."""
    ch.send("basic.publish", routing_key=queue)
    ch.header(0)
    ch.body(b"")
    text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
    ch.connection.expect_connection_close(505, text)


def test_empty_body_frame_after_the_body(ch: Channel, queue: str) -> None:
    """A complete body takes no further frame, not even an empty one."""
    ch.publish("", queue, "0123456789", split=[10, 0])
    text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
    ch.connection.expect_connection_close(505, text)


def test_different_frame_max(connect: Connect, name: Name) -> None:
    """A consumer gets the body in frames of its own size, whatever the publisher's was."""
    publisher, consumer = connect().channel(1), connect(frame_max=4096).channel(1)
    queue = publisher.declare(name("q"))
    publisher.publish("", queue, b"x" * 20_000)
    publisher.sync()
    assert consumer.get(queue).body_frames == [4088] * 4 + [3648]


def test_100_mb_in_4_kb_frames(connect: Connect, name: Name) -> None:
    """A large message in small frames goes through, and back in large ones."""
    publisher, consumer = connect(frame_max=4096).channel(1), connect().channel(1)
    queue = publisher.declare(name("q"))
    publisher.call("confirm.select")
    size, piece = 100 * 1024 * 1024, bytes(range(256)) * 16
    publisher.send("basic.publish", routing_key=queue)
    publisher.header(size)
    cut = frame(3, 1, piece[:4088])
    whole, rest = divmod(size, 4088)
    for _ in range(whole // 100):
        publisher.connection.send_raw(cut * 100)
    publisher.connection.send_raw(cut * (whole % 100) + frame(3, 1, piece[:rest]))
    publisher.expect("basic.ack", timeout=30.0)
    consumer.send("basic.get", queue=queue, no_ack=True)
    content = consumer.expect_content("basic.get-ok", timeout=30.0)
    assert len(content.body) == size
    assert content.body_frames == [131064] * (size // 131064) + [size % 131064]
    assert content.body[: 4088 * 3] == piece[:4088] * 3


def test_too_large_message(ch: Channel) -> None:
    """Above 128 MiB a message is refused by the channel, when it has arrived."""
    ch.send("basic.publish", routing_key="x")
    size = 134217728 + 1
    ch.header(size)
    piece = frame(3, 1, bytes(131064))
    for _ in range(size // 131064):
        ch.connection.send_raw(piece)
    ch.body(bytes(size % 131064))
    text = (
        "PRECONDITION_FAILED - message size 134217729 is larger than configured max size 134217728"
    )
    ch.expect_channel_close(406, text, 60, 40)


def test_body_overrun(ch: Channel) -> None:
    """Octets beyond the announced size are noticed with the next frame that is no body."""
    ch.send("basic.publish", routing_key="x")
    ch.header(3)
    ch.body(b"hello")
    ch.connection.expect_silence(0.05)
    ch.send("basic.qos")
    text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
    ch.connection.expect_connection_close(505, text, 60, 40)


@pytest.mark.parametrize("class_id", [0, 50, 61, 65535])
def test_header_of_another_class(ch: Channel, class_id: int) -> None:
    """The header repeats the method's class."""
    ch.send("basic.publish", routing_key="x")
    ch.header(1, class_id)
    text = (
        "UNEXPECTED_FRAME - expected content header for class 60, "
        f"got one for class {class_id} instead"
    )
    ch.connection.expect_connection_close(505, text, 60, 40)


def test_two_headers(ch: Channel) -> None:
    """A second header instead of the body is an error."""
    ch.send("basic.publish", routing_key="x")
    ch.header(1)
    ch.header(1)
    text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
    ch.connection.expect_connection_close(505, text, 60, 40)


def test_header_twice_for_one_publish(ch: Channel) -> None:
    """A header after a complete content is nobody's."""
    ch.publish("", "x", "y")
    ch.header(0)
    text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
    ch.connection.expect_connection_close(505, text)


def test_weight(ch: Channel) -> None:
    """The weight field of a content header must be zero."""
    ch.send("basic.publish", routing_key="x")
    payload = b"\x00\x3c\x00\x07" + (1).to_bytes(8, "big") + b"\x00\x00"
    ch.connection.send_frame(HEADER, 1, payload)
    text = (
        "UNEXPECTED_FRAME - expected content header for class 60, "
        "got non content header frame instead"
    )
    ch.connection.expect_connection_close(505, text, 60, 40)


# -- properties and tables


def test_no_properties(ch: Channel, queue: str) -> None:
    """Absent properties stay absent."""
    assert round_trip(ch, queue) == b"\x00\x00"


@pytest.mark.parametrize(
    ("prop", "value"),
    [
        ("content_type", "text/plain"),
        ("content_encoding", "gzip"),
        ("headers", {"a": 1}),
        ("delivery_mode", 1),
        ("delivery_mode", 2),
        ("priority", 0),
        ("priority", 255),
        ("correlation_id", "c" * 255),
        ("reply_to", "somewhere"),
        ("expiration", "100000"),
        ("message_id", ""),
        ("timestamp", 0),
        ("timestamp", 2**64 - 1),
        ("type", "t"),
        ("user_id", "guest"),
        ("app_id", "é"),
        ("cluster_id", "c"),
        ("correlation_id", b"\xff\xfe\x00\x80"),
        ("message_id", b"caf\xe9"),
        ("app_id", b"\xc3"),
    ],
)
def test_each_property_alone(ch: Channel, queue: str, prop: str, value: Any) -> None:
    """Each property comes back octet for octet, also where it is no UTF-8."""
    assert round_trip(ch, queue, **{prop: value}) == encode_properties({prop: value})


def test_all_properties(ch: Channel, queue: str) -> None:
    """All fourteen properties together come back octet for octet."""
    props = {
        "content_type": "a/b", "content_encoding": "c", "headers": ALL_TYPES, "delivery_mode": 2,
        "priority": 7, "correlation_id": "d", "reply_to": "e", "expiration": "60000",
        "message_id": "f", "timestamp": 5, "type": "g", "user_id": "guest", "app_id": "h",
        "cluster_id": "i",
    }  # fmt: skip
    assert round_trip(ch, queue, **props) == encode_properties(props)


@pytest.mark.parametrize("key", list(ALL_TYPES))
def test_header_of_each_type(ch: Channel, queue: str, key: str) -> None:
    """A header keeps its type and its octets."""
    props = {"headers": {"h": ALL_TYPES[key]}}
    assert round_trip(ch, queue, **props) == encode_properties(props)


def test_headers_order_and_duplicates(ch: Channel, queue: str) -> None:
    """Headers keep their order, and a name that comes twice comes back twice."""
    headers = [("z", 1), ("a", 2), ("z", 3), ("", 4), ("a", "five"), ("n" * 255, None)]
    assert round_trip(ch, queue, headers=headers) == encode_properties({"headers": headers})


def test_empty_headers(ch: Channel, queue: str) -> None:
    """An empty headers table is not the same as none."""
    assert round_trip(ch, queue, headers={}) == encode_properties({"headers": {}})


def test_headers_of_64_kb(ch: Channel, queue: str) -> None:
    """Headers may fill a frame: 64 KiB in one value, and thousands of small ones."""
    for headers in ({"big": "x" * 65536}, {f"k{n}": n for n in range(6000)}):
        props = {"headers": headers}
        assert round_trip(ch, queue, **props) == encode_properties(props)


def test_deeply_nested_headers(ch: Channel, queue: str) -> None:
    """Tables within tables come back whole."""
    headers: dict[str, Any] = {"bottom": True}
    for _ in range(50):
        headers = {"t": {"F": headers}, "a": [{"F": {}}]}
    assert round_trip(ch, queue, headers=headers) == encode_properties({"headers": headers})


def test_too_deeply_nested_headers(broker: Target, ch: Channel, queue: str) -> None:
    """RabbitMQ reads tables of any depth; Leveret refuses what only an attack needs."""
    headers: dict[str, Any] = {"bottom": True}
    for _ in range(200):
        headers = {"t": {"F": headers}}
    if broker.is_leveret:
        ch.publish("", queue, "x", headers=headers)
        ch.connection.expect_connection_close(541, "INTERNAL_ERROR")
        return
    assert round_trip(ch, queue, headers=headers) == encode_properties({"headers": headers})


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("kind", "fd")
def test_floats_that_are_no_numbers(
    broker: Target, ch: Channel, queue: str, kind: str, value: str
) -> None:
    """RabbitMQ cannot read such a header (541); a broker that can gives it back as it was."""
    props = {"headers": {"h": {kind: float(value)}}}
    ch.publish("", queue, "x", **props)
    if broker.is_rabbitmq:
        ch.connection.expect_connection_close(541, "INTERNAL_ERROR")
        return
    ch.sync()
    assert ch.get(queue).header.raw == encode_properties(props)


def test_octets_in_tables(ch: Channel, queue: str) -> None:
    """Table keys and long strings are octets, in arguments and in headers."""
    headers = [(b"\xff", {"S": {"hex": "80"}})]
    ch.declare("", exclusive=True, arguments=headers)
    assert round_trip(ch, queue, headers=headers) == encode_properties({"headers": headers})
