"""Attacks that take what is shared: memory, time of the loop, names, patience of consumers."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from conformance.channel import Channel
from conformance.codec import BODY, HEADER, METHOD, encode_method, frame
from conformance.hostile import Ground, attack, refused

MB = 1024 * 1024
SERVED = "others are served; memory comes back"


def message(queue: str, size: int, *, mandatory: bool = False, exchange: str = "") -> bytes:
    """The frames of one publish on channel 1."""
    args = {"exchange": exchange, "routing_key": queue, "mandatory": mandatory}
    content = b"\x00\x3c\x00\x00" + size.to_bytes(8, "big") + b"\x00\x00"
    octets = frame(METHOD, 1, encode_method("basic.publish", args)) + frame(HEADER, 1, content)
    return octets + (frame(BODY, 1, bytes(size)) if size else b"")


def pour(connection: socket.socket, octets: bytes, seconds: float, bytes_max: int) -> None:
    """Send the same again and again, as fast as it is taken, without reading anything."""
    connection.setblocking(False)
    sent, view, until = (
        0,
        memoryview(octets * max(1, 65536 // len(octets))),
        time.monotonic() + seconds,
    )
    while sent < bytes_max and time.monotonic() < until:
        try:
            sent += connection.send(view[sent % len(view) :])
        except BlockingIOError:
            time.sleep(0.005)
        except OSError:
            return


def deaf(ground: Ground) -> Channel:
    """A client with a small window for answers, which it never reads."""
    connection = ground.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return connection.channel()


@attack("530 at channel_max; others are served")
def channel_exhaustion(ground: Ground) -> None:
    """Open channels until there are no more, on several connections."""
    for _ in range(ground.count(5, least=1)):
        connection = ground.connect()
        opens = b"".join(
            frame(METHOD, n, encode_method("channel.open", {})) for n in range(1, 2049)
        )
        connection.send_raw(opens)
        for number in range(1, 2048):
            assert connection.next(number).name == "channel.open-ok"  # type: ignore[union-attr]
        refused(connection, 530)


@attack(SERVED)
def channel_churn(ground: Ground) -> None:
    """Open and close channels by the thousand."""
    connection = ground.connect()
    pair = b"".join(
        frame(METHOD, n, encode_method("channel.open", {}))
        + frame(METHOD, n, encode_method("channel.close", {"reply_code": 200}))
        for n in range(1, 101)
    )
    for _ in range(ground.count(50)):
        connection.send_raw(pair)
        for number in range(1, 101):
            connection.next(number)
            connection.next(number)


@attack(SERVED)
def consumer_exhaustion(ground: Ground) -> None:
    """Register consumers by the thousand on one queue, then publish to it."""
    channel = ground.connect().channel()
    queue = channel.declare(exclusive=True)
    for n in range(ground.count(10_000)):
        channel.send("basic.consume", queue=queue, consumer_tag=str(n), nowait=True)
    for _ in range(100):
        channel.publish("", queue, "x")
    channel.connection.channel(2)


@attack(SERVED)
def queue_exhaustion(ground: Ground) -> None:
    """Declare exclusive queues by the thousand, each with bindings; then vanish."""
    channel = ground.connect().channel()
    for n in range(ground.count(3000)):
        channel.send("queue.declare", queue=f"hostile-q{n}", exclusive=True, nowait=True)
        channel.send(
            "queue.bind",
            queue=f"hostile-q{n}",
            exchange="amq.topic",
            routing_key=f"h.{n}.#",
            nowait=True,
        )
    channel.sync()


@attack(SERVED)
def binding_exhaustion(ground: Ground) -> None:
    """Bind one queue by thousands of patterns that all match, and publish."""
    channel = ground.connect().channel()
    queue = channel.declare(exclusive=True)
    for n in range(ground.count(5000)):
        key = f"#.{n}.#.*"
        channel.send("queue.bind", queue=queue, exchange="amq.topic", routing_key=key, nowait=True)
    for n in range(ground.count(50)):
        channel.publish("amq.topic", f"a.{n}.b.c", "x")
    channel.sync()


@attack("routed in bounded time")
def topic_hash_bomb(ground: Ground) -> None:
    """Bind patterns full of # and publish the longest keys, where naive matching is exponential."""
    channel = ground.connect().channel()
    queue = channel.declare(exclusive=True)
    for n in range(10):
        channel.bind(queue, "amq.topic", ".".join(["#", "a"] * (20 + n) + ["b"]))
    channel.bind(queue, "amq.topic", ".".join("#" * 127))
    channel.bind(queue, "amq.topic", ".".join("*#" * 60))
    for _ in range(ground.count(50)):
        channel.publish("amq.topic", ".".join("a" * 127), "x")
    channel.sync()


@attack("routed once to each queue; no loop")
def exchange_cycles(ground: Ground) -> None:
    """Bind exchanges in circles and as a ladder with two to the power of thirty paths."""
    channel = ground.connect().channel()
    names = [f"hostile-x{n}" for n in range(60)]
    for name in names:
        channel.call("exchange.declare", exchange=name, exchange_type="fanout", auto_delete=True)
    queue = channel.declare(exclusive=True)
    for n in range(0, 58, 2):
        for source in names[n : n + 2]:
            for destination in names[n + 2 : n + 4]:
                channel.call("exchange.bind", source=source, destination=destination)
    channel.call("exchange.bind", source=names[-1], destination=names[0])
    channel.bind(queue, names[-1])
    for _ in range(ground.count(100)):
        channel.publish(names[0], "", "x")
    channel.sync()
    assert channel.counts(queue)[0] == ground.count(100)
    for name in names:
        channel.call("exchange.delete", exchange=name)


@attack("the cycle is cut")
def dead_letter_cycle(ground: Ground) -> None:
    """Have two queues dead-letter to each other at once."""
    channel = ground.connect().channel()
    for queue, other in (("hostile-a", "hostile-b"), ("hostile-b", "hostile-a")):
        arguments = {
            "x-message-ttl": 0,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": other,
        }
        channel.declare(queue, exclusive=True, arguments=arguments)
    for _ in range(ground.count(500)):
        channel.publish("", "hostile-a", "x")
    channel.sync()


@attack(SERVED)
def requeue_spin(ground: Ground) -> None:
    """Reject and requeue everything, at once and again and again."""
    channel = ground.connect().channel()
    queue = channel.declare(exclusive=True)
    channel.fill(queue, *["x"] * 100)
    channel.consume(queue)
    until, tag = time.monotonic() + 2 * ground.scale, 0
    while time.monotonic() < until:
        tag = channel.expect("basic.deliver").args["delivery_tag"]
        channel.next(), channel.next()
        channel.send("basic.nack", delivery_tag=tag, requeue=True)


@attack("the consumer gets nothing more; its messages stay in the queue")
def deaf_consumer(ground: Ground) -> None:
    """Consume without reading, while others publish megabytes."""
    publisher = ground.connect().channel()
    queue = publisher.declare(exclusive=False, auto_delete=True)
    consumer = deaf(ground)
    consumer.consume(queue, no_ack=True)
    pour(publisher.connection.sock, message(queue, 65536), 2 * ground.scale, 32 * MB)


@attack("the peer is not read while it does not read")
def deaf_getter(ground: Ground) -> None:
    """Get the same megabyte again and again without reading it."""
    channel = deaf(ground)
    queue = channel.declare(exclusive=True)
    channel.fill(queue, "x" * MB)
    get = frame(METHOD, 1, encode_method("basic.get", {"queue": queue}))
    nack = encode_method("basic.nack", {"delivery_tag": 0, "multiple": True, "requeue": True})
    pour(channel.connection.sock, get + frame(METHOD, 1, nack), 2 * ground.scale, MB)


@attack("the peer is not read while it does not read")
def deaf_returns(ground: Ground) -> None:
    """Publish what comes back, and read nothing."""
    channel = deaf(ground)
    octets = message("hostile-nobody", 65536, mandatory=True)
    pour(channel.connection.sock, octets, 2 * ground.scale, 200 * MB)


@attack("the peer is not read while it does not read")
def deaf_declarer(ground: Ground) -> None:
    """Ask for answers without end, and read none."""
    channel = deaf(ground)
    ask = frame(METHOD, 1, encode_method("basic.qos", {})) * 100
    pour(channel.connection.sock, ask, 2 * ground.scale, 200 * MB)


@attack("others are served; nothing is kept when it vanishes")
def endless_transaction(ground: Ground) -> None:
    """Publish in a transaction and never commit."""
    channel = ground.connect().channel()
    queue = channel.declare(exclusive=True)
    channel.call("tx.select")
    pour(channel.connection.sock, message(queue, 1000), 2 * ground.scale, 20 * MB)


@attack(SERVED)
def unacked_hoard(ground: Ground) -> None:
    """Consume without limit and ack nothing."""
    channel = ground.connect().channel()
    queue = channel.declare(exclusive=True)
    channel.consume(queue)
    pour(channel.connection.sock, message(queue, 100), 2 * ground.scale, 10 * MB)


@attack(SERVED)
def consume_churn(ground: Ground) -> None:
    """Consume and cancel in turn, on a queue with messages."""
    channel = ground.connect().channel()
    queue = channel.declare(exclusive=True)
    channel.fill(queue, *["x"] * 10)
    consume = {"queue": queue, "consumer_tag": "t", "nowait": True}
    pair = frame(METHOD, 1, encode_method("basic.consume", consume))
    pair += frame(METHOD, 1, encode_method("basic.cancel", {"consumer_tag": "t", "nowait": True}))
    channel.connection.send_raw(pair * ground.count(3000))
    channel.connection.channel(2)


@attack(SERVED)
def publisher_flood(ground: Ground) -> None:
    """Publish as fast as TCP takes it to a queue with a short limit, on several connections."""
    for _ in range(3):
        channel = ground.connect().channel()
        queue = channel.declare(exclusive=True, arguments={"x-max-length": 100})
        pour(channel.connection.sock, message(queue, 16), ground.scale, 100 * MB)


@attack(SERVED)
def fanout_flood(ground: Ground) -> None:
    """Publish to a fanout with hundreds of queues."""
    channel = ground.connect().channel()
    for _ in range(ground.count(300)):
        queue = channel.declare(exclusive=True, arguments={"x-max-length": 10})
        channel.bind(queue, "amq.fanout")
    octets = message("", 16, exchange="amq.fanout")
    pour(channel.connection.sock, octets, 2 * ground.scale, MB // 4)


@attack("404, 406 or taken; others are served")
def odd_arguments(ground: Ground) -> None:
    """Declare queues with limits, priorities and times at and beyond their bounds."""
    values: tuple[object, ...] = (-1, 0, {"l": 2**63 - 1}, {"l": -(2**63)}, "x", {"t": True}, 1.5)
    keys = ("x-max-priority", "x-message-ttl", "x-expires", "x-max-length", "x-delivery-limit")
    for key in keys:
        for value in values:
            channel = ground.connect().channel()
            channel.send("queue.declare", exclusive=True, arguments={key: value})
            with suppress(AssertionError):
                channel.next(timeout=2.0)
            channel.connection.drop()


@attack("406, dropped or kept; others are served")
def odd_properties(ground: Ground) -> None:
    """Publish with expirations, priorities, types and timestamps that make no sense."""
    for properties in (
        {"expiration": "-1"},
        {"expiration": "9" * 200},
        {"expiration": "\u0663"},
        {"priority": 255, "expiration": "0"},
        {"timestamp": 2**64 - 1},
        {"headers": {"CC": "x", "BCC": {"A": []}}},
        {"headers": {"CC": {"A": [{"S": "x"}] * 5000}}},
        {"headers": {"x-death": "x", "x-delay": 2**62}},
        {"reply_to": "amq.rabbitmq.reply-to"},
    ):
        channel = ground.connect().channel()
        queue = channel.declare(exclusive=True)
        channel.publish("", queue, "x", **properties)
        with suppress(AssertionError):
            channel.next(timeout=0.05)


@attack("delivered when due, or never; others are served")
def delay_flood(ground: Ground) -> None:
    """Publish thousands of messages to be delivered in a year."""
    channel = ground.connect().channel()
    channel.call(
        "exchange.declare",
        exchange="hostile-delay",
        exchange_type="x-delayed-message",
        arguments={"x-delayed-type": "fanout"},
    )
    for _ in range(ground.count(5000)):
        channel.publish("hostile-delay", "", "x", headers={"x-delay": {"l": 31_536_000_000}})
    channel.sync()
    channel.call("exchange.delete", exchange="hostile-delay")
