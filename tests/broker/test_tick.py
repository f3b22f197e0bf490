"""The tick: its order, whom it waits for, and when it comes at all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from broker.core.broker import Broker
from broker.pager import Pager
from broker.tick import LOOK_AGAIN_S, TIMER_MAX_S, Tick
from tests.amqp.dialogue import (
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
from tests.core.doubles import fill, make_queue, subscribe
from tests.frames import ack, method


@dataclass
class Disk:
    """A log whose disk work ends when told to."""

    did: list[str]
    gathering: int = 5
    durable: int = 4
    pending: bool = False
    in_flight: int = 0

    def commit(self) -> None:
        """Seal what has gathered."""
        self.did.append("commit")
        if self.pending and not self.in_flight:
            self.in_flight, self.gathering = self.gathering, self.gathering + 1

    def written(self) -> None:
        """The write is done."""
        self.durable, self.in_flight, self.pending = self.in_flight, 0, False


@dataclass(eq=False)
class Party:
    """Whoever stands in a work list; notes what it is asked to do."""

    did: list[str]
    hold_until: int = 0
    marks: list[int] = field(default_factory=list)

    def settle(self) -> None:
        """See `host.Settles`."""
        self.did.append("settle")

    def mark(self, batch: int) -> None:
        """See `host.Confirming`."""
        self.did.append("mark")
        self.marks.append(batch)

    def confirm(self, durable: int) -> bool:
        """See `host.Confirming`."""
        if not self.marks or self.marks[-1] > durable:
            return False
        self.did.append("confirm")
        return True

    def flush(self) -> None:
        """See `host.Writes`."""
        self.did.append("write")

    def unthrottle(self) -> bool:
        """See `host.Reads`."""
        self.did.append("read on")
        return True


class Loop:
    """A tick with the event loop around it."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.due: list[Callable[[], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.log = Disk(self.did)
        self.broker = Broker()
        self.queue = make_queue(self.broker.declare_vhost("/"))
        pager = Pager(self.broker, 1 << 30)
        self.tick = Tick(self.broker, self.log, self.due.append, self._call_later, pager)
        self.broker.wake = self.tick.wake
        self.now_ms = 1_000_000
        self.tick.read_clock = self._read_clock  # type: ignore[method-assign]

    def _read_clock(self) -> None:
        self.broker.now_ms = self.now_ms

    def _call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.timers.append((delay_s, callback))

    def run(self) -> list[str]:
        """Run what is due until nothing is; what was done."""
        while self.due:
            self.due.pop(0)()
        did = list(self.did)
        self.did.clear()
        return did


def test_the_order() -> None:
    """Acks settle before deliveries, then timers, writes, commit and confirms."""
    loop = Loop()
    party = Party(loop.did)
    consumer: Any = subscribe(loop.queue)
    deliver = consumer.deliver
    consumer.deliver = lambda *a: (loop.did.append("deliver"), deliver(*a))
    fill(loop.queue, 1)
    loop.broker.timers.at(0, lambda: loop.did.append("timer"))
    for work in (loop.tick.settling, loop.tick.confirming, loop.tick.writers):
        work.append(party)  # type: ignore[attr-defined]
    loop.tick.turns.waiting.append(party)
    loop.log.durable = 5
    loop.tick.wake()
    assert loop.run() == [
        "settle",
        "deliver",
        "timer",
        "write",
        "mark",
        "commit",
        "confirm",
        "read on",
    ]
    loop.tick.wake()
    assert loop.run() == ["commit"], "each was asked once"


def test_woken_often_runs_once() -> None:
    """However many ask for it, one tick comes; an idle broker has none."""
    loop = Loop()
    loop.run()
    for _ in range(5):
        loop.tick.wake()
    assert loop.run() == ["commit"]
    assert loop.run() == []
    loop.tick.wake()
    assert loop.run() == ["commit"]


def test_confirms_wait_for_their_batch() -> None:
    """Who owes confirms is marked with the batch being sealed, and asked until it is durable."""
    loop = Loop()
    party = Party(loop.did)
    loop.log.pending = True
    loop.tick.confirming.append(party)
    loop.tick.wake()
    assert loop.run() == ["mark", "commit"]
    assert party.marks == [5]
    loop.tick.wake()
    assert "confirm" not in loop.run()
    loop.log.written()
    loop.tick.wake()
    assert loop.run() == ["commit", "confirm"]
    loop.tick.wake()
    assert loop.run() == ["commit"]


def test_held_output_waits_for_its_batch() -> None:
    """Held output is written when the batch is durable, once; that of others at once."""
    loop = Loop()
    held, other = Party(loop.did, hold_until=5), Party(loop.did)
    loop.log.pending = True
    loop.tick.writers += [held, other]
    loop.tick.wake()
    assert loop.run().count("write") == 1
    loop.tick.wake()
    assert "write" not in loop.run()
    loop.log.written()
    loop.tick.wake()
    assert loop.run() == ["write", "commit"]
    loop.tick.wake()
    assert loop.run() == ["commit"]


def test_a_batch_that_nothing_went_into_is_not_waited_for() -> None:
    """If nothing is gathered or in flight, held output leaves."""
    loop = Loop()
    loop.tick.writers.append(Party(loop.did, hold_until=loop.log.gathering))
    loop.tick.wake()
    assert loop.run() == ["write", "commit"]


def test_after_the_end_nothing_leaves() -> None:
    """A log that failed ends delivery, confirms and writes for good."""
    loop = Loop()
    party = Party(loop.did)
    loop.tick.writers.append(party)
    loop.tick.confirming.append(party)
    loop.tick.settling.append(party)
    loop.tick.end()
    loop.tick.wake()
    assert loop.run() == []


def test_timers_get_their_tick() -> None:
    """With nothing else going on a tick comes when a timer is due."""
    loop = Loop()
    loop.run()
    loop.broker.timers.at(loop.now_ms + 1500, lambda: loop.did.append("rang"))
    assert loop.run() == ["commit"]
    ((delay_s, callback),) = loop.timers
    assert delay_s == 1.5
    loop.now_ms += 1500
    callback()
    assert "rang" in loop.run()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_every_timer_rings_in_time(delays_s: list[int]) -> None:
    """Whatever timers are added in whatever order, each rings when it is due, not before."""
    world = TimedWorld()
    world.tick.wake()
    world.run()
    rang: list[tuple[int, int]] = []
    world._read_clock()
    start_ms = world.broker.now_ms
    for delay_s in delays_s:
        due_ms = start_ms + delay_s * 1000
        world.broker.timers.at(due_ms, lambda d=due_ms: rang.append((d, world.broker.now_ms)))
        world.run()
    world.wait(60)
    assert sorted(due_ms for due_ms, _ in rang) == sorted(start_ms + d * 1000 for d in delays_s)
    assert all(due_ms == at_ms for due_ms, at_ms in rang)


def test_far_timers_are_asked_for_in_steps() -> None:
    """A timer in years does not exceed what an event loop can wait for."""
    loop = Loop()
    loop.run()
    loop.broker.timers.at(loop.now_ms + 10**13, lambda: loop.did.append("rang"))
    loop.run()
    for _ in range(3):
        ((delay_s, callback),) = loop.timers
        assert delay_s == TIMER_MAX_S
        loop.timers.clear()
        loop.now_ms += int(TIMER_MAX_S * 1000)
        callback()
        assert loop.run() == ["commit"]


def test_while_readers_are_held_back_it_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as somebody is held back a timer brings the next tick; one timer at a time."""
    loop = Loop()
    judged: list[bool] = [True, True, False]
    monkeypatch.setattr(loop.tick.pressure, "judge", lambda *_: judged.pop(0))
    for _ in range(2):
        loop.broker.backlogged.append(loop.queue)
        loop.tick.wake()
        loop.run()
    ((delay_s, callback),) = loop.timers
    assert delay_s == LOOK_AGAIN_S
    loop.timers.clear()
    loop.broker.backlogged.append(loop.queue)
    callback()
    assert loop.run() == ["commit"]
    assert loop.timers == []


def test_credit_of_acks_serves_the_same_tick() -> None:
    """A message that an ack makes room for is delivered in the tick that settles the ack."""
    world = TimedWorld()
    qos = method(1, commands.Basic.Qos(0, 1, False))
    client = started(world, declare())
    say(world, client, qos, method(1, consume()), send(b"0"), send(b"1"))
    client.feed(ack(1, 1))
    world._due.popleft()()
    assert client.transport.written
    assert bodies(heard(world, client)) == [b"1"]


def test_published_and_delivered_in_one_tick() -> None:
    """What one client publishes reaches another in the next tick, and both are written once."""
    world = TimedWorld()
    publisher = started(world, declare(durable=True), commands.Confirm.Select())
    consumer = started(world, consume())
    before = publisher.session.output.writes, consumer.session.output.writes
    publisher.feed(stored(b"0") + stored(b"1") + stored(b"2"))
    assert len(world._due) == 1
    world.run()
    assert names(heard(world, publisher)) == ["Basic.Ack"]
    assert bodies(heard(world, consumer)) == [b"0", b"1", b"2"]
    assert (publisher.session.output.writes, consumer.session.output.writes) == (
        before[0] + 1,
        before[1] + 1,
    )


def test_messages_expire_on_an_idle_broker() -> None:
    """Without any traffic a message is gone when its time has passed."""
    world = TimedWorld()
    client = started(world, declare(arguments={"x-message-ttl": 5000}))
    say(world, client, send())
    queue = world.broker.vhosts["/"].queues["q"]
    world.wait(4.9)
    assert len(queue) == 1
    world.wait(0.2)
    assert len(queue) == 0
