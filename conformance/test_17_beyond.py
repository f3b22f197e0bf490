"""What RabbitMQ 3 lacks: message groups, delayed retry, more time for a delivery.

``x-message-group-header`` names the header whose value says which messages form a group: they are
worked on one after the other, in order. With ``x-delayed-retry-type`` a message that comes back
waits before it is ready again. A message to ``amq.leveret.extend`` begins a consumer timeout anew.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from conformance.brokers import Broker, broker_of
from conformance.channel import Channel, Content
from conformance.codec import Body, Header, Method
from conformance.conftest import URL, Target
from conformance.wire import Connection

Name = Callable[[str], str]
GROUP = {"x-message-group-header": "group"}


@pytest.fixture(autouse=True)
def known(target: Target) -> None:
    """No other broker has any of this."""
    if not target.is_leveret:
        pytest.skip("only Leveret has message groups, delayed retry and extension")


def fill(ch: Channel, queue: str, *messages: tuple[object, str], **props: Any) -> None:
    """Put messages in a queue: their groups (None for no group) and bodies."""
    publisher = Channel(ch.connection, 998)
    publisher.call("channel.open")
    publisher.call("confirm.select")
    for group, body in messages:
        headers = {} if group is None else {"group": group}
        publisher.publish("", queue, body, headers=headers, **props)
    publisher.expect_confirms(*range(1, len(messages) + 1))
    publisher.close()


def bodies(ch: Channel, count: int) -> list[str]:
    """The next deliveries of a channel."""
    return [one.text for one in ch.deliveries(count)]


def count_of(content: Content) -> int:
    """How often the message came back."""
    count: int = content.headers["x-delivery-count"]["l"]
    return count


# -- message groups


def test_one_of_a_group_at_a_time(ch: Channel, name: Name) -> None:
    """The next of a group comes when the one before is acked; other groups do not wait."""
    queue = ch.declare(name("q"), arguments=GROUP)
    second = ch.connection.channel(2)
    ch.consume(queue)
    second.consume(queue)
    fill(ch, queue, ("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2"), (None, "x"), (None, "y"))
    events = [ch.connection.next(None) for _ in range(12)]
    contents = [one.data.decode() for one in events if isinstance(one, Body)]
    assert sorted(contents) == ["a1", "b1", "x", "y"]
    ch.connection.expect_silence()
    assert ch.counts(queue) == (2, 2)


@pytest.mark.parametrize("outcome", ["ack", "reject", "nack", "requeue"])
def test_what_frees_a_group(ch: Channel, name: Name, outcome: str) -> None:
    """However a delivery is settled, its group goes on; what was requeued comes first."""
    queue = ch.declare(name("q"), arguments=GROUP)
    ch.consume(queue)
    fill(ch, queue, ("a", "1"), ("a", "2"))
    tag = ch.expect_content("basic.deliver", "1")["delivery_tag"]
    if outcome == "ack":
        ch.send("basic.ack", delivery_tag=tag)
    else:
        method = "basic.reject" if outcome == "reject" else "basic.nack"
        ch.send(method, delivery_tag=tag, requeue=outcome == "requeue")
    again = outcome == "requeue"
    ch.expect_content("basic.deliver", "1" if again else "2", redelivered=again)


def test_a_lost_consumer_frees_its_groups(ch: Channel, other: Channel, name: Name) -> None:
    """What a dead consumer held goes to another one, each group in order."""
    queue = ch.declare(name("q"), arguments=GROUP)
    other.consume(queue)
    fill(ch, queue, *((group, f"{group}{n}") for n in range(3) for group in "abc"))
    other.deliveries(3)
    other.connection.drop()
    ch.consume(queue)
    got: list[str] = []
    for _ in range(9):
        content = ch.expect_content()
        got.append(content.text)
        ch.send("basic.ack", delivery_tag=content["delivery_tag"])
    for group in "abc":
        assert [one for one in got if one[0] == group] == [f"{group}{n}" for n in range(3)]


def next_content(connection: Connection) -> tuple[int, Method, str]:
    """The next delivery on any channel of a connection."""
    method = connection.next(None)
    assert isinstance(method, Method)
    assert method.name == "basic.deliver"
    header, body = connection.next(method.channel), connection.next(method.channel)
    assert isinstance(header, Header)
    assert isinstance(body, Body)
    return method.channel, method, body.data.decode()


@pytest.mark.parametrize("prefetch", [1, 10])
def test_order_with_four_consumers(ch: Channel, other: Channel, name: Name, prefetch: int) -> None:
    """Two hundred messages of ten groups, some requeued: strict order within each group."""
    chance = random.Random(prefetch)
    queue = ch.declare(name("q"), arguments=GROUP)
    workers = ch.connection
    for number in range(2, 6):
        worker = workers.channel(number)
        worker.call("basic.qos", prefetch_count=prefetch)
    for number in range(2, 6):
        Channel(workers, number).consume(queue)
    fill(other, queue, *((n % 10, f"{n % 10} {n}") for n in range(200)))
    done: dict[str, list[int]] = {str(group): [] for group in range(10)}
    held: dict[str, tuple[int, int, int]] = {}
    while unfinished := sum(len(order) < 20 for order in done.values()):
        while len(held) < min(3, unfinished):
            _hold(workers, held)
        group = chance.choice(sorted(held))
        number, tag, n = held.pop(group)
        requeue = chance.random() < 0.2
        worker = Channel(workers, number)
        if requeue:
            worker.send("basic.reject", delivery_tag=tag, requeue=True)
        else:
            worker.send("basic.ack", delivery_tag=tag)
            done[group].append(n)
    for group, order in done.items():
        assert order == list(range(int(group), 200, 10))


def _hold(workers: Connection, held: dict[str, tuple[int, int, int]]) -> None:
    """Take the next delivery, whose group nobody may hold."""
    number, method, text = next_content(workers)
    group, n = text.split()
    assert group not in held
    held[group] = (number, method["delivery_tag"], int(n))


def test_groups_by_type(ch: Channel, name: Name) -> None:
    """Values of any type form groups; the number 1 and the text "1" are not the same group."""
    queue = ch.declare(name("q"), arguments=GROUP)
    values: list[object] = [{"I": 1}, "1", True, {"V": None}, ["x"], {"F": {"x": 1}}, {"d": 1.5}]
    fill(ch, queue, *((value, f"{n} {k}") for k in (0, 1) for n, value in enumerate(values)))
    ch.consume(queue)
    assert bodies(ch, len(values)) == [f"{n} 0" for n in range(len(values))]
    ch.connection.expect_silence()
    ch.send("basic.ack", delivery_tag=0, multiple=True)
    assert bodies(ch, len(values)) == [f"{n} 1" for n in range(len(values))]


def test_get_respects_groups(ch: Channel, name: Name) -> None:
    """basic.get finds nothing while every group waits."""
    queue = ch.declare(name("q"), arguments=GROUP)
    fill(ch, queue, ("a", "1"), ("a", "2"))
    ch.get(queue, no_ack=False, body="1")
    ch.get_empty(queue)
    ch.send("basic.ack", delivery_tag=1)
    ch.sync()
    ch.get(queue, body="2")


def test_groups_without_ack(ch: Channel, name: Name) -> None:
    """Without acks there is nothing to wait for."""
    queue = ch.declare(name("q"), arguments=GROUP)
    ch.consume(queue, no_ack=True)
    fill(ch, queue, *(("a", str(n)) for n in range(100)))
    assert bodies(ch, 100) == [str(n) for n in range(100)]


@pytest.mark.parametrize("held", [False, True])
def test_groups_and_limit(ch: Channel, name: Name, held: bool) -> None:
    """A length limit holds for groups, and for those that wait for an ack."""
    dead = ch.declare(name("dead"))
    queue = ch.declare(name("q"), arguments={
        **GROUP, "x-max-length": 2, "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
    })  # fmt: skip
    if held:
        fill(ch, queue, ("a", "held"))
        ch.get(queue, no_ack=False, body="held")
    fill(ch, queue, *(("a", str(n)) for n in range(6)))
    assert ch.counts(queue) == (2, 0)
    assert ch.drain(dead) == [str(n) for n in range(4)]
    if held:
        ch.send("basic.ack", delivery_tag=1)
        ch.sync()
    assert ch.drain(queue) == ["4", "5"]


def test_groups_and_expiry(ch: Channel, name: Name) -> None:
    """Messages of a group that waits expire, and the rest of the group goes on."""
    dead = ch.declare(name("dead"))
    queue = ch.declare(name("q"), arguments={
        **GROUP, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead,
    })  # fmt: skip
    reader = ch.connection.channel(2)
    reader.consume(dead, no_ack=True)
    ch.consume(queue)
    fill(ch, queue, ("a", "1"))
    fill(ch, queue, ("a", "2"), expiration="30")
    fill(ch, queue, ("a", "3"))
    ch.expect_content("basic.deliver", "1")
    reader.expect_content("basic.deliver", "2")
    ch.send("basic.ack", delivery_tag=1)
    ch.expect_content("basic.deliver", "3")


def test_purge_of_groups(ch: Channel, name: Name) -> None:
    """A purge drops what waits; a group that is held goes on afterwards."""
    queue = ch.declare(name("q"), arguments=GROUP)
    ch.consume(queue)
    fill(ch, queue, ("a", "1"), ("a", "2"), ("a", "3"))
    ch.expect_content("basic.deliver", "1")
    assert ch.call("queue.purge", queue=queue)["message_count"] == 2
    fill(ch, queue, ("a", "4"))
    ch.send("basic.ack", delivery_tag=1)
    ch.expect_content("basic.deliver", "4")


# -- delayed retry


def retrying(ch: Channel, name: Name, kind: str = "all", **args: Any) -> str:
    """A queue whose messages wait when they come back; ``_`` stands for ``-``."""
    given = {f"x-{word.replace('_', '-')}": value for word, value in args.items()}
    return ch.declare(name("q"), durable=True, arguments={"x-delayed-retry-type": kind, **given})


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize(
    ("strategy", "factors"), [("linear", [1, 2, 3, 4, 4]), ("exponential", [1, 2, 4, 4])]
)
def test_delays_grow(
    ch: Channel, name: Name, queue_type: str, strategy: str, factors: list[int]
) -> None:
    """Each return makes it longer, up to the maximum; the count is told in a header."""
    queue = retrying(ch, name, delayed_retry_strategy=strategy, delayed_retry_min=50,
                     delayed_retry_max=200, queue_type=queue_type)  # fmt: skip
    ch.fill(queue, "m")
    ch.consume(queue)
    tag = ch.expect_content("basic.deliver", "m")["delivery_tag"]
    for n, factor in enumerate(factors, 1):
        began = time.monotonic()
        ch.send("basic.reject", delivery_tag=tag, requeue=True)
        ch.sync()
        content = ch.expect_content("basic.deliver", "m", redelivered=True)
        assert time.monotonic() - began >= (50 * factor - 2) / 1000
        assert count_of(content) == n
        tag = content["delivery_tag"]


def test_others_overtake(ch: Channel, name: Name) -> None:
    """While a message waits, it is not counted, others pass; then it is the first again."""
    queue = retrying(ch, name, delayed_retry_min=100)
    ch.fill(queue, *"abc")
    ch.get(queue, no_ack=False, body="a")
    ch.send("basic.reject", delivery_tag=1, requeue=True)
    ch.sync()
    assert ch.counts(queue) == (2, 0)
    ch.get(queue, body="b")
    deadline = time.monotonic() + 10
    while ch.counts(queue)[0] < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ch.drain(queue) == ["a", "c"]


@pytest.mark.parametrize("kind", ["disabled", "all", "failed", "returned"])
def test_which_returns_wait(ch: Channel, name: Name, kind: str) -> None:
    """``failed``: reject and a lost channel; ``returned``: nack and recover."""
    returns = {"reject": "failed", "close": "failed", "nack": "returned", "recover": "returned"}
    for how, counted_as in returns.items():
        queue = retrying(ch, name, kind, delayed_retry_min=60_000, delayed_retry_max=60_000)
        ch.fill(queue, "m")
        holder = ch.connection.channel(2)
        holder.get(queue, no_ack=False)
        if how == "recover":
            holder.call("basic.recover", requeue=True)
        elif how != "close":
            holder.send(f"basic.{how}", delivery_tag=1, requeue=True)
        holder.close()
        waits = kind in ("all", counted_as)
        assert (how, ch.drain(queue)) == (how, [] if waits else ["m"])


def test_retry_up_to_the_limit(ch: Channel, name: Name) -> None:
    """A delivery limit ends the retries, and the message is dead-lettered."""
    dead = ch.declare(name("dead"))
    queue = retrying(ch, name, queue_type="quorum", delivery_limit=2, delayed_retry_min=20,
                     dead_letter_exchange="", dead_letter_routing_key=dead)  # fmt: skip
    reader = ch.connection.channel(2)
    reader.consume(dead, no_ack=True)
    ch.fill(queue, "m")
    ch.consume(queue)
    for tag in (1, 2, 3):
        ch.expect_content("basic.deliver", "m", delivery_tag=tag)
        ch.send("basic.reject", delivery_tag=tag, requeue=True)
    letter = reader.expect_content("basic.deliver", "m")
    assert letter.headers["x-first-death-reason"] == {"S": "delivery_limit"}


def test_retry_and_expiry(ch: Channel, name: Name) -> None:
    """A message does not expire while it waits; when the wait is over and its time too, it does."""
    dead = ch.declare(name("dead"))
    queue = retrying(ch, name, delayed_retry_min=200, message_ttl=60,
                     dead_letter_exchange="", dead_letter_routing_key=dead)  # fmt: skip
    reader = ch.connection.channel(2)
    reader.consume(dead, no_ack=True)
    ch.fill(queue, "waiting")
    ch.get(queue, no_ack=False)
    ch.send("basic.reject", delivery_tag=1, requeue=True)
    ch.fill(queue, "ready")
    assert bodies(reader, 2) == ["ready", "waiting"]


def test_a_waiting_message_keeps_its_group(ch: Channel, name: Name) -> None:
    """In a queue with groups, the rest of the group waits with the message that came back."""
    queue = retrying(ch, name, delayed_retry_min=100, message_group_header="group")
    ch.consume(queue)
    fill(ch, queue, ("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2"))
    assert bodies(ch, 2) == ["a1", "b1"]
    ch.send("basic.reject", delivery_tag=1, requeue=True)
    ch.send("basic.ack", delivery_tag=2)
    ch.expect_content("basic.deliver", "b2")
    ch.expect_content("basic.deliver", "a1", redelivered=True, delivery_tag=4)
    ch.send("basic.ack", delivery_tag=4)
    ch.expect_content("basic.deliver", "a2")


def test_deleting_with_waiting(ch: Channel, name: Name) -> None:
    """A queue is deleted with what waits in it; a namesake later finds nothing."""
    queue = retrying(ch, name, delayed_retry_min=50)
    ch.fill(queue, "m")
    ch.get(queue, no_ack=False)
    ch.send("basic.reject", delivery_tag=1, requeue=True)
    ch.call("queue.delete", queue=queue)
    ch.declare(queue)
    time.sleep(0.15)
    ch.get_empty(queue)


# -- more time for a delivery


@pytest.fixture(scope="module")
def hurried(target: Target) -> Iterator[Broker]:
    """A broker with a consumer timeout of three seconds."""
    if URL:
        pytest.skip("only a Leveret of our own notices a consumer timeout soon")
    with broker_of(target.kind, {"consumer_timeout": 3000}) as broker:
        yield broker


def test_extension(hurried: Broker) -> None:
    """Who asks for more time, for one delivery or all, keeps them; others lose the channel."""
    with Connection(hurried.url) as connection:
        ch, by_tag, for_all, lost = (connection.channel(n) for n in (1, 2, 3, 4))
        queue = ch.declare(exclusive=True)
        ch.fill(queue, "a", "b", "c")
        held = []
        for worker in (by_tag, for_all, lost):
            worker.call("basic.qos", prefetch_count=1)
            worker.consume(queue, arguments={"x-consumer-timeout": 1000})
            held.append(worker.expect_content().text)
        assert held == ["a", "b", "c"]
        for worker in (by_tag, for_all):
            worker.call("confirm.select")
        for n in range(1, 7):
            time.sleep(0.3)
            by_tag.publish("", "amq.leveret.extend", headers={"delivery-tag": {"l": 1}})
            for_all.publish("", "amq.leveret.extend")
            for worker in (by_tag, for_all):
                assert worker.expect_confirms(n) == {n: "ack"}
        assert "timed out" in lost.expect_closed_with(406)
        by_tag.send("basic.ack", delivery_tag=1)
        by_tag.expect_content("basic.deliver", "c", redelivered=True)
        for worker in (by_tag, for_all):
            assert "timed out" in worker.expect_closed_with(406)
        assert sorted(ch.drain(queue)) == ["b", "c"]


def test_extension_of_nothing(ch: Channel) -> None:
    """Asking for more time for a delivery that is not outstanding closes the channel."""
    ch.publish("", "amq.leveret.extend")
    ch.sync()
    ch.publish("", "amq.leveret.extend", headers={"delivery-tag": {"l": 7}})
    assert "unknown delivery tag 7" in ch.expect_closed_with(406)


# -- restarts


def test_after_a_kill(restartable: Broker) -> None:
    """Groups are formed again; a retried message waits again, and its group with it."""
    names = iter(f"q-{n}" for n in range(100))

    def named(_: str) -> str:
        return next(names)

    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        grouped = ch.declare(named("q"), durable=True, arguments=GROUP)
        retried = retrying(ch, named, delayed_retry_min=700, message_group_header="group")
        messages = [(n % 3, f"{n % 3} {n}") for n in range(30)]
        fill(ch, grouped, *messages, delivery_mode=2)
        fill(ch, retried, ("a", "a1"), ("a", "a2"), ("b", "b1"), delivery_mode=2)
        ch.get(retried, no_ack=False, body="a1")
        ch.send("basic.reject", delivery_tag=1, requeue=True)
        ch.fill(retried, "x", delivery_mode=2)
        restartable.kill()
        connection.drop()
    restartable.start()
    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        assert ch.counts(retried) == (3, 0)
        worker = connection.channel(2)
        worker.consume(retried)
        assert bodies(worker, 2) == ["b1", "x"]
        content = worker.expect_content("basic.deliver", "a1", redelivered=True)
        assert count_of(content) == 1
        worker.send("basic.ack", delivery_tag=content["delivery_tag"])
        worker.expect_content("basic.deliver", "a2")
        ch.consume(grouped)
        got = []
        for _ in range(30):
            content = ch.expect_content()
            got.append(content.text)
            ch.send("basic.ack", delivery_tag=content["delivery_tag"])
        for group in "012":
            numbers = [int(one.split()[1]) for one in got if one[0] == group]
            assert all(before < after for before, after in pairwise(numbers))
            assert len(numbers) == 10
