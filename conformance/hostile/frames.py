"""Attacks with broken, endless or oversized frames, by clients that are logged in."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

from conformance.channel import Channel
from conformance.codec import BODY, HEADER, METHOD, encode_method, frame
from conformance.hostile import Ground, attack, closes, refused
from conformance.wire import TcpClosed

ENDS = "501 to 505 or a closed socket, for this connection alone"


def broken(ground: Ground, octets: bytes, times: int = 20) -> None:
    """Send octets that end the connection, on several connections."""
    for _ in range(ground.count(times)):
        connection = ground.connect()
        connection.channel()
        connection.send_raw(octets)
        refused(connection)
        connection.drop()


@attack(ENDS)
def unknown_frame_types(ground: Ground) -> None:
    """Send frames of types that do not exist."""
    for kind in (0, 4, 5, 9, 255):
        broken(ground, frame(kind, 1, b"x"), times=4)


@attack(ENDS)
def bad_end_octets(ground: Ground) -> None:
    """End frames with another octet than AMQP's."""
    broken(ground, frame(METHOD, 1, encode_method("basic.qos", {}), end=0))


@attack(ENDS)
def oversized_frames(ground: Ground) -> None:
    """Announce frames of four gigabytes."""
    broken(ground, b"\x01\x00\x01\xff\xff\xff\xff" + bytes(1000))


@attack(ENDS)
def unknown_methods(ground: Ground) -> None:
    """Call methods and classes that do not exist, or that only a server sends."""
    for ids in (b"\x00\x3c\x03\xe7", b"\xff\xff\xff\xff", b"\x00\x3c\x00\x3c"):
        broken(ground, frame(METHOD, 1, ids), times=5)


@attack(ENDS)
def methods_cut_short(ground: Ground) -> None:
    """Cut a method at every octet."""
    whole = encode_method("queue.declare", {"queue": "q" * 20, "arguments": {"a": "b"}})
    for length in range(4, len(whole), max(1, int(2 / ground.scale))):
        connection = ground.connect()
        connection.channel()
        connection.send_raw(frame(METHOD, 1, whole[:length]))
        refused(connection)
        connection.drop()


@attack(ENDS)
def contents_out_of_order(ground: Ground) -> None:
    """Send bodies without headers, headers without methods, methods within contents."""
    publish = frame(METHOD, 1, encode_method("basic.publish", {"routing_key": "x"}))
    for octets in (
        frame(BODY, 1, b"x"),
        frame(HEADER, 1, b"\x00\x3c" + bytes(12)),
        publish + publish,
        publish + frame(BODY, 1, b"x"),
    ):
        broken(ground, octets, times=3)


@attack(ENDS)
def frames_on_strange_channels(ground: Ground) -> None:
    """Use channels that are not open, and channel 0 for what is not its business."""
    for channel in (0, 77, 65535):
        broken(ground, frame(METHOD, channel, encode_method("basic.qos", {})), times=5)


@attack("refused or taken; the broker does not recurse itself to death")
def deep_tables(ground: Ground) -> None:
    """Nest tables and arrays thousands deep, in arguments and in headers."""
    for tag in (b"F", b"A"):
        deep = b""
        while len(deep) < 120_000:
            deep = (b"\x00F" if tag == b"F" else b"A") + struct.pack(">I", len(deep)) + deep
        table = deep if tag == b"F" else b"\x00" + deep
        for name in ("queue.declare", "exchange.declare", "basic.consume"):
            connection = ground.connect()
            connection.channel()
            connection.send(name, channel=1, arguments=table)
            with suppress(TcpClosed, AssertionError):
                connection.next(None, timeout=1.0)
        channel = ground.connect().channel()
        channel.publish("amq.headers", "x", "x", headers=table)


@attack("refused or taken in bounded time")
def wide_tables(ground: Ground) -> None:
    """Publish through a headers exchange with ten thousand headers, many times."""
    channel = ground.connect().channel()
    queue = channel.declare(exclusive=True)
    channel.bind(queue, "amq.headers", arguments={"x-match": "any", "none": "x"})
    wide = b"".join(b"\x05%05dt\x01" % n for n in range(10_000))
    for _ in range(ground.count(100)):
        channel.publish("amq.headers", "", "x", headers=wide)
    channel.sync()


@attack(ENDS)
def malformed_tables(ground: Ground) -> None:
    """Send tables whose lengths, types or names contradict their octets."""
    for table in (b"\x01kZ", b"\x01kS\x7f\xff\xff\xff", b"\xffk", b"\x01kF\x00\x00\x00\x09x"):
        broken(ground, frame(METHOD, 1, declare(table)), times=5)


def declare(table: bytes) -> bytes:
    """queue.declare with these arguments."""
    return b"\x00\x32\x00\x0a\x00\x00\x01q\x00" + struct.pack(">I", len(table)) + table


@attack("no memory is taken for what has not come")
def huge_announcements(ground: Ground) -> None:
    """Announce bodies of exabytes on hundreds of channels, and send an octet of each."""
    connection = ground.connect()
    for number in range(1, ground.count(1000)):
        channel = Channel(connection, number)
        channel.send("channel.open")
        channel.send("basic.publish", routing_key="x")
        channel.header(2**62)
        channel.body(b"x")


@attack("one message, or none; each frame costs its own length")
def bodies_in_crumbs(ground: Ground) -> None:
    """Publish bodies in frames of one octet, and with empty frames in between."""
    channel = ground.connect().channel()
    queue = channel.declare(exclusive=True)
    size = ground.count(50_000)
    channel.send("basic.publish", routing_key=queue)
    channel.header(size)
    channel.connection.send_raw((frame(BODY, 1, b"") + frame(BODY, 1, b"x")) * size)
    channel.sync()


@attack("ignored; others are served")
def heartbeat_flood(ground: Ground) -> None:
    """Send heartbeats as fast as TCP takes them."""
    connection = ground.connect()
    for _ in range(ground.count(100)):
        connection.send_raw(frame(8, 0, b"") * 5000)
    connection.channel()


@attack("each ends this connection at most")
def noise(ground: Ground) -> None:
    """Send random octets on open connections."""
    chance = random.Random(4)
    for _ in range(ground.count(150)):
        connection = ground.connect()
        connection.channel()
        connection.send_raw(chance.randbytes(chance.choice((1, 7, 8, 100, 3000))))
        connection.drop()


@attack("each ends in order, in an error, or in nothing")
def mutated_conversations(ground: Ground) -> None:
    """Change octets in conversations that were right."""
    chance = random.Random(5)
    steps = (
        ("channel.open", {}),
        ("queue.declare", {"exclusive": True, "arguments": {"x-max-length": 5}}),
        ("queue.bind", {"exchange": "amq.topic", "routing_key": "a.*"}),
        ("basic.consume", {"consumer_tag": "t"}),
        ("tx.select", {}),
        ("basic.publish", {"exchange": "amq.topic", "routing_key": "a.b"}),
    )
    good = b"".join(frame(METHOD, 1, encode_method(name, args)) for name, args in steps)
    good += frame(HEADER, 1, b"\x00\x3c\x00\x00" + (5).to_bytes(8, "big") + b"\x80\x00\x03a/b")
    good += frame(BODY, 1, b"hello") + frame(METHOD, 1, encode_method("tx.commit", {}))
    for _ in range(ground.count(200)):
        octets = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        connection = ground.connect()
        connection.send_raw(bytes(octets))
        connection.drop()


@attack("ignored for as long as it goes on")
def deaf_publisher(ground: Ground) -> None:
    """Go on publishing on a channel that the broker has closed."""
    channel = ground.connect().channel()
    channel.send("queue.declare", queue="hostile-none", passive=True)
    channel.expect("channel.close")
    unit = frame(METHOD, 1, encode_method("basic.publish", {"routing_key": "x"}))
    unit += frame(HEADER, 1, b"\x00\x3c\x00\x00" + (100).to_bytes(8, "big") + b"\x00\x00")
    unit += frame(BODY, 1, bytes(100))
    channel.connection.send_raw(unit * ground.count(20_000))


@attack("404 each; lines of log up to a limit, others are served")
def channel_errors(ground: Ground) -> None:
    """Cause channel errors as fast as one can."""
    channel = ground.connect().channel()
    for _ in range(ground.count(1000)):
        channel.send("queue.declare", queue="hostile-none", passive=True)
        channel.expect("channel.close", reply_code=404)
        channel.send("channel.close-ok")
        channel.send("channel.open")
        channel.expect("channel.open-ok")


@attack("503; the broker closes the socket when it is not answered")
def half_closed(ground: Ground) -> None:
    """Shut down the sending side and wait."""
    for _ in range(ground.count(30)):
        connection = ground.connect()
        connection.sock.shutdown(1)
        closes(connection.sock)
