"""Channels: opening, closing, and the assembly of contents from frames."""

from pamqp import commands

from protocol import events
from protocol.constants import RUNNING
from protocol.errors import (
    NotFound,
)
from protocol.offer import Offer
from tests.frames import body as body_frame
from tests.frames import (
    channel_open,
    header,
    message,
    method,
    publish,
)
from tests.peer import Peer, opened

QOS = commands.Basic.Qos(0, 1, False)


def test_channel_life() -> None:
    """A channel is opened, closed and opened again, each answered."""
    peer = opened()
    assert peer.feed(channel_open(65535)) == [events.ChannelOpened(65535)]
    assert peer.said() == ["Channel.OpenOk@65535"]
    close = method(65535, commands.Channel.Close(200, "bye", 0, 0))
    assert peer.feed(close) == [events.ChannelClosed(65535)]
    assert peer.said() == ["Channel.CloseOk@65535"]
    assert peer.feed(channel_open(65535)) == [events.ChannelOpened(65535)]


def test_channel_max_counts_open_channels() -> None:
    """channel-max limits how many channels are open, not their numbers."""
    peer = opened(7, channel_max=1)
    peer.feed(channel_open(8))
    assert peer.close_text() == (
        530,
        "NOT_ALLOWED - number of channels opened (1) has reached the negotiated channel_max (1)",
        0,
        0,
    )
    peer = opened(7, channel_max=1)
    peer.feed(method(7, commands.Channel.Close(200, "", 0, 0)) + channel_open(8))
    assert peer.connection.state == RUNNING


def test_methods_are_passed_on() -> None:
    """A method on an open channel is the broker's to execute."""
    peer = opened(1)
    (received,) = peer.feed(method(1, QOS))
    assert isinstance(received, events.MethodReceived)
    assert received.channel == 1
    assert isinstance(received.method, commands.Basic.Qos)
    assert received.method.prefetch_count == 1


def test_publish_is_assembled() -> None:
    """A publish comes with its whole content, however its body was split."""
    peer = opened(1)
    frame = publish(1, "x", "é", mandatory=True)
    peer.feed(frame + header(1, 4, message_id="i"))
    for piece in (b"ab", b"", b"cd"):
        assert peer.events == []
        peer.feed(body_frame(1, piece))
    (whole,) = peer.events
    assert whole == events.PublishReceived(
        channel=1,
        frame=frame,
        exchange="x",
        routing_key="é",
        mandatory=True,
        immediate=False,
        address=b"\x01x\x02\xc3\xa9",
        content=message(1, b"abcd", message_id="i"),
        size=4,
    )


def test_empty_message_has_no_body_frame() -> None:
    """A body of no octets is complete with its header."""
    peer = opened(1)
    (whole,) = peer.feed(publish(immediate=True) + message(1, b""))
    assert isinstance(whole, events.PublishReceived)
    assert (whole.size, whole.immediate, whole.mandatory) == (0, True, False)
    assert whole.content == message(1, b"")


def test_contents_of_channels_may_interleave() -> None:
    """Frames of other channels may stand between those of a content."""
    peer = opened(1, 2)
    peer.feed(publish(1) + method(2, QOS) + publish(2) + header(1, 4) + header(2, 1))
    peer.feed(body_frame(1, b"ab") + body_frame(2, b"z") + method(2, QOS) + body_frame(1, b"cd"))
    assert [type(event) for event in peer.events] == [
        events.MethodReceived,
        events.PublishReceived,
        events.MethodReceived,
        events.PublishReceived,
    ]
    assert [e.channel for e in peer.events if isinstance(e, events.PublishReceived)] == [2, 1]


def test_body_over_the_limit_is_counted_and_not_kept() -> None:
    """A message larger than the broker takes arrives with its size and without its body."""
    peer = opened(1, offer=Offer(server_properties={}, message_size_max=10))
    peer.feed(publish() + header(1, 12))
    for _ in range(6):
        peer.feed(body_frame(1, b"xx"))
    (whole,) = peer.events
    assert isinstance(whole, events.PublishReceived)
    assert whole.size == 12
    assert whole.content == header(1, 12)


def test_huge_announced_body_costs_nothing() -> None:
    """A header that announces an absurd size is accepted, and reserves no memory."""
    peer = opened(1)
    peer.feed(publish() + header(1, 1 << 62) + body_frame(1, b"x" * 1000))
    assert peer.events == []
    assert peer.connection.channels[1].body == []


def test_events_are_acted_on_before_the_next_frame_is_read() -> None:
    """An error in a method keeps the frames behind it from having an effect."""
    peer = opened(1)
    peer.refuse = NotFound("no queue 'q' in vhost '/'")
    peer.feed(method(1, commands.Queue.Purge(queue="q")) + publish() + message() + method(1, QOS))
    assert len(peer.events) == 1
    ((channel, close),) = peer.commands()
    assert channel == 1
    assert isinstance(close, commands.Channel.Close)
    assert (close.reply_code, close.class_id, close.method_id) == (404, 50, 30)
    assert close.reply_text == "NOT_FOUND - no queue 'q' in vhost '/'"


def refused(peer: Peer) -> Peer:
    """Have the server close channel 1."""
    peer.refuse = NotFound("no")
    peer.feed(method(1, QOS))
    peer.events.clear()
    peer.out.clear()
    return peer


def test_a_closed_channel_waits_for_close_ok() -> None:
    """After the server closed a channel all is ignored until close-ok, then it can be reopened."""
    peer = refused(opened(1))
    ignored = method(1, QOS) + publish() + message() + header(1, 3) + body_frame(1, b"x")
    assert peer.feed(ignored) == []
    assert peer.out == []
    assert peer.feed(method(1, commands.Channel.CloseOk())) == []
    assert peer.feed(channel_open(1)) == [events.ChannelOpened(1)]


def test_crossing_channel_close_is_answered() -> None:
    """A channel.close that crosses the server's is answered, and close-ok is still awaited."""
    peer = refused(opened(1))
    assert peer.feed(method(1, commands.Channel.Close(200, "x", 0, 0))) == []
    assert peer.said() == ["Channel.CloseOk@1"]
    peer.feed(method(1, commands.Channel.CloseOk()) + channel_open(1))
    assert peer.said() == ["Channel.OpenOk@1"]


def test_reopening_before_close_ok_is_an_error() -> None:
    """channel.open on a channel whose close is not confirmed closes the connection."""
    peer = refused(opened(1))
    peer.feed(channel_open(1))
    assert peer.close_text() == (504, "CHANNEL_ERROR - second 'channel.open' seen", 20, 10)


def test_closing_a_channel_discards_its_content_in_progress() -> None:
    """A channel closed in the middle of a content leaves nothing behind on the connection."""
    peer = opened(1, 2)
    peer.feed(publish(1) + header(1, 10))
    peer.connection.close_channel(1, NotFound("gone"))
    peer.feed(body_frame(1, b"0123456789") + method(1, commands.Channel.CloseOk()))
    peer.feed(channel_open(1))
    scanned = []
    peer.connection.scan = lambda buffer, position: scanned.append(position) or position
    peer.feed(publish(1) + message(1))
    assert [type(event) for event in peer.events][-1] is events.PublishReceived
    assert scanned


def test_client_closes_channel_before_the_answer_is_written() -> None:
    """What the broker says on hearing of a channel's end precedes close-ok."""
    peer = opened(1)
    generator = peer.connection.receive(method(1, commands.Channel.Close(200, "", 0, 0)))
    assert next(generator) == events.ChannelClosed(1)
    peer.connection.send(1, commands.Basic.Ack, delivery_tag=1)
    assert list(generator) == []
    assert peer.said() == ["Basic.Ack@1", "Channel.CloseOk@1"]
