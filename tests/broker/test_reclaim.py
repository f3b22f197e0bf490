"""Copy-forward: old live messages move to the end of the log, and nothing of them is lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from broker import reclaim
from tests.amqp.dialogue import SlowDisk, bodies, consume, declare, say, started, stored
from tests.broker.histories import History, body_of
from tests.frames import ack, method
from tests.pages import tiny_pages
from tests.world import World


def segments(history: History) -> list[str]:
    """The names of the log's segments."""
    return [segment.name for segment in history.world.log._space.segments]


def churn(history: History, name: str = "plain") -> None:
    """Messages that come and go, until the head of the log is stale."""
    for _ in range(300):
        if history.is_stale:
            return
        history.publish([name], size=100)
        history.world.run()
        history.queues[name].purge()
        history.expected[name].clear()
        history.world.run()
    raise AssertionError("the head never becomes stale")


def test_nothing_to_do() -> None:
    """A log whose head is not stale is left alone."""
    history = History()
    history.publish(["plain"])
    assert history.reclaim() == 0


def test_the_head_goes() -> None:
    """After a message at the head was copied, the segments it pinned are gone."""
    history = History()
    history.publish(["limited"])
    head = segments(history)[0]
    churn(history)
    before = len(segments(history))
    assert segments(history)[0] == head
    assert history.reclaim() == 1
    assert head not in segments(history)
    assert len(segments(history)) < before
    history.check()


def test_a_copy_is_the_same_message() -> None:
    """Id, place, time, content and address stay; only where it is logged changes."""
    history = History()
    history.publish(["limited"])
    (message,) = history.queues["limited"].stored()
    before = message.id, message.published_ms, message.content, message.address
    old = message.batch
    churn(history)
    history.reclaim()
    assert message.batch > old
    history.restart()
    (copy,) = history.queues["limited"].backlog.browse()
    assert (copy.id, copy.published_ms, copy.content, copy.address) == before
    history.check()


def test_all_holders_are_named() -> None:
    """A message on several queues is copied once, for those that still hold it."""
    history = History()
    history.publish(["limited", "other", "plain"])
    history.get("plain", no_ack=True)
    churn(history)
    assert history.reclaim() == 1
    history.check()
    history.restart()
    history.check()
    assert [len(history.queues[name]) for name in ("limited", "other", "plain")] == [1, 1, 0]


def test_unacked_messages_are_copied() -> None:
    """What a channel holds is copied too: after a kill it is ready again."""
    history = History()
    history.publish(["limited", "other"])
    for name in ("limited", "other"):
        history.get(name)
    churn(history)
    head = segments(history)[0]
    assert history.reclaim() >= 1
    assert head not in segments(history)
    history.check()
    history.restart()
    history.check()
    assert len(history.queues["limited"]) == 1


def test_counts_are_copied() -> None:
    """How often a message came back is copied with it."""
    history = History()
    history.publish(["limited"])
    for _ in range(3):
        history.get("limited")
        history.settle(0, "requeue")
    churn(history)
    assert history.reclaim() == 1
    history.restart()
    history.check()
    assert list(history.expected["limited"].values()) == [3]


def test_acking_a_copy_frees_it() -> None:
    """A copy that is settled is gone for good, and its segment can go."""
    history = History()
    history.publish(["limited"])
    history.get("limited")
    churn(history)
    history.reclaim()
    history.settle(0, "ack")
    history.check()
    history.restart()
    history.check()
    assert len(history.queues["limited"]) == 0


def test_a_kill_while_copies_are_written_loses_nothing() -> None:
    """Until copies are durable the head stays: a kill at any moment finds one or the other."""
    history = History()
    kept = history.publish(["limited"])
    churn(history)
    disk = SlowDisk(history.world)
    head = segments(history)[0]
    assert history.copy_forward.step(history.world.tick.settle) == 1
    history.world.run()
    assert segments(history)[0] == head
    for finished in (False, True):
        if finished:
            disk.finish()
        after = History()
        after.world.disk = history.world.disk.after_kill()
        after.world.restart()
        assert [body_of(m) for m in after.queues["limited"].backlog.browse()] == [kept]


def test_so_much_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call copies a bounded amount; the next ones the rest."""
    history = History()
    for _ in range(20):
        history.publish(["limited"], size=20)
        history.world.run()
    churn(history)
    monkeypatch.setattr(reclaim, "COPY_BYTES_MAX", 1000)
    counts = []
    while copied := history.reclaim():
        counts.append(copied)
    assert len(counts) > 1
    assert max(counts) * 20 < 1000
    history.restart()
    history.check()


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["keep", "churn", "hold", "ack", "requeue"]), max_size=25),
    st.booleans(),
)
def test_the_log_stays_small(steps: list[str], paged: bool) -> None:
    """However long it goes on, few live messages need little disk, and none is lost."""
    with tiny_pages():
        live_long(History(paged=paged), steps)


def live_long(history: History, steps: list[str]) -> None:
    """Take the steps, with reclaims between them, and look at the log."""
    for step in steps * 4:
        if step == "keep":
            history.publish(["limited", "other"])
        elif step == "hold":
            history.get("limited")
        elif step == "churn":
            for _ in range(10):
                history.publish(["plain"], size=100)
            history.queues["plain"].purge()
            history.expected["plain"].clear()
        else:
            history.settle(0, step)
        history.world.run()
        while history.reclaim():
            pass
    live = sum(
        len(message.content)
        for queue in history.queues.values()
        for message in queue.backlog.browse()
    )
    assert history.world.log.disk_bytes < 4 * live + 12_000
    history.check()
    history.restart()
    history.check()


def test_acks_that_wait_for_the_tick_are_settled_first() -> None:
    """A delivery acked in the read before is not copied as if somebody still held it."""
    world = World(segment_bytes=1500)
    client = started(world, declare(durable=True), declare("other", durable=True), consume())
    assert bodies(say(world, client, stored(b"old"))) == [b"old"]
    purge = method(1, commands.Queue.Purge(queue="other"))
    while world.log.stale_batches(0, 1 << 30) is None:
        say(world, client, stored(b"m" * 100, "other"), purge)
    client.feed(ack(1, 1))
    world.reclaim()
    world.restart()
    assert len(world.broker.vhosts["/"].queues["q"]) == 0
    assert sum(segment.live for segment in world.log._space.segments) == 0
