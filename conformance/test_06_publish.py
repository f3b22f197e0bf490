"""Publishing: returns, refusals, CC and BCC, order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.channel import Channel
from conformance.codec import HEADER, METHOD, encode_method, encode_properties, frame
from conformance.test_06_content import ALL_TYPES
from conformance.wire import Connection

Connect = Callable[..., Connection]
Declare = Callable[..., str]
Name = Callable[[str], str]

# -- mandatory and immediate


def test_return_gives_everything_back(ch: Channel, exchange: Declare) -> None:
    """A returned message has its exchange, key, properties and body."""
    direct = exchange("direct")
    ch.publish(direct, "nobody", b"\x00\xff", mandatory=True, headers=ALL_TYPES, message_id="m")
    content = ch.expect_content(
        "basic.return", body=b"\x00\xff", reply_code=312, reply_text="NO_ROUTE",
        exchange=direct, routing_key="nobody",
    )  # fmt: skip
    assert content.header.raw == encode_properties({"headers": ALL_TYPES, "message_id": "m"})


def test_return_of_an_empty_body(ch: Channel) -> None:
    """A returned message without body is a method and a header."""
    ch.publish("", "nobody", "", mandatory=True)
    ch.expect_content("basic.return", body="")
    ch.sync()


def test_return_of_a_large_body(connect: Connect) -> None:
    """A returned body is cut to the publisher's own frame size."""
    ch = connect(frame_max=4096).channel(1)
    ch.publish("", "nobody", b"x" * 10_000, mandatory=True)
    assert ch.expect_content("basic.return").body_frames == [4088, 4088, 1824]


def test_returns_keep_order(ch: Channel, queue: str) -> None:
    """Returns come in the order of the publishes; routable messages leave no trace."""
    for n in range(50):
        ch.publish("", "nobody" if n % 2 else queue, str(n), mandatory=True)
    for n in range(1, 50, 2):
        ch.expect_content("basic.return", body=str(n))
    ch.sync()
    assert ch.drain(queue) == [str(n) for n in range(0, 50, 2)]


def test_mandatory_routable(ch: Channel, queue: str) -> None:
    """A mandatory message that found a queue is not returned, consumer or not."""
    ch.publish("", queue, "x", mandatory=True)
    ch.sync()
    ch.get(queue, body="x")


def test_unroutable_is_dropped(ch: Channel) -> None:
    """Without mandatory an unroutable message vanishes."""
    ch.publish("amq.direct", "nobody", "x")
    ch.sync()


@pytest.mark.parametrize("mandatory", [False, True])
def test_immediate(ch: Channel, queue: str, mandatory: bool) -> None:
    """immediate went with RabbitMQ 3.0, routable or not."""
    ch.publish("", queue, "x", immediate=True, mandatory=mandatory)
    ch.connection.expect_connection_close(540, "NOT_IMPLEMENTED - immediate=true", 60, 40)


# -- refusals


@pytest.mark.parametrize("mode", [0, 3, 4, 127, 255])
def test_unknown_delivery_mode(ch: Channel, queue: str, mode: int) -> None:
    """A delivery mode is 1 or 2."""
    ch.publish("", queue, "x", delivery_mode=mode)
    text = f"PRECONDITION_FAILED - invalid message: {{delivery_mode_unknown,{mode}}}"
    ch.expect_channel_close(406, text, 60, 40)


@pytest.mark.parametrize(
    ("expiration", "reason"),
    [
        ("abc", "no_integer"),
        ("-", "no_integer"),
        ("1.5", '{leftover_string,".5"}'),
        ("1e3", '{leftover_string,"e3"}'),
        ("-5", "{value_negative,-5}"),
        ("0x10", '{leftover_string,"x10"}'),
    ],
)
def test_bad_expiration(ch: Channel, queue: str, expiration: str, reason: str) -> None:
    """expiration is a decimal number of milliseconds in a string."""
    ch.publish("", queue, "x", expiration=expiration)
    text = f"PRECONDITION_FAILED - invalid expiration '{expiration}': {reason}"
    ch.expect_channel_close(406, text, 60, 40)


@pytest.mark.parametrize("expiration", ["60000", "+60000", "0060000", "4294967295"])
def test_good_expiration(ch: Channel, queue: str, expiration: str) -> None:
    """A sign and leading zeros are fine, and the property comes back as written."""
    ch.publish("", queue, "x", expiration=expiration)
    ch.sync()
    assert ch.get(queue).props == {"expiration": expiration}


@pytest.mark.parametrize("user", ["other", "", "GUEST"])
def test_user_id_of_another(ch: Channel, queue: str, user: str) -> None:
    """user_id, where given, is the connection's user."""
    ch.publish("", queue, "x", user_id=user)
    text = (
        f"PRECONDITION_FAILED - user_id property set to '{user}' but authenticated user was 'guest'"
    )
    ch.expect_channel_close(406, text, 60, 40)


@pytest.mark.parametrize("octets", [b"\xff", b"caf\xe9", b"a\xc3", b"\x00\x80"])
def test_routing_key_that_is_not_utf8(ch: Channel, queue: str, octets: bytes) -> None:
    """The routing key of a publish may be any octets; it is returned and delivered as it was."""
    ch.publish("", octets, "lost", mandatory=True)
    ch.expect_content("basic.return", routing_key={"hex": octets.hex()})
    ch.bind(queue, "amq.topic", f"{queue}.*")
    key = f"{queue}.".encode() + octets
    ch.publish("amq.topic", key, "x")
    ch.sync()
    ch.get(queue, body="x", routing_key={"hex": key.hex()})


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("queue.declare", "queue"),
        ("queue.bind", "routing_key"),
        ("exchange.declare", "exchange"),
        ("basic.get", "queue"),
        ("basic.cancel", "consumer_tag"),
    ],
)
def test_other_names_must_be_utf8(ch: Channel, method: str, field: str) -> None:
    """Short strings in all other methods must be UTF-8."""
    ch.send(method, **{field: b"\xff"})
    text = "FRAME_ERROR - Malformed UTF-8 in shortstr"
    ch.connection.expect_connection_close(501, text)


def test_missing_exchange(ch: Channel) -> None:
    """A missing exchange closes the channel, when the content is complete."""
    ch.send("basic.publish", exchange="nope", routing_key="k", mandatory=True)
    ch.header(6)
    ch.body(b"abc")
    ch.connection.expect_silence(0.05)
    ch.body(b"def")
    text = "NOT_FOUND - no exchange 'nope' in vhost '/'"
    ch.expect_channel_close(404, text, 60, 40)


def test_exchange_deleted_between_publishes(ch: Channel, exchange: Declare, queue: str) -> None:
    """A publish right after the exchange went is a 404, though one before it was fine."""
    fanout = exchange("fanout")
    ch.bind(queue, fanout)
    ch.publish(fanout, "", "x")
    ch.send("exchange.delete", exchange=fanout)
    ch.publish(fanout, "", "y")
    ch.expect("exchange.delete-ok")
    text = f"NOT_FOUND - no exchange '{fanout}' in vhost '/'"
    ch.expect_channel_close(404, text, 60, 40)


def test_another_connection_deletes_the_exchange(
    ch: Channel, other: Channel, exchange: Declare, queue: str
) -> None:
    """What another connection changes holds from its answer on."""
    fanout = exchange("fanout")
    ch.bind(queue, fanout)
    ch.publish(fanout, "", "x")
    ch.sync()
    other.call("exchange.delete", exchange=fanout)
    ch.publish(fanout, "", "y")
    assert "no exchange" in ch.expect_closed_with(404)


def test_bad_header_table(ch: Channel, queue: str) -> None:
    """An unknown field type in the headers is a 541 of the connection."""
    ch.publish("", queue, "x", headers=b"\x01aZxyz")
    ch.connection.expect_connection_close(541, "INTERNAL_ERROR")


# -- CC and BCC


def test_cc_and_bcc(ch: Channel, name: Name) -> None:
    """CC and BCC route like more routing keys; BCC is taken out, CC stays."""
    queues = [ch.declare(name("q")) for _ in range(4)]
    headers = {"CC": [queues[1], queues[2]], "BCC": [queues[3], queues[0]], "n": 5}
    ch.publish("", queues[0], "x", headers=headers)
    ch.sync()
    for queue in queues:
        content = ch.get(queue, body="x", routing_key=queues[0])
        assert list(content.headers) == ["CC", "n"]
        ch.get_empty(queue)


def test_cc_makes_a_message_routable(ch: Channel, queue: str) -> None:
    """A message that only CC finds a queue for is not returned."""
    ch.publish("", "nobody", "x", mandatory=True, headers={"CC": [queue]})
    ch.sync()
    assert ch.drain(queue) == ["x"]


def test_cc_with_topic(ch: Channel, exchange: Declare, queue: str) -> None:
    """CC keys go through the exchange's own routing."""
    topic = exchange("topic")
    ch.bind(queue, topic, "a.*")
    ch.publish(topic, "b", "x", headers={"CC": ["a.b", "a.c", "c"]})
    ch.sync()
    assert ch.drain(queue) == ["x"]


@pytest.mark.parametrize("header", ["CC", "BCC"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "longstr"), (5, "signedint"), ({"F": {}}, "table"), (True, "bool"), (None, "void")],
)
def test_cc_of_wrong_type(ch: Channel, queue: str, header: str, value: Any, kind: str) -> None:
    """CC and BCC are arrays."""
    ch.publish("", queue, "x", headers={header: value})
    text = (
        f'PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,"{header}",{kind}}}'
    )
    ch.expect_channel_close(406, text, 60, 40)


@pytest.mark.parametrize("key", ["cc", "Cc", "x-CC"])
def test_cc_is_spelled_in_capitals(ch: Channel, queue: str, key: str) -> None:
    """Other spellings are headers like any other."""
    ch.publish("", queue, "x", headers={key: "text"})
    ch.sync()
    assert ch.get(queue).headers == {key: {"S": "text"}}


# -- order and volume


def test_order_of_one_channel(ch: Channel, queue: str) -> None:
    """What one channel publishes to a queue stays in order."""
    bodies = [str(n) for n in range(2000)]
    for body in bodies:
        ch.publish("", queue, body)
    ch.sync()
    assert ch.drain(queue) == bodies


def test_order_over_two_exchanges(ch: Channel, exchange: Declare, queue: str) -> None:
    """The way a message takes does not change its place."""
    fanout, topic = exchange("fanout"), exchange("topic")
    ch.bind(queue, fanout)
    ch.bind(queue, topic, "#")
    for n in range(300):
        ch.publish((fanout, topic, "")[n % 3], queue, str(n))
    ch.sync()
    assert ch.drain(queue) == [str(n) for n in range(300)]


def test_one_large_write(ch: Channel, queue: str) -> None:
    """A thousand publishes in one write, cut anywhere by TCP, all arrive."""
    publish = frame(METHOD, 1, encode_method("basic.publish", {"routing_key": queue}))
    out = b""
    for n in range(1000):
        body = str(n).encode() * (n % 50 + 1)
        header = b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big") + b"\x00\x00"
        out += publish + frame(HEADER, 1, header) + frame(3, 1, body)
    for at in range(0, len(out), 1377):
        ch.connection.send_raw(out[at : at + 1377])
    ch.sync()
    assert ch.drain(queue) == [str(n) * (n % 50 + 1) for n in range(1000)]
