"""An open connection: framing, the order of frames, errors with RabbitMQ's texts, the end."""

from collections.abc import Iterator
from typing import Any

import pytest
from pamqp import commands

from protocol import events
from protocol.constants import CLOSED, CLOSING
from protocol.errors import (
    ConnectionForced,
    NotFound,
)
from tests.frames import (
    PROTOCOL_HEADER,
    channel_open,
    header,
    header_payload,
    message,
    method,
    publish,
    raw_frame,
    start_ok,
)
from tests.frames import body as body_frame
from tests.peer import Peer, opened

QOS = commands.Basic.Qos(0, 1, False)


CONNECTION_ERRORS: list[tuple[str, bytes, tuple[int, str, int, int]]] = [
    (
        "bad end octet",
        raw_frame(1, 1, b"\x00\x3c\x00\x0a\x00\x00\x00\x00\x00\x01\x00", end=0),
        (
            501,
            "FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,1,0>>: "
            "{invalid_frame_end_marker,0}",
            0,
            0,
        ),
    ),
    (
        "unknown frame type",
        raw_frame(4, 0, b"abc"),
        (501, 'FRAME_ERROR - type 4, all octets = <<"abc">>: unknown_frame', 0, 0),
    ),
    (
        "method of two octets",
        raw_frame(1, 1, b"\x00\x3c"),
        (501, "FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame", 0, 0),
    ),
    (
        "truncated arguments",
        raw_frame(1, 1, b"\x00\x32\x00\x0a\x00\x00\x08bq"),
        (501, "FRAME_ERROR - cannot decode <<0,0,8,98,113>>", 50, 10),
    ),
    (
        "surplus arguments",
        raw_frame(1, 1, b"\x00\x3c\x00\x0a\x00\x00\x00\x00\x00\x01\x00zzz"),
        (501, "FRAME_ERROR - cannot decode <<0,0,0,0,0,1,0,122,122,122>>", 60, 10),
    ),
    (
        "table beyond the payload",
        bytes.fromhex("010001000000180032000a00000962712e6261646c656e0000000100616263ce"),
        (
            501,
            "FRAME_ERROR - cannot decode "
            "<<0,0,9,98,113,46,98,97,100,108,101,110,0,0,0,1,0,97,98,99>>",
            50,
            10,
        ),
    ),
    (
        "name that is not UTF-8",
        raw_frame(1, 1, b"\x00\x32\x00\x1e\x00\x00\x02\xff\xfe\x00"),
        (501, "FRAME_ERROR - Malformed UTF-8 in shortstr", 0, 0),
    ),
    (
        "publish cut short behind a name that is not UTF-8",
        raw_frame(1, 1, b"\x00\x3c\x00\x28\x00\x00\x02\xff\xfe\x00"),
        (501, "FRAME_ERROR - cannot decode <<0,0,2,255,254,0>>", 60, 40),
    ),
    (
        "publish cut short",
        raw_frame(1, 1, b"\x00\x3c\x00\x28\x00\x00\x05x"),
        (501, "FRAME_ERROR - cannot decode <<0,0,5,120>>", 60, 40),
    ),
    (
        "publish with surplus octets",
        raw_frame(1, 1, b"\x00\x3c\x00\x28\x00\x00\x00\x01q\x00\x00"),
        (501, "FRAME_ERROR - cannot decode <<0,0,0,1,113,0,0>>", 60, 40),
    ),
    (
        "header without publish",
        header(1, 5),
        (505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead", 0, 0),
    ),
    (
        "body without header",
        body_frame(1, b"hello"),
        (505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead", 0, 0),
    ),
    (
        "body in place of the header",
        publish() + body_frame(1, b"hello"),
        (
            505,
            "UNEXPECTED_FRAME - expected content header for class 60, "
            "got non content header frame instead",
            60,
            40,
        ),
    ),
    (
        "header of another class",
        publish() + raw_frame(2, 1, header_payload(3, class_id=50)),
        (
            505,
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
            60,
            40,
        ),
    ),
    (
        "method in place of the body",
        publish() + header(1, 10) + method(1, commands.Channel.Close(200, "x", 0, 0)),
        (
            505,
            "UNEXPECTED_FRAME - expected content body, got non content body frame instead",
            60,
            40,
        ),
    ),
    (
        "method after a body longer than declared",
        publish()
        + header(1, 3)
        + body_frame(1, b"hello")
        + body_frame(1, b"more")
        + method(1, QOS),
        (
            505,
            "UNEXPECTED_FRAME - expected content body, got non content body frame instead",
            60,
            40,
        ),
    ),
    (
        "heartbeat on a channel",
        raw_frame(8, 7, b""),
        (505, "UNEXPECTED_FRAME - type 8, all octets = <<>>", 0, 0),
    ),
    (
        "heartbeat with a payload",
        raw_frame(8, 0, b"abc"),
        (501, 'FRAME_ERROR - type 8, all octets = <<"abc">>: unknown_frame', 0, 0),
    ),
    (
        "channel method on channel 0",
        channel_open(0),
        (504, "CHANNEL_ERROR - unexpected method in connection state running", 20, 10),
    ),
    (
        "publish on channel 0",
        publish(0),
        (504, "CHANNEL_ERROR - unexpected method in connection state running", 60, 40),
    ),
    (
        "header on channel 0",
        header(0, 1),
        (
            505,
            "UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,1,0,0>>",
            0,
            0,
        ),
    ),
    (
        "connection method on a channel",
        method(1, commands.Connection.Open("/")),
        (503, "COMMAND_INVALID - unimplemented method", 10, 40),
    ),
    (
        "server's reply from a client",
        method(1, commands.Queue.DeclareOk("x", 0, 0)),
        (503, "COMMAND_INVALID - unimplemented method", 50, 11),
    ),
    (
        "channel opened twice",
        channel_open(1),
        (504, "CHANNEL_ERROR - second 'channel.open' seen", 20, 10),
    ),
    (
        "channel never opened",
        method(5, commands.Queue.Declare(queue="q")),
        (504, "CHANNEL_ERROR - expected 'channel.open'", 50, 10),
    ),
    (
        "close-ok for a channel never opened",
        method(5, commands.Channel.CloseOk()),
        (504, "CHANNEL_ERROR - expected 'channel.open'", 20, 41),
    ),
    (
        "close-ok nobody asked for",
        method(0, commands.Connection.CloseOk()),
        (504, "CHANNEL_ERROR - unexpected method in connection state running", 10, 51),
    ),
    (
        "start-ok again",
        start_ok(),
        (504, "CHANNEL_ERROR - unexpected method in connection state running", 10, 11),
    ),
    (
        "connection.start from a client",
        method(0, commands.Connection.Start(0, 9, {}, "PLAIN", "en_US")),
        (504, "CHANNEL_ERROR - unexpected method in connection state running", 10, 10),
    ),
]


@pytest.mark.parametrize(
    ("octets", "answer"),
    [(octets, answer) for _, octets, answer in CONNECTION_ERRORS],
    ids=[name for name, _, _ in CONNECTION_ERRORS],
)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_connection_errors(octets: bytes, answer: tuple[int, str, int, int], chunk: int) -> None:
    """Each misuse is answered with RabbitMQ's code, text and ids, however the octets arrive."""
    peer = opened(1)
    for at in range(0, len(octets), chunk):
        peer.feed(octets[at : at + chunk])
    assert peer.close_text() == answer
    assert peer.connection.state == CLOSING
    assert peer.dropped is None
    # What comes after is discarded until close-ok.
    assert peer.feed(method(1, QOS) + publish() + message()) == []
    assert peer.feed(method(0, commands.Connection.CloseOk())) == [events.Closed(confirmed=True)]
    assert peer.out == []


@pytest.mark.parametrize("ids", [b"\x00\x3c\x00\x63", b"\x00\x3d\x00\x0a"])
def test_unknown_methods_drop_the_socket(ids: bytes) -> None:
    """A method nobody knows drops the socket without a frame."""
    peer = opened(1)
    peer.feed(raw_frame(1, 1, ids))
    assert peer.dropped is not None
    assert peer.out == []


@pytest.mark.parametrize("size", [4088, 4089, 4096])
def test_frames_up_to_eight_octets_over_are_accepted(size: int) -> None:
    """A frame's payload may reach frame-max itself, as in RabbitMQ."""
    peer = opened(1, frame_max=4096)
    (whole,) = peer.feed(publish() + message(1, b"z" * size))
    assert isinstance(whole, events.PublishReceived)
    assert whole.size == size


def test_larger_frames_are_refused_at_their_head() -> None:
    """A frame beyond frame-max is 501 as soon as its size is read, and nothing more is read."""
    peer = opened(1, frame_max=4096)
    peer.feed(publish() + header(1, 4097) + b"\x03\x00\x01\x00\x00\x10\x01")
    assert peer.close_text() == (
        501,
        "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}",
        0,
        0,
    )
    assert peer.dropped is not None


def test_heartbeats_are_accepted() -> None:
    """A heartbeat on channel 0 says nothing, at any time."""
    peer = Peer()
    peer.feed(PROTOCOL_HEADER)
    assert peer.feed(raw_frame(8, 0, b"")) == []
    peer = opened(1)
    peer.feed(publish() + raw_frame(8, 0, b"") + message())
    assert [type(event) for event in peer.events] == [events.PublishReceived]
    assert peer.dropped is None


def test_update_secret_is_answered() -> None:
    """connection.update-secret is accepted when the broker says so."""
    peer = opened()
    secret = method(0, commands.Connection.UpdateSecret("new", "why"))
    assert peer.feed(secret) == [events.SecretReceived(b"new")]
    assert peer.said() == []
    peer.connection.update_secret_ok()
    assert peer.said() == ["Connection.UpdateSecretOk"]


# -- closing --------------------------------------------------------------------------------------


def test_client_closes() -> None:
    """connection.close is answered, also in the middle of a content; nothing is read after it."""
    peer = opened(1)
    close = method(0, commands.Connection.Close(200, "bye", 0, 0))
    assert peer.feed(publish() + header(1, 10) + close + method(1, QOS)) == [events.Closed()]
    assert peer.said() == ["Connection.CloseOk"]
    assert peer.connection.state == CLOSED
    assert peer.feed(method(1, QOS) * 100) == []
    assert peer.out == []


def test_server_closes() -> None:
    """The server's close is sent once; crossing closes are answered; close-ok ends it."""
    peer = opened(1)
    peer.connection.close(ConnectionForced("shutdown", about_method=False))
    peer.connection.close(ConnectionForced("again"))
    assert peer.close_text() == (320, "CONNECTION_FORCED - shutdown", 0, 0)
    assert peer.feed(method(1, QOS)) == []
    assert peer.feed(method(0, commands.Connection.Close(200, "", 0, 0))) == []
    assert peer.said() == ["Connection.CloseOk"]
    assert peer.feed(method(0, commands.Connection.CloseOk())) == [events.Closed(confirmed=True)]


def test_soft_error_without_its_channel_closes_the_connection() -> None:
    """An error that would close a channel that is not open closes the connection."""
    peer = opened()
    peer.connection.close_for(NotFound("no"))
    assert peer.said() == ["Connection.Close"]


def test_octets_after_the_end_are_not_kept() -> None:
    """A client that goes on talking after its close costs no memory."""
    peer = opened(1)
    peer.feed(method(0, commands.Connection.Close(200, "bye", 0, 0)))
    for _ in range(100):
        peer.feed(b"x" * 1000)
    assert peer.connection._rest == b""


def test_receive_can_be_resumed() -> None:
    """A caller that stops in the middle of the events of a read loses none of the others."""
    peer = opened(1)
    iterator: Iterator[Any] = peer.connection.receive(method(1, QOS) * 3)
    next(iterator)
    iterator.close()
    assert len(peer.feed(b"")) == 2
