"""basic.get: what it finds, what it counts, what it does not disturb."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.channel import Channel
from conformance.wire import Connection

Connect = Callable[..., Connection]
Name = Callable[[str], str]


def test_get_fields(ch: Channel, queue: str) -> None:
    """get-ok has a tag, the mark, exchange, key and how many messages are left."""
    ch.bind(queue, "amq.topic", f"{queue}.#")
    for body in "abc":
        ch.publish("amq.topic", f"{queue}.k", body)
    ch.sync()
    for n, body in enumerate("abc"):
        ch.get(
            queue, body=body, delivery_tag=n + 1, redelivered=False,
            exchange="amq.topic", routing_key=f"{queue}.k", message_count=2 - n,
        )  # fmt: skip
    ch.get_empty(queue)


def test_get_empty_is_empty(ch: Channel, queue: str) -> None:
    """get-empty has one field, which is empty, and is answered as often as asked."""
    for _ in range(5):
        ch.get_empty(queue)


def test_message_count_leaves_out_the_held(ch: Channel, queue: str) -> None:
    """message_count counts ready messages."""
    ch.fill(queue, *"abcd")
    ch.get(queue, no_ack=False, message_count=3)
    ch.get(queue, no_ack=False, message_count=2)
    ch.send("basic.reject", delivery_tag=1, requeue=True)
    ch.sync()
    ch.get(queue, body="a", message_count=2)


def test_tags_are_shared_with_consumers(ch: Channel, queue: str) -> None:
    """Gets and deliveries of a channel are numbered together."""
    second = ch.declare(exclusive=True)
    ch.fill(second, *"xy")
    ch.consume(queue)
    ch.get(second, delivery_tag=1)
    ch.publish("", queue, "a")
    ch.expect_content(body="a", delivery_tag=2)
    ch.get(second, delivery_tag=3)


def test_pipelined_gets(ch: Channel, queue: str) -> None:
    """Gets in one write are answered one by one, in order."""
    ch.fill(queue, *"abc")
    for _ in range(5):
        ch.send("basic.get", queue=queue, no_ack=True)
    for body in "abc":
        ch.expect_content("basic.get-ok", body=body)
    ch.expect("basic.get-empty")
    ch.expect("basic.get-empty")


def test_held_is_not_got_twice(ch: Channel, other: Channel, queue: str) -> None:
    """A message that a client holds is nobody else's."""
    ch.fill(queue, "a")
    ch.get(queue, no_ack=False)
    other.get_empty(queue)
    ch.get_empty(queue)


def test_get_on_two_channels(ch: Channel, queue: str) -> None:
    """Two channels take turns at will."""
    second = ch.connection.channel(2)
    ch.fill(queue, *"abcd")
    assert [c.get(queue).text for c in (ch, second, second, ch)] == list("abcd")


def test_get_beside_a_full_consumer(ch: Channel, other: Channel, queue: str) -> None:
    """What a full consumer cannot take, get can."""
    other.call("basic.qos", prefetch_count=1)
    other.consume(queue)
    ch.fill(queue, *"abc")
    other.expect_content(body="a")
    ch.get(queue, body="b", message_count=1)


def test_get_does_not_make_a_consumer(ch: Channel, queue: str) -> None:
    """A get leaves no trace in the consumer count."""
    ch.fill(queue, "a")
    ch.get(queue, no_ack=False)
    assert ch.counts(queue) == (0, 0)


@pytest.mark.parametrize("queue_name", ["nope", "amq.gen-nope", "q" * 255])
def test_get_missing(ch: Channel, queue_name: str) -> None:
    """A get of a missing queue is a 404."""
    ch.send("basic.get", queue=queue_name)
    text = f"NOT_FOUND - no queue '{queue_name}' in vhost '/'"
    if len(text) > 255:
        assert ch.expect_closed_with(404) == text[:252] + "..."
        return
    ch.expect_channel_close(404, text, 60, 70)


def test_get_right_after_publish(ch: Channel, queue: str) -> None:
    """A get sees what its own channel published before it."""
    for n in range(100):
        ch.publish("", queue, str(n))
        ch.get(queue, body=str(n))


def test_large_body_by_get(connect: Connect, name: Name) -> None:
    """A got message is cut to the channel's frame size like a delivered one."""
    ch = connect(frame_max=4096).channel(1)
    queue = ch.declare(exclusive=True)
    ch.fill(queue, "x" * 9000)
    assert ch.get(queue).body_frames == [4088, 4088, 824]
