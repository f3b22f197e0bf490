"""Consumers: tags, order, fairness, priorities, cancelling, and prefetch in both scopes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from conformance.channel import Channel
from conformance.wire import Connection

Connect = Callable[..., Connection]
Name = Callable[[str], str]
GENERATED = re.compile(r"amq\.ctag-[A-Za-z0-9_-]{22}")


# -- consume and cancel


def test_generated_tags(ch: Channel, queue: str) -> None:
    """An empty tag makes the server choose one, different each time."""
    tags = {ch.consume(queue) for _ in range(20)}
    assert len(tags) == 20
    assert all(GENERATED.fullmatch(tag) for tag in tags)


@pytest.mark.parametrize("tag", ["t", " ", "ctag-1", "amq.ctag-x", "ü☃", "\0", "a\r\nb", "t" * 255])
def test_chosen_tags(ch: Channel, queue: str, tag: str) -> None:
    """Any UTF-8 is a tag and comes back with each delivery."""
    ch.fill(queue, "x")
    assert ch.consume(queue, consumer_tag=tag) == tag
    ch.expect_content(body="x", consumer_tag=tag)
    ch.call("basic.cancel", consumer_tag=tag)


def test_tag_in_use(ch: Channel, queue: str) -> None:
    """A tag names one consumer of a channel; using it twice is a 530 of the connection."""
    ch.consume(queue, consumer_tag="t")
    ch.send("basic.consume", queue=queue, consumer_tag="t")
    text = "NOT_ALLOWED - attempt to reuse consumer tag 't'"
    ch.connection.expect_connection_close(530, text, 60, 20)


def test_tag_free_after_cancel(ch: Channel, queue: str) -> None:
    """A cancelled consumer's tag can be used again."""
    for _ in range(10):
        ch.consume(queue, consumer_tag="t")
        ch.call("basic.cancel", consumer_tag="t")


def test_tag_that_is_not_utf8(ch: Channel, queue: str) -> None:
    """A consumer tag must be UTF-8."""
    ch.send("basic.consume", queue=queue, consumer_tag=b"\xff\xfe")
    text = "FRAME_ERROR - Malformed UTF-8 in shortstr"
    ch.connection.expect_connection_close(501, text)


def test_consume_ok_comes_first(ch: Channel, queue: str) -> None:
    """consume-ok precedes the first delivery, however many messages wait."""
    ch.fill(queue, *(str(n) for n in range(100)))
    ch.send("basic.consume", queue=queue, consumer_tag="t", no_ack=True)
    ch.expect("basic.consume-ok")
    assert [one.text for one in ch.deliveries(100)] == [str(n) for n in range(100)]


def test_delivery_fields(ch: Channel, queue: str) -> None:
    """A delivery has tag, number, exchange, key and redelivered; numbers count per channel."""
    second = ch.declare(exclusive=True)
    ch.bind(queue, "amq.direct", queue)
    ch.consume(queue, consumer_tag="one", no_ack=True)
    ch.consume(second, consumer_tag="two")
    ch.publish("amq.direct", queue, "a")
    ch.expect_content(
        body="a", consumer_tag="one", delivery_tag=1, redelivered=False,
        exchange="amq.direct", routing_key=queue,
    )  # fmt: skip
    ch.publish("", second, "b")
    ch.expect_content(
        body="b", consumer_tag="two", delivery_tag=2, redelivered=False,
        exchange="", routing_key=second,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["basic.consume", "basic.get"])
def test_missing_queue(ch: Channel, method: str) -> None:
    """Consuming and getting need a queue."""
    ch.send(method, queue="nope")
    text = "NOT_FOUND - no queue 'nope' in vhost '/'"
    ch.expect_channel_close(404, text, 60, 20 if method == "basic.consume" else 70)


def test_cancel_unknown(ch: Channel) -> None:
    """Cancelling what never consumed succeeds."""
    assert ch.call("basic.cancel", consumer_tag="nobody")["consumer_tag"] == "nobody"


def test_cancel_keeps_the_unacked(ch: Channel, other: Channel, queue: str) -> None:
    """Cancelling gives nothing back; what is held can be acked or rejected later."""
    ch.fill(queue, *"abc")
    tag = ch.consume(queue)
    ch.deliveries(3)
    ch.call("basic.cancel", consumer_tag=tag)
    other.get_empty(queue)
    ch.send("basic.ack", delivery_tag=1)
    ch.send("basic.reject", delivery_tag=3, requeue=True)
    ch.sync()
    other.get(queue, body="c", redelivered=True)
    ch.close()
    other.get(queue, body="b", redelivered=True)
    other.get_empty(queue)


def test_nothing_after_cancel_ok(ch: Channel, queue: str) -> None:
    """Deliveries may precede cancel-ok; none follows it."""
    tag = ch.consume(queue, no_ack=True)
    for n in range(200):
        ch.publish("", queue, str(n))
    ch.send("basic.cancel", consumer_tag=tag)
    got = 0
    while (event := ch.next()).name == "basic.deliver":  # type: ignore[union-attr]
        assert ch.content_of(event).text == str(got)
        got += 1
    assert event.name == "basic.cancel-ok"  # type: ignore[union-attr]
    ch.connection.expect_silence(0.03)
    assert ch.drain(queue) == [str(n) for n in range(got, 200)]


def test_cancel_nowait(ch: Channel, queue: str) -> None:
    """cancel with nowait has no answer; the consumer is gone."""
    tag = ch.consume(queue)
    ch.send("basic.cancel", consumer_tag=tag, nowait=True)
    ch.publish("", queue, "x")
    ch.sync()
    assert ch.counts(queue) == (1, 0)


@pytest.mark.parametrize("first_exclusive", [True, False])
def test_exclusive_consumer(ch: Channel, other: Channel, queue: str, first_exclusive: bool) -> None:
    """An exclusive consumer is alone: none joins it, and it joins none."""
    ch.consume(queue, exclusive=first_exclusive)
    other.send("basic.consume", queue=queue, exclusive=not first_exclusive)
    text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
    other.expect_channel_close(403, text, 60, 20)


def test_exclusive_consumer_ends(ch: Channel, other: Channel, queue: str) -> None:
    """When the exclusive consumer is gone, others may come."""
    other.consume(queue, exclusive=True)
    other.close()
    ch.consume(queue, exclusive=True)


def test_get_beside_an_exclusive_consumer(ch: Channel, other: Channel, queue: str) -> None:
    """basic.get is not consuming, and is let in."""
    ch.call("basic.qos", prefetch_count=1)
    ch.consume(queue, exclusive=True)
    ch.fill(queue, *"ab")
    ch.expect_content(body="a")
    other.get(queue, body="b")


def test_no_local_is_ignored(ch: Channel, queue: str) -> None:
    """A no-local consumer gets its own connection's messages."""
    ch.consume(queue, no_local=True, no_ack=True)
    ch.publish("", queue, "own")
    ch.expect_content(body="own")


# -- order and fairness


def test_round_robin(ch: Channel, connect: Connect, queue: str) -> None:
    """Consumers with room take turns, one message each."""
    consumers = [connect().channel(1) for _ in range(3)]
    for consumer in consumers:
        consumer.consume(queue)
    ch.fill(queue, *(str(n) for n in range(30)))
    shares = [[int(one.text) for one in consumer.deliveries(10)] for consumer in consumers]
    assert shares == [list(range(n, 30, 3)) for n in range(3)]


def test_busy_consumers_are_passed_over(ch: Channel, connect: Connect, queue: str) -> None:
    """Who holds its prefetch gets nothing; the others share."""
    busy, free = connect().channel(1), connect().channel(1)
    busy.call("basic.qos", prefetch_count=1)
    busy.consume(queue)
    free.consume(queue, no_ack=True)
    ch.fill(queue, *(str(n) for n in range(20)))
    held = int(busy.expect_content().text)
    got = [int(one.text) for one in free.deliveries(19)]
    assert got == [n for n in range(20) if n != held]


def test_priorities(ch: Channel, queue: str) -> None:
    """The highest consumer with room gets all; lower ones when it is full."""
    ch.call("basic.qos", prefetch_count=2)
    for tag, priority in (("low", -1), ("none", None), ("high", 5), ("mid", 3)):
        arguments = {} if priority is None else {"x-priority": priority}
        ch.consume(queue, consumer_tag=tag, arguments=arguments)
    ch.fill(queue, *(str(n) for n in range(8)))
    got = [one["consumer_tag"] for one in ch.deliveries(8)]
    assert got == ["high", "high", "mid", "mid", "none", "none", "low", "low"]


@pytest.mark.parametrize("kind", ["b", "s", "I", "l", "B", "u", "i"])
def test_priority_of_any_width(ch: Channel, queue: str, kind: str) -> None:
    """A priority may be any integer type."""
    ch.consume(queue, consumer_tag="low", no_ack=True)
    ch.consume(queue, consumer_tag="high", no_ack=True, arguments={"x-priority": {kind: 9}})
    ch.fill(queue, "x")
    ch.expect_content(consumer_tag="high")


@pytest.mark.parametrize(
    ("value", "kind"),
    [("5", "longstr"), (1.0, "double"), (True, "bool"), (None, "void"), ({"F": {}}, "table")],
)
def test_bad_priority(ch: Channel, queue: str, value: Any, kind: str) -> None:
    """A priority is an integer."""
    ch.send("basic.consume", queue=queue, arguments={"x-priority": value})
    text = (
        f"PRECONDITION_FAILED - invalid arg 'x-priority' for queue '{queue}' in vhost '/': "
        f'"expected integer, got {kind}"'
    )
    ch.expect_channel_close(406, text, 60, 20)


def test_one_channel_many_queues(ch: Channel, name: Name) -> None:
    """A channel may consume from many queues; each keeps its order."""
    queues = [ch.declare(name("q")) for _ in range(10)]
    for n, queue in enumerate(queues):
        ch.consume(queue, consumer_tag=str(n), no_ack=True)
    for n in range(100):
        ch.publish("", queues[n % 10], str(n))
    by_tag: dict[str, list[int]] = {}
    for content in ch.deliveries(100):
        by_tag.setdefault(content["consumer_tag"], []).append(int(content.text))
    assert by_tag == {str(n): list(range(n, 100, 10)) for n in range(10)}


def test_large_backlog(ch: Channel, queue: str) -> None:
    """Ten thousand waiting messages are delivered in order."""
    for n in range(10_000):
        ch.publish("", queue, str(n))
    ch.sync()
    ch.consume(queue, no_ack=True)
    assert [int(one.text) for one in ch.deliveries(10_000)] == list(range(10_000))


# -- prefetch per consumer


@pytest.mark.parametrize("count", [1, 2, 7])
def test_prefetch_window(ch: Channel, queue: str, count: int) -> None:
    """A consumer holds as many messages as its prefetch says, and one more per ack."""
    ch.fill(queue, *(str(n) for n in range(20)))
    ch.call("basic.qos", prefetch_count=count)
    ch.consume(queue)
    ch.deliveries(count)
    for n in range(count, 20):
        ch.connection.expect_silence(0.002)
        ch.send("basic.ack", delivery_tag=n - count + 1)
        ch.expect_content(body=str(n), delivery_tag=n + 1)


@pytest.mark.parametrize("settle", ["basic.reject", "basic.nack"])
@pytest.mark.parametrize("requeue", [False, True])
def test_rejecting_makes_room(ch: Channel, queue: str, settle: str, requeue: bool) -> None:
    """A rejected message makes room like an acked one; requeued it comes again at once."""
    ch.fill(queue, *"ab")
    ch.call("basic.qos", prefetch_count=1)
    ch.consume(queue)
    ch.expect_content(body="a", delivery_tag=1)
    ch.send(settle, delivery_tag=1, requeue=requeue)
    expected = "a" if requeue else "b"
    ch.expect_content(body=expected, delivery_tag=2, redelivered=requeue)


def test_multiple_ack_makes_room(ch: Channel, queue: str) -> None:
    """One ack for several messages makes room for as many."""
    ch.fill(queue, *(str(n) for n in range(12)))
    ch.call("basic.qos", prefetch_count=4)
    ch.consume(queue)
    ch.deliveries(4)
    ch.send("basic.ack", delivery_tag=3, multiple=True)
    assert [one.text for one in ch.deliveries(3)] == ["4", "5", "6"]
    ch.send("basic.ack", delivery_tag=0, multiple=True)
    assert [one.text for one in ch.deliveries(4)] == ["7", "8", "9", "10"]
    ch.connection.expect_silence(0.02)


def test_qos_is_for_consumers_to_come(ch: Channel, queue: str) -> None:
    """basic.qos does not touch consumers that exist; each keeps the count of its start."""
    ch.fill(queue, *(str(n) for n in range(12)))
    for tag, count in (("one", 1), ("three", 3), ("two", 2)):
        ch.call("basic.qos", prefetch_count=count)
        ch.consume(queue, consumer_tag=tag)
        assert {one["consumer_tag"] for one in ch.deliveries(count)} == {tag}
    ch.connection.expect_silence(0.02)


def test_prefetch_is_the_channels_own(ch: Channel, queue: str) -> None:
    """Another channel of the connection is not limited."""
    second = ch.connection.channel(2)
    ch.call("basic.qos", prefetch_count=1)
    second.consume(queue)
    ch.fill(queue, *"abcde")
    second.deliveries(5)


def test_zero_is_no_limit(ch: Channel, queue: str) -> None:
    """A prefetch of zero takes the limit away for consumers to come."""
    ch.fill(queue, *(str(n) for n in range(50)))
    ch.call("basic.qos", prefetch_count=1)
    ch.call("basic.qos", prefetch_count=0)
    ch.consume(queue)
    ch.deliveries(50)


def test_no_ack_is_not_limited(ch: Channel, queue: str) -> None:
    """Who need not ack gets everything, in both scopes."""
    ch.call("basic.qos", prefetch_count=1)
    ch.call("basic.qos", prefetch_count=1, global_=True)
    ch.fill(queue, *(str(n) for n in range(50)))
    ch.consume(queue, no_ack=True)
    ch.deliveries(50)


def test_get_counts_for_nothing(ch: Channel, queue: str) -> None:
    """Messages held by basic.get take no room from a consumer, and are not limited."""
    ch.fill(queue, *(str(n) for n in range(10)))
    ch.call("basic.qos", prefetch_count=2)
    for n in range(4):
        ch.get(queue, no_ack=False, body=str(n))
    ch.consume(queue)
    assert [one.text for one in ch.deliveries(2)] == ["4", "5"]
    ch.send("basic.ack", delivery_tag=4, multiple=True)
    ch.connection.expect_silence(0.02)


def test_cancelled_consumer_and_its_window(ch: Channel, queue: str) -> None:
    """What a cancelled consumer holds takes nothing from its successor's window."""
    ch.fill(queue, *"abcdef")
    ch.call("basic.qos", prefetch_count=2)
    tag = ch.consume(queue)
    ch.deliveries(2)
    ch.call("basic.cancel", consumer_tag=tag)
    ch.consume(queue)
    assert [one.text for one in ch.deliveries(2)] == ["c", "d"]


# -- prefetch per channel


def test_global_limit_is_shared(ch: Channel, name: Name) -> None:
    """With global the consumers of a channel share one window, also over queues."""
    first, second = ch.declare(name("q")), ch.declare(name("q"))
    ch.call("basic.qos", prefetch_count=3, global_=True)
    ch.consume(first, consumer_tag="first")
    ch.consume(second, consumer_tag="second")
    ch.fill(first, *"ab")
    ch.fill(second, *"cdef")
    assert [one.text for one in ch.deliveries(3)] == ["a", "b", "c"]
    ch.connection.expect_silence(0.02)
    ch.send("basic.ack", delivery_tag=1)
    ch.expect_content(body="d")


def test_global_limit_holds_at_once(ch: Channel, queue: str) -> None:
    """A global limit counts for consumers that exist, from the next message on."""
    ch.consume(queue)
    ch.fill(queue, *"ab")
    ch.deliveries(2)
    ch.call("basic.qos", prefetch_count=3, global_=True)
    ch.fill(queue, *"cde")
    ch.expect_content(body="c")
    ch.connection.expect_silence(0.02)


def test_raising_the_global_limit(ch: Channel, queue: str) -> None:
    """A higher global limit lets waiting messages through at once; zero lets all."""
    ch.fill(queue, *(str(n) for n in range(10)))
    ch.call("basic.qos", prefetch_count=1, global_=True)
    ch.consume(queue)
    ch.expect_content(body="0")
    ch.send("basic.qos", prefetch_count=3, global_=True)
    ch.expect("basic.qos-ok")
    assert [one.text for one in ch.deliveries(2)] == ["1", "2"]
    ch.connection.expect_silence(0.02)
    ch.call("basic.qos", prefetch_count=0, global_=True)
    ch.deliveries(7)


def test_both_limits(ch: Channel, queue: str) -> None:
    """The tighter of both limits holds for each consumer."""
    ch.call("basic.qos", prefetch_count=2)
    ch.call("basic.qos", prefetch_count=5, global_=True)
    for tag in "abc":
        ch.consume(queue, consumer_tag=tag)
    ch.fill(queue, *(str(n) for n in range(12)))
    shares = Counter(one["consumer_tag"] for one in ch.deliveries(5))
    assert sorted(shares.values()) == [1, 2, 2]
    ch.connection.expect_silence(0.02)


def test_mixed_consumers(ch: Channel, name: Name) -> None:
    """A no-ack consumer beside a limited one gets all its messages and uses no window."""
    limited, free = ch.declare(name("q")), ch.declare(name("q"))
    ch.call("basic.qos", prefetch_count=2, global_=True)
    ch.consume(limited, consumer_tag="limited")
    ch.consume(free, consumer_tag="free", no_ack=True)
    ch.fill(free, *(str(n) for n in range(10)))
    assert {one["consumer_tag"] for one in ch.deliveries(10)} == {"free"}
    ch.fill(limited, *"abc")
    assert [one.text for one in ch.deliveries(2)] == ["a", "b"]
    ch.connection.expect_silence(0.02)


def test_no_ack_waits_for_the_global_limit(ch: Channel, name: Name) -> None:
    """While others use up the limit of the channel, a no-ack consumer of it gets nothing either."""
    limited, free = ch.declare(name("q")), ch.declare(name("q"))
    ch.call("basic.qos", prefetch_count=1, global_=True)
    ch.consume(limited, consumer_tag="limited")
    ch.consume(free, consumer_tag="free", no_ack=True)
    ch.fill(limited, "a")
    ch.expect_content(body="a")
    ch.fill(free, *"bcd")
    ch.connection.expect_silence(0.02)
    ch.send("basic.ack", delivery_tag=1)
    assert [one.text for one in ch.deliveries(3)] == ["b", "c", "d"]


def test_global_limit_is_fair_to_queues(ch: Channel, name: Name) -> None:
    """Of several queues whose consumers share a limit none waits until another is empty."""
    queues = [ch.declare(name("q")) for _ in range(3)]
    ch.call("basic.qos", prefetch_count=1, global_=True)
    for queue in queues:
        ch.consume(queue, consumer_tag=queue)
    for queue in queues:
        ch.fill(queue, *(str(n) for n in range(50)))
    seen = Counter[str]()
    for _ in range(49):
        delivery = ch.expect_content()
        seen[delivery["consumer_tag"]] += 1
        ch.send("basic.ack", delivery_tag=delivery["delivery_tag"])
    assert set(seen) == set(queues)


@pytest.mark.parametrize("size", [1, 1024, 2**32 - 1])
def test_prefetch_size(ch: Channel, size: int) -> None:
    """A limit in octets is not implemented."""
    ch.send("basic.qos", prefetch_size=size)
    text = f"NOT_IMPLEMENTED - prefetch_size!=0 ({size})"
    ch.connection.expect_connection_close(540, text, 60, 10)
