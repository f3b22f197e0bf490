"""What messages take of memory stays within a budget, and looking after that costs little."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import pager
from broker.core import paging
from broker.core.broker import Broker
from broker.core.paging import MESSAGE_BYTES
from broker.core.queue import Queue
from broker.pager import (
    FULL_DISK_PAUSE_S,
    IDLE_INTERVAL_S,
    LOOK_INTERVAL_S,
    LOOK_SHARE,
    WORK_MAX_S,
    Pager,
)
from protocol.content import body_of
from tests.amqp.dialogue import declare, say, send, started, stored
from tests.broker.histories import History
from tests.broker.test_restore import carry_out
from tests.broker.test_restore import steps as history_steps
from tests.core.doubles import fill, make_queue, make_vhost
from tests.core.keeping import KeepingScratch
from tests.pages import tiny_pages
from tests.world import World

BUDGET_BYTES = 100 * (MESSAGE_BYTES + 1)


class Scene:
    """A pager of some queues that are not durable, and a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, queues: int = 3) -> None:
        monkeypatch.setattr(paging, "PAGE_MESSAGES_MAX", 5)
        monkeypatch.setattr(paging, "PAGE_MESSAGES_MIN", 1)
        monkeypatch.setattr(pager, "KEEP_BYTES_MIN", 1)
        self.vhost = make_vhost()
        self.broker: Broker = self.vhost.broker
        self.broker.scratch = self.scratch = KeepingScratch()
        self.queues: list[Queue] = [make_queue(self.vhost, str(n)) for n in range(queues)]
        self.now_s = 1000.0
        self.takes_s = 0.0  # each look at the clock
        self.looks = 0
        self.pager = Pager(self.broker, BUDGET_BYTES, clock=self._clock)
        original = self.pager._look

        def look() -> None:
            self.looks += 1
            original()

        monkeypatch.setattr(self.pager, "_look", look)

    def _clock(self) -> float:
        self.now_s += self.takes_s
        return self.now_s

    def check(self, after_s: float = 10.0) -> None:
        """Have the pager look, some time later."""
        self.now_s += after_s
        self.pager.check()

    @property
    def resident_bytes(self) -> int:
        """What is in memory."""
        total = 0
        for queue in self.vhost.keepers():
            for part in queue.backlog.parts():
                count, size_bytes = part.resident
                total += count * MESSAGE_BYTES + size_bytes
        return total


def test_the_budget_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much comes to which queue: after a look no more is in memory than the budget."""
    scene = Scene(monkeypatch)
    for number in range(60):
        fill(scene.queues[number % 3], 10 * (1 + number % 7))
        scene.check()
        assert scene.resident_bytes <= BUDGET_BYTES
    total = sum(map(len, scene.queues))
    resident = sum(len(list(queue.backlog)) for queue in scene.queues)
    paged = sum(len(frame) for frame in scene.scratch.frames.values())
    assert scene.pager.paged_out == paged == total - resident


def test_within_the_budget_nothing_is_paged_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits stays in memory."""
    scene = Scene(monkeypatch)
    fill(scene.queues[0], 100)
    scene.check()
    assert scene.pager.paged_out == 0
    assert scene.pager.resident_bytes == BUDGET_BYTES


def test_the_longest_queue_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short queues stay in memory as long as a long one suffices."""
    scene = Scene(monkeypatch)
    for queue, count in zip(scene.queues, (10, 150, 20), strict=True):
        fill(queue, count)
    scene.check()
    assert [bool(queue.backlog.resident[0] - len(queue)) for queue in scene.queues] == [
        False,
        True,
        False,
    ]


def test_looking_takes_a_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a look that took long the next one waits that much longer."""
    scene = Scene(monkeypatch)
    scene.takes_s = 0.1
    fill(scene.queues[0], 10)
    scene.check()
    assert scene.looks == 1
    fill(scene.queues[0], 1)
    scene.check(0.9 * LOOK_SHARE * 0.1)
    assert scene.looks == 1
    scene.check(0.2 * LOOK_SHARE * 0.1)
    assert scene.looks == 2


def test_many_queues_are_looked_at_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at very many queues is cut in pieces; at the end of them the budget is kept."""
    monkeypatch.setattr(pager, "LOOK_QUEUES_MAX", 2)
    scene = Scene(monkeypatch, queues=5)
    for queue in scene.queues:
        fill(queue, 60)
    for paged_out in (False, False, True):
        assert scene.pager.paged_out == 0
        scene.check(LOOK_INTERVAL_S)
        assert bool(scene.pager.paged_out) == paged_out
    assert scene.resident_bytes <= BUDGET_BYTES


def test_a_queue_may_go_while_others_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written for a queue that was deleted between the steps of a look."""
    monkeypatch.setattr(pager, "LOOK_QUEUES_MAX", 2)
    scene = Scene(monkeypatch)
    for queue in scene.queues:
        fill(queue, 200)
    scene.check()
    for queue in scene.queues[1:]:
        scene.vhost.delete_queue(queue.name)
    scene.check()
    assert scene.pager.resident_bytes == 200 * (MESSAGE_BYTES + 1)
    assert scene.resident_bytes <= BUDGET_BYTES


def test_when_nothing_comes_it_looks_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues do not grow without a new message, but for what is read back."""
    scene = Scene(monkeypatch)
    fill(scene.queues[0], 10)
    scene.check()
    scene.check(IDLE_INTERVAL_S / 2)
    assert scene.looks == 1
    fill(scene.queues[0], 1)
    scene.check(IDLE_INTERVAL_S / 10)
    assert scene.looks == 2
    scene.check(IDLE_INTERVAL_S * 2)
    assert scene.looks == 3


def test_it_goes_on_where_time_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A little at a time, so that others get their turn, until all is done."""
    scene = Scene(monkeypatch)
    fill(scene.queues[0], 400)
    scene.takes_s = WORK_MAX_S / 4
    scene.check()
    assert 0 < scene.pager.paged_out <= 20
    turns = 0
    while scene.resident_bytes > BUDGET_BYTES:
        turns += 1
        scene.check(IDLE_INTERVAL_S / 2)
        assert scene.pager.paged_out > turns


def test_a_full_disk_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be written stays in memory, which is said once each time it was tried."""
    scene = Scene(monkeypatch)
    scene.scratch.full = True
    fill(scene.queues[0], 300)
    scene.check()
    fill(scene.queues[0], 1)
    scene.check(FULL_DISK_PAUSE_S / 2)
    assert len(caplog.records) == 1
    assert "no space left; next try in 10 s" in caplog.text
    assert len(list(scene.queues[0].backlog)) == 301
    scene.scratch.full = False
    scene.check(FULL_DISK_PAUSE_S)
    assert scene.resident_bytes <= BUDGET_BYTES
    assert len(scene.queues[0]) == 301


def test_a_full_disk_keeps_nothing_durable_in_memory() -> None:
    """What is in the log leaves memory, though a longer queue of transient messages cannot."""
    with tiny_pages():
        world = World()
        world.broker.scratch = scratch = KeepingScratch()
        scratch.full = True
        client = started(world, declare("t"), declare("q", durable=True))
        say(world, client, *(send(b"m", "t") for _ in range(9)), *(stored() for _ in range(5)))
        world.pager.budget_bytes = 0
        say(world, client, stored())
        queues = world.broker.vhosts["/"].queues
        assert [len(list(queues[name].backlog)) for name in ("t", "q")] == [9, 1]


@settings(max_examples=100)
@given(st.lists(history_steps, min_size=5, max_size=50))
def test_any_paged_history_is_recovered(program: list[tuple[str, Any]]) -> None:
    """Kills, copies and restarts with all that can be in pages: the same messages and counts."""
    with tiny_pages():
        history = History(paged=True)
        for step in program:
            carry_out(history, step)
        history.check()
        history.restart()
        history.check()


def test_a_copy_is_read_before_it_is_written() -> None:
    """Between copying forward and the next tick a page is read, and the one behind it awaited."""
    with tiny_pages():
        history = History(paged=True)
        kept = [history.publish(["plain"]) for _ in range(12)]
        history.world.run()
        for _ in range(100):
            history.publish(["other"], size=100)
            history.get("other", no_ack=True)
            history.world.run()
            if history.is_stale:
                break
        assert history.copy_forward.step(history.world.tick.settle)
        got = [history.get("plain") for _ in range(12)]
        assert [body_of(message.content) for message in got if message is not None] == kept
        history.check()


def test_dead_letters_come_out_of_pages() -> None:
    """Messages that a policy's limit drops are dead-lettered whole and in order, from pages too."""
    with tiny_pages():
        world = World(paged=True)
        letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        client = started(world, declare("dead"), declare(durable=True, arguments=letters))
        say(world, client, *(stored(b"%d" % number) for number in range(10)))
        queues = world.broker.vhosts["/"].queues
        queue = queues["q"]
        assert len(list(queue.backlog)) == 1
        queue.configure(replace(queue.settings, max_length=4))
        world.run()
        assert [body_of(m.content) for m in queues["dead"].backlog.browse()] == [
            b"%d" % number for number in range(6)
        ]
        assert len(queue) == 4
