"""Attacks on the door: getting in, getting in the way of others, writing into the log."""

from __future__ import annotations

import random
import socket
import struct
import time
from contextlib import suppress

from conformance.codec import METHOD, PROTOCOL_HEADER, encode_method, frame
from conformance.hostile import Ground, attack, closes, refused
from conformance.wire import Connection, TcpClosed

REFUSED = "403, or the socket closes; nobody gets in"
CONTROL = "\r\n2026-01-01 00:00:00.000 [info] auth: user 'root' logged in\x1b[2J\x07\u202e"


def start(ground: Ground, response: object, mechanism: str = "PLAIN") -> Connection:
    """Answer connection.start in some way."""
    connection = ground.connect(stage="start")
    connection.send_start_ok(mechanism=mechanism, response=response)
    return connection


@attack("each 403; answers come slower and slower, honest logins do not")
def password_guessing(ground: Ground) -> None:
    """Guess passwords of guest on many connections at once."""
    guesses = [start(ground, f"\0guest\0guess-{n}") for n in range(ground.count(60))]
    began = time.monotonic()
    ground.connect().close()
    assert time.monotonic() - began < 5.0, "an honest login had to wait"
    for guess in guesses:
        refused(guess, 403)


@attack("the same answer as for a user that exists")
def user_enumeration(ground: Ground) -> None:
    """Tell users that exist from others by the answer to a wrong password."""
    texts = set()
    for name in ("guest", "nobody", "", "x" * 255):
        connection = start(ground, f"\0{name}\0wrong")
        texts.add(str(connection.expect("connection.close").args))
    assert len(texts) == 1, texts


@attack(REFUSED)
def empty_password(ground: Ground) -> None:
    """Log in without a password, or without a name."""
    for response in ("\0guest\0", "\0\0", "\0\0guest"):
        refused(start(ground, response), 403)


@attack(REFUSED)
def other_identity(ground: Ground) -> None:
    """Log in as guest and ask to act as somebody else (PLAIN's authorization identity)."""
    refused(start(ground, "admin\0guest\0guest"))


@attack(REFUSED)
def mechanisms_not_offered(ground: Ground) -> None:
    """Use mechanisms that would need no password, or do not exist."""
    mechanisms = ("EXTERNAL", "ANONYMOUS", "RABBIT-CR-DEMO", "plain", "", "x" * 255)
    for connection in [start(ground, "guest", mechanism) for mechanism in mechanisms]:
        refused(connection)


@attack(REFUSED)
def malformed_responses(ground: Ground) -> None:
    """Send responses that are none of their mechanism."""
    responses = (
        ("PLAIN", b"\xff" * 200),
        ("PLAIN", b"\0"),
        ("AMQPLAIN", b"\x05LOGINS\xff\xff\xff\xff"),
        ("AMQPLAIN", b"\x05LOGINF" + b"\0" * 100),
    )
    for connection in [start(ground, response, name) for name, response in responses]:
        refused(connection)


@attack("the connection closes at the first method out of order; nothing is published")
def login_skipped(ground: Ground) -> None:
    """Open the connection, a channel and publish without a login, in one packet."""
    steps = [
        ("connection.tune-ok", {"channel_max": 100, "frame_max": 131072}, 0),
        ("connection.open", {"virtual_host": "/"}, 0),
        ("channel.open", {}, 1),
        ("queue.declare", {"queue": "hostile-skipped"}, 1),
    ]
    octets = b"".join(frame(METHOD, ch, encode_method(name, args)) for name, args, ch in steps)
    connections = [ground.connect(stage=stage) for stage in ("header", "start")]
    for connection in connections:
        connection.send_raw(octets)
    connections[0].expect("connection.start")
    for connection in connections:
        refused(connection)
    channel = ground.connect().channel()
    channel.send("queue.declare", queue="hostile-skipped", passive=True)
    channel.expect("channel.close", reply_code=404)


@attack("the wrong password closes the connection; what follows in the packet is not read")
def login_pipelined(ground: Ground) -> None:
    """Send a wrong login and everything that would follow a right one in one packet."""
    login = {"mechanism": "PLAIN", "response": "\0guest\0wrong", "locale": "en_US"}
    steps = [
        ("connection.start-ok", login, 0),
        ("connection.tune-ok", {"channel_max": 100, "frame_max": 131072}, 0),
        ("connection.open", {"virtual_host": "/"}, 0),
        ("channel.open", {}, 1),
        ("queue.declare", {"queue": "hostile-pipelined"}, 1),
    ]
    octets = b"".join(frame(METHOD, ch, encode_method(name, args)) for name, args, ch in steps)
    for peer in [ground.dial(octets=PROTOCOL_HEADER + octets) for _ in range(ground.count(20))]:
        closes(peer)
    channel = ground.connect().channel()
    channel.send("queue.declare", queue="hostile-pipelined", passive=True)
    channel.expect("channel.close", reply_code=404)


@attack("503 or 504 for the second login; the user stays who it was")
def login_twice(ground: Ground) -> None:
    """Log in again on an open connection, as somebody else."""
    connection = ground.connect()
    connection.send_start_ok(response="\0other\0other")
    refused(connection)


@attack("the connection is refused")
def vhost_names(ground: Ground) -> None:
    """Open virtual hosts with names like paths, patterns and control characters."""
    for vhost in ("../../etc/passwd", "%2F", "/../", ".*", "\0", CONTROL, "v" * 255):
        connection = ground.connect(stage="tuned")
        connection.send("connection.open", virtual_host=vhost)
        refused(connection)


@attack("the socket closes; nothing of that size is kept")
def giant_response(ground: Ground) -> None:
    """Announce and send megabytes as the answer to connection.start."""
    connections = [ground.connect(stage="start") for _ in range(3)]
    for connection, size in zip(connections, (9000, 1 << 20, (1 << 32) - 1), strict=True):
        connection.send_raw(struct.pack(">BHI", 1, 0, size) + b"x" * min(size, 1 << 20))
    for connection in connections:
        closes(connection.sock)


@attack("refused or read; nothing grows")
def client_properties(ground: Ground) -> None:
    """Send client-properties that are deep, wide or malformed."""
    deep = b""
    for _ in range(600):
        deep = b"\x00F" + struct.pack(">I", len(deep)) + deep
    wide = b"".join(b"\x03%03dt\x01" % n for n in range(999))
    for properties in (deep, wide, b"\x01kZ", b"\x01kS\x7f\xff\xff\xff"):
        connection = ground.connect(stage="start")
        connection.send_start_ok(client_properties=properties, response="\0guest\0wrong")
        with suppress(TcpClosed, AssertionError):
            connection.next(timeout=1.0)


@attack("one line of log for each event, without control characters")
def log_injection(ground: Ground) -> None:
    """Put line feeds, escape sequences and direction marks into every name that is logged."""
    refused(start(ground, f"\0{CONTROL}\0x"), 403)
    properties = {"connection_name": CONTROL, "product": CONTROL}
    connection = ground.connect(client_properties=properties)
    channel = connection.channel()
    channel.send("queue.declare", queue=CONTROL, passive=True)
    channel.expect("channel.close")
    other = ground.connect(stage="tuned")
    other.send("connection.open", virtual_host=CONTROL)
    with suppress(TcpClosed, AssertionError):
        other.next(timeout=4.0)
    time.sleep(0.1)
    for line in ground.logged().splitlines():
        assert not line.startswith("2026-01-01"), f"a made-up line: {line!r}"
        assert not {"\x1b", "\x07"} & set(line), f"a control character: {line!r}"


@attack("403; no secret is in the log")
def secrets_in_the_log(ground: Ground) -> None:
    """Make the broker log failed and malformed logins, and look for the passwords."""
    responses = ("\0guest\0hunter2-secret", "hunter2-secret", "\0hunter2-secret")
    for connection in [start(ground, response) for response in responses]:
        refused(connection)
    time.sleep(0.1)
    assert "hunter2" not in ground.logged()


@attack("409, 405 or 403; the queue stays its owner's")
def foreign_exclusive_queue(ground: Ground) -> None:
    """Use, purge, delete and bind the exclusive queue of another connection."""
    owner = ground.connect().channel()
    queue = owner.declare("hostile-foreign", exclusive=True)
    for name, args in (
        ("basic.consume", {"queue": queue}),
        ("basic.get", {"queue": queue}),
        ("queue.purge", {"queue": queue}),
        ("queue.delete", {"queue": queue}),
        ("queue.bind", {"queue": queue, "exchange": "amq.fanout"}),
        ("queue.declare", {"queue": queue, "exclusive": True}),
    ):
        channel = ground.connect().channel()
        channel.send(name, **args)
        channel.expect("channel.close", reply_code=405)
    assert owner.counts(queue) == (0, 0)


@attack("406; the message is not published")
def forged_user_id(ground: Ground) -> None:
    """Publish in the name of another user."""
    channel = ground.connect().channel()
    channel.publish("", "x", "x", user_id="administrator")
    channel.expect("channel.close", reply_code=406)


@attack("others log in meanwhile; all are gone after handshake_timeout")
def silent_connections(ground: Ground) -> None:
    """Hold hundreds of connections open without a word."""
    for _ in range(ground.count(400)):
        ground.dial()
    ground.connect().channel()


@attack("others log in meanwhile; all are gone after handshake_timeout")
def slow_loris(ground: Ground) -> None:
    """Send the handshake an octet at a time on many connections."""
    login = {"mechanism": "PLAIN", "response": "\0guest\0wrong", "locale": "en_US"}
    octets = PROTOCOL_HEADER + frame(METHOD, 0, encode_method("connection.start-ok", login))
    peers = [ground.dial() for _ in range(ground.count(100))]
    for octet in octets[: ground.count(len(octets), least=8)]:
        for peer in peers:
            with suppress(OSError):
                peer.send(bytes([octet]))
    ground.connect().channel()


@attack("each ends; nothing is left of it")
def come_and_go(ground: Ground) -> None:
    """Connect and vanish at every stage of the handshake."""
    for n in range(ground.count(300)):
        ground.connect(stage=Connection.STAGES[n % len(Connection.STAGES)]).drop()


@attack("each ends; nothing is left of it")
def connect_and_reset(ground: Ground) -> None:
    """Connect and reset TCP at once, hundreds of times."""
    for _ in range(ground.count(500)):
        peer = ground.dial(octets=PROTOCOL_HEADER)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()


@attack("all are let in, one after the other")
def reconnect_storm(ground: Ground) -> None:
    """Hundreds of clients with the right password connect at once."""
    for connection in [ground.connect(stage="start") for _ in range(ground.count(200))]:
        connection.handshake_to("open")


@attack("the broker answers with its own header and closes")
def not_amqp(ground: Ground) -> None:
    """Speak HTTP, TLS, Redis, SSH, AMQP 1.0 and noise to the AMQP port."""
    chance = random.Random(1)
    spoken = (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(500),
        b"*1\r\n$4\r\nPING\r\n",
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x03\x01\x00\x00",
        *[chance.randbytes(chance.randint(8, 4000)) for _ in range(ground.count(100))],
    )
    for peer in [ground.dial(octets=octets) for octets in spoken]:
        closes(peer)


@attack("dropped after handshake_timeout at the latest; others are served")
def heartbeats_before_login(ground: Ground) -> None:
    """Send only heartbeats and empty frames before the login."""
    beats = frame(8, 0, b"") * 10_000
    for _ in range(ground.count(10)):
        connection = ground.connect(stage="start")
        connection.send_raw(beats)
    ground.connect().channel()


@attack("the broker answers with its own header and closes: nobody is whom a header says")
def proxy_headers_not_asked_for(ground: Ground) -> None:
    """Send headers of the PROXY protocol where it is not spoken, claiming to be this machine."""
    second = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([127, 0, 0, 1] * 2) + b"\x00\x01" * 2
    for header in (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", second, b"PROXY " + b"9" * 5000):
        peer = ground.dial(octets=header + PROTOCOL_HEADER)
        with suppress(OSError):
            assert peer.recv(8)[:4] in (b"AMQP", b"")
        closes(peer)
