"""How a connection comes to be: protocol header, login, limits; as RabbitMQ answers it."""

import pytest
from pamqp import commands

from protocol import events
from protocol.constants import RUNNING
from protocol.errors import (
    LoginRefused,
    NotAllowed,
)
from protocol.offer import Offer
from tests.frames import (
    PROTOCOL_HEADER,
    channel_open,
    connection_open,
    message,
    method,
    publish,
    raw_frame,
    start_ok,
    tune_ok,
)
from tests.peer import Peer


def test_handshake() -> None:
    """Header, start-ok, tune-ok and open lead to a connection with the negotiated limits."""
    peer = Peer()
    assert peer.feed(PROTOCOL_HEADER) == []
    ((_, start),) = peer.commands()
    assert isinstance(start, commands.Connection.Start)
    assert (start.version_major, start.version_minor) == (0, 9)
    assert (start.mechanisms, start.locales) == ("PLAIN AMQPLAIN", "en_US")
    (login,) = peer.feed(start_ok())
    assert isinstance(login, events.LoginReceived)
    assert (login.mechanism, login.response) == ("PLAIN", b"\0guest\0guest")
    ((_, tune),) = peer.commands()
    assert isinstance(tune, commands.Connection.Tune)
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2047, 131072, 60)
    assert peer.feed(tune_ok(100, 8192, 7)) == [events.Tuned()]
    assert peer.feed(connection_open("v")) == [events.OpenReceived("v")]
    assert peer.said() == ["Connection.OpenOk"]
    connection = peer.connection
    assert (connection.channel_max, connection.frame_max, connection.heartbeat_s) == (100, 8192, 7)
    assert "consumer_cancel_notify" in connection.capabilities


@pytest.mark.parametrize(
    "octets",
    [
        b"AMQP\x00\x00\x09\x00",
        b"AMQP\x03\x01\x00\x00",
        b"AMQP\x01\x01\x00\x0a",
        b"GET / HTTP/1.1\r\n",
        b"amqp\x00\x00\x09\x01",
        b"\x16\x03\x01",
    ],
)
def test_foreign_protocol_header_is_answered_with_ours(octets: bytes) -> None:
    """Whoever speaks something else is told the supported version and dropped."""
    peer = Peer()
    peer.feed(octets)
    assert peer.dropped is not None
    assert peer.out == [PROTOCOL_HEADER]


@pytest.mark.parametrize(
    ("octets", "version"),
    [
        (b"AMQP\x01\x01\x00\x09", (0, 9)),
        (b"AMQP\x01\x01\x08\x00", (8, 0)),
        (b"AMQP\x01\x01\x09\x01", (8, 0)),
    ],
)
def test_older_protocol_headers_are_accepted(octets: bytes, version: tuple[int, int]) -> None:
    """The headers of older clients that RabbitMQ takes for 0-9-1 are taken."""
    peer = Peer()
    peer.feed(octets)
    ((_, start),) = peer.commands()
    assert isinstance(start, commands.Connection.Start)
    assert (start.version_major, start.version_minor) == version


def test_protocol_header_may_come_in_pieces() -> None:
    """The header is awaited whole, octet by octet."""
    peer = Peer()
    for octet in PROTOCOL_HEADER[:-1]:
        peer.feed(bytes((octet,)))
        assert peer.out == []
    peer.feed(PROTOCOL_HEADER[-1:])
    assert peer.said() == ["Connection.Start"]


@pytest.mark.parametrize(
    "octets",
    [
        connection_open(),
        tune_ok(),
        method(0, commands.Connection.Close(200, "x", 0, 0)),
        channel_open(1),
        raw_frame(1, 0, b"\x00\x0a\x00\x0b\x00\x00\x00\x00"),
        raw_frame(1, 0, b"\x00" * 4097),
        raw_frame(4, 0, b"abc"),
        raw_frame(1, 0, b"\x00\x0a\x00\x28\x01/\x00\x00", end=0),
    ],
)
def test_errors_before_login_are_answered_by_silence(octets: bytes) -> None:
    """What is out of order before tune drops the socket after a delay, without a frame."""
    peer = Peer()
    peer.feed(PROTOCOL_HEADER)
    peer.out.clear()
    peer.feed(octets)
    assert peer.dropped is not None
    assert peer.dropped.delay_s == 3.0
    assert peer.out == []


@pytest.mark.parametrize(
    ("limits", "accepted"),
    [
        ((2047, 131072), True),
        ((1, 4096), True),
        ((2047, 4095), False),
        ((2047, 1), False),
        ((2047, 131073), False),
        ((2048, 131072), False),
        ((0, 131072), False),
        ((2047, 0), False),
    ],
)
def test_tune_ok_may_only_lower_limits(limits: tuple[int, int], accepted: bool) -> None:
    """Limits above the offer, lifted or too small to work drop the socket, as in RabbitMQ."""
    peer = Peer()
    peer.feed(PROTOCOL_HEADER)
    peer.feed(start_ok() + tune_ok(*limits) + connection_open())
    assert (peer.dropped is None) == accepted
    assert (peer.connection.state == RUNNING) == accepted


def test_no_limit_may_be_offered_and_accepted() -> None:
    """An offer of 0 is no limit: then a client may choose any, or none."""
    peer = Peer(Offer(server_properties={}, channel_max=0, frame_max=0))
    peer.feed(PROTOCOL_HEADER)
    peer.feed(start_ok() + tune_ok(0, 0) + connection_open() + channel_open(65535))
    assert peer.connection.state == RUNNING
    assert peer.connection.channel_max == 65535
    peer.feed(publish(65535) + message(65535, b"x" * 500000))
    assert isinstance(peer.events[-1], events.PublishReceived)


@pytest.mark.parametrize(
    ("capabilities", "answered"), [(None, True), ({}, False), ({"basic.nack": True}, False)]
)
def test_refused_login(capabilities: dict[str, bool] | None, answered: bool) -> None:
    """A refused login is told to clients that understand it, others are dropped after a delay."""
    peer = Peer(refuse=LoginRefused("no", about_method=False))
    peer.feed(PROTOCOL_HEADER)
    peer.out.clear()
    peer.feed(start_ok(capabilities))
    if answered:
        assert peer.close_text() == (403, "ACCESS_REFUSED - no", 0, 0)
        assert peer.feed(method(0, commands.Connection.CloseOk())) == [
            events.Closed(confirmed=True)
        ]
    else:
        assert peer.out == []
        assert peer.dropped is not None


def test_refused_vhost() -> None:
    """An error in connection.open is a connection.close that names the method."""
    peer = Peer()
    peer.feed(PROTOCOL_HEADER)
    peer.feed(start_ok() + tune_ok())
    peer.out.clear()
    peer.refuse = NotAllowed("vhost nope not found")
    peer.feed(connection_open("nope"))
    assert peer.close_text() == (530, "NOT_ALLOWED - vhost nope not found", 10, 40)
