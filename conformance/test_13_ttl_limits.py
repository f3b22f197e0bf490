"""What a queue drops by itself, and when: message TTL, length limits, queue TTL.

Where a queue's dead letters go is how a test sees what was dropped, and when: it consumes them.
RabbitMQ expires messages only when they reach the head of a queue; Leveret where they stand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from conformance.brokers import Broker
from conformance.channel import Channel, Content
from conformance.codec import Method
from conformance.conftest import Target
from conformance.wire import Connection

Declare = Callable[..., str]
Name = Callable[[str], str]
TEN_YEARS_MS = 315_360_000_000
KIND = pytest.mark.parametrize("kind", ["classic", "quorum"])


def pair(ch: Channel, name: Name, kind: str = "classic", **arguments: Any) -> tuple[str, str]:
    """A queue with these arguments (``_`` for ``-``), and the queue of its dead letters."""
    dead = ch.declare(name("dead"), durable=True)
    given = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    given |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    return ch.declare(name("q"), durable=True, arguments={"x-queue-type": kind, **given}), dead


def reason(letter: Content) -> str:
    """Why a message was dead-lettered last."""
    text: str = letter.headers["x-death"]["A"][0]["F"]["reason"]["S"]
    return text


def consume_dead(ch: Channel, dead: str) -> Channel:
    """A channel apart that gets the dead letters."""
    reader = ch.connection.channel(50)
    reader.consume(dead, no_ack=True)
    return reader


def exists(ch: Channel, queue: str) -> bool:
    """Ask by passive declare."""
    ch.send("queue.declare", queue=queue, passive=True)
    event = ch.next()
    assert isinstance(event, Method)
    if event.name == "queue.declare-ok":
        return True
    assert event["reply_code"] == 404
    ch.send("channel.close-ok")
    ch.reopen()
    return False


# -- message TTL


@KIND
@pytest.mark.parametrize(
    ("ttl_ms", "expiration"), [(60, None), (None, "60"), (60, "60000"), (60000, "60")]
)
def test_expires_unasked(
    ch: Channel, name: Name, kind: str, ttl_ms: int | None, expiration: str | None
) -> None:
    """The lower of the queue's TTL and the message's holds, and nobody need touch the queue."""
    arguments = {} if ttl_ms is None else {"message_ttl": ttl_ms}
    queue, dead = pair(ch, name, kind, **arguments)
    reader = consume_dead(ch, dead)
    ch.publish("", queue, "m", **({} if expiration is None else {"expiration": expiration}))
    assert reason(reader.expect_content("basic.deliver", "m")) == "expired"
    assert ch.counts(queue) == (0, 0)


@pytest.mark.parametrize("by_queue", [True, False])
def test_ttl_0(ch: Channel, name: Name, by_queue: bool) -> None:
    """With a TTL of 0 a message reaches a consumer that is ready, or nobody."""
    queue, dead = pair(ch, name, **({"message_ttl": 0} if by_queue else {}))
    props: dict[str, Any] = {} if by_queue else {"expiration": "0"}
    reader = consume_dead(ch, dead)
    ch.publish("", queue, "nobody", **props)
    reader.expect_content("basic.deliver", "nobody")
    ch.get_empty(queue)
    ch.call("basic.qos", prefetch_count=1)
    ch.consume(queue)
    ch.publish("", queue, "ready", **props)
    ch.expect_content("basic.deliver", "ready")
    ch.publish("", queue, "busy", **props)
    reader.expect_content("basic.deliver", "busy")


@pytest.mark.parametrize("by_queue", [True, False])
def test_ttl_0_requeued(ch: Channel, name: Name, by_queue: bool) -> None:
    """A message whose time has passed is not delivered again when it is requeued, but expires."""
    queue, dead = pair(ch, name, **({"message_ttl": 0} if by_queue else {}))
    reader = consume_dead(ch, dead)
    ch.consume(queue)
    ch.publish("", queue, "m", **({} if by_queue else {"expiration": "0"}))
    delivery = ch.expect_content("basic.deliver", "m")
    ch.send("basic.reject", delivery_tag=delivery["delivery_tag"], requeue=True)
    assert reason(reader.expect_content("basic.deliver", "m")) == "expired"
    ch.connection.expect_silence(0.02)


def test_expire_in_order(ch: Channel, name: Name) -> None:
    """Messages with one TTL die in the order in which they were published."""
    queue, dead = pair(ch, name, message_ttl=40)
    reader = consume_dead(ch, dead)
    bodies = [str(n) for n in range(300)]
    ch.fill(queue, *bodies)
    assert [letter.text for letter in reader.deliveries(300)] == bodies


def test_expire_behind_a_longer(broker: Target, ch: Channel, name: Name) -> None:
    """A message behind one that lives longer is never delivered late; Leveret drops it in time."""
    queue, dead = pair(ch, name)
    reader = consume_dead(ch, dead)
    ch.fill(queue, "long", expiration="60000")
    ch.fill(queue, "short", expiration="30")
    if broker.is_leveret:
        reader.expect_content("basic.deliver", "short")
        assert ch.counts(queue) == (1, 0)
    else:
        time.sleep(0.1)
    assert ch.drain(queue) == ["long"]
    if not broker.is_leveret:
        reader.expect_content("basic.deliver", "short")


def test_expire_several_places(broker: Target, ch: Channel, name: Name) -> None:
    """Expiring in the middle leaves order and length of the others as they were."""
    queue, dead = pair(ch, name)
    reader = consume_dead(ch, dead)
    for n in range(30):
        ch.fill(queue, str(n), expiration="60000" if n % 3 else "20")
    if not broker.is_leveret:
        pytest.skip("RabbitMQ expires at the head of the queue only")
    gone = sorted(int(letter.text) for letter in reader.deliveries(10))
    assert gone == list(range(0, 30, 3))
    assert ch.counts(queue) == (20, 0)
    assert ch.drain(queue) == [str(n) for n in range(30) if n % 3]


def test_unacked_do_not_expire(ch: Channel, name: Name) -> None:
    """A delivered message lives on; when it is requeued after its time, it expires."""
    queue, dead = pair(ch, name, message_ttl=60)
    reader = consume_dead(ch, dead)
    ch.fill(queue, "held", "left")
    tag = ch.get(queue, no_ack=False, body="held")["delivery_tag"]
    reader.expect_content("basic.deliver", "left")
    ch.send("basic.reject", delivery_tag=tag, requeue=True)
    assert reason(reader.expect_content("basic.deliver", "held")) == "expired"


@KIND
def test_ttl_of_ten_years(ch: Channel, name: Name, kind: str) -> None:
    """Ten years is a TTL like any other, and a message with it does not expire at once."""
    queue, dead = pair(ch, name, kind, message_ttl=TEN_YEARS_MS, expires=TEN_YEARS_MS)
    ch.fill(queue, "m", expiration=str(TEN_YEARS_MS))
    ch.fill(queue, "soon", expiration="30")
    assert ch.get(queue, body="m").props["expiration"] == str(TEN_YEARS_MS)
    consume_dead(ch, dead).expect_content("basic.deliver", "soon")


@pytest.mark.parametrize("argument", ["x-message-ttl", "x-expires"])
def test_ttl_above_ten_years(ch: Channel, argument: str) -> None:
    """More than ten years is refused."""
    ch.send("queue.declare", queue="", arguments={argument: TEN_YEARS_MS + 1})
    text = ch.expect_closed_with(406)
    assert f"{{value_too_large,{TEN_YEARS_MS + 1}}}" in text


def test_expiration_above_ten_years(ch: Channel, queue: str) -> None:
    """The same holds for a message."""
    ch.publish("", queue, "m", expiration=str(TEN_YEARS_MS + 1))
    assert f"{{value_too_large,{TEN_YEARS_MS + 1}}}" in ch.expect_closed_with(406)


def test_purge_is_no_expiry(ch: Channel, name: Name) -> None:
    """What is purged, or deleted with its queue, is not dead-lettered, then or later."""
    queue, dead = pair(ch, name, message_ttl=50)
    gone, _ = pair(ch, name, message_ttl=50)
    marker = ch.declare(
        name("marker"),
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead},
    )
    reader = consume_dead(ch, dead)
    ch.fill(queue, "purged")
    ch.fill(gone, "deleted")
    assert ch.call("queue.purge", queue=queue)["message_count"] == 1
    ch.call("queue.delete", queue=gone)
    ch.fill(marker, "marker", expiration="100")
    reader.expect_content("basic.deliver", "marker")


# -- length limits


@KIND
def test_drop_head(ch: Channel, name: Name, kind: str) -> None:
    """Above the limit the oldest goes, in order; the newest stay."""
    queue, dead = pair(ch, name, kind, max_length=3)
    reader = consume_dead(ch, dead)
    ch.fill(queue, *"abcdefgh")
    letters = reader.deliveries(5)
    assert [letter.text for letter in letters] == list("abcde")
    assert {reason(letter) for letter in letters} == {"maxlen"}
    assert ch.drain(queue) == list("fgh")


@KIND
def test_drop_head_bytes(ch: Channel, name: Name, kind: str) -> None:
    """Octets of bodies count, not headers; what is above the limit alone is dropped as well."""
    queue, dead = pair(ch, name, kind, max_length_bytes=10)
    reader = consume_dead(ch, dead)
    ch.fill(queue, "aaaa", "bbbb", "cc", headers={"large": "x" * 100})
    ch.fill(queue, "d")
    assert [letter.text for letter in reader.deliveries(1)] == ["aaaa"]
    assert ch.drain(queue) == ["bbbb", "cc", "d"]
    ch.fill(queue, "e" * 11)
    reader.expect_content("basic.deliver", "e" * 11)
    ch.get_empty(queue)


def test_both_limits(ch: Channel, name: Name) -> None:
    """Of two limits the one that is reached first holds."""
    queue, _ = pair(ch, name, max_length=3, max_length_bytes=10)
    ch.fill(queue, *"abcd")
    assert ch.drain(queue) == list("bcd")
    ch.fill(queue, "aaaaa", "bbbbb", "ccccc")
    assert ch.drain(queue) == ["bbbbb", "ccccc"]


@pytest.mark.parametrize("limit", ["max_length", "max_length_bytes"])
def test_limit_0(ch: Channel, name: Name, limit: str) -> None:
    """A queue that may hold nothing still passes messages to a consumer that is ready."""
    queue, dead = pair(ch, name, **{limit: 0})
    reader = consume_dead(ch, dead)
    ch.fill(queue, "nobody")
    reader.expect_content("basic.deliver", "nobody")
    ch.call("basic.qos", prefetch_count=1)
    ch.consume(queue)
    ch.fill(queue, "ready")
    ch.expect_content("basic.deliver", "ready")
    ch.fill(queue, "busy")
    reader.expect_content("basic.deliver", "busy")


def test_limit_is_for_ready(ch: Channel, name: Name) -> None:
    """Unacked messages do not count; requeued above the limit they are the first to go."""
    queue, dead = pair(ch, name, max_length=2)
    reader = consume_dead(ch, dead)
    ch.fill(queue, "a", "b")
    for body in "ab":
        ch.get(queue, no_ack=False, body=body)
    ch.fill(queue, "c", "d")
    assert ch.counts(queue) == (2, 0)
    ch.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
    assert sorted(letter.text for letter in reader.deliveries(2)) == ["a", "b"]
    assert ch.drain(queue) == ["c", "d"]


def test_limit_of_priorities(ch: Channel, name: Name) -> None:
    """The head of a priority queue has the highest priority: that is what is dropped."""
    queue, dead = pair(ch, name, max_length=2, max_priority=5)
    reader = consume_dead(ch, dead)
    for priority in (1, 5, 3):
        ch.fill(queue, str(priority), priority=priority)
    reader.expect_content("basic.deliver", "5")
    assert ch.drain(queue) == ["3", "1"]


def test_reject_publish(ch: Channel, name: Name) -> None:
    """A full queue refuses with basic.nack, and accepts again as soon as there is room."""
    queue, _ = pair(ch, name, max_length=2, overflow="reject-publish")
    ch.call("confirm.select")
    for n in range(1, 6):
        ch.publish("", queue, str(n), mandatory=True)
    answers = ch.expect_confirms(1, 2, 3, 4, 5)
    assert answers == {1: "ack", 2: "ack", 3: "nack", 4: "nack", 5: "nack"}
    for n in range(6, 12):
        if n % 2:
            ch.get(queue)
        ch.publish("", queue, str(n))
        assert ch.expect_confirms(n) == {n: "ack" if n % 2 else "nack"}
    assert ch.drain(queue) == ["9", "11"]


def test_reject_publish_among_others(ch: Channel, name: Name) -> None:
    """Acks for other queues and nacks in one stream each answer their own publish."""
    full, _ = pair(ch, name, max_length=1, overflow="reject-publish")
    free = ch.declare(name("free"))
    ch.fill(full, "x")
    ch.call("confirm.select")
    for n in range(1, 201):
        ch.publish("", full if n % 3 == 0 else free, str(n))
    answers = ch.expect_confirms(*range(1, 201))
    assert answers == {n: "nack" if n % 3 == 0 else "ack" for n in range(1, 201)}
    assert ch.drain(free) == [str(n) for n in range(1, 201) if n % 3]


def test_reject_publish_of_one(ch: Channel, name: Name, exchange: Declare) -> None:
    """One queue that refuses makes it a nack; the others keep their copies."""
    full, _ = pair(ch, name, max_length=1, overflow="reject-publish")
    free = ch.declare(name("free"))
    fanout = exchange("fanout")
    for queue in (full, free):
        ch.bind(queue, fanout)
    ch.call("confirm.select")
    ch.publish(fanout, "", "1")
    ch.publish(fanout, "", "2")
    assert ch.expect_confirms(1, 2) == {1: "ack", 2: "nack"}
    assert (ch.drain(full), ch.drain(free)) == (["1"], ["1", "2"])


def test_reject_publish_bytes(ch: Channel, name: Name) -> None:
    """A message that would carry the queue above its octets is refused, a smaller one is not."""
    queue, _ = pair(ch, name, max_length_bytes=10, overflow="reject-publish")
    ch.call("confirm.select")
    answers: dict[int, str] = {}
    for n, body in enumerate(("a" * 6, "b" * 6, "c" * 4, "d", ""), 1):
        ch.publish("", queue, body)
        answers |= ch.expect_confirms(n)
    assert answers == {1: "ack", 2: "nack", 3: "ack", 4: "nack", 5: "ack"}
    assert ch.drain(queue) == ["a" * 6, "c" * 4, ""]


def test_reject_publish_without_confirms(ch: Channel, name: Name) -> None:
    """A publisher without confirms is not told; nothing is dead-lettered."""
    queue, dead = pair(ch, name, max_length=1, overflow="reject-publish")
    for body in "abc":
        ch.publish("", queue, body)
    ch.sync()
    assert (ch.drain(queue), ch.drain(dead)) == (["a"], [])


def test_reject_publish_dlx(ch: Channel, name: Name) -> None:
    """With reject-publish-dlx what is refused is dead-lettered as well."""
    queue, dead = pair(ch, name, max_length=1, overflow="reject-publish-dlx")
    reader = consume_dead(ch, dead)
    ch.call("confirm.select")
    for n in (1, 2, 3):
        ch.publish("", queue, str(n))
    assert ch.expect_confirms(1, 2, 3) == {1: "ack", 2: "nack", 3: "nack"}
    letters = reader.deliveries(2)
    assert [letter.text for letter in letters] == ["2", "3"]
    assert reason(letters[0]) == "maxlen"
    assert ch.drain(queue) == ["1"]


def test_reject_publish_expired(ch: Channel, name: Name) -> None:
    """What has expired makes room."""
    queue, dead = pair(ch, name, max_length=1, message_ttl=30, overflow="reject-publish")
    reader = consume_dead(ch, dead)
    ch.fill(queue, "a")
    reader.expect_content("basic.deliver", "a")
    ch.call("confirm.select")
    ch.publish("", queue, "b")
    assert ch.expect_confirms(1) == {1: "ack"}


# -- queue TTL


def test_queue_expires(ch: Channel, other: Channel, name: Name) -> None:
    """Declaring, getting and a consumer keep a queue; publishing does not; it dies silently."""
    dead = ch.declare(name("dead"))
    queues = {}
    for use in ("nothing", "publish", "declare", "get", "consume", "cancelled"):
        queues[use] = ch.declare(name(use), arguments={
            "x-expires": 500, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead,
        })  # fmt: skip
    other.consume(queues["consume"])
    tag = other.consume(queues["cancelled"])
    for _ in range(8):
        time.sleep(0.1)
        ch.publish("", queues["publish"], "m")
        ch.declare(queues["declare"], arguments={
            "x-expires": 500, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead,
        })  # fmt: skip
        ch.get_empty(queues["get"])
    other.call("basic.cancel", consumer_tag=tag)
    found = {use for use, queue in queues.items() if exists(ch, queue)}
    assert found == {"declare", "get", "consume", "cancelled"}
    time.sleep(0.8)
    assert {use for use, queue in queues.items() if exists(ch, queue)} == {"consume"}
    assert ch.drain(dead) == []


# -- restarts


def test_after_a_kill(restartable: Broker) -> None:
    """TTL counts from publishing, limits hold and x-expires begins anew after a restart."""
    names = iter(f"q-{n}" for n in range(100))

    def named(_: str) -> str:
        return next(names)

    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        aged, dead = pair(ch, named, message_ttl=2000)
        own, own_dead = pair(ch, named)
        full, _ = pair(ch, named, max_length=2, overflow="reject-publish")
        short, _ = pair(ch, named, max_length=2)
        leased, _ = pair(ch, named, expires=1200)
        ch.fill(aged, "old", delivery_mode=2)
        ch.fill(own, "old", delivery_mode=2, expiration="2000")
        for queue in (full, short):
            ch.fill(queue, "a", "b", delivery_mode=2)
        time.sleep(0.8)
        restartable.kill()
        connection.drop()
    restartable.start()
    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        assert exists(ch, leased)
        for queue in (aged, own):
            ch.fill(queue, "new", expiration="1500")
        for its_dead in (dead, own_dead):
            reader = connection.channel(60)
            reader.consume(its_dead, no_ack=True)
            assert [letter.text for letter in reader.deliveries(2)] == ["old", "new"]
            reader.close()
        ch.fill(short, "c", delivery_mode=2)
        assert ch.drain(short) == ["b", "c"]
        ch.call("confirm.select")
        ch.publish("", full, "c")
        assert ch.expect_confirms(1) == {1: "nack"}
        ch.get(full)
        ch.publish("", full, "d")
        assert ch.expect_confirms(2) == {2: "ack"}
        assert not exists(ch, leased)
