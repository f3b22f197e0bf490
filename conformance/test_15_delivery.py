"""Who gets what next: priorities of messages and of consumers, the single active and the exclusive
consumer, and how often a message may come back."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conformance.brokers import Broker, Leveret, broker_of
from conformance.channel import Channel, Content
from conformance.conftest import Target
from conformance.wire import Connection

Name = Callable[[str], str]
Connect = Callable[..., Connection]


def declared(ch: Channel, name: Name, **args: Any) -> str:
    """A durable queue; ``_`` stands for ``-`` in its arguments."""
    given = {f"x-{word.replace('_', '-')}": value for word, value in args.items()}
    return ch.declare(name("q"), durable=True, arguments=given)


def count_of(content: Content) -> int | None:
    """The x-delivery-count of a delivery."""
    field = content.headers.get("x-delivery-count")
    return None if field is None else next(iter(field.values()))


def return_all(ch: Channel) -> None:
    """Requeue all that the channel holds."""
    ch.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
    ch.sync()


# -- priorities of messages


def test_all_priorities(ch: Channel, name: Name) -> None:
    """Higher goes first, over the whole octet; equal ones in order of publishing."""
    queue = declared(ch, name, max_priority=255)
    numbers = [*range(256), *range(0, 256, 5)]
    random.Random(1).shuffle(numbers)
    published = list(enumerate(numbers))
    publisher = ch.connection.channel(2)
    publisher.call("confirm.select")
    for n, priority in published:
        publisher.publish("", queue, f"{n} {priority}", priority=priority)
    publisher.expect_confirms(*range(1, len(published) + 1))
    expected = sorted(published, key=lambda one: (-one[1], one[0]))
    assert ch.drain(queue) == [f"{n} {priority}" for n, priority in expected]


def test_unset_and_above(ch: Channel, name: Name) -> None:
    """No priority is 0; one above the highest is the highest, and stays as it was written."""
    queue = declared(ch, name, max_priority=5)
    ch.fill(queue, "unset")
    for priority in (0, 1, 5, 200, 4, 5, 255):
        ch.fill(queue, str(priority), priority=priority)
    got = [ch.get(queue) for _ in range(8)]
    assert [one.text for one in got] == ["5", "200", "5", "255", "4", "1", "unset", "0"]
    assert [one.props.get("priority") for one in got] == [5, 200, 5, 255, 4, 1, None, 0]


def test_no_priorities(ch: Channel, queue: str) -> None:
    """A queue without x-max-priority keeps the order of publishing."""
    for priority in (1, 9, 5):
        ch.fill(queue, str(priority), priority=priority)
    assert ch.drain(queue) == ["1", "9", "5"]


def test_requeue_into_place(ch: Channel, name: Name) -> None:
    """What is requeued stands before its younger equals, and behind higher ones that came since."""
    queue = declared(ch, name, max_priority=10)
    for n, priority in enumerate((5, 5, 5, 1, 1)):
        ch.fill(queue, str(n), priority=priority)
    for n in range(4):
        ch.get(queue, no_ack=False, body=str(n))
    ch.fill(queue, "high", priority=9)
    ch.fill(queue, "last", priority=5)
    for tag in (3, 1, 4, 2):
        ch.send("basic.reject", delivery_tag=tag, requeue=True)
    ch.sync()
    got = [ch.get(queue) for _ in range(7)]
    assert [one.text for one in got] == ["high", "0", "1", "2", "last", "3", "4"]
    assert [one["redelivered"] for one in got] == [False, True, True, True, False, True, False]


def test_consumer_gets_highest_next(ch: Channel, name: Name) -> None:
    """Priority decides what comes next, not what has left already."""
    queue = declared(ch, name, max_priority=10)
    ch.call("basic.qos", prefetch_count=1)
    ch.fill(queue, "low", priority=1)
    ch.consume(queue)
    ch.expect_content("basic.deliver", "low")
    for priority in (2, 7, 3):
        ch.fill(queue, str(priority), priority=priority)
    for n, body in enumerate(("7", "3", "2"), 1):
        ch.send("basic.ack", delivery_tag=n)
        ch.expect_content("basic.deliver", body)


# -- priorities of consumers


def test_consumer_priority(ch: Channel, queue: str) -> None:
    """The highest gets all while it has room, then the next; the default is 0."""
    order = {1: -5, 2: None, 3: 10, 4: 1}
    channels = {}
    for number, priority in order.items():
        channel = channels[number] = ch if number == 1 else ch.connection.channel(number)
        channel.call("basic.qos", prefetch_count=2)
        channel.consume(queue, arguments={} if priority is None else {"x-priority": priority})
    ch.fill(queue, *map(str, range(8)))
    got = {number: [one.text for one in channels[number].deliveries(2)] for number in order}
    assert got == {3: ["0", "1"], 4: ["2", "3"], 2: ["4", "5"], 1: ["6", "7"]}
    ch.fill(queue, "8")
    channels[2].send("basic.ack", delivery_tag=1)
    channels[2].expect_content("basic.deliver", "8")
    channels[3].send("basic.ack", delivery_tag=1)
    channels[3].sync()
    ch.fill(queue, "9")
    channels[3].expect_content("basic.deliver", "9")
    ch.connection.expect_silence()


def test_equal_consumers_take_turns(ch: Channel, queue: str) -> None:
    """Among the highest messages go round, and lower consumers get none."""
    for tag, priority in (("low", 0), ("a", 3), ("b", 3), ("c", 3)):
        ch.consume(queue, consumer_tag=tag, arguments={"x-priority": priority})
    for n in range(9):
        ch.fill(queue, str(n))
    tags = [one["consumer_tag"] for one in ch.deliveries(9)]
    assert sorted(tags[:3]) == ["a", "b", "c"]
    assert tags == tags[:3] * 3


def test_priority_after_cancel(ch: Channel, queue: str) -> None:
    """When the highest leaves, the next takes over."""
    for tag, priority in (("a", 3), ("b", 2)):
        ch.consume(queue, consumer_tag=tag, no_ack=True, arguments={"x-priority": priority})
    ch.fill(queue, "1")
    ch.expect_content("basic.deliver", "1", consumer_tag="a")
    ch.call("basic.cancel", consumer_tag="a")
    ch.fill(queue, "2")
    ch.expect_content("basic.deliver", "2", consumer_tag="b")
    ch.consume(queue, consumer_tag="c", no_ack=True, arguments={"x-priority": 9})
    ch.fill(queue, "3")
    ch.expect_content("basic.deliver", "3", consumer_tag="c")


# -- single active consumer

KIND = pytest.mark.parametrize("kind", ["classic", "quorum"])


@KIND
def test_only_one_is_active(broker: Target, ch: Channel, name: Name, kind: str) -> None:
    """The first consumer gets all, even when it has no room; the second follows it."""
    queue = declared(ch, name, single_active_consumer=True, queue_type=kind)
    second = ch.connection.channel(2)
    for channel in (ch, second):
        channel.call("basic.qos", prefetch_count=2)
        channel.consume(queue, consumer_tag="c")
    ch.fill(queue, *"abcd")
    assert [one.text for one in ch.deliveries(2)] == ["a", "b"]
    ch.connection.expect_silence()
    ch.send("basic.ack", delivery_tag=1)
    ch.expect_content("basic.deliver", "c")
    if broker.is_rabbitmq and kind == "classic":
        return  # the cancel ends the queue's process there, and so the second consumer
    ch.call("basic.cancel", consumer_tag="c")
    ch.fill(queue, "e")
    assert [one.text for one in second.deliveries(2)] == ["d", "e"]
    ch.send("basic.ack", delivery_tag=3, multiple=True)
    ch.sync()
    second.send("basic.ack", delivery_tag=2, multiple=True)
    second.sync()
    assert ch.call("queue.delete", queue=queue)["message_count"] == 0


@KIND
@pytest.mark.parametrize("how", ["channel", "connection", "drop"])
def test_failover(ch: Channel, connect: Connect, name: Name, kind: str, how: str) -> None:
    """When the active one is lost, the next gets what it held, in order, then the rest."""
    queue = declared(ch, name, single_active_consumer=True, queue_type=kind)
    active = connect().channel(1)
    active.call("basic.qos", prefetch_count=3)
    active.consume(queue)
    ch.consume(queue)
    bodies = list("abcdef")
    ch.fill(queue, *bodies)
    active.deliveries(3)
    active.send("basic.ack", delivery_tag=2)
    active.expect_content("basic.deliver", "d")
    {"channel": active.close, "connection": active.connection.close,
     "drop": active.connection.drop}[how]()  # fmt: skip
    got = ch.deliveries(5)
    assert [one.text for one in got] == list("acdef")
    assert [one["redelivered"] for one in got] == [True, True, True, False, False]


def test_the_oldest_follows(ch: Channel, name: Name) -> None:
    """A newcomer waits until those before it have left."""
    queue = declared(ch, name, single_active_consumer=True)
    for tag in "abc":
        ch.consume(queue, consumer_tag=tag, no_ack=True)
    for tag in "abc":
        ch.fill(queue, "m")
        ch.expect_content("basic.deliver", "m", consumer_tag=tag)
        ch.call("basic.cancel", consumer_tag=tag)


def test_priority_of_followers(ch: Channel, name: Name) -> None:
    """A higher consumer does not displace the active one; it is the first to follow."""
    queue = declared(ch, name, single_active_consumer=True)
    for tag, priority in (("a", 0), ("b", 0), ("c", 5)):
        ch.consume(queue, consumer_tag=tag, no_ack=True, arguments={"x-priority": priority})
    for tag in "acb":
        ch.fill(queue, "m")
        ch.expect_content("basic.deliver", "m", consumer_tag=tag)
        ch.call("basic.cancel", consumer_tag=tag)


def test_single_active_is_not_exclusive(ch: Channel, name: Name) -> None:
    """An exclusive consumer has no place at such a queue."""
    queue = declared(ch, name, single_active_consumer=True)
    ch.send("basic.consume", queue=queue, exclusive=True)
    assert "in exclusive use" in ch.expect_closed_with(403)


# -- exclusive consumer


def test_exclusive_consumer(ch: Channel, other: Channel, queue: str) -> None:
    """It is refused beside others, others beside it; when it has left, the queue is free."""
    ch.consume(queue, consumer_tag="one", exclusive=True)
    for exclusive in (False, True):
        other.send("basic.consume", queue=queue, exclusive=exclusive)
        assert "in exclusive use" in other.expect_closed_with(403)
        other.reopen()
    ch.fill(queue, "m")
    ch.expect_content("basic.deliver", "m")
    ch.call("basic.cancel", consumer_tag="one")
    other.consume(queue)
    ch.send("basic.consume", queue=queue, exclusive=True)
    assert "in exclusive use" in ch.expect_closed_with(403)
    ch.reopen()
    other.expect_content("basic.deliver", "m", redelivered=True)


def test_exclusive_consumer_is_lost(ch: Channel, other: Channel, queue: str) -> None:
    """A closed channel frees the queue at once."""
    other.consume(queue, exclusive=True)
    other.close()
    ch.consume(queue, exclusive=True)


# -- how often a message comes back


def test_delivery_count(ch: Channel, name: Name) -> None:
    """A quorum queue counts returns in x-delivery-count; a classic queue does not."""
    quorum, classic = declared(ch, name, queue_type="quorum"), declared(ch, name)
    for queue, counts in ((quorum, [0, 1, 2, 3]), (classic, [None] * 4)):
        ch.fill(queue, "m", headers={"a": "b"})
        for n, count in enumerate(counts):
            content = ch.get(queue, no_ack=False, redelivered=n > 0)
            assert count_of(content) == count
            assert content.headers["a"] == {"S": "b"}
            return_all(ch)
        ch.call("queue.purge", queue=queue)


@pytest.mark.parametrize("how", ["reject", "nack", "recover", "channel", "connection"])
def test_every_return_counts(ch: Channel, connect: Connect, name: Name, how: str) -> None:
    """However a message comes back, it counts."""
    queue = declared(ch, name, queue_type="quorum")
    ch.fill(queue, "m")
    holder = connect().channel(1)
    holder.consume(queue)
    tag = holder.expect_content("basic.deliver", "m")["delivery_tag"]
    if how in ("reject", "nack", "recover"):
        if how == "recover":
            holder.send("basic.recover", requeue=True)
            holder.expect("basic.recover-ok")
        else:
            holder.send(f"basic.{how}", delivery_tag=tag, requeue=True)
        assert count_of(holder.expect_content("basic.deliver", "m", redelivered=True)) == 1
    else:
        ch.consume(queue)
        (holder.close if how == "channel" else holder.connection.close)()
        assert count_of(ch.expect_content("basic.deliver", "m", redelivered=True)) == 1


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_delivery_limit(ch: Channel, name: Name, limit: int) -> None:
    """A message comes back as often as the limit says, then it is dead-lettered."""
    dead = ch.declare(name("dead"))
    queue = declared(ch, name, queue_type="quorum", delivery_limit=limit,
                     dead_letter_exchange="", dead_letter_routing_key=dead)  # fmt: skip
    reader = ch.connection.channel(2)
    reader.consume(dead, no_ack=True)
    ch.fill(queue, "m", "n")
    ch.call("basic.qos", prefetch_count=1)
    ch.consume(queue)
    for _ in range(2 * (limit + 1)):
        tag = ch.expect_content()["delivery_tag"]
        ch.send("basic.reject", delivery_tag=tag, requeue=True)
    letters = reader.deliveries(2)
    assert sorted(letter.text for letter in letters) == ["m", "n"]
    assert ch.counts(queue) == (0, 1)


def test_delivery_limit_without_dead_letters(ch: Channel, name: Name) -> None:
    """Without a dead-letter exchange the message is gone."""
    queue = declared(ch, name, queue_type="quorum", delivery_limit=1)
    ch.fill(queue, "m")
    for _ in range(2):
        ch.get(queue, no_ack=False, body="m")
        return_all(ch)
    ch.get_empty(queue)


# -- the consumer timeout


@pytest.fixture(scope="module")
def hurried(target: Target) -> Iterator[Broker]:
    """A broker with a consumer timeout of a second; RabbitMQ looks once a minute only."""
    if target.kind not in ("fast", "slow"):
        pytest.skip("only a Leveret of our own notices a consumer timeout soon")
    with broker_of(target.kind, {"consumer_timeout": 1000}) as broker:
        yield broker


@pytest.mark.parametrize(
    ("queue_ms", "consumer_ms", "used_ms"),
    [(None, None, 1000), (300, None, 300), (None, 300, 300), (60000, 300, 300), (300, 60000, 300)],
)
def test_consumer_timeout(
    hurried: Broker, queue_ms: int | None, consumer_ms: int | None, used_ms: int
) -> None:
    """Who holds a message too long, by the lowest timeout, loses its channel and the message."""
    with Connection(hurried.url) as connection:
        ch, slow = connection.channel(1), connection.channel(7)
        arguments = {} if queue_ms is None else {"x-consumer-timeout": queue_ms}
        queue = ch.declare(exclusive=True, arguments=arguments)
        arguments = {} if consumer_ms is None else {"x-consumer-timeout": consumer_ms}
        slow.consume(queue, arguments=arguments)
        ch.fill(queue, "m")
        slow.expect_content("basic.deliver", "m")
        ch.consume(queue, no_ack=True)
        text = slow.expect_closed_with(406)
        assert text.startswith(
            "PRECONDITION_FAILED - delivery acknowledgement on channel 7 timed out. "
            f"Timeout value used: {used_ms} ms."
        )
        ch.expect_content("basic.deliver", "m", redelivered=True)


def test_consumer_timeout_spares(hurried: Broker) -> None:
    """Deliveries that are acked or need no ack do not time out; what basic.get took does."""
    with Connection(hurried.url) as connection:
        ch, acking, getter = (connection.channel(n) for n in (1, 2, 3))
        queue, free = (ch.declare(exclusive=True, arguments={"x-consumer-timeout": 300})
                       for _ in range(2))  # fmt: skip
        ch.consume(free, no_ack=True)
        acking.consume(queue, consumer_tag="c")
        for one in (queue, free):
            ch.fill(one, "a")
        ch.expect_content("basic.deliver", "a")
        tag = acking.expect_content("basic.deliver", "a")["delivery_tag"]
        acking.send("basic.ack", delivery_tag=tag)
        acking.call("basic.cancel", consumer_tag="c")
        ch.fill(queue, "b")
        getter.get(queue, no_ack=False, body="b")
        assert "timed out" in getter.expect_closed_with(406)
        ch.sync()
        acking.sync()
        assert ch.drain(queue) == ["b"]


# -- restarts


def test_after_a_kill(restartable: Broker) -> None:
    """Priorities, order and counts survive; a requeued message keeps its place."""
    names = iter(f"q-{n}" for n in range(100))

    def named(_: str) -> str:
        return next(names)

    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        ordered = declared(ch, named, max_priority=10)
        limited = declared(ch, named, queue_type="quorum", delivery_limit=2)
        single = declared(ch, named, single_active_consumer=True)
        for n in range(40):
            ch.fill(ordered, str(n), priority=n % 4, delivery_mode=2)
        for n in (3, 7, 11):
            ch.get(ordered, no_ack=False, body=str(n))
        return_all(ch)
        ch.fill(limited, "m", delivery_mode=2)
        ch.fill(single, "a", "b", delivery_mode=2)
        for count in (0, 1):
            assert count_of(ch.get(limited, no_ack=False)) == count
            return_all(ch)
        time.sleep(1.0)
        restartable.kill()
        connection.drop()
    restartable.start()
    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        got = ch.drain(ordered)
        assert got == [str(n) for n in sorted(range(40), key=lambda n: (-(n % 4), n))]
        if isinstance(restartable, Leveret):
            # RabbitMQ 3.10 answers nothing for a quorum queue for long after a kill.
            content = ch.get(limited, no_ack=False, body="m", redelivered=True)
            assert count_of(content) == 2
            return_all(ch)
            ch.get_empty(limited)
        second = connection.channel(2)
        for channel in (ch, second):
            channel.consume(single, no_ack=True)
        assert [one.text for one in ch.deliveries(2)] == ["a", "b"]
