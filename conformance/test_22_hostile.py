"""Peers that break the rules, stall or swarm, while a witness is served as if nothing happened.

The witness publishes, consumes, acks and awaits confirms on a connection of its own during every
test; it fails when a round trip does not end in time. Where this suite started the broker, its
memory is measured as well.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from conformance.channel import Channel
from conformance.codec import METHOD, PROTOCOL_HEADER, encode_method, frame
from conformance.conftest import Target
from conformance.wire import Connection, TcpClosed

Connect = Callable[..., Connection]
Name = Callable[[str], str]
MB = 1024 * 1024
TRICKLE_S = 10.0


class Witness(threading.Thread):
    """A well-behaved client that goes round and round."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.connection = Connection(url)
        self.rounds = 0
        self.failure: BaseException | None = None
        self.ending = threading.Event()

    def run(self) -> None:
        """One message at a time: publish, deliver, ack, confirm."""
        try:
            channel = self.connection.channel(1)
            queue = channel.declare(exclusive=True)
            channel.call("confirm.select")
            consumer = self.connection.channel(2)
            consumer.consume(queue)
            while not self.ending.wait(0.002):
                self.rounds += 1
                channel.publish("", queue, str(self.rounds), delivery_mode=2)
                content = consumer.expect_content(body=str(self.rounds))
                consumer.send("basic.ack", delivery_tag=content["delivery_tag"])
                channel.expect_confirms(self.rounds)
        except BaseException as error:
            self.failure = error

    def check(self) -> None:
        """It is still being served."""
        before = self.rounds
        deadline = time.monotonic() + 10.0
        while self.rounds < before + 3 and self.failure is None:
            assert time.monotonic() < deadline, "the witness stands still"
            time.sleep(0.005)
        assert self.failure is None, f"the witness failed: {self.failure!r}"


@pytest.fixture(autouse=True)
def witness(broker: Target) -> Iterator[Witness]:
    """Served before, during and after each test."""
    witness = Witness(broker.url)
    witness.start()
    witness.check()
    yield witness
    witness.check()
    witness.ending.set()
    witness.join()
    witness.connection.close()


def resident_mb(broker: Target) -> float | None:
    """The broker's memory; None where the broker is not Leveret, started here."""
    if broker.process is None or not broker.is_leveret:
        return None
    with open(f"/proc/{broker.process.pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def dial(broker: Target) -> socket.socket:
    """A TCP connection on which nothing has been said."""
    port = Connection(broker.url, stage="tcp")
    port.sock.settimeout(10.0)
    return port.sock


@pytest.fixture(scope="module")
def tricklers(target: Target) -> Iterator[list[threading.Thread]]:
    """Peers that send an octet a second from the first test on; each notes when it was dropped."""
    dropped_s: list[float] = []

    def trickle() -> None:
        connection = Connection(target.url, stage="tcp")
        began = time.monotonic()
        start_ok = {"mechanism": "PLAIN", "response": "\0guest\0guest", "locale": "en_US"}
        method = encode_method("connection.start-ok", start_ok)
        for octet in PROTOCOL_HEADER + frame(METHOD, 0, method):
            connection.send_raw(bytes([octet]))
            try:
                connection.sock.settimeout(0.4)
                while connection.sock.recv(4096):
                    pass
                break
            except TimeoutError:
                continue
            except OSError:
                break
        dropped_s.append(time.monotonic() - began)
        connection.drop()

    threads = [threading.Thread(target=trickle, daemon=True) for _ in range(20)]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join(TRICKLE_S * 3)
    assert len(dropped_s) == len(threads), "a peer that dawdles before login was kept"
    assert all(TRICKLE_S - 2 < took < TRICKLE_S + 5 for took in dropped_s), f"{dropped_s}"


@pytest.mark.usefixtures("tricklers")
def test_slow_login() -> None:
    """A peer that sends an octet now and then is dropped ten seconds after it came."""


# -- broken frames


BROKEN = {
    "header": b"HTTP/1.1 200 OK\r\n\r\n",
    "end octet": frame(METHOD, 1, encode_method("basic.qos", {}), end=0),
    "frame type": frame(9, 1, b"x"),
    "too large": b"\x01\x00\x01\xff\xff\xff\xff",
    "unknown method": frame(METHOD, 1, b"\x00\x3c\x03\xe7"),
    "cut method": frame(METHOD, 1, encode_method("queue.declare", {"queue": "q" * 99})[:40]),
    "closed channel": frame(METHOD, 77, encode_method("basic.qos", {})),
    "stray body": frame(3, 1, b"x" * 100),
    "stray header": frame(2, 1, b"\x00\x3c" + bytes(12)),
    "bad table": frame(METHOD, 1, encode_method("queue.declare", {"arguments": b"\x01kZ"})),
    "table overrun": frame(METHOD, 1, b"\x00\x32\x00\x0a\x00\x00\x01q\x00\x7f\xff\xff\xff"),
    "half a frame": b"\x01\x00\x01\x00\x00\x00\x20\x00\x3c",
}


@pytest.mark.parametrize("kind", list(BROKEN))
def test_broken_frames(connect: Connect, kind: str) -> None:
    """However a peer breaks the framing, and however often, others do not notice."""
    for _ in range(20):
        connection = connect()
        connection.channel(1)
        connection.send_raw(BROKEN[kind])
        connection.drop()


@pytest.mark.parametrize("seed", range(8))
def test_random_octets(connect: Connect, seed: int) -> None:
    """Noise on an open connection ends that connection at most."""
    chance = random.Random(seed)
    for _ in range(25):
        connection = connect()
        connection.channel(1)
        connection.send_raw(chance.randbytes(chance.choice((1, 7, 8, 100, 3000))))
        connection.drop()


@pytest.mark.parametrize("seed", range(8))
def test_mutated_conversation(connect: Connect, seed: int) -> None:
    """A conversation with some octets changed ends in order, in an error, or in nothing."""
    chance = random.Random(seed)
    good = b"".join(
        frame(METHOD, 1, encode_method(name, args))
        for name, args in (
            ("channel.open", {}),
            ("queue.declare", {"exclusive": True, "arguments": {"x-max-length": 5}}),
            ("queue.bind", {"exchange": "amq.topic", "routing_key": "a.*"}),
            ("basic.qos", {"prefetch_count": 3}),
            ("basic.consume", {"consumer_tag": "t"}),
            ("basic.publish", {"exchange": "amq.topic", "routing_key": "a.b"}),
        )
    )
    good += frame(2, 1, b"\x00\x3c\x00\x00" + (5).to_bytes(8, "big") + b"\x80\x00\x03a/b")
    good += frame(3, 1, b"hello") + frame(METHOD, 1, encode_method("channel.close", {}))
    for _ in range(25):
        octets = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        connection = connect()
        connection.send_raw(bytes(octets))
        try:
            connection.sock.settimeout(0.01)
            connection.sock.recv(65536)
        except OSError:
            pass
        connection.drop()


def test_content_cut_by_the_end(connect: Connect, ch: Channel, queue: str) -> None:
    """A content whose publisher vanishes before its last octet was never published."""
    for sent in (0, 1, 999):
        publisher = connect().channel(1)
        publisher.send("basic.publish", routing_key=queue)
        publisher.header(1000)
        publisher.body(b"x" * sent)
        publisher.connection.drop()
    time.sleep(0.1)
    ch.sync()
    assert ch.counts(queue) == (0, 0)


def test_many_huge_announcements(broker: Target, connect: Connect) -> None:
    """A body announced in exabytes takes no memory before it comes."""
    before = resident_mb(broker)
    connection = connect()
    for number in range(1, 501):
        channel = Channel(connection, number)
        channel.send("channel.open")
        channel.send("basic.publish", routing_key="x")
        channel.header(2**62)
        channel.body(b"x" * 100)
    connection.channel(600)
    after = resident_mb(broker)
    if before is not None and after is not None:
        assert after < before + 50, f"{before:.0f} MB before, {after:.0f} MB after"


def test_frames_to_a_closed_channel(connect: Connect) -> None:
    """A peer that does not hear of its channel's end is ignored for as long as it goes on."""
    ch = connect().channel(1)
    ch.send("queue.declare", queue="nope", passive=True)
    ch.expect("channel.close", reply_code=404)
    for n in range(2000):
        ch.publish("", "nope", "x" * 1000, mandatory=True)
        ch.send("basic.get", queue=f"nope-{n}")
    ch.connection.expect_silence(0.05)
    ch.send("channel.close-ok")
    ch.reopen()


def test_nested_tables(connect: Connect, ch: Channel, queue: str) -> None:
    """Tables nested thousands deep are taken or refused; they bring nothing down."""
    deep = b""
    for _ in range(15_000):
        deep = b"\x00F" + struct.pack(">I", len(deep)) + deep
    for name in ("queue.declare", "exchange.declare", "basic.consume"):
        connection = connect()
        connection.channel(1)
        mine = {"exclusive": True} if name == "queue.declare" else {}
        connection.send(name, channel=1, arguments=deep, **mine)
        connection.drop()
    publisher = connect().channel(1)
    publisher.publish("amq.headers", queue, "x", headers=deep)
    publisher.publish("", queue, "x", headers=deep)
    publisher.connection.drop()
    ch.sync()


# -- peers that do not read


def stalled(broker: Target) -> Channel:
    """A connection with a small window for answers, which it never reads."""
    connection = Connection(broker.url)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return connection.channel(1)


def test_consumer_that_stops_reading(
    broker: Target, ch: Channel, queue: str, witness: Witness
) -> None:
    """What a stalled consumer does not read costs the broker no more than the messages do."""
    peer = stalled(broker)
    peer.send("basic.consume", queue=queue, no_ack=True)
    peer.expect("basic.consume-ok")
    before = resident_mb(broker)
    ch.call("confirm.select")
    body = bytes(65536)
    for n in range(1, 513):
        ch.publish("", queue, body)
        if n % 16 == 0:
            ch.expect_confirms(*range(n - 15, n + 1))
    witness.check()
    after = resident_mb(broker)
    if before is not None and after is not None:
        assert after < before + 32 + 64, f"{before:.0f} MB before, {after:.0f} MB after"
    peer.connection.drop()
    ch.call("queue.purge", queue=queue)


def test_getter_that_stops_reading(
    broker: Target, ch: Channel, queue: str, witness: Witness
) -> None:
    """A peer that asks for the same megabyte again and again, and reads none of it."""
    ch.fill(queue, "x" * MB)
    peer = stalled(broker)
    before = resident_mb(broker)
    get = frame(METHOD, 1, encode_method("basic.get", {"queue": queue}))
    asks = b"".join(
        get + frame(METHOD, 1, encode_method("basic.nack", {"delivery_tag": n, "requeue": True}))
        for n in range(1, 501)
    )
    peer.connection.send_raw(asks)
    time.sleep(0.3)
    witness.check()
    after = resident_mb(broker)
    if before is not None and after is not None:
        assert after < before + 100, f"{before:.0f} MB before, {after:.0f} MB after"
    peer.connection.drop()


def test_returns_that_nobody_reads(broker: Target, witness: Witness) -> None:
    """A publisher of unroutable mandatory messages that reads no returns is held back."""
    peer = stalled(broker)
    before = resident_mb(broker)
    publish = encode_method("basic.publish", {"routing_key": "nobody", "mandatory": True})
    header = b"\x00\x3c\x00\x00" + (65536).to_bytes(8, "big") + b"\x00\x00"
    unit = frame(METHOD, 1, publish) + frame(2, 1, header) + frame(3, 1, bytes(65536))
    peer.connection.sock.setblocking(False)
    sent, pieces, until = 0, memoryview(unit * 16), time.monotonic() + 2.0
    while sent < 200 * MB and time.monotonic() < until:
        try:
            at = sent % len(pieces)
            sent += peer.connection.sock.send(pieces[at:])
        except BlockingIOError:
            time.sleep(0.01)
    witness.check()
    after = resident_mb(broker)
    if before is not None and after is not None:
        assert after < before + 100, f"{before:.0f} MB before, {after:.0f} MB after"
    peer.connection.drop()


def test_half_closed(connect: Connect, ch: Channel, queue: str) -> None:
    """A peer that sends its last word and shuts its side down is heard, and let go."""
    peer = connect().channel(1)
    peer.publish("", queue, "last")
    peer.connection.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(TcpClosed):
        peer.next()
    assert ch.drain(queue) == ["last"]


# -- swarms


def test_flood_without_login(broker: Target, connect: Connect, witness: Witness) -> None:
    """Hundreds of connections that say nothing keep nobody from logging in."""
    swarm = [dial(broker) for _ in range(300)]
    witness.check()
    connect().channel(1)
    for half in swarm[::2]:
        half.sendall(PROTOCOL_HEADER)
    connect().channel(1)
    for peer in swarm:
        peer.close()
    connect().channel(1)


def test_connections_that_come_and_go(broker: Target, witness: Witness) -> None:
    """Connections that end at any stage of the handshake leave nothing behind."""
    for n in range(200):
        stage = Connection.STAGES[n % len(Connection.STAGES)]
        Connection(broker.url, stage=stage).drop()
    witness.check()


def test_login_flood(broker: Target, connect: Connect) -> None:
    """Guessing passwords on many connections at once delays no honest login."""
    guessers = []
    for n in range(50):
        guesser = Connection(broker.url, stage="start")
        guesser.send_start_ok(response=f"\0guest\0guess-{n}")
        guessers.append(guesser)
    connect().channel(1)
    for guesser in guessers:
        guesser.expect("connection.close", reply_code=403)
        guesser.drop()


def test_channel_churn(connect: Connect) -> None:
    """Opening and closing channels by the thousand is only work."""
    connection = connect()
    for _ in range(20):
        for number in range(1, 101):
            connection.send("channel.open", channel=number)
        for number in range(1, 101):
            assert connection.next(number).name == "channel.open-ok"  # type: ignore[union-attr]
            connection.send("channel.close", channel=number, reply_code=200)
        for number in range(1, 101):
            assert connection.next(number).name == "channel.close-ok"  # type: ignore[union-attr]


def test_many_consumers_and_queues(ch: Channel, other: Channel) -> None:
    """A thousand exclusive queues, each with a consumer, end with their connection."""
    for n in range(1000):
        other.send("queue.declare", queue=f"swarm-{n}", exclusive=True)
    for _ in range(1000):
        other.expect("queue.declare-ok")
    for n in range(1000):
        other.send("basic.consume", queue=f"swarm-{n}", consumer_tag=str(n))
    for _ in range(1000):
        other.expect("basic.consume-ok")
    other.connection.close()
    ch.send("queue.declare", queue="swarm-999", passive=True)
    ch.expect_closed_with(404)


def test_memory_comes_back(broker: Target, connect: Connect, name: Name) -> None:
    """Rounds of the same work with large messages do not add up."""
    readings = []
    for _ in range(6):
        channel = connect().channel(1)
        queue = channel.declare(exclusive=True)
        channel.fill(queue, *["x" * MB] * 20)
        channel.call("queue.purge", queue=queue)
        channel.connection.close()
        readings.append(resident_mb(broker) or 0.0)
    assert readings[-1] < readings[1] + 40, f"MB after each round: {readings}"
