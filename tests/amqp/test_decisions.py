"""Answers that come late: the session waits, keeps the order, and remembers what it was told."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from pamqp import commands

from broker.amqp.access import Identity
from broker.amqp.decisions import REMEMBERED_S
from broker.amqp.session import Session
from broker.core.permissions import Question, ResourceAccess, VhostAccess
from protocol.errors import ConnectionForced, LoginRefused, PreconditionFailed
from tests.amqp.dialogue import TimedWorld, declare, heard, names, say, send, started
from tests.frames import (
    PROTOCOL_HEADER,
    channel_open,
    connection_open,
    message,
    method,
    publish,
    start_ok,
    tune_ok,
)
from tests.world import Client, World


class Outside:
    """Something slow that is asked; also the loop of its futures, which the world runs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[Any] = []
        self._pending: list[asyncio.Future[Any]] = []
        self.slow = True

    def ask(self, question: Any) -> Any:
        """An answer to come, unless this is quick at the moment."""
        self.asked.append(question)
        if not self.slow or isinstance(question, VhostAccess):
            return True
        future: asyncio.Future[Any] = asyncio.Future(loop=self)  # type: ignore[arg-type]
        self._pending.append(future)
        return future

    def answer(self, value: Any) -> None:
        """Answer what was asked first."""
        future = self._pending.pop(0)
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)

    def call_soon(self, callback: Any, *arguments: Any, context: Any = None) -> None:
        """See asyncio's loop."""
        self.world._due.append(partial(callback, *arguments))

    def get_debug(self) -> bool:
        """See asyncio's loop."""
        return False


class SlowWorld(TimedWorld):
    """Everybody's permissions, and logins if wanted, are decided outside."""

    asks_outside = False

    def __init__(self, *, slow_login: bool = False, fast_path: bool = True) -> None:
        self.slow_login = slow_login
        super().__init__(fast_path=fast_path)
        self.outside = Outside(self)

    def authenticate(self, session: Session, mechanism: str, response: bytes) -> Any:
        """See `Host`."""
        if self.slow_login:
            return self.outside.ask("login")
        return Identity("guest", self.outside.ask, asks_outside=self.asks_outside)


def waiting(wish: Any = None) -> tuple[SlowWorld, Client]:
    """A client with a channel and a queue, from here on everything has to be asked for outside."""
    world = SlowWorld()
    world.outside.slow = False
    client = started(world, declare())
    world.outside.slow = True
    world.outside.asked.clear()
    if wish is not None:
        assert say(world, client, method(1, wish)) == []
    return world, client


# -- logins ----------------------------------------------------------------------------


def test_a_login_may_take_its_time() -> None:
    """connection.tune comes when the answer is there; until then nothing more is read."""
    world = SlowWorld(slow_login=True)
    client = Client(world)
    world.clients.append(client)
    assert names(say(world, client, PROTOCOL_HEADER, start_ok())) == ["Connection.Start"]
    assert not client.transport.reading
    world.outside.answer(Identity("ann", lambda question: True))
    assert names(heard(world, client)) == ["Connection.Tune"]
    assert client.session.user == "ann"
    assert names(say(world, client, tune_ok(), connection_open())) == ["Connection.OpenOk"]
    assert world.outside.asked == ["login"]


def test_a_login_refused_late() -> None:
    """A refusal that comes late is answered like one that comes at once."""
    world = SlowWorld(slow_login=True)
    client = Client(world)
    world.clients.append(client)
    say(world, client, PROTOCOL_HEADER, start_ok({"authentication_failure_close": True}))
    world.outside.answer(LoginRefused("no", about_method=False))
    (close,) = heard(world, client)
    assert (close.name, close.command.reply_code) == ("Connection.Close", 403)


# -- permissions -----------------------------------------------------------------------


@pytest.mark.parametrize("fast_path", [True, False])
def test_what_follows_a_question_waits_with_it(fast_path: bool) -> None:
    """Methods and messages behind an undecided one keep their order, also in the same read."""
    world = SlowWorld(fast_path=fast_path)
    world.outside.slow = False
    client = started(world, declare(), declare("p"))
    world.outside.slow = True
    purge = method(1, declare("q", passive=True))
    assert say(world, client, send(b"1"), send(b"2"), purge, send(b"3", "p")) == []
    assert not client.transport.reading
    assert world.outside.asked[-1] == ResourceAccess("/", "exchange", "amq.default", "write")
    world.outside.answer(True)
    (ok,) = heard(world, client)
    assert (ok.name, ok.command.message_count) == ("Queue.DeclareOk", 2)
    assert client.transport.reading
    queues = world.broker.vhosts["/"].queues
    assert (len(queues["q"]), len(queues["p"])) == (2, 1)


def test_a_late_no_is_a_refusal() -> None:
    """The channel is closed as if the answer had been there; the connection goes on."""
    world, client = waiting(declare("p"))
    world.outside.answer(False)
    (close,) = heard(world, client)
    assert (close.name, close.command.reply_code) == ("Channel.Close", 403)
    assert (close.command.class_id, close.command.method_id) == (50, 10)
    assert "p" not in world.broker.vhosts["/"].queues
    assert client.transport.reading


def test_several_questions_of_one_method() -> None:
    """Each is asked once, in order, and what is known is not asked again."""
    world, client = waiting()
    for number in range(2):
        wish = {"x-dead-letter-exchange": "amq.direct"}
        assert say(world, client, method(1, declare(f"d{number}", arguments=wish))) == []
        for _ in range(3 - number):
            assert heard(world, client) == []
            world.outside.answer(True)
        assert names(heard(world, client)) == ["Queue.DeclareOk"]
    assert world.outside.asked == [
        ResourceAccess("/", "queue", "d0", "configure"),
        ResourceAccess("/", "queue", "d0", "read"),
        ResourceAccess("/", "exchange", "amq.direct", "write"),
        ResourceAccess("/", "queue", "d1", "configure"),
        ResourceAccess("/", "queue", "d1", "read"),
    ]


def test_a_server_named_queue_is_asked_about_once() -> None:
    """The name that was asked about is the name the queue gets."""
    world, client = waiting(declare(""))
    world.outside.answer(True)
    (ok,) = heard(world, client)
    assert [question.name for question in world.outside.asked] == [ok.command.queue]


@pytest.mark.parametrize("fast_path", [True, False])
def test_a_late_answer_holds_for_a_while(fast_path: bool) -> None:
    """It is remembered, routes of the fast path included, and then asked for anew."""
    world = SlowWorld(fast_path=fast_path)
    world.outside.slow = False
    client = started(world, declare())
    world.outside.slow = True
    say(world, client, send())
    world.outside.answer(True)
    say(world, client, send(), send())
    world.wait(REMEMBERED_S - 1)
    say(world, client, send())
    assert len(world.broker.vhosts["/"].queues["q"]) == 4
    world.wait(1)
    say(world, client, send())
    assert not client.transport.reading
    world.outside.answer(False)
    assert names(heard(world, client)) == ["Channel.Close"]
    assert len(world.broker.vhosts["/"].queues["q"]) == 4


@pytest.mark.parametrize("fast_path", [True, False])
def test_who_asks_outside_is_asked_again_for_good(fast_path: bool) -> None:
    """Also when answers come at once, from a cache: no route outlives the time they hold."""
    world = SlowWorld(fast_path=fast_path)
    world.outside.slow = False
    world.asks_outside = True
    client = started(world, declare())
    for _ in range(3):
        say(world, client, send())
        world.outside.asked.clear()
        say(world, client, send())
        assert bool(world.outside.asked) != fast_path
        world.wait(REMEMBERED_S)
        say(world, client, send())
        assert world.outside.asked


# -- the end comes first ---------------------------------------------------------------


def test_an_answer_for_a_connection_that_is_gone() -> None:
    """It has no effect: what was asked for is not done."""
    world, client = waiting(declare("p"))
    client.vanish()
    world.outside.answer(True)
    assert heard(world, client) == []
    assert "p" not in world.broker.vhosts["/"].queues


def test_an_answer_for_a_connection_that_we_close() -> None:
    """It has no effect, and the client's close-ok is read."""
    world, client = waiting(declare("p"))
    client.session.close_for(ConnectionForced("over"))
    assert names(heard(world, client)) == ["Connection.Close"]
    assert client.transport.reading
    world.outside.answer(True)
    assert heard(world, client) == []
    assert "p" not in world.broker.vhosts["/"].queues


def test_an_answer_for_a_channel_that_we_closed() -> None:
    """It has no effect; what came behind it on other channels has."""
    world, client = waiting()
    world.outside.slow = False
    say(world, client, channel_open(2))
    world.outside.slow = True
    say(world, client, method(1, declare("p")), method(2, declare("q", passive=True)))
    client.session.close_channel_for(1, PreconditionFailed("late", about_method=False))
    world.outside.answer(True)
    assert names(heard(world, client)) == ["Channel.Close", "Queue.DeclareOk"]
    assert "p" not in world.broker.vhosts["/"].queues


def test_a_question_is_asked_before_anything_changes() -> None:
    """A publish that waits is counted for confirms once."""
    world, client = waiting()
    world.outside.slow = False
    say(world, client, method(1, commands.Confirm.Select()))
    world.outside.slow = True
    say(world, client, publish(1, "amq.fanout", "k"), message(1))
    world.outside.answer(True)
    (ack,) = heard(world, client)
    assert (ack.name, ack.command.delivery_tag) == ("Basic.Ack", 1)
    question: Question = world.outside.asked[-1]
    assert question == ResourceAccess("/", "exchange", "amq.fanout", "write")
