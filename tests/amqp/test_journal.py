"""What the log says about connections: who, from where, and how it ended."""

import logging

import pytest
from pamqp import commands

from protocol.errors import ConnectionForced
from tests.amqp.dialogue import declare, say, started
from tests.frames import PROTOCOL_HEADER, method
from tests.world import Client, World

CLOSE = method(0, commands.Connection.Close(200, "bye", 0, 0))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> "Lines":
    """The log, read when it is asked for."""
    caplog.set_level(logging.INFO)
    return Lines(caplog)


class Lines:
    """What was logged about connections and channels: level and text."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def __call__(self) -> list[tuple[str, str, str]]:
        """Category, level and text of each line since the last call."""
        found = [
            (record.name.removeprefix("leveret."), record.levelname, record.getMessage())
            for record in self._caplog.records
            if record.name in ("leveret.connection", "leveret.channel")
        ]
        self._caplog.clear()
        return found


def test_coming_and_going(lines: Lines) -> None:
    """A connection is accepted, gets in and closes: each is a line with its ends and its user."""
    world = World()
    client = started(world)
    ends = client.session.name
    say(world, client, CLOSE)
    client.vanish()
    assert lines() == [
        ("connection", "INFO", f"accepting AMQP connection {ends}"),
        (
            "connection",
            "INFO",
            f"connection {ends}: user 'guest' authenticated and granted access to vhost '/'",
        ),
        ("connection", "INFO", f"closing AMQP connection {ends}, vhost: '/', user: 'guest'"),
    ]


def test_a_client_that_vanishes(lines: Lines) -> None:
    """A socket that closes without connection.close is worth a warning."""
    world = World()
    client = started(world)
    lines()
    client.vanish()
    ((category, level, text),) = lines()
    assert (category, level) == ("connection", "WARNING")
    assert text.endswith("user: 'guest': client unexpectedly closed TCP connection")


def test_a_connection_that_we_close(lines: Lines) -> None:
    """Closing from our side is no surprise."""
    world = World()
    client = started(world)
    lines()
    client.session.close_for(ConnectionForced("shutdown", about_method=False))
    client.vanish()
    ((_, level, text),) = lines()
    assert level == "INFO"
    assert text.startswith("closing AMQP connection ")


def test_channel_errors(lines: Lines) -> None:
    """What closes a channel is in the category channel, with the text the client got."""
    world = World()
    client = started(world)
    lines()
    say(world, client, method(1, declare("nowhere", passive=True)))
    assert lines() == [
        (
            "channel",
            "ERROR",
            f"Channel error on connection {client.session.name}, vhost: '/', user: 'guest', "
            "channel 1: NOT_FOUND - no queue 'nowhere' in vhost '/'",
        )
    ]


def test_connection_errors(lines: Lines) -> None:
    """What closes a connection is an error of the connection; then it closes."""
    world = World()
    client = started(world)
    lines()
    say(world, client, method(1, commands.Exchange.Declare(exchange="x", exchange_type="odd")))
    (error, closing) = lines()
    assert error[:2] == ("connection", "ERROR")
    assert error[2].startswith("Error on AMQP connection ")
    assert error[2].endswith("channel 1: COMMAND_INVALID - unknown exchange type 'odd'")
    assert closing[:2] == ("connection", "INFO")


def test_a_stranger(lines: Lines) -> None:
    """Who does not speak AMQP is dropped with what it said; who says nothing is no warning."""
    world = World()
    client = Client(world)
    client.feed(b"GET / HTTP/1.1\r\n\r\n")
    accepted, dropped = lines()
    assert accepted[1] == "INFO"
    assert dropped[:2] == ("connection", "ERROR")
    assert "is not AMQP 0-9-1" in dropped[2]
    probe = Client(world)
    lines()
    probe.feed(PROTOCOL_HEADER)
    probe.vanish()
    assert lines() == []
