"""Resource alarms: publishers are told and not read, others notice nothing."""

from typing import Any

import pytest
from pamqp import commands

from protocol.errors import ConnectionForced
from tests.amqp.dialogue import TimedWorld, bodies, consume, declare, heard, names, say, send
from tests.frames import PROTOCOL_HEADER, channel_open, connection_open, method, start_ok, tune_ok
from tests.world import Client, World


class Raised:
    """An alarm."""

    reasons = ("low on memory",)
    text = "low on memory"


def client_that(world: World, *, understands: bool) -> Client:
    """A client with or without the capability connection.blocked, and channel 1."""
    client = Client(world)
    world.clients.append(client)
    client.feed(PROTOCOL_HEADER)
    client.feed(start_ok({"connection.blocked": understands}))
    client.feed(tune_ok(heartbeat=10) + connection_open())
    say(world, client, channel_open(1), method(1, declare()))
    return client


def set_alarm(world: Any, raised: bool) -> None:
    """Raise or clear an alarm, as `broker.alarms` does."""
    calm = type(world.alarms) if not hasattr(world, "calm") else type(world.calm)
    world.calm = calm()
    world.alarms = Raised() if raised else world.calm
    for session in world.sessions:
        if raised:
            session.blocking.alarm_raised()
        else:
            session.blocking.alarm_cleared()


@pytest.mark.parametrize("fast_path", [True, False])
def test_told_once_with_the_first_publish(fast_path: bool) -> None:
    """The first publish in an alarm is stored, answered by connection.blocked, the last read."""
    world = World(fast_path=fast_path)
    client = client_that(world, understands=True)
    say(world, client, send(), send())
    set_alarm(world, True)
    assert heard(world, client) == []
    (blocked,) = say(world, client, send(), send())
    assert (blocked.name, blocked.channel) == ("Connection.Blocked", 0)
    assert blocked.command.reason == "low on memory"
    assert say(world, client, send()) == []
    assert len(world.broker.vhosts["/"].queues["q"]) == 4


def test_unblocked_when_the_alarm_is_over() -> None:
    """A blocked client is told that it is over, and what it sent meanwhile is acted on."""
    world = World()
    client = client_that(world, understands=True)
    set_alarm(world, True)
    say(world, client, send(b"0"))
    say(world, client, send(b"1"))
    set_alarm(world, False)
    (unblocked,) = heard(world, client)
    assert (unblocked.name, unblocked.channel) == ("Connection.Unblocked", 0)
    assert len(world.broker.vhosts["/"].queues["q"]) == 2
    assert say(world, client, send(b"2")) == []
    assert len(world.broker.vhosts["/"].queues["q"]) == 3


def test_each_alarm_is_told_anew() -> None:
    """Alarm after alarm, a publisher is told once each."""
    world = World()
    client = client_that(world, understands=True)
    for _ in range(3):
        set_alarm(world, True)
        assert names(say(world, client, send())) == ["Connection.Blocked"]
        set_alarm(world, False)
        assert names(heard(world, client)) == ["Connection.Unblocked"]


def test_consumers_notice_nothing() -> None:
    """A connection that only consumes is served through the alarm, and never told."""
    world = World()
    client = client_that(world, understands=True)
    say(world, client, send(b"0"))
    set_alarm(world, True)
    found = say(world, client, method(1, consume()))
    assert names(found) == ["Basic.ConsumeOk", "Basic.Deliver"]
    assert bodies(found) == [b"0"]
    set_alarm(world, False)
    assert heard(world, client) == []


def test_blocked_without_a_word() -> None:
    """A client that does not understand connection.blocked is not read, but not told either."""
    world = World()
    client = client_that(world, understands=False)
    set_alarm(world, True)
    assert say(world, client, send(), send()) == []
    say(world, client, send())
    assert len(world.broker.vhosts["/"].queues["q"]) == 2
    set_alarm(world, False)
    assert say(world, client) == []
    assert len(world.broker.vhosts["/"].queues["q"]) == 3


def test_who_connects_during_an_alarm_is_blocked_too() -> None:
    """A connection that is opened during an alarm is told with its first publish."""
    world = World()
    set_alarm(world, True)
    client = client_that(world, understands=True)
    assert names(say(world, client, send())) == ["Connection.Blocked"]


def test_a_blocked_client_is_not_given_up() -> None:
    """However long an alarm lasts, silence of a client that is not read is no death."""
    world = TimedWorld()
    client = client_that(world, understands=True)
    set_alarm(world, True)
    say(world, client, send())
    world.wait(1000)
    assert not client.transport.closed
    set_alarm(world, False)
    client.feed(method(1, commands.Channel.Close(0, "", 0, 0)))
    assert "Channel.CloseOk" in names(heard(world, client))


def test_a_blocked_client_can_confirm_our_close() -> None:
    """A connection the broker closes is read again, so that its close-ok ends it."""
    world = TimedWorld()
    client = client_that(world, understands=True)
    set_alarm(world, True)
    say(world, client, send())
    client.session.close_for(ConnectionForced("shutdown"))
    assert names(heard(world, client)) == ["Connection.Close"]
    client.feed(method(0, commands.Connection.CloseOk()))
    world.wait(1)
    assert client.transport.closed
