"""Dead letters of queues with the strategy at-least-once."""

from typing import Any

import pytest

from broker.core.letters import TRIES_MAX, TRY_AGAIN_MS
from broker.core.queue import Queue
from broker.core.vhost import Vhost
from tests.core.doubles import (
    ListeningLog,
    bodies,
    make_exchange,
    make_queue,
    make_vhost,
    pass_time,
    publish,
    take,
)

NOW_MS = 1_700_000_000_000
STRATEGY: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-overflow": "reject-publish",
    "x-dead-letter-strategy": "at-least-once",
    "x-dead-letter-exchange": "dlx",
    "x-dead-letter-routing-key": "dead",
}


def dying(count: int, **arguments: Any) -> tuple[Vhost, Queue]:
    """A queue of which so many messages were rejected, with nobody to take their letters."""
    vhost = make_vhost(ListeningLog())
    vhost.broker.now_ms = NOW_MS
    queue = make_queue(vhost, durable=True, arguments=STRATEGY | arguments)
    for number in range(count):
        publish(vhost, "q", b"%d" % number)
        queue.reject([take(queue)])
    return vhost, queue


def open_way(vhost: Vhost, **arguments: Any) -> Queue:
    """The exchange, with a queue."""
    make_exchange(vhost, "dlx", "direct")
    dead = make_queue(vhost, "dead", arguments=arguments)
    vhost.bind("dlx", dead, "dead", {})
    return dead


def test_letters_wait_for_a_way() -> None:
    """Without an exchange, and then without a binding, a letter waits; it counts nowhere."""
    vhost, queue = dying(1)
    assert (len(queue), queue.unacked, bodies(queue)) == (0, 0, [b"0"])
    make_exchange(vhost, "dlx", "direct")
    pass_time(vhost.broker, TRY_AGAIN_MS)
    dead = make_queue(vhost, "dead")
    vhost.bind("dlx", dead, "dead", {})
    assert bodies(dead) == []
    pass_time(vhost.broker, TRY_AGAIN_MS)
    assert (bodies(dead), bodies(queue)) == ([b"0"], [])


def test_letters_wait_for_room() -> None:
    """A full queue refuses a letter until there is room; none is lost, and none comes twice."""
    vhost, _ = dying(3)
    dead = open_way(vhost, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    got = []
    for _ in range(4):
        pass_time(vhost.broker, TRY_AGAIN_MS)
        got += bodies(dead)
        dead.purge()
    assert sorted(got) == [b"0", b"1", b"2"]


def test_one_of_several_queues_is_full() -> None:
    """A letter is published to all queues or to none, so that none gets it again and again."""
    vhost, _ = dying(1)
    full = open_way(vhost, **{"x-max-length": 0, "x-overflow": "reject-publish"})
    other = make_queue(vhost, "other")
    vhost.bind("dlx", other, "dead", {})
    pass_time(vhost.broker, 3 * TRY_AGAIN_MS)
    assert bodies(other) == []
    vhost.delete_queue(full.name)
    pass_time(vhost.broker, TRY_AGAIN_MS)
    assert bodies(other) == [b"0"]


def test_many_letters_follow_soon() -> None:
    """When the first find their way, the others follow without waiting for another try."""
    vhost, queue = dying(3 * TRIES_MAX + 1)
    dead = open_way(vhost)
    pass_time(vhost.broker, TRY_AGAIN_MS)
    assert len(dead) == 3 * TRIES_MAX + 1
    assert bodies(queue) == []


@pytest.mark.parametrize(
    "arguments", [{"x-dead-letter-strategy": "at-most-once"}, {"x-overflow": "drop-head"}], ids=str
)
def test_at_most_once(arguments: dict[str, Any]) -> None:
    """Without the strategy, or with another overflow as in RabbitMQ, a letter is lost."""
    _, queue = dying(1, **arguments)
    assert bodies(queue) == []


def test_a_waiting_letter_is_settled_once() -> None:
    """It stays in the log for as long as it waits; it goes with its queue too."""
    vhost, queue = dying(2)
    dead = open_way(vhost)
    pass_time(vhost.broker, TRY_AGAIN_MS)
    assert len(dead) == 2
    queue.reject([])
    vhost.delete_exchange("dlx")
    publish(vhost, "q", b"more")
    queue.reject([take(queue)])
    assert bodies(queue) == [b"more"]
    vhost.delete_queue("q")
    pass_time(vhost.broker, 2 * TRY_AGAIN_MS)
    assert bodies(queue) == []


def test_cycles_end_here_too() -> None:
    """A letter that only came back by expiry is dropped, not tried again and again."""
    vhost, queue = dying(0, **{"x-message-ttl": 10, "x-dead-letter-routing-key": "q"})
    make_exchange(vhost, "dlx", "direct")
    vhost.bind("dlx", queue, "q", {})
    publish(vhost, "q", b"m")
    pass_time(vhost.broker, 100)
    assert bodies(queue) == []
