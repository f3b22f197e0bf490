"""Settling deliveries: ack, reject, nack and recover; where messages go and in which order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.channel import Channel
from conformance.wire import Connection

Connect = Callable[..., Connection]
Name = Callable[[str], str]


def hold(ch: Channel, queue: str, count: int) -> list[int]:
    """Get messages without acknowledging them; their tags."""
    return [ch.get(queue, no_ack=False)["delivery_tag"] for _ in range(count)]


def unknown(tag: int) -> str:
    """The text of a 406 for a tag nobody holds."""
    return f"PRECONDITION_FAILED - unknown delivery tag {tag}"


# -- ack


def test_acked_is_gone(ch: Channel, queue: str) -> None:
    """An acked message does not come back when the channel closes."""
    ch.fill(queue, *"abc")
    hold(ch, queue, 3)
    ch.send("basic.ack", delivery_tag=2)
    ch.close()
    ch.reopen()
    assert ch.drain(queue) == ["a", "c"]


def test_ack_multiple(ch: Channel, queue: str) -> None:
    """A multiple ack covers every unacked tag up to its own."""
    ch.fill(queue, *"abcdef")
    hold(ch, queue, 6)
    ch.send("basic.ack", delivery_tag=2)
    ch.send("basic.ack", delivery_tag=4, multiple=True)
    ch.close()
    ch.reopen()
    assert ch.drain(queue) == ["e", "f"]


def test_ack_all(ch: Channel, queue: str) -> None:
    """Tag 0 with multiple means everything."""
    ch.fill(queue, *"abc")
    hold(ch, queue, 3)
    ch.send("basic.ack", delivery_tag=0, multiple=True)
    ch.close()
    ch.reopen()
    assert ch.drain(queue) == []


def test_acks_in_any_order(ch: Channel, queue: str) -> None:
    """Tags need not be acked in order."""
    ch.fill(queue, *(str(n) for n in range(20)))
    tags = hold(ch, queue, 20)
    for tag in [*tags[::-2], *tags[::2]]:
        ch.send("basic.ack", delivery_tag=tag)
    ch.close()
    ch.reopen()
    assert ch.drain(queue) == []


def test_one_ack_over_queues_and_consumers(ch: Channel, name: Name) -> None:
    """A multiple ack covers the whole channel, whatever queue or consumer a tag is from."""
    first, second = ch.declare(name("q")), ch.declare(name("q"))
    ch.fill(first, "a")
    ch.fill(second, "b", "c")
    ch.consume(first)
    ch.expect_content(body="a", delivery_tag=1)
    hold(ch, second, 2)
    ch.send("basic.ack", delivery_tag=2, multiple=True)
    ch.close()
    ch.reopen()
    assert (ch.drain(first), ch.drain(second)) == ([], ["c"])


@pytest.mark.parametrize(
    ("method", "method_id"), [("basic.ack", 80), ("basic.reject", 90), ("basic.nack", 120)]
)
@pytest.mark.parametrize("tag", [0, 2, 2**32, 2**64 - 1])
def test_unknown_tag(ch: Channel, queue: str, method: str, method_id: int, tag: int) -> None:
    """Settling a tag that was never delivered is a 406."""
    ch.fill(queue, "a")
    hold(ch, queue, 1)
    ch.send(method, delivery_tag=tag)
    ch.expect_channel_close(406, unknown(tag), 60, method_id)
    ch.reopen()
    assert ch.drain(queue) == ["a"]


@pytest.mark.parametrize("first", ["basic.ack", "basic.reject", "basic.nack"])
@pytest.mark.parametrize("second", ["basic.ack", "basic.reject", "basic.nack"])
def test_settled_twice(ch: Channel, queue: str, first: str, second: str) -> None:
    """A tag is settled once."""
    ch.fill(queue, "a")
    hold(ch, queue, 1)
    ch.send(first, delivery_tag=1)
    ch.send(second, delivery_tag=1)
    assert ch.expect_closed_with(406) == unknown(1)


@pytest.mark.parametrize("method", ["basic.ack", "basic.nack"])
def test_multiple_needs_its_tag(ch: Channel, queue: str, method: str) -> None:
    """The tag of a multiple must be unacked itself; lower ones do not make up for it."""
    ch.fill(queue, *"abc")
    hold(ch, queue, 3)
    ch.send("basic.ack", delivery_tag=2)
    ch.send(method, delivery_tag=2, multiple=True)
    assert ch.expect_closed_with(406) == unknown(2)


@pytest.mark.parametrize("method", ["basic.ack", "basic.nack"])
def test_all_of_nothing(ch: Channel, method: str) -> None:
    """Tag 0 with multiple is fine with nothing outstanding."""
    for _ in range(3):
        ch.send(method, delivery_tag=0, multiple=True)
    ch.sync()


def test_no_ack_has_no_tag_to_ack(ch: Channel, queue: str) -> None:
    """A delivery that needs no ack takes none."""
    ch.fill(queue, "a")
    ch.consume(queue, no_ack=True)
    ch.expect_content(delivery_tag=1)
    ch.send("basic.ack", delivery_tag=1)
    ch.expect_channel_close(406, unknown(1), 60, 80)


def test_no_ack_between_others(ch: Channel, queue: str) -> None:
    """Tags count every delivery; a multiple ack passes over those that need none."""
    ch.fill(queue, *"abcd")
    for no_ack in (False, True, False, True):
        ch.get(queue, no_ack=no_ack)
    ch.send("basic.ack", delivery_tag=3, multiple=True)
    ch.sync()
    ch.send("basic.ack", delivery_tag=4, multiple=True)
    ch.expect_channel_close(406, unknown(4), 60, 80)


def test_tags_are_the_channels_own(ch: Channel, queue: str) -> None:
    """A tag means nothing on another channel."""
    second = ch.connection.channel(2)
    ch.fill(queue, "a")
    hold(ch, queue, 1)
    second.send("basic.ack", delivery_tag=1)
    second.expect_channel_close(406, unknown(1), 60, 80)
    ch.send("basic.ack", delivery_tag=1)
    ch.sync()


def test_an_error_gives_everything_back(ch: Channel, other: Channel, queue: str) -> None:
    """A channel error requeues what the channel held, once close-ok has come."""
    ch.fill(queue, *"abc")
    hold(ch, queue, 3)
    ch.send("basic.ack", delivery_tag=99)
    ch.expect_closed_with(406)
    other.consume(queue)
    for body in "abc":
        other.expect_content(body=body, redelivered=True)


# -- requeue


@pytest.mark.parametrize("method", ["basic.reject", "basic.nack"])
def test_requeue_to_the_same_place(ch: Channel, queue: str, method: str) -> None:
    """A requeued message goes back to where it was, not to the end."""
    ch.fill(queue, *"abcd")
    hold(ch, queue, 3)
    ch.send(method, delivery_tag=2, requeue=True)
    ch.sync()
    ch.get(queue, body="b", redelivered=True, message_count=1)
    ch.get(queue, body="d", redelivered=False, message_count=0)


@pytest.mark.parametrize("order", ["123", "321", "213", "312", "231", "132"])
def test_requeue_one_by_one(ch: Channel, queue: str, order: str) -> None:
    """However they come back, requeued messages stand in their first order."""
    ch.fill(queue, *"abcde")
    hold(ch, queue, 3)
    for tag in order:
        ch.send("basic.nack", delivery_tag=int(tag), requeue=True)
    ch.sync()
    for body, redelivered in zip("abcde", (True, True, True, False, False), strict=True):
        ch.get(queue, body=body, redelivered=redelivered)


def test_requeue_from_several_channels(ch: Channel, connect: Connect, queue: str) -> None:
    """Messages held by many clients come back in their first order."""
    ch.fill(queue, *(str(n) for n in range(12)))
    holders = [connect().channel(1) for _ in range(3)]
    for n in range(12):
        hold(holders[n % 3], queue, 1)
    for holder in (holders[1], holders[2], holders[0]):
        holder.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
        holder.sync()
    assert ch.drain(queue) == [str(n) for n in range(12)]


def test_nack_multiple(ch: Channel, queue: str) -> None:
    """A multiple nack requeues every unacked tag up to its own."""
    ch.fill(queue, *"abcdef")
    hold(ch, queue, 5)
    ch.send("basic.ack", delivery_tag=2)
    ch.send("basic.nack", delivery_tag=4, multiple=True, requeue=True)
    ch.sync()
    assert ch.drain(queue) == ["a", "c", "d", "f"]


def test_nack_all_without_requeue(ch: Channel, queue: str) -> None:
    """Rejected for good, messages are gone."""
    ch.fill(queue, *"abc")
    hold(ch, queue, 3)
    ch.send("basic.nack", delivery_tag=0, multiple=True, requeue=False)
    ch.close()
    ch.reopen()
    assert ch.drain(queue) == []


def test_requeued_goes_to_another_consumer(ch: Channel, other: Channel, queue: str) -> None:
    """A requeued message goes to whoever has room."""
    ch.call("basic.qos", prefetch_count=1)
    ch.consume(queue)
    ch.fill(queue, "a")
    ch.expect_content(body="a")
    other.consume(queue)
    ch.send("basic.cancel", consumer_tag="x")
    ch.expect("basic.cancel-ok")
    ch.close()
    other.expect_content(body="a", redelivered=True)


def test_redelivered_stays(ch: Channel, queue: str) -> None:
    """Once redelivered, always redelivered; the mark is the message's, not the consumer's."""
    ch.fill(queue, "a")
    for n in range(5):
        ch.get(queue, no_ack=False, redelivered=n > 0)
        ch.send("basic.reject", delivery_tag=n + 1, requeue=True)


def test_redelivered_in_one_queue_only(ch: Channel, name: Name) -> None:
    """Redelivery in one queue does not mark the copy in another."""
    first, second = ch.declare(name("q")), ch.declare(name("q"))
    ch.publish("", first, "x", headers={"CC": [second]})
    ch.sync()
    hold(ch, first, 1)
    ch.send("basic.reject", delivery_tag=1, requeue=True)
    ch.sync()
    ch.get(first, redelivered=True)
    ch.get(second, redelivered=False)


@pytest.mark.parametrize("end", ["channel", "connection", "drop", "error"])
def test_requeue_when_the_consumer_ends(ch: Channel, other: Channel, queue: str, end: str) -> None:
    """However a consumer ends, what it held comes back in order, marked."""
    ch.fill(queue, *"abcd")
    hold(other, queue, 3)
    other.send("basic.ack", delivery_tag=2)
    other.sync()
    if end == "channel":
        other.close()
    elif end == "connection":
        other.connection.close()
    elif end == "error":
        other.send("basic.ack", delivery_tag=77)
        other.expect_closed_with(406)
    else:
        other.connection.drop()
    ch.consume(queue, no_ack=True)
    # The one nobody had may come first, when the others are still on their way back.
    got = {one.text: one["redelivered"] for one in ch.deliveries(3)}
    assert got == {"a": True, "c": True, "d": False}


def test_requeue_keeps_the_content(ch: Channel, queue: str) -> None:
    """A requeued message keeps properties and body octet for octet."""
    ch.fill(queue, "body", headers={"h": {"s": 5}}, priority=3, delivery_mode=2)
    before = ch.get(queue, no_ack=False)
    ch.send("basic.reject", delivery_tag=1, requeue=True)
    ch.sync()
    after = ch.get(queue)
    assert (after.header.raw, after.body) == (before.header.raw, before.body)


# -- recover


@pytest.mark.parametrize("method", ["basic.recover", "basic.recover-async"])
def test_recover_requeues_all(ch: Channel, other: Channel, queue: str, method: str) -> None:
    """recover requeues everything the channel holds; others may get it."""
    ch.fill(queue, *"abc")
    hold(ch, queue, 3)
    ch.send("basic.ack", delivery_tag=2)
    ch.send(method, requeue=True)
    if method == "basic.recover":
        ch.expect("basic.recover-ok")
    ch.sync()
    other.get(queue, body="a", redelivered=True)
    other.get(queue, body="c", redelivered=True)
    other.get_empty(queue)


def test_recover_leaves_other_channels(ch: Channel, other: Channel, queue: str) -> None:
    """recover concerns its own channel."""
    ch.fill(queue, *"ab")
    hold(other, queue, 1)
    hold(ch, queue, 1)
    ch.call("basic.recover", requeue=True)
    assert ch.drain(queue) == ["b"]


def test_recovered_tags_are_void(ch: Channel, queue: str) -> None:
    """After recover the old tags are unknown."""
    ch.fill(queue, "a")
    hold(ch, queue, 1)
    ch.call("basic.recover", requeue=True)
    ch.send("basic.ack", delivery_tag=1)
    assert ch.expect_closed_with(406) == unknown(1)


def test_recover_to_the_consumer(ch: Channel, queue: str) -> None:
    """A consumer on the recovering channel gets its messages again, with new tags, in order."""
    ch.fill(queue, *"abc")
    ch.consume(queue)
    ch.deliveries(3)
    ch.call("basic.recover", requeue=True)
    for n, body in enumerate("abc"):
        ch.expect_content(body=body, redelivered=True, delivery_tag=4 + n)


@pytest.mark.parametrize(
    ("method", "method_id"), [("basic.recover", 110), ("basic.recover-async", 100)]
)
def test_recover_without_requeue(ch: Channel, method: str, method_id: int) -> None:
    """Redelivering to the same consumer is not implemented."""
    ch.send(method, requeue=False)
    ch.connection.expect_connection_close(540, "NOT_IMPLEMENTED - requeue=false", 60, method_id)


# -- volume


def test_thousands_of_unacked(ch: Channel, queue: str) -> None:
    """A channel may hold thousands and settle them in halves."""
    count = 5000
    for n in range(count):
        ch.publish("", queue, str(n))
    ch.sync()
    ch.consume(queue, consumer_tag="t")
    ch.deliveries(count)
    ch.call("basic.cancel", consumer_tag="t")
    for tag in range(1, count + 1, 2):
        ch.send("basic.ack", delivery_tag=tag)
    ch.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
    ch.sync()
    assert ch.drain(queue) == [str(n) for n in range(1, count, 2)]
