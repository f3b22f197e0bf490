"""Heartbeats: the broker is never silent for long, and gives up a peer that is."""

from tests.amqp.dialogue import TimedWorld, heard, say, started
from tests.frames import (
    PROTOCOL_HEADER,
    channel_open,
    connection_open,
    raw_frame,
    split,
    start_ok,
    tune_ok,
)
from tests.world import Client

HEARTBEAT = raw_frame(8, 0, b"")


def beating(world: TimedWorld, interval_s: int) -> Client:
    """A client that negotiated heartbeats."""
    client = Client(world)
    world.clients.append(client)
    client.feed(PROTOCOL_HEADER)
    client.feed(start_ok())
    client.feed(tune_ok(heartbeat=interval_s) + connection_open() + channel_open(1))
    heard(world, client)
    return client


def test_an_idle_broker_beats_each_half_interval() -> None:
    """With nothing to say a heartbeat leaves every half interval, and nothing else."""
    world = TimedWorld()
    client = beating(world, 10)
    world.wait(5)
    client.said()
    for _ in range(4):
        client.feed(HEARTBEAT)
        world.wait(5)
        assert client.said() == HEARTBEAT


def test_what_is_said_anyway_is_heartbeat_enough() -> None:
    """A broker that wrote something in the last half interval sends no heartbeat."""
    world = TimedWorld()
    client = beating(world, 10)
    world.wait(5)
    client.said()
    for number in range(2, 6):
        assert len(say(world, client, channel_open(number))) == 1
        world.wait(5)
        assert all(kind == 1 for kind, _, _ in split(client.said()))


def test_a_silent_peer_is_given_up_after_three_intervals() -> None:
    """Without an octet for three intervals the socket goes; not before."""
    world = TimedWorld()
    client = beating(world, 10)
    world.wait(29)
    assert not client.transport.closed
    world.wait(6)
    assert client.transport.closed


def test_any_octet_keeps_a_peer_alive() -> None:
    """Half a frame is a sign of life as a heartbeat is."""
    world = TimedWorld()
    client = beating(world, 10)
    for octet in channel_open(2)[:9] * 2:
        world.wait(20)
        client.feed(bytes((octet,)))
        if client.session._gone:
            break
    assert client.session.reads > 9


def test_a_peer_that_is_not_read_is_not_silent() -> None:
    """While the broker holds a socket back, its silence does not count against it."""
    world = TimedWorld()
    client = beating(world, 10)
    client.session.hold_back()
    world.wait(300)
    assert not client.transport.closed
    client.session.read_on()
    world.wait(35)
    assert client.transport.closed


def test_a_peer_that_does_not_read_is_silent() -> None:
    """A socket that is not read because its peer takes no answers may still die."""
    world = TimedWorld()
    client = beating(world, 10)
    client.session.reading.pause(1)
    world.wait(40)
    assert client.transport.closed


def test_no_heartbeats_without_an_interval() -> None:
    """A peer that negotiated 0 is left in peace for ever."""
    world = TimedWorld()
    client = beating(world, 0)
    world.wait(100_000)
    assert not client.transport.closed
    assert client.said() == b""


def test_no_beat_after_the_end() -> None:
    """The timer of a lost connection rings no more."""
    world = TimedWorld()
    client = beating(world, 10)
    client.vanish()
    world.wait(100)
    assert client.said() == b""


def test_no_login_in_time() -> None:
    """Whoever does not open a connection within the time for it loses the socket."""
    world = TimedWorld()
    slow, quick = Client(world), started(world)
    world.clients.append(slow)
    slow.feed(PROTOCOL_HEADER)
    slow.feed(start_ok())
    world.wait(world.handshake_timeout_s - 1)
    assert not slow.transport.closed
    world.wait(2)
    assert slow.transport.closed
    assert not quick.transport.closed
