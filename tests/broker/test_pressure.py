"""Back-pressure: publishers wait for consumers that keep up, never for slow ones."""

from typing import Any

import pytest

from broker.core.queue import Queue
from broker.pressure import (
    BACKLOG_LOW,
    EXEMPT_MAX_S,
    EXEMPT_MIN_S,
    FAST_PER_S,
    WINDOW_S,
    Pressure,
)
from tests.core.doubles import fill, make_queue, make_vhost, subscribe

FAST = FAST_PER_S * 2
SLOW = FAST_PER_S // 100
DEEP = 2 * BACKLOG_LOW


class Publisher:
    """A session that publishes to some queues."""

    def __init__(self, *targets: Queue) -> None:
        self.targets = set(targets)
        self.held = False

    def hold_back(self) -> None:
        """See `Reader`."""
        self.held = True

    def read_on(self) -> None:
        """See `Reader`."""
        self.held = False


class Traffic:
    """A queue with a backlog, its consumers' rate, and time."""

    def __init__(self) -> None:
        self.pressure = Pressure()
        self.now = 100.0
        self.queue = self.add("q")

    def add(self, name: str) -> Any:
        """A queue with a backlog and a consumer."""
        vhost = self.queue.broker.vhosts["/"] if hasattr(self, "queue") else make_vhost()
        queue = make_queue(vhost, name)
        fill(queue, DEEP)
        subscribe(queue, credit=0)
        return queue

    def tick(self, rate: float, elapsed_s: float = 1.01 * WINDOW_S) -> bool:
        """Time passes, consumers take so many messages a second, then comes the tick."""
        self.now += elapsed_s
        self.queue.counters.deliver_no_ack += int(rate * elapsed_s)
        return self.pressure.judge([self.queue], self.now)

    def publishes(self, publisher: Publisher) -> bool:
        """The publisher is read; whether it is held back then."""
        if not publisher.held:
            self.pressure.check(publisher)
        return publisher.held

    def drain(self) -> None:
        """The backlog goes."""
        self.queue.purge()
        fill(self.queue, BACKLOG_LOW)


def test_publishers_of_a_fast_queue_wait_until_it_drained() -> None:
    """While consumers keep up with a backlog its publishers are held back, and then released."""
    traffic = Traffic()
    publisher = Publisher(traffic.queue)
    traffic.tick(FAST)
    assert traffic.publishes(publisher)
    for _ in range(200):
        assert traffic.tick(FAST), "somebody is held back: look again"
        assert publisher.held
    traffic.drain()
    assert not traffic.tick(FAST)
    assert not publisher.held
    assert not traffic.publishes(publisher)


def test_others_are_not_held_back() -> None:
    """Who publishes elsewhere, or nowhere, is read."""
    traffic = Traffic()
    traffic.tick(FAST)
    assert not traffic.publishes(Publisher(traffic.add("other")))
    assert not traffic.publishes(Publisher())
    assert traffic.publishes(Publisher(traffic.queue, traffic.add("third")))


def test_publishers_of_a_slow_queue_go_on() -> None:
    """A queue whose consumers are slow throttles for one window at the most."""
    traffic = Traffic()
    publisher = Publisher(traffic.queue)
    traffic.tick(SLOW)
    assert traffic.publishes(publisher)
    traffic.tick(SLOW)
    assert not publisher.held
    assert not traffic.publishes(publisher)


def throttled_share(rates: float, seconds: float) -> float:
    """Which part of the time a publisher is held back."""
    traffic = Traffic()
    publisher = Publisher(traffic.queue)
    held = ticks = 0
    while traffic.now < 100 + seconds:
        traffic.tick(rates)
        held += traffic.publishes(publisher)
        ticks += 1
    return held / ticks


def test_slow_consumers_cost_next_to_nothing() -> None:
    """Over a minute a publisher to a slow queue is read nearly always, one to a fast never."""
    assert throttled_share(SLOW, 60) < 0.02
    assert throttled_share(FAST, 60) == 1


def exemptions(traffic: Traffic, count: int) -> list[float]:
    """How long a slow queue is spared, time after time."""
    found = []
    for _ in range(count):
        while traffic.queue in traffic.pressure.congested:
            traffic.tick(SLOW)
        begun = traffic.now
        while traffic.queue not in traffic.pressure.congested:
            traffic.tick(SLOW)
        found.append(traffic.now - begun)
    return found


def test_exemption_doubles_to_its_limit() -> None:
    """Each time a queue is found slow it is spared twice as long, up to a limit."""
    traffic = Traffic()
    traffic.tick(SLOW)
    expected = EXEMPT_MIN_S
    for spared in exemptions(traffic, 9):
        assert spared == pytest.approx(expected, abs=2 * WINDOW_S)
        expected = min(2 * expected, EXEMPT_MAX_S)
    assert expected == EXEMPT_MAX_S


def test_one_fast_window_ends_the_exemption() -> None:
    """Consumers that become fast are given way at once, and later exemptions are short again."""
    traffic = Traffic()
    traffic.tick(SLOW)
    exemptions(traffic, 6)
    while traffic.queue in traffic.pressure.congested:
        traffic.tick(SLOW)
    traffic.tick(FAST)
    assert traffic.queue in traffic.pressure.congested
    (spared,) = exemptions(traffic, 1)
    assert spared == pytest.approx(EXEMPT_MIN_S, abs=2 * WINDOW_S)


def test_judged_over_whole_windows() -> None:
    """Within a window nothing changes, however little was delivered so far."""
    traffic = Traffic()
    traffic.tick(FAST)
    for _ in range(4):
        traffic.tick(0, WINDOW_S / 5)
        assert traffic.queue in traffic.pressure.congested
    traffic.tick(0, WINDOW_S / 2)
    assert traffic.queue not in traffic.pressure.congested


@pytest.mark.parametrize("how", ["drained", "consumers gone", "deleted"])
def test_released_when_there_is_nothing_to_wait_for(how: str) -> None:
    """A queue that drained, lost its consumers or was deleted holds nobody back."""
    traffic = Traffic()
    publisher = Publisher(traffic.queue)
    traffic.tick(FAST)
    traffic.publishes(publisher)
    if how == "drained":
        traffic.drain()
    elif how == "deleted":
        traffic.queue.delete()
    else:
        traffic.queue.remove_consumer(traffic.queue.consumers[0])
    assert not traffic.pressure.judge([], traffic.now)
    assert not publisher.held
    assert not traffic.pressure.congested


def test_held_until_the_last_of_several_queues() -> None:
    """A publisher to two congested queues waits for both."""
    traffic = Traffic()
    other = traffic.add("other")
    publisher = Publisher(traffic.queue, other)
    traffic.pressure.judge([traffic.queue, other], traffic.now)
    traffic.publishes(publisher)
    traffic.drain()
    traffic.pressure.judge([], traffic.now)
    assert publisher.held
    other.purge()
    traffic.pressure.judge([], traffic.now)
    assert not publisher.held
