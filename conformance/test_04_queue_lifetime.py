"""How long queues live: exclusive ones, auto-delete ones, and who may touch them meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.channel import Channel
from conformance.test_04_queue import exists
from conformance.wire import Connection

Connect = Callable[..., Connection]
Name = Callable[[str], str]


def locked(queue: str) -> str:
    """The text of a 405."""
    return (
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. "
        "It could be originally declared on another connection or the exclusive property value "
        "does not match that of the original declaration."
    )


# -- exclusive


@pytest.mark.parametrize(
    ("method", "ids"),
    [
        ("queue.declare", (50, 10)),
        ("queue.bind", (50, 20)),
        ("queue.purge", (50, 30)),
        ("queue.delete", (50, 40)),
        ("basic.consume", (60, 20)),
        ("basic.get", (60, 70)),
    ],
)
def test_exclusive_to_another(
    ch: Channel, other: Channel, name: Name, method: str, ids: tuple[int, int]
) -> None:
    """Another connection's exclusive queue is locked, whatever one wants of it."""
    queue = ch.declare(name("q"), exclusive=True)
    args = {"exchange": "amq.direct"} if method == "queue.bind" else {}
    other.send(method, queue=queue, **args)
    other.expect_channel_close(405, locked(queue), *ids)


def test_unbinding_anothers_exclusive_queue(ch: Channel, other: Channel, name: Name) -> None:
    """Locked for queue.unbind, too, if there is such a binding; otherwise nothing happens."""
    queue = ch.declare(name("q"), exclusive=True)
    ch.bind(queue, "amq.direct", "k")
    other.call("queue.unbind", queue=queue, exchange="amq.direct", routing_key="never")
    other.send("queue.unbind", queue=queue, exchange="amq.direct", routing_key="k")
    other.expect_channel_close(405, locked(queue), 50, 50)


def test_exclusive_on_another_channel(ch: Channel, name: Name) -> None:
    """Exclusive means the connection, not the channel."""
    queue = ch.declare(name("q"), exclusive=True)
    second = ch.connection.channel(2)
    second.consume(queue)
    assert second.counts(queue) == (0, 1)


def test_exclusive_outlives_its_channel(ch: Channel, name: Name) -> None:
    """Closing the channel leaves the connection's exclusive queues."""
    queue = ch.declare(name("q"), exclusive=True)
    ch.close()
    ch.reopen()
    assert exists(ch, queue)


@pytest.mark.parametrize("durable", [False, True])
def test_exclusive_dies_with_its_connection(
    ch: Channel, other: Channel, name: Name, durable: bool
) -> None:
    """When close-ok has come, the exclusive queues are gone, with all that was in them."""
    queue = other.declare(name("q"), exclusive=True, durable=durable)
    other.fill(queue, "x")
    other.connection.close()
    assert not exists(ch, queue)
    ch.declare(queue)
    assert ch.counts(queue) == (0, 0)


def test_exclusive_dies_with_a_lost_connection(ch: Channel, other: Channel, name: Name) -> None:
    """A client that vanishes loses its exclusive queues as well."""
    queue = other.declare(name("q"), exclusive=True)
    other.connection.drop()
    for _ in range(200):
        ch.send("queue.declare", queue=queue, passive=True)
        event = ch.expect("channel.close")
        ch.send("channel.close-ok")
        ch.reopen()
        if event["reply_code"] == 404:
            return
        assert event["reply_code"] == 405
    raise AssertionError("the queue is still locked")


def test_exclusive_name_is_free_again(connect: Connect, name: Name) -> None:
    """A client that connects again can have the same exclusive queue."""
    queue = name("q")
    for _ in range(10):
        connection = connect()
        connection.channel(1).declare(queue, exclusive=True)
        connection.close()


def test_exclusive_durable_again(ch: Channel, name: Name) -> None:
    """For an exclusive queue durable is neither kept nor compared."""
    queue = ch.declare(name("q"), exclusive=True, durable=True)
    ch.declare(queue, exclusive=True, durable=True)
    ch.declare(queue, exclusive=True, durable=False)


# -- auto-delete


def test_auto_delete_after_last_consumer(ch: Channel, name: Name) -> None:
    """An auto-delete queue goes with its last consumer, not before, messages or not."""
    queue = ch.declare(name("q"), auto_delete=True)
    ch.call("basic.qos", prefetch_count=1)
    first, second = ch.consume(queue), ch.consume(queue)
    ch.fill(queue, *"abc")
    ch.deliveries(2)
    ch.call("basic.cancel", consumer_tag=first)
    assert exists(ch, queue)
    ch.call("basic.cancel", consumer_tag=second)
    assert not exists(ch, queue)


def test_auto_delete_by_channel_close(ch: Channel, name: Name) -> None:
    """A channel's end cancels its consumers, the last one too."""
    queue = ch.declare(name("q"), auto_delete=True)
    ch.consume(queue)
    ch.close()
    ch.reopen()
    assert not exists(ch, queue)


def test_auto_delete_by_connection_close(ch: Channel, other: Channel, name: Name) -> None:
    """A connection's end does the same."""
    queue = ch.declare(name("q"), auto_delete=True)
    other.consume(queue)
    other.connection.close()
    assert not exists(ch, queue)


def test_auto_delete_without_consumer(ch: Channel, other: Channel, name: Name) -> None:
    """A queue that never had a consumer stays, though its declarer leaves and others get."""
    queue = other.declare(name("q"), auto_delete=True)
    other.fill(queue, "x")
    other.connection.close()
    assert ch.drain(queue) == ["x"]
    assert exists(ch, queue)
