"""Connections: the handshake, its refusals, tuning, framing errors, heartbeats and closing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from conformance.channel import Channel
from conformance.codec import BODY, HEADER, METHOD, PROTOCOL_HEADER, encode_method, frame
from conformance.wire import Connection, TcpClosed

Connect = Callable[..., Connection]
Name = Callable[..., str]
LOGIN_REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism {}. "
    "For details see the broker logfile."
)


# -- protocol header


@pytest.mark.parametrize(
    "octets",
    [
        b"AMQP\x00\x00\x09\x00",
        b"AMQP\x00\x00\x09\x02",
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x09\x01\x00\x00",
        b"AMQP\xff\xff\xff\xff",
        b"\x00" * 8,
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"SSH-2.0-client\r\n",
    ],
)
def test_another_protocol_is_told_which_one_is_spoken(connect: Connect, octets: bytes) -> None:
    """A protocol header of anything else is answered by AMQP 0-9-1, and TCP ends."""
    connection = connect(stage="tcp")
    connection.send_raw(octets)
    assert connection.read_octets(8) == PROTOCOL_HEADER
    connection.expect_tcp_close()


def test_header_octet_by_octet(connect: Connect) -> None:
    """A protocol header that arrives in eight packets is a protocol header."""
    connection = connect(stage="tcp")
    for n in range(8):
        connection.send_raw(PROTOCOL_HEADER[n : n + 1])
        time.sleep(0.005)
    connection.expect("connection.start", version_major=0, version_minor=9)


def test_frames_octet_by_octet(connect: Connect) -> None:
    """A frame may arrive in as many packets as it has octets."""
    connection = connect()
    for octet in frame(METHOD, 1, encode_method("channel.open", {})):
        connection.send_raw(bytes([octet]))
    assert connection.next(1).name == "channel.open-ok"  # type: ignore[union-attr]


def test_whole_handshake_in_one_write(connect: Connect) -> None:
    """A client need not wait for answers it can foresee."""
    connection = connect(stage="tcp")
    start_ok = {"mechanism": "PLAIN", "response": "\0guest\0guest", "locale": "en_US"}
    tune_ok = {"channel_max": 100, "frame_max": 8192}
    connection.send_raw(
        PROTOCOL_HEADER
        + frame(METHOD, 0, encode_method("connection.start-ok", start_ok))
        + frame(METHOD, 0, encode_method("connection.tune-ok", tune_ok))
        + frame(METHOD, 0, encode_method("connection.open", {"virtual_host": "/"}))
        + frame(METHOD, 1, encode_method("channel.open", {}))
    )
    connection.expect("connection.start")
    connection.expect("connection.tune")
    connection.expect("connection.open-ok", known_hosts="")
    assert connection.next(1).name == "channel.open-ok"  # type: ignore[union-attr]


# -- start and login


def test_start_offers(connect: Connect) -> None:
    """connection.start names version 0-9, PLAIN and AMQPLAIN, en_US and who it is."""
    connection = connect(stage="header")
    start = connection.expect("connection.start", version_major=0, version_minor=9)
    assert {"PLAIN", "AMQPLAIN"} <= set(start["mechanisms"].split())
    assert start["locales"] == "en_US"
    properties = start["server_properties"]
    for key in ("product", "version", "platform", "copyright", "information", "cluster_name"):
        assert properties[key]["S"], f"{key} is empty"
    assert properties["product"] == {"S": "RabbitMQ"}, "clients choose their behaviour by it"


@pytest.mark.parametrize(
    "capability",
    [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ],
)
def test_capability(connect: Connect, capability: str) -> None:
    """Clients look their features up among the server's capabilities."""
    start = connect(stage="header").expect("connection.start")
    capabilities = start["server_properties"]["capabilities"]["F"]
    assert capabilities[capability] == {"t": True}


def test_tune_offer(connect: Connect) -> None:
    """The offer is 2,047 channels, frames of 131,072 octets and a heartbeat of 60 s."""
    connection = connect(stage="start")
    connection.send_start_ok()
    connection.expect("connection.tune", channel_max=2047, frame_max=131072, heartbeat=60)


def test_amqplain(connect: Connect) -> None:
    """AMQPLAIN takes LOGIN and PASSWORD as a table without its length."""
    connection = connect(stage="start")
    login = b"\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest"
    connection.send_start_ok(mechanism="AMQPLAIN", response=login)
    connection.expect("connection.tune")


@pytest.mark.parametrize(
    "response", ["\0guest\0", "\0guest\0GUEST", "\0\0", "\0nobody\0guest", "\0guest\0guest\n"]
)
def test_wrong_credentials(connect: Connect, response: str) -> None:
    """A refused login is a 403 without class and method, for clients that can take it."""
    connection = connect(stage="start")
    connection.send_start_ok(response=response)
    connection.expect_connection_close(403, LOGIN_REFUSED.format("PLAIN"))


def test_wrong_amqplain_credentials(connect: Connect) -> None:
    """The refusal names the mechanism that was used."""
    connection = connect(stage="start")
    login = b"\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x01x"
    connection.send_start_ok(mechanism="AMQPLAIN", response=login)
    connection.expect_connection_close(403, LOGIN_REFUSED.format("AMQPLAIN"))


def test_client_properties_of_every_type(connect: Connect) -> None:
    """Client properties may hold any field type, nested as deep as they like."""
    nested: dict[str, object] = {"x": {"x": {"hex": "00ff"}}, "D": {"D": [2, 5]}, "V": None}
    for _ in range(20):
        nested = {"deeper": {"F": nested}, "list": [1, "two", {"F": {}}]}
    connect(client_properties={"nested": nested, "t": True, "T": {"T": 1}}).channel(1)


@pytest.mark.parametrize("vhost", ["", "nope", "//", "%2F", "/ "])
def test_unknown_vhost(connect: Connect, vhost: str) -> None:
    """connection.open of a vhost that is not there is a 530 that names it."""
    connection = connect(stage="tuned")
    connection.send("connection.open", virtual_host=vhost)
    text = f"NOT_ALLOWED - vhost {vhost} not found"
    connection.expect_connection_close(530, text, 10, 40)


def test_open_with_reserved_fields(connect: Connect) -> None:
    """The two fields of connection.open that no one uses any more are ignored."""
    connection = connect(stage="tuned")
    connection.send("connection.open", virtual_host="/", capabilities="x", insist=True)
    connection.expect("connection.open-ok", known_hosts="")


# -- tuning


@pytest.mark.parametrize("heartbeat", [0, 1, 61, 600, 65535])
def test_any_heartbeat_is_accepted(connect: Connect, heartbeat: int) -> None:
    """The client decides on the heartbeat, also above the offer."""
    connect(heartbeat=heartbeat).channel(1)


@pytest.mark.parametrize("channel_max", [1, 2, 2046, 2047])
def test_lower_channel_max_is_accepted(connect: Connect, channel_max: int) -> None:
    """A client may ask for fewer channels, down to one."""
    connect(channel_max=channel_max).channel(1)


@pytest.mark.parametrize("frame_max", [4096, 4097, 65536, 131072])
def test_lower_frame_max_is_accepted(connect: Connect, frame_max: int) -> None:
    """A client may ask for smaller frames, down to 4,096 octets."""
    connect(frame_max=frame_max).channel(1)


def test_tuning_above_the_offer(connect: Connect) -> None:
    """More channels or larger frames than offered end the handshake without a word."""
    refused = []
    for wanted in ({"channel_max": 2048}, {"frame_max": 131073}, {"channel_max": 65535}):
        connection = connect(stage="tune", **wanted)
        connection.send("connection.tune-ok", **connection.tune)
        connection.send("connection.open", virtual_host="/")
        refused.append(connection)
    for connection in refused:
        assert connection.expect_tcp_close() > -1


def test_channel_max_counts_open_channels(connect: Connect) -> None:
    """A closed channel makes room for another, whatever its number."""
    connection = connect(channel_max=2)
    first, second = connection.channel(7), connection.channel(65535)
    first.close()
    connection.channel(300).close()
    second.close()
    connection.channel(1)
    connection.channel(2)
    connection.send("channel.open", channel=3)
    text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
    connection.expect_connection_close(530, text)


def test_all_2047_channels(connect: Connect) -> None:
    """As many channels as offered can be open at once, and each one works."""
    connection = connect()
    for number in range(1, 2048):
        connection.send("channel.open", channel=number)
    for number in range(1, 2048):
        assert connection.next(number).name == "channel.open-ok"  # type: ignore[union-attr]
    queue = Channel(connection, 2047).declare(exclusive=True)
    for number in (1, 1024, 2046):
        Channel(connection, number).publish("", queue, f"from {number}")
        Channel(connection, number).sync()
    consumer = Channel(connection, 500)
    consumer.consume(queue, no_ack=True)
    assert {one.text for one in consumer.deliveries(3)} == {"from 1", "from 1024", "from 2046"}


# -- framing


@pytest.mark.parametrize("frame_type", [0, 5, 7, 9, 65, 255])
def test_unknown_frame_type(connect: Connect, frame_type: int) -> None:
    """A frame of an unknown type is a 501 on the connection."""
    connection = connect()
    connection.send_frame(frame_type, 0, b"abc")
    text = f'FRAME_ERROR - type {frame_type}, all octets = <<"abc">>: unknown_frame'
    connection.expect_connection_close(501, text)


@pytest.mark.parametrize("end", [0, 1, 9])
def test_bad_end_octet(connect: Connect, end: int) -> None:
    """A frame must end with 206."""
    connection = connect()
    connection.channel(1)
    connection.send_frame(METHOD, 1, encode_method("basic.qos", {}), end=end)
    text = (
        "FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,0,0>>: "
        f"{{invalid_frame_end_marker,{end}}}"
    )
    connection.expect_connection_close(501, text)


@pytest.mark.parametrize(("frame_max", "size"), [(4096, 4097), (4096, 9000), (8192, 8193)])
def test_oversized_frame(connect: Connect, frame_max: int, size: int) -> None:
    """A payload above frame_max is refused by its announcement, before it arrived."""
    connection = connect(frame_max=frame_max)
    connection.channel(1)
    connection.send_raw(b"\x01\x00\x01" + size.to_bytes(4, "big"))
    text = f"FRAME_ERROR - type 1, all octets = <<>>: {{frame_too_large,{size},{frame_max - 8}}}"
    connection.expect_connection_close(501, text, answer=False)


def test_four_gigabyte_announcement(connect: Connect) -> None:
    """A frame that announces 4 GiB is refused at once instead of waited for."""
    connection = connect()
    connection.send_raw(b"\x01\x00\x00\xff\xff\xff\xff")
    text = "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,4294967295,131064}"
    connection.expect_connection_close(501, text, answer=False)


def test_empty_method_frame(connect: Connect) -> None:
    """A method frame without a method is a 501."""
    connection = connect()
    connection.channel(1)
    connection.send_frame(METHOD, 1, b"")
    text = "FRAME_ERROR - type 1, all octets = <<>>: unknown_frame"
    connection.expect_connection_close(501, text)


def test_body_on_channel_0(connect: Connect) -> None:
    """Content does not belong on channel 0."""
    connection = connect()
    connection.send_frame(BODY, 0, b"x")
    text = 'UNEXPECTED_FRAME - type 3, all octets = <<"x">>'
    connection.expect_connection_close(505, text)


@pytest.mark.parametrize("name", ["channel.close", "basic.ack", "tx.select", "confirm.select"])
def test_channel_method_on_channel_0(connect: Connect, name: str) -> None:
    """A method of a channel on channel 0 is a 504 with the method's ids."""
    connection = connect()
    connection.send(name)
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    class_id, method_id = encode_method(name, {})[1], encode_method(name, {})[3]
    connection.expect_connection_close(504, text, class_id, method_id)


@pytest.mark.parametrize("name", ["connection.close", "connection.tune-ok", "connection.start-ok"])
def test_connection_method_on_a_channel(connect: Connect, name: str) -> None:
    """A method of the connection on a channel is a 503."""
    connection = connect()
    connection.channel(1)
    connection.send(name, channel=1)
    method_id = encode_method(name, {})[3]
    text = "COMMAND_INVALID - unimplemented method"
    connection.expect_connection_close(503, text, 10, method_id)


def test_protocol_header_in_the_middle(connect: Connect) -> None:
    """A protocol header on an open connection is a frame of type 65, and far too large."""
    connection = connect()
    connection.send_raw(PROTOCOL_HEADER)
    text = "FRAME_ERROR - type 65, all octets = <<>>: {frame_too_large,1342177289,131064}"
    connection.expect_connection_close(501, text, answer=False)


def test_blocked_from_a_client(connect: Connect) -> None:
    """connection.blocked is the server's to send."""
    connection = connect()
    connection.send("connection.blocked", reason="x")
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    connection.expect_connection_close(504, text, 10, 60)


# -- heartbeats


def test_heartbeats_keep_a_connection(connect: Connect) -> None:
    """A client that sends nothing but heartbeats stays connected, and the server sends its own."""
    connection = connect(heartbeat=1)
    until = time.monotonic() + 3.5
    while time.monotonic() < until:
        connection.send_raw(frame(8, 0, b""))
        connection.expect_silence(0.3)
    assert connection.heartbeats >= 3
    connection.channel(1)


# -- closing


def test_close(connect: Connect) -> None:
    """connection.close is answered by close-ok."""
    connection = connect()
    connection.channel(1)
    connection.send("connection.close", reply_code=200, reply_text="bye")
    connection.expect("connection.close-ok")


@pytest.mark.parametrize("code", [0, 200, 320, 541, 65535])
def test_close_with_any_code(connect: Connect, code: int) -> None:
    """A client may close for whatever reason it gives."""
    connection = connect()
    connection.send(
        "connection.close", reply_code=code, reply_text="x" * 255, class_id=60, method_id=40
    )
    connection.expect("connection.close-ok")


def test_nothing_is_done_after_close(connect: Connect, other: Channel, name: Name) -> None:
    """What follows a connection.close in the same write is ignored."""
    connection = connect()
    connection.channel(1)
    queue = name()
    close = encode_method("connection.close", {"reply_code": 200})
    declare = encode_method("queue.declare", {"queue": queue})
    connection.send_raw(frame(METHOD, 0, close) + frame(METHOD, 1, declare))
    connection.expect("connection.close-ok")
    other.send("queue.declare", queue=queue, passive=True)
    assert "no queue" in other.expect_closed_with(404)


def test_nothing_is_done_after_an_error(connect: Connect, other: Channel, name: Name) -> None:
    """What follows a connection error is ignored until close-ok."""
    connection = connect()
    connection.channel(1)
    queue = name()
    connection.send("channel.open", channel=1)
    connection.send("queue.declare", channel=1, queue=queue)
    text = "CHANNEL_ERROR - second 'channel.open' seen"
    connection.expect_connection_close(504, text, 20, 10)
    other.send("queue.declare", queue=queue, passive=True)
    assert "no queue" in other.expect_closed_with(404)


def test_close_crosses_an_error(connect: Connect) -> None:
    """A client that closes while the server does gets its close-ok all the same."""
    connection = connect()
    connection.channel(1)
    connection.send("channel.open", channel=1)
    connection.expect("connection.close", reply_code=504)
    connection.send("connection.close", reply_code=200)
    connection.expect("connection.close-ok")


def test_an_error_is_the_connections_own(connect: Connect, ch: Channel) -> None:
    """One connection's error leaves another alone."""
    connection = connect()
    connection.send_frame(77, 0, b"")
    connection.expect("connection.close", reply_code=501)
    ch.sync()


def test_a_dropped_connection_is_forgotten(connect: Connect, other: Channel, queue: str) -> None:
    """What a vanished client had not acknowledged goes back to the queue."""
    connection = connect()
    channel = connection.channel(1)
    channel.fill(queue, "m")
    channel.get(queue, no_ack=False)
    connection.drop()
    content = wait_for_message(other, queue)
    assert content == "m"


def wait_for_message(channel: Channel, queue: str) -> str:
    """Poll with basic.get, as the other client's end is noticed in its own time."""
    for _ in range(100):
        found = channel.drain(queue)
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError("the message did not come back")


def test_update_secret(connect: Connect) -> None:
    """A client with expiring credentials may send new ones at any time."""
    connection = connect()
    connection.send("connection.update-secret", new_secret="guest", reason="expired")
    connection.expect("connection.update-secret-ok")
    connection.channel(1)


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(frame(METHOD, 0, b"\x00\x0a\x00\x63"), id="method 10,99"),
        pytest.param(frame(METHOD, 1, b"\x00\x3c\x00\x0c"), id="method 60,12"),
        pytest.param(frame(METHOD, 1, b"\xff\xff\xff\xff"), id="class 65535"),
        pytest.param(frame(METHOD, 1, b"\x00\x46\x00\x0a"), id="class file"),
    ],
)
def test_unknown_method(connect: Connect, octets: bytes) -> None:
    """An unknown class or method ends TCP without a frame."""
    connection = connect()
    connection.channel(1)
    connection.send_raw(octets)
    with pytest.raises(TcpClosed):
        connection.next(None)


def test_header_frame_that_is_cut(connect: Connect) -> None:
    """A content header too short for its fixed fields is a 501."""
    connection = connect()
    channel = connection.channel(1)
    channel.send("basic.publish", routing_key="x")
    connection.send_frame(HEADER, 1, b"\x00\x3c\x00\x00")
    connection.expect_connection_close(
        501, "FRAME_ERROR - type 2, all octets = <<0,60,0,0>>: unknown_frame"
    )
