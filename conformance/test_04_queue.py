"""Queues: names, declaring, equivalence, purge and delete, counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from conformance.channel import Channel
from conformance.wire import Connection

Connect = Callable[..., Connection]
Name = Callable[[str], str]
GENERATED = re.compile(r"amq\.gen-[A-Za-z0-9_-]{22}")


def missing(queue: str) -> str:
    """The text of a 404."""
    return f"NOT_FOUND - no queue '{queue}' in vhost '/'"


def exists(channel: Channel, queue: str) -> bool:
    """Ask by passive declare; the channel is open afterwards."""
    channel.send("queue.declare", queue=queue, passive=True)
    event = channel.next()
    if event.name == "queue.declare-ok":  # type: ignore[union-attr]
        return True
    assert event["reply_text"] == missing(queue)  # type: ignore[index]
    channel.send("channel.close-ok")
    channel.reopen()
    return False


# -- names


def test_server_named(ch: Channel) -> None:
    """An empty name makes the server choose one, different each time."""
    names = {ch.declare(exclusive=True) for _ in range(20)}
    assert len(names) == 20
    assert all(GENERATED.fullmatch(one) for one in names)


def test_server_named_lives_on(ch: Channel, other: Channel) -> None:
    """A server-named queue that is not exclusive outlives its connection."""
    queue = other.declare()
    other.connection.close()
    assert exists(ch, queue)
    ch.call("queue.delete", queue=queue)


@pytest.mark.parametrize(
    "odd",
    [
        "with space",
        " ",
        "tab\there",
        "nul\0here",
        "a/b\\c",
        "späte-Grüße",
        "日本語のキュー",
        "🐇" * 63,
        "%2F",
        "#.*",
        "'quoted\"",
        '<<"x">>',
        "q" * 255,
    ],
)
def test_odd_names(ch: Channel, odd: str) -> None:
    """Any UTF-8 of up to 255 octets is a name, and routes by it."""
    assert ch.declare(odd, exclusive=True) == odd
    ch.publish("", odd, "x")
    ch.get(odd, routing_key=odd, body="x")


@pytest.mark.parametrize("octets", [b"\xff", b"caf\xe9", b"\xc3", b"a\x80b"])
def test_name_that_is_not_utf8(ch: Channel, octets: bytes) -> None:
    """A queue name must be UTF-8."""
    ch.send("queue.declare", queue=octets)
    text = "FRAME_ERROR - Malformed UTF-8 in shortstr"
    ch.connection.expect_connection_close(501, text)


@pytest.mark.parametrize(
    ("sent", "kept"), [("a\nb", "ab"), ("a\rb", "ab"), ("\r\na\r\n", "a"), ("a\x0bb", "a\x0bb")]
)
def test_line_breaks_are_stripped(ch: Channel, sent: str, kept: str, name: Name) -> None:
    """CR and LF are taken out of a queue's name; other control characters stay."""
    prefix = name("q")
    assert ch.declare(prefix + sent, exclusive=True) == prefix + kept
    ch.publish("", prefix + kept, "x")
    ch.get(prefix + kept, body="x")


@pytest.mark.parametrize("reserved", ["amq.", "amq.x", "amq.gen-", "amq.gen-x", "amq.ctag-x"])
def test_reserved_prefix(ch: Channel, reserved: str) -> None:
    """Names with amq. are the server's."""
    ch.send("queue.declare", queue=reserved)
    text = f"ACCESS_REFUSED - queue name '{reserved}' contains reserved prefix 'amq.*'"
    ch.expect_channel_close(403, text, 50, 10)


@pytest.mark.parametrize("method", ["queue.bind", "queue.purge", "basic.get", "basic.consume"])
def test_last_declared(ch: Channel, queue: str, method: str) -> None:
    """An empty name stands for the queue declared last on the channel, by whatever declare."""
    ch.declare(exclusive=True)
    ch.declare(queue, passive=True)
    args: dict[str, Any] = {"exchange": "amq.direct"} if method == "queue.bind" else {}
    ch.send(method, queue="", **args)
    if method == "basic.get":
        ch.expect("basic.get-empty")
    else:
        ch.expect(f"{method}-ok")
    if method == "basic.consume":
        assert ch.counts(queue)[1] == 1


def test_last_declared_is_the_channels_own(ch: Channel, queue: str) -> None:
    """Another channel's declare does not count."""
    second = ch.connection.channel(2)
    second.send("queue.purge", queue="")
    text = "NOT_FOUND - no previously declared queue"
    second.expect_channel_close(404, text, 50, 30)


def test_last_declared_is_gone(ch: Channel) -> None:
    """The last declared queue may have been deleted: then the empty name still means it."""
    queue = ch.declare(exclusive=True)
    ch.call("queue.delete", queue=queue)
    ch.send("queue.purge", queue="")
    ch.expect_channel_close(404, missing(queue), 50, 30)


# -- equivalence


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("auto_delete", [False, True])
def test_redeclare(ch: Channel, name: Name, durable: bool, auto_delete: bool) -> None:
    """The same declaration again succeeds and tells the counts."""
    queue = name("q")
    for _ in range(3):
        ok = ch.call("queue.declare", queue=queue, durable=durable, auto_delete=auto_delete)
        assert ok.args == {"queue": queue, "message_count": 0, "consumer_count": 0}


@pytest.mark.parametrize(
    "first", [{"l": 60000}, {"I": 60000}, {"s": 30000}, {"b": 100}, {"B": 100}]
)
@pytest.mark.parametrize("second", ["l", "I", "i"])
def test_numbers_of_any_width_are_equal(
    ch: Channel, name: Name, first: dict[str, int], second: str
) -> None:
    """Integer arguments are compared by value; the wire type does not matter."""
    queue = name("q")
    value = next(iter(first.values()))
    ch.declare(queue, arguments={"x-expires": first})
    ch.declare(queue, arguments={"x-expires": {second: value}})


@pytest.mark.parametrize(
    ("argument", "first", "second", "shown"),
    [
        ("x-expires", 60000, 60001, ("60001", "60000")),
        ("x-message-ttl", 5, 6, ("6", "5")),
        ("x-max-length", 10, 11, ("11", "10")),
        ("x-max-length-bytes", 10, 11, ("11", "10")),
        ("x-max-priority", 3, 4, ("4", "3")),
        ("x-dead-letter-exchange", "a", "b", ("b", "a")),
        ("x-overflow", "drop-head", "reject-publish", ("reject-publish", "drop-head")),
    ],
)
def test_inequivalent_argument(
    ch: Channel, name: Name, argument: str, first: Any, second: Any, shown: tuple[str, str]
) -> None:
    """An argument that differs is a 406 with both values."""
    queue = name("q")
    ch.declare(queue, arguments={argument: first})
    ch.send("queue.declare", queue=queue, arguments={argument: second})
    text = (
        f"PRECONDITION_FAILED - inequivalent arg '{argument}' for queue '{queue}' in vhost '/': "
        f"received '{shown[0]}' but current is '{shown[1]}'"
    )
    ch.expect_channel_close(406, text, 50, 10)


def test_fractions_are_of_another_type(ch: Channel, name: Name) -> None:
    """A whole number written as a fraction is not the same argument."""
    queue = name("q")
    ch.declare(queue, arguments={"x-message-ttl": {"l": 10}})
    ch.send("queue.declare", queue=queue, arguments={"x-message-ttl": {"d": 10.0}})
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '{queue}' in vhost '/': "
        "received '10.0' but current is '10'"
    )
    ch.expect_channel_close(406, text, 50, 10)


def test_argument_missing_in_redeclare(ch: Channel, name: Name) -> None:
    """An argument left out is a difference, told with its type."""
    queue = name("q")
    ch.declare(queue, arguments={"x-max-length": {"l": 5}})
    ch.send("queue.declare", queue=queue)
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': "
        "received none but current is the value '5' of type 'long'"
    )
    ch.expect_channel_close(406, text, 50, 10)


@pytest.mark.parametrize("value", [1, "x", {"F": {"a": 1}}, [1, 2], None, True, 1.5, {"T": 5}])
def test_unknown_arguments_are_accepted(ch: Channel, name: Name, value: Any) -> None:
    """Arguments nobody knows are accepted with any type and not compared."""
    queue = name("q")
    ch.declare(queue, arguments={"x-nobody-knows": value, "app": value})
    ch.declare(queue)
    ch.declare(queue, arguments={"x-nobody-knows": "other"})


def test_durable_is_compared_before_arguments(ch: Channel, name: Name) -> None:
    """Of several differences durable is named first."""
    queue = name("q")
    ch.declare(queue, durable=True, auto_delete=True, arguments={"x-max-length": 5})
    ch.send("queue.declare", queue=queue, arguments={"x-max-length": 6})
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{queue}' in vhost '/': "
        "received 'false' but current is 'true'"
    )
    ch.expect_channel_close(406, text, 50, 10)


# -- purge and delete


def test_purge_counts(ch: Channel, queue: str) -> None:
    """purge-ok tells how many ready messages went."""
    ch.fill(queue, *"abcde")
    assert ch.call("queue.purge", queue=queue)["message_count"] == 5
    assert ch.call("queue.purge", queue=queue)["message_count"] == 0


def test_purge_spares_the_unacked(ch: Channel, queue: str) -> None:
    """Messages that a client holds are not purged; requeued they are there again."""
    ch.fill(queue, *"abc")
    held = ch.get(queue, no_ack=False)
    assert ch.call("queue.purge", queue=queue)["message_count"] == 2
    ch.send("basic.reject", delivery_tag=held["delivery_tag"], requeue=True)
    ch.sync()
    assert ch.drain(queue) == ["a"]


def test_purge_missing(ch: Channel) -> None:
    """Purging needs a queue."""
    ch.send("queue.purge", queue="nope")
    ch.expect_channel_close(404, missing("nope"), 50, 30)


def test_delete_counts(ch: Channel, queue: str) -> None:
    """delete-ok tells how many ready messages went; those held by a client do not count."""
    ch.fill(queue, *"abcde")
    ch.get(queue, no_ack=False)
    assert ch.call("queue.delete", queue=queue)["message_count"] == 4


def test_delete_if_unused(ch: Channel, other: Channel, queue: str) -> None:
    """if-unused refuses while there is a consumer, anybody's."""
    tag = other.consume(queue)
    ch.send("queue.delete", queue=queue, if_unused=True)
    text = f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use"
    ch.expect_channel_close(406, text, 50, 40)
    other.call("basic.cancel", consumer_tag=tag)
    ch.reopen()
    ch.call("queue.delete", queue=queue, if_unused=True)


def test_delete_if_empty(ch: Channel, queue: str) -> None:
    """if-empty refuses while there is a ready message."""
    ch.fill(queue, "x")
    ch.send("queue.delete", queue=queue, if_empty=True)
    text = f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"
    ch.expect_channel_close(406, text, 50, 40)


def test_delete_if_empty_and_if_unused(ch: Channel, other: Channel, queue: str) -> None:
    """When both refuse, the text says that the queue is not empty."""
    other.call("basic.qos", prefetch_count=1)
    other.consume(queue)
    ch.fill(queue, *"abc")
    other.expect_content()
    ch.send("queue.delete", queue=queue, if_empty=True, if_unused=True)
    text = f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"
    ch.expect_channel_close(406, text, 50, 40)


def test_deleted_and_declared_anew(ch: Channel, queue: str) -> None:
    """A queue of the same name is another queue: empty, unbound, of another kind if wanted."""
    ch.bind(queue, "amq.direct", queue)
    ch.fill(queue, "x")
    ch.call("queue.delete", queue=queue)
    ch.declare(queue, durable=True, arguments={"x-max-length": 10})
    ch.publish("amq.direct", queue, "y")
    ch.sync()
    assert ch.drain(queue) == []


def test_publish_while_queue_comes_and_goes(ch: Channel, name: Name) -> None:
    """Each publish to the default exchange sees the queue of its moment."""
    queue = name("q")
    for n in range(4):
        ch.publish("", queue, str(n), mandatory=True)
        ch.send("queue.declare", queue=queue)
        ch.publish("", queue, str(n), mandatory=True)
        ch.send("queue.delete", queue=queue)
    for n in range(4):
        ch.expect_content("basic.return", body=str(n), routing_key=queue)
        ch.expect("queue.declare-ok", queue=queue)
        ch.expect("queue.delete-ok")


@pytest.mark.parametrize("capable", [True, False])
def test_consumer_cancel_notify(ch: Channel, connect: Connect, queue: str, capable: bool) -> None:
    """A deleted queue cancels its consumers, and tells those that asked to be told."""
    capabilities = {"capabilities": {"consumer_cancel_notify": capable}}
    consumer = connect(client_properties=capabilities).channel(1)
    tag = consumer.consume(queue)
    ch.call("queue.delete", queue=queue)
    if capable:
        consumer.expect("basic.cancel", consumer_tag=tag, nowait=True)
    consumer.connection.expect_silence(0.05)
    consumer.consume(consumer.declare(exclusive=True), consumer_tag=tag)


def test_cancel_notify_for_each_consumer(ch: Channel, queue: str) -> None:
    """Every consumer of a deleted queue is told, also those on the deleting channel."""
    tags = {ch.consume(queue) for _ in range(5)}
    ch.call("queue.delete", queue=queue)
    assert {ch.expect("basic.cancel", nowait=True)["consumer_tag"] for _ in tags} == tags


# -- counts


def test_counts(ch: Channel, other: Channel, queue: str) -> None:
    """declare-ok counts ready messages and all consumers; held messages do not count."""
    ch.fill(queue, *"abcd")
    assert ch.counts(queue) == (4, 0)
    ch.get(queue, no_ack=False)
    assert ch.counts(queue) == (3, 0)
    other.call("basic.qos", prefetch_count=1)
    other.consume(queue)
    other.expect_content()
    ch.consume(queue)
    ch.deliveries(2)
    assert ch.counts(queue) == (0, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-queue-mode": "lazy"},
        {"x-queue-version": 2},
        {"x-queue-type": "classic"},
        {"x-max-priority": 5},
        {"x-single-active-consumer": True},
        {"x-overflow": "reject-publish-dlx"},
        {"x-queue-master-locator": "client-local"},
        {"x-dead-letter-exchange": "amq.fanout", "x-dead-letter-routing-key": "k"},
        {"x-expires": 100000, "x-message-ttl": 100000, "x-max-length": 9, "x-max-length-bytes": 99},
    ],
)
def test_known_arguments_work(ch: Channel, name: Name, arguments: dict[str, Any]) -> None:
    """Queues with the usual arguments take and give messages."""
    queue = ch.declare(name("q"), durable=True, arguments=arguments)
    ch.fill(queue, "x", delivery_mode=2)
    ch.declare(queue, durable=True, arguments=arguments)
    assert ch.drain(queue) == ["x"]
