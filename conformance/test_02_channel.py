"""Channels: opening, closing, numbers, errors and the frames that cross them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.channel import Channel
from conformance.codec import METHOD, encode_method, frame
from conformance.wire import Connection

Connect = Callable[..., Connection]
Name = Callable[..., str]
Args = dict[str, Any]


def fail(channel: Channel, *, answer: bool = True) -> None:
    """Make the server close the channel with a 404."""
    channel.send("queue.declare", queue="nope", passive=True)
    text = "NOT_FOUND - no queue 'nope' in vhost '/'"
    channel.expect_channel_close(404, text, 50, 10, answer=answer)


@pytest.mark.parametrize("number", [1, 2, 255, 256, 32768, 65535])
def test_any_number(connect: Connect, number: int) -> None:
    """A channel may have any number but 0; channel_max limits how many there are."""
    channel = connect().channel(number)
    channel.sync()
    channel.close()


def test_open_ok_is_empty(connect: Connect) -> None:
    """channel.open-ok carries an empty long string."""
    connection = connect()
    connection.send("channel.open", channel=1)
    assert connection.next(1).args == {"channel_id": ""}  # type: ignore[union-attr]


def test_number_is_free_at_once_after_close(ch: Channel) -> None:
    """A number can be used again as soon as close-ok has come."""
    for _ in range(50):
        ch.close()
        ch.reopen()
    ch.sync()


def test_number_is_free_at_once_after_an_error(ch: Channel) -> None:
    """After close-ok the number can be opened again in the same write."""
    fail(ch, answer=False)
    ok = frame(METHOD, 1, encode_method("channel.close-ok", {}))
    opened = frame(METHOD, 1, encode_method("channel.open", {}))
    ch.connection.send_raw(ok + opened)
    ch.expect("channel.open-ok")
    ch.sync()


def test_new_channel_starts_afresh(ch: Channel, queue: str) -> None:
    """A reopened channel has no consumers, no confirm mode, no prefetch and tags from 1."""
    ch.call("confirm.select")
    ch.call("basic.qos", prefetch_count=1)
    ch.consume(queue, consumer_tag="mine")
    ch.close()
    ch.reopen()
    assert ch.counts(queue) == (0, 0)
    ch.publish("", queue, "a")
    ch.publish("", queue, "b")
    ch.consume(queue, consumer_tag="mine")
    ch.expect_content(body="a", delivery_tag=1)
    ch.expect_content(body="b", delivery_tag=2)
    ch.call("tx.select")


def test_errors_in_a_row(ch: Channel) -> None:
    """A channel may fail and be opened again as often as one likes."""
    for _ in range(30):
        fail(ch)
        ch.reopen()
    ch.sync()


def test_an_error_is_the_channels_own(ch: Channel) -> None:
    """Another channel of the connection goes on."""
    second = ch.connection.channel(2)
    fail(ch)
    second.sync()


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("queue.declare", {}),
        ("queue.delete", {"queue": "nope"}),
        ("exchange.declare", {"exchange_type": "direct"}),
        ("basic.qos", {}),
        ("basic.consume", {"queue": "nope"}),
        ("basic.get", {"queue": "nope"}),
        ("basic.recover", {"requeue": True}),
        ("confirm.select", {}),
        ("tx.select", {}),
        ("tx.commit", {}),
        ("channel.flow", {"active": True}),
        ("access.request", {}),
        ("basic.ack", {"delivery_tag": 7}),
        ("channel.open", {}),
    ],
)
def test_nothing_is_answered_before_close_ok(
    ch: Channel, name: str, args: dict[str, object]
) -> None:
    """A channel that the server closed stays silent until close-ok, except on a second open."""
    fail(ch, answer=False)
    ch.send(name, **args)
    if name == "channel.open":
        text = "CHANNEL_ERROR - second 'channel.open' seen"
        ch.connection.expect_connection_close(504, text, 20, 10)
        return
    ch.connection.expect_silence(0.05)
    ch.send("channel.close-ok")
    ch.reopen()


def test_in_flight_publishes_are_discarded(ch: Channel, other: Channel, queue: str) -> None:
    """Publishes that follow a failed method go nowhere, also those in the same write."""
    second = ch.connection.channel(2)
    second.send("queue.declare", queue="nope", passive=True)
    for n in range(5):
        second.publish("", queue, f"lost {n}")
    second.expect("channel.close", reply_code=404)
    second.publish("", queue, "lost")
    second.send("channel.close-ok")
    second.reopen()
    second.publish("", queue, "kept")
    second.sync()
    assert other.drain(queue) == ["kept"]


def test_content_before_close_ok_is_discarded(ch: Channel, queue: str) -> None:
    """A content that comes before close-ok is skipped to its last octet."""
    fail(ch, answer=False)
    ch.send("basic.publish", routing_key=queue)
    ch.header(6)
    ch.body(b"abc")
    ch.connection.expect_silence(0.02)
    ch.body(b"def")
    ch.send("channel.close-ok")
    ch.reopen()
    assert ch.counts(queue) == (0, 0)


def test_error_amid_another_channels_content(ch: Channel, queue: str) -> None:
    """An error on one channel does not disturb a content that another is sending."""
    second = ch.connection.channel(2)
    second.send("basic.publish", routing_key=queue)
    second.header(6)
    second.body(b"abc")
    fail(ch)
    ch.reopen()
    second.body(b"def")
    second.sync()
    assert ch.drain(queue) == ["abcdef"]


def test_close_crosses_close(ch: Channel) -> None:
    """A client's channel.close that crosses the server's is answered all the same."""
    fail(ch, answer=False)
    ch.send("channel.close", reply_code=200)
    ch.expect("channel.close-ok")
    ch.send("channel.close-ok")
    ch.reopen()


def test_method_after_close(ch: Channel) -> None:
    """A method on a channel that the client closed is a 504 of the connection."""
    ch.close()
    ch.send("basic.qos")
    text = "CHANNEL_ERROR - expected 'channel.open'"
    ch.connection.expect_connection_close(504, text, 60, 10)


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("queue.declare", (50, 10)),
        ("basic.publish", (60, 40)),
        ("basic.ack", (60, 80)),
        ("channel.close", (20, 40)),
        ("channel.flow", (20, 20)),
        ("tx.rollback", (90, 30)),
    ],
)
def test_method_on_a_channel_never_opened(
    connect: Connect, name: str, ids: tuple[int, int]
) -> None:
    """Any method but channel.open needs an open channel."""
    connection = connect()
    connection.send(name, channel=9)
    if name == "basic.publish":
        Channel(connection, 9).header(0)  # nothing is looked at before the content is whole
    connection.expect_connection_close(504, "CHANNEL_ERROR - expected 'channel.open'", *ids)


@pytest.mark.parametrize("kind", [2, 3])
def test_content_on_a_channel_never_opened(connect: Connect, kind: int) -> None:
    """Content needs an open channel, too."""
    connection = connect()
    connection.send_frame(kind, 9, b"\x00\x3c\x00\x00" + bytes(10))
    connection.expect("connection.close")


def test_close_mid_content(ch: Channel) -> None:
    """A channel cannot be closed in the middle of a content."""
    ch.send("basic.publish", routing_key="x")
    ch.send("channel.close", reply_code=200)
    text = (
        "UNEXPECTED_FRAME - expected content header for class 60, "
        "got non content header frame instead"
    )
    ch.connection.expect_connection_close(505, text, 60, 40)


def test_close_with_deliveries_in_flight(ch: Channel, queue: str) -> None:
    """Deliveries may still come before close-ok; nothing comes after it."""
    ch.fill(queue, *(str(n) for n in range(200)))
    ch.consume(queue)
    ch.close()
    ch.connection.expect_silence(0.05)
    ch.reopen()
    assert ch.drain(queue) == [str(n) for n in range(200)]


def test_flow_stays_on(ch: Channel) -> None:
    """channel.flow with active is answered as often as asked."""
    for _ in range(3):
        ch.send("channel.flow", active=True)
        ch.expect("channel.flow-ok", active=True)


def test_flow_off_is_not_implemented(ch: Channel) -> None:
    """A client cannot stop deliveries by channel.flow."""
    ch.send("channel.flow", active=False)
    ch.connection.expect_connection_close(540, "NOT_IMPLEMENTED - active=false", 20, 20)


def test_flow_ok_unasked(ch: Channel) -> None:
    """The server never asks for channel.flow, so no flow-ok is right."""
    ch.send("channel.flow-ok", active=True)
    text = "COMMAND_INVALID - unimplemented method"
    ch.connection.expect_connection_close(503, text, 20, 21)


def test_access_request(ch: Channel) -> None:
    """access.request of AMQP 0-8 is answered with ticket 1, whatever it asks for."""
    args = {"exclusive": True, "passive": True, "active": True, "write": True, "read": True}
    ch.send("access.request", realm="/data", **args)
    ch.expect("access.request-ok", ticket=1)
    ch.send("access.request")
    ch.expect("access.request-ok", ticket=1)


@pytest.mark.parametrize("ticket", [0, 1, 2, 65535])
def test_tickets_are_ignored(ch: Channel, name: Name, ticket: int) -> None:
    """The ticket field of AMQP 0-8 may hold anything."""
    queue = name()
    ch.call("queue.declare", queue=queue, ticket=ticket, exclusive=True)
    ch.call("queue.bind", queue=queue, exchange="amq.topic", routing_key="k", ticket=ticket)
    ch.send("basic.publish", ticket=ticket, routing_key=queue)
    ch.header(0)
    ch.send("basic.get", queue=queue, ticket=ticket, no_ack=True)
    ch.expect_content("basic.get-ok", body="")
    ch.call("queue.purge", queue=queue, ticket=ticket)
    ch.call("queue.delete", queue=queue, ticket=ticket)


def test_interleaved_contents(ch: Channel, queue: str) -> None:
    """Contents of several channels may be cut into one another, frame by frame."""
    channels = [ch, *(ch.connection.channel(n) for n in (2, 3, 4))]
    for channel in channels:
        channel.send("basic.publish", routing_key=queue)
    for channel in channels:
        channel.header(4)
    for half in (b"ab", b"cd"):
        for channel in channels:
            channel.body(half)
    for channel in channels:
        channel.sync()
    assert ch.drain(queue) == ["abcd"] * 4


def test_unsolicited_close_ok(ch: Channel) -> None:
    """close-ok on an open channel that nobody closes is an error of the connection."""
    ch.send("channel.close-ok")
    text = "COMMAND_INVALID - unimplemented method"
    ch.connection.expect_connection_close(503, text, 20, 41)
