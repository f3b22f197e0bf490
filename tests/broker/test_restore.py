"""Recovery: the log gives back what it was told, and keeps what the queues hold."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.broker.histories import QUEUES, History, body_of

names = st.sampled_from(sorted(QUEUES))
places = st.integers(0, 5)
steps = st.one_of(
    st.tuples(st.just("publish"), st.lists(names, min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("publish"), st.lists(names, min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("publish transient"), st.lists(names, min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("publish large"), st.lists(names, min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("get"), names),
    st.tuples(st.just("get no-ack"), names),
    st.tuples(st.just("ack"), places),
    st.tuples(st.just("reject"), places),
    st.tuples(st.just("requeue"), places),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("declare"), names),
    st.tuples(st.just("tick"), st.none()),
    st.tuples(st.just("reclaim"), st.none()),
    st.tuples(st.just("restart"), st.none()),
)


def carry_out(history: History, step: tuple[str, Any]) -> None:
    """One step of a random history."""
    what, which = step
    if what.startswith("publish"):
        size = 700 if what.endswith("large") else 20
        history.publish(which, persistent=not what.endswith("transient"), size=size)
    elif what.startswith("get"):
        history.get(which, no_ack=what.endswith("no-ack"))
    elif what in ("ack", "reject", "requeue"):
        history.settle(which, what)
    elif what in ("delete", "declare"):
        getattr(history, what)(which)
    elif what == "tick":
        history.world.run()
    elif what == "reclaim":
        history.reclaim()
    else:
        history.restart()
        history.check()


@settings(max_examples=150)
@given(st.lists(steps, max_size=60))
def test_any_history_is_recovered(history_steps: list[tuple[str, Any]]) -> None:
    """After any history and a kill: the same messages, order and counts; equal references."""
    history = History()
    for step in history_steps:
        carry_out(history, step)
    history.check()
    history.restart()
    history.check()
    history.restart()
    history.check()


def test_settled_stay_gone() -> None:
    """What was acked, rejected or taken without ack is not there after a kill."""
    history = History()
    for _ in range(4):
        history.publish(["plain", "other"])
    for how in ("ack", "reject"):
        history.get("plain")
        history.settle(0, how)
    history.get("plain", no_ack=True)
    history.restart()
    history.check()
    assert len(history.queues["plain"]) == 1
    assert len(history.queues["other"]) == 4


def test_recovered_messages_are_redelivered() -> None:
    """Everything from before a kill comes as redelivered, whether it was delivered or not."""
    history = History()
    history.publish(["plain"])
    history.publish(["plain"])
    history.get("plain")
    history.restart()
    history.publish(["plain"])
    flags = [found[1] for _ in range(3) if (found := history.queues["plain"].get(no_ack=True))]
    assert flags == [True, True, False]


def test_counts_are_recovered() -> None:
    """How often a message came back survives, and goes on from there to the limit."""
    history = History()
    history.publish(["limited"])
    for times in (1, 2, 3):
        history.get("limited")
        history.settle(0, "requeue")
        history.restart()
        history.check()
        assert list(history.expected["limited"].values()) == [times]


def test_new_messages_follow_recovered_ones() -> None:
    """After a kill new messages have greater ids than any recovered one, so they come later."""
    history = History()
    old = [history.publish(["plain"]) for _ in range(3)]
    history.restart()
    new = history.publish(["plain"])
    bodies = [body_of(m) for _ in range(4) if (m := history.get("plain", no_ack=True))]
    assert bodies == [*old, new]


def test_one_message_stays_one_over_a_restart() -> None:
    """A message on several queues is on the disk once, afterwards as before."""
    history = History(segment_bytes=1 << 20)
    history.publish(["plain", "limited"], size=10_000)
    history.restart()
    assert history.world.log.disk_bytes < 15_000
    first, second = (next(history.queues[name].stored()) for name in ("plain", "limited"))
    assert (first.id, first.batch, first.content) == (second.id, second.batch, second.content)


def test_a_recovered_queue_id_is_not_given_again() -> None:
    """A queue declared after a kill has an id that nothing in the log speaks of."""
    history = History()
    history.declare("last")
    history.publish(["last"])
    history.get("last")
    message = history.held[0][1]
    dead = history.queues["last"].id
    history.delete("last")
    for _ in range(200):
        history.publish(["plain"])
        history.get("plain", no_ack=True)
        history.reclaim()
    kept = history.publish(["plain"])
    assert message.batch > 0
    history.restart()
    history.declare("next")
    assert history.queues["next"].id > dead
    history.restart()
    assert history.get("next") is None
    assert body_of(history.get("plain")) == kept
