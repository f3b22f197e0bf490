"""A session: output in one place, and one release however the connection ends."""

from typing import Any

import pytest
from pamqp import commands

from broker.amqp import output
from broker.amqp import session as session_module
from broker.core.queue import Queue
from protocol.errors import ConnectionForced
from tests.amqp.dialogue import (
    SlowDisk,
    TimedWorld,
    bodies,
    consume,
    declare,
    heard,
    names,
    say,
    send,
    started,
    stored,
)
from tests.frames import ack, channel_open, method, raw_frame
from tests.world import Client, World

CLOSE = method(0, commands.Connection.Close(200, "bye", 0, 0))
CLOSE_OK = method(0, commands.Connection.CloseOk())


def queue_of(world: World, name: str = "q") -> Queue:
    """A queue."""
    return world.broker.vhosts["/"].queues[name]


# -- a peer that does not read ---------------------------------------------------------


def asking_much(monkeypatch: pytest.MonkeyPatch) -> tuple[World, Client, bytes]:
    """A client before five messages; what it may ask in one read, more than may wait at once."""
    monkeypatch.setattr(output, "TICK_BYTES_MAX", 1000)
    monkeypatch.setattr(output, "BACKLOG_BYTES_MAX", 2000)
    world = World()
    client = started(world, declare())
    say(world, client, *(send(b"m" * 1000) for _ in range(5)))
    get = method(1, commands.Basic.Get(queue="q", no_ack=True))
    return world, client, get * 4 + send(b"last")


def test_a_peer_that_does_not_read_is_not_acted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many answers wait to be read, what was asked after them waits too."""
    world, client, questions = asking_much(monkeypatch)
    client.session.pause_writing()
    assert names(say(world, client, questions)) == ["Basic.GetOk"] * 2
    assert not client.transport.reading
    client.feed(send(b"behind"))
    assert len(queue_of(world)) == 3
    client.session.resume_writing()
    assert names(say(world, client)) == ["Basic.GetOk"] * 2
    assert client.transport.reading
    assert [m.size for m in queue_of(world).stored()] == [1000, 4, 6]


def test_all_is_acted_on_as_fast_as_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that reads its answers gets all of them, bounded amounts in a tick."""
    world, client, questions = asking_much(monkeypatch)
    assert names(say(world, client, questions)) == ["Basic.GetOk"] * 4
    assert client.transport.reading
    assert [m.size for m in queue_of(world).stored()] == [1000, 4]


def test_nothing_is_acted_on_after_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a lost connection had asked for, but was not acted on yet, never is."""
    world, client, questions = asking_much(monkeypatch)
    client.feed(questions)
    client.vanish()
    world.run()
    assert len(queue_of(world)) == 3
    assert "internal error" not in caplog.text


def test_an_unread_answer_stops_deliveries(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tick delivers to a consumer a bounded amount; the rest follows when it was written."""
    monkeypatch.setattr(output, "TICK_BYTES_MAX", 1000)
    world = World()
    client = started(world, declare(), consume())
    client.session.pause_writing()
    say(world, started(world), *(send(b"m" * 600) for _ in range(10)))
    assert heard(world, client) == []
    client.session.resume_writing()
    assert len(bodies(heard(world, client))) == 10


# -- output waits for the disk ---------------------------------------------------------


def test_answers_about_durable_things_wait_for_the_disk() -> None:
    """declare-ok of a durable queue leaves when a crash could not take it back."""
    world = World()
    client = started(world)
    disk = SlowDisk(world)
    assert say(world, client, method(1, declare("durable", durable=True))) == []
    disk.finish_all()
    assert names(heard(world, client)) == ["Queue.DeclareOk"]
    world.restart()
    assert "durable" in world.broker.vhosts["/"].queues


def test_answers_about_transient_things_do_not_wait() -> None:
    """declare-ok of a transient queue does not wait for what others write."""
    world = World()
    client, other = started(world), started(world, declare(durable=True))
    disk = SlowDisk(world)
    say(world, other, stored())
    assert names(say(world, client, method(1, declare("transient")))) == ["Queue.DeclareOk"]
    disk.finish_all()


def test_the_order_of_answers_holds() -> None:
    """What is said behind an answer that waits for the disk waits as well."""
    world = World()
    client = started(world)
    disk = SlowDisk(world)
    say(world, client, method(1, declare("d", durable=True)))
    assert say(world, client, channel_open(2)) == []
    disk.finish_all()
    assert names(heard(world, client)) == ["Queue.DeclareOk", "Channel.OpenOk"]


# -- endings ---------------------------------------------------------------------------


def asks_to_close(client: Client) -> None:
    client.feed(CLOSE)


def breaks_a_rule(client: Client) -> None:
    client.feed(raw_frame(1, 1, b"\x00\x3c\x00\x0a", end=0))


def is_forced_out(client: Client) -> None:
    client.session.close_for(ConnectionForced("shutdown"))


def sends_what_cannot_be_framed(client: Client) -> None:
    client.feed(b"\x01\x00\x01\xff\xff\xff\xff")


ENDS = [asks_to_close, breaks_a_rule, is_forced_out, sends_what_cannot_be_framed, Client.vanish]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("vanishes_too", [False, True])
def test_everything_is_given_back_once(end: Any, vanishes_too: bool) -> None:
    """However a connection ends: deliveries return once, exclusive queues and consumers go."""
    world = World()
    mine, auto = declare("mine", exclusive=True), declare("auto", auto_delete=True)
    wishes = [declare(durable=True), mine, auto, consume(), consume("auto", "a")]
    client = started(world, *wishes)
    say(world, client, *[stored()] * 3, send(key="mine"))
    say(world, client, ack(1, 1))
    assert world.broker.vhosts["/"].connections == 1
    end(client)
    world.run()
    if vanishes_too and end is not Client.vanish:
        client.vanish()
        world.run()
    vhost = world.broker.vhosts["/"]
    assert list(vhost.queues) == ["q"]
    queue = vhost.queues["q"]
    assert (len(queue), queue.unacked, queue.consumers) == (2, 0, [])
    assert vhost.connections == 0
    assert client.session.channels == {}


def test_the_exclusive_queues_of_others_stay() -> None:
    """A connection takes only its own exclusive queues along."""
    world = World()
    first = started(world, declare("first", exclusive=True))
    second = started(world, declare("second", exclusive=True))
    (locked,) = say(world, second, method(1, commands.Queue.Purge(queue="first")))
    assert locked.command.reply_code == 405
    first.vanish()
    assert list(world.broker.vhosts["/"].queues) == ["second"]


def test_what_was_acked_before_the_end_stays_acked() -> None:
    """An ack in the same read as connection.close counts."""
    world = World()
    client = started(world, declare(durable=True), consume())
    say(world, client, stored(), stored())
    say(world, client, ack(1, 1), CLOSE)
    assert len(queue_of(world)) == 1


def test_what_was_published_before_the_end_stays() -> None:
    """Messages that reached the broker before the socket was lost are stored."""
    world = World()
    client = started(world, declare(durable=True))
    client.feed(stored(b"0") + stored(b"1"))
    client.vanish()
    world.run()
    world.restart()
    assert len(queue_of(world)) == 2


def test_nothing_is_read_after_close() -> None:
    """What follows connection.close is ignored, and close-ok is the last word."""
    world = World()
    client = started(world, declare())
    assert names(say(world, client, CLOSE, send(), method(1, declare("p")))) == [
        "Connection.CloseOk"
    ]
    assert say(world, client, channel_open(2)) == []
    assert list(world.broker.vhosts["/"].queues) == ["q"]


def test_a_close_that_is_confirmed_ends_the_socket() -> None:
    """After close-ok of our close the socket goes at once; without one, after a while."""
    for confirmed in (True, False):
        world = TimedWorld()
        client = started(world)
        client.session.close_for(ConnectionForced("shutdown"))
        assert names(heard(world, client)) == ["Connection.Close"]
        client.feed(CLOSE_OK if confirmed else channel_open(2))
        world.wait(0.1)
        assert client.transport.closed == confirmed
        world.wait(session_module.LINGER_S)
        assert client.transport.closed


def test_close_ok_is_read_although_publishing_was_held_back() -> None:
    """A connection that is closed while its publishing is held back can confirm that."""
    world = TimedWorld()
    client = started(world, declare())
    say(world, client, send())
    client.session.hold_back()
    client.session.close_for(ConnectionForced("shutdown"))
    client.feed(send() + CLOSE_OK)
    world.wait(0.1)
    assert client.transport.closed
    assert len(queue_of(world)) == 1


# -- errors ----------------------------------------------------------------------------


def test_an_error_of_a_channel_leaves_the_others() -> None:
    """A channel the broker closes discards what follows on it; other channels go on."""
    world = World()
    client = started(world, declare(), channels=2)
    missing = method(1, declare("missing", passive=True))
    found = say(world, client, missing, send(b"lost"), send(b"kept", channel=2))
    assert [(a.channel, a.name) for a in found] == [(1, "Channel.Close")]
    assert [message.size for message in queue_of(world).stored()] == [4]
    reopened = say(world, client, method(1, commands.Channel.CloseOk()), channel_open(1), send())
    assert names(reopened) == ["Channel.OpenOk"]
    assert len(queue_of(world)) == 2


def test_a_fault_of_the_broker_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is answered by 541, and everything else lives on."""
    world = World()
    client, other = started(world, declare(durable=True), consume()), started(world)
    say(world, other, stored())

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(session_module.methods, "handle", fail)
    *_, close = say(world, client, method(1, declare("p")))
    assert (close.name, close.command.reply_code) == ("Connection.Close", 541)
    monkeypatch.undo()
    assert (len(queue_of(world)), queue_of(world).unacked) == (1, 0)
    assert names(say(world, other, method(1, declare("p")))) == ["Queue.DeclareOk"]


def test_a_large_read_waits_for_a_tick() -> None:
    """After a large read the socket is not read again before the tick has run."""
    world = World()
    client = started(world, declare())
    client.feed(send(b"m" * session_module.LARGE_READ_BYTES, delivery_mode=1))
    assert not client.transport.reading
    world.run()
    assert client.transport.reading
    client.feed(send())
    assert client.transport.reading
