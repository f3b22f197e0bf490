"""A purge of many messages: the queue is empty at once, and the log hears of it in slices."""

from typing import Any

import pytest

from broker.core import purging
from broker.core.broker import Broker
from broker.core.vhost import Vhost
from tests.core.doubles import ListeningLog, bodies, make_queue, make_vhost, publish, take

SLICE = 10


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices that tests can fill."""
    monkeypatch.setattr(purging, "SLICE_MESSAGES", SLICE)


def full(count: int, log: ListeningLog) -> tuple[Vhost, Any]:
    """A vhost, and its durable queue with so many persistent messages."""
    vhost = make_vhost(log)
    queue = make_queue(vhost, "q", durable=True)
    for number in range(count):
        publish(vhost, "q", b"%d" % number, delivery_mode=2)
    return vhost, queue


def told(log: ListeningLog) -> list[int]:
    """The ids that the log was told are gone, since the last call."""
    ids = [id_ for _, message_ids, _ in log.of("settle") for id_ in message_ids]
    log.told.clear()
    return ids


def test_a_purge_is_told_in_slices() -> None:
    """All are gone from the queue at once; of no more than a slice the log is told in a tick."""
    log = ListeningLog()
    vhost, queue = full(47, log)
    assert queue.purge() == 47
    assert len(queue) == 0
    heard = [told(log)]
    while vhost.broker.purging:
        vhost.broker.pump()
        heard.append(told(log))
    assert all(0 < len(ids) <= SLICE for ids in heard)
    assert [id_ for ids in heard for id_ in ids] == list(range(1, 48)), "each once"


def test_a_tick_follows_as_long_as_there_is_more() -> None:
    """Whoever purges need not come back: ticks are asked for until all is told."""
    vhost, queue = full(30, ListeningLog())
    asked: list[Broker] = []
    vhost.broker.wake = lambda: asked.append(vhost.broker)
    queue.purge()
    while asked:
        asked.clear()
        vhost.broker.pump()
    assert not vhost.broker.purging


def test_what_comes_meanwhile_stays() -> None:
    """Messages that are published, or held, while a purge goes on are none of it."""
    log = ListeningLog()
    vhost, queue = full(31, log)
    held = take(queue)
    assert queue.purge() == 30
    publish(vhost, "q", b"new", delivery_mode=2)
    assert not vhost.broker.purging
    assert held.id not in told(log)
    queue.requeue([held])
    assert bodies(queue) == [b"0", b"new"]


def test_a_queue_that_goes_meanwhile() -> None:
    """Once the queue is deleted the log gives up the rest without a record for each message."""
    log = ListeningLog()
    vhost, queue = full(30, log)
    queue.purge()
    first = len(told(log))
    vhost.drop_queue(queue)
    while vhost.broker.purging:
        vhost.broker.pump()
    assert sum(len(batches) for (batches,) in log.of("release")) == 30 - first
    assert not log.of("settle")


def test_the_end_of_the_process_is_waited_for() -> None:
    """What is left is told before the log is closed."""
    log = ListeningLog()
    vhost, queue = full(47, log)
    queue.purge()
    vhost.broker.purging.finish()
    assert len(told(log)) == 47
