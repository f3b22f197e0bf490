"""Memory nobody uses: when it is looked for, and when it is given back."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from broker import garbage
from broker.core.broker import Broker
from tests.core.doubles import fill, make_queue, subscribe


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is asked of the interpreter's collector, without doing it."""
    asked: list[str] = []
    for name in ("disable", "collect", "freeze", "unfreeze"):
        monkeypatch.setattr(garbage.gc, name, lambda *_, name=name: asked.append(name))
    monkeypatch.setattr(garbage.gc, "get_count", lambda: (garbage.NEW_MAX + 1, 0, 0))
    monkeypatch.setattr(garbage, "WALK_MAX", 10)
    monkeypatch.setattr(garbage, "QUEUE_WEIGHT", 0)
    yield asked
    monkeypatch.undo()
    assert gc.isenabled()


def broker_and_queue() -> tuple[Broker, Any]:
    """A broker with a queue."""
    broker = Broker()
    return broker, make_queue(broker.declare_vhost("/"))


def test_automatic_collection_ends_at_the_start(calls: list[str]) -> None:
    """What the start of the program made is collected once, and never looked at again."""
    garbage.start()
    assert calls == ["disable", "collect", "freeze"]


def test_short_queues_are_collected(calls: list[str]) -> None:
    """With few messages, everything that was frozen is looked at, and frozen again."""
    broker, queue = broker_and_queue()
    fill(queue, 10)
    garbage.Collector(broker).collect()
    assert calls == ["unfreeze", "collect", "freeze"]


def test_deep_queues_are_not_walked(calls: list[str]) -> None:
    """With many messages nothing is walked over: they are moved out of sight."""
    broker, queue = broker_and_queue()
    fill(queue, 11)
    garbage.Collector(broker).collect()
    assert calls == ["freeze", "collect"]


def test_unacked_messages_count(calls: list[str]) -> None:
    """What channels hold would be walked as well."""
    broker, queue = broker_and_queue()
    subscribe(queue, credit=8)
    fill(queue, 11)
    broker.pump()
    assert (len(queue), queue.unacked) == (3, 8)
    garbage.Collector(broker).collect()
    assert calls == ["freeze", "collect"]


def test_many_queues_are_not_walked(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues count too: a broker with very many of them does not stop for a collection."""
    monkeypatch.setattr(garbage, "QUEUE_WEIGHT", 11)
    broker, _ = broker_and_queue()
    garbage.Collector(broker).collect()
    assert calls == ["freeze", "collect"]


def test_little_that_is_new_is_collected(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With many messages, what was made since the last time is looked at if it is little."""
    monkeypatch.setattr(garbage.gc, "get_count", lambda: (garbage.NEW_MAX, 0, 0))
    broker, queue = broker_and_queue()
    fill(queue, 11)
    garbage.Collector(broker).collect()
    assert calls == ["collect", "freeze", "collect"]


def test_all_vhosts_count(calls: list[str]) -> None:
    """Messages are counted over all queues of all vhosts."""
    broker, queue = broker_and_queue()
    other = make_queue(broker.declare_vhost("other"))
    fill(queue, 6)
    fill(other, 6)
    collector = garbage.Collector(broker)
    collector.collect()
    other.purge()
    collector.collect()
    assert calls == ["freeze", "collect", "unfreeze", "collect", "freeze"]


def trimming(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> tuple[Any, list[int]]:
    """A collector whose trims are counted."""
    monkeypatch.setattr(garbage, "TRIM_BYTES", 50)
    trims: list[int] = []
    collector = garbage.Collector(broker)
    collector._malloc_trim = trims.append
    return collector, trims


def test_memory_is_given_back_after_much_was_drained(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Freed memory goes back once for each time that much less is queued than at the most."""
    broker, queue = broker_and_queue()
    collector, trims = trimming(monkeypatch, broker)
    for _ in range(2):
        fill(queue, 100)
        collector.collect()
        before = len(trims)
        queue.get(no_ack=True)
        collector.collect()
        assert len(trims) == before
        queue.purge()
        collector.collect()
        collector.collect()
        assert len(trims) == before + 1


def test_steady_traffic_is_not_trimmed(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues that stay about as full as they are have nothing to give back."""
    broker, queue = broker_and_queue()
    collector, trims = trimming(monkeypatch, broker)
    for _ in range(20):
        fill(queue, 40)
        collector.collect()
        queue.purge()
        collector.collect()
    assert trims == []


def test_without_glibc(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory cannot be trimmed, collecting goes on without."""
    broker, queue = broker_and_queue()
    collector, _ = trimming(monkeypatch, broker)
    collector._malloc_trim = None
    fill(queue, 100)
    collector.collect()
    queue.purge()
    collector.collect()
    assert "collect" in calls
