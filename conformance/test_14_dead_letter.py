"""Dead-lettering: why a message went, where it goes, and what its headers tell of it.

Leveret writes ``x-last-death-*`` too, which RabbitMQ has since 3.13; where a test compares all
headers it takes them off first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from conformance.brokers import Broker
from conformance.channel import Channel, Content
from conformance.conftest import Target
from conformance.wire import Connection

Declare = Callable[..., str]
Name = Callable[[str], str]


def dead_lettering(ch: Channel, name: Name, exchange: str, key: str | None, **args: Any) -> str:
    """A durable queue with a dead-letter exchange; ``_`` stands for ``-`` in its arguments."""
    given = {f"x-{word.replace('_', '-')}": value for word, value in args.items()}
    given["x-dead-letter-exchange"] = exchange
    if key is not None:
        given["x-dead-letter-routing-key"] = key
    return ch.declare(name("q"), durable=True, arguments=given)


def durable(ch: Channel, name: Name) -> str:
    """An ordinary durable queue."""
    return ch.declare(name("dead"), durable=True)


def to_queue(ch: Channel, name: Name, **args: Any) -> tuple[str, str]:
    """A queue that dead-letters straight to another, and that other."""
    dead = durable(ch, name)
    return dead_lettering(ch, name, "", dead, **args), dead


def reader(ch: Channel, queue: str) -> Channel:
    """A channel apart that consumes the queue."""
    apart = ch.connection.channel(50)
    apart.consume(queue, no_ack=True)
    return apart


def reject(ch: Channel, queue: str) -> Content:
    """Get the next message and reject it."""
    content = ch.get(queue, no_ack=False)
    ch.send("basic.reject", delivery_tag=content["delivery_tag"], requeue=False)
    return content


def wait_for(ch: Channel, queue: str, count: int) -> None:
    """Return when so many messages are ready."""
    deadline = time.monotonic() + 10
    while ch.counts(queue)[0] < count:
        assert time.monotonic() < deadline, ch.counts(queue)
        time.sleep(0.02)


def deaths(letter: Content) -> list[dict[str, Any]]:
    """The x-death entries as plain values, without their time, which must be there."""
    entries = []
    for field in letter.headers["x-death"]["A"]:
        entry = {key: next(iter(value.values())) for key, value in field["F"].items()}
        assert abs(entry.pop("time") - time.time()) < 3600
        entry["routing-keys"] = [key["S"] for key in entry["routing-keys"]]
        entries.append(entry)
    return entries


def trail(letter: Content) -> list[tuple[str, str, int]]:
    """Queue, reason and count of each death, the newest first."""
    return [(death["queue"], death["reason"], death["count"]) for death in deaths(letter)]


def own_headers(letter: Content) -> dict[str, Any]:
    """The headers that are not about deaths."""
    return {key: value for key, value in letter.headers.items() if "-death" not in key}


# -- why


def die_rejected(ch: Channel, queue: str) -> None:
    """basic.reject without requeue."""
    ch.fill(queue, "m")
    reject(ch, queue)


def die_nacked(ch: Channel, queue: str) -> None:
    """basic.nack without requeue."""
    ch.fill(queue, "m")
    tag = ch.get(queue, no_ack=False)["delivery_tag"]
    ch.send("basic.nack", delivery_tag=tag, multiple=True, requeue=False)


def die_expired(ch: Channel, queue: str) -> None:
    """An expiration of its own."""
    ch.fill(queue, "m", expiration="20")


def die_of_length(ch: Channel, queue: str) -> None:
    """A younger message above the limit."""
    ch.fill(queue, "m", "n")


def die_of_deliveries(ch: Channel, queue: str) -> None:
    """Returned more often than a quorum queue allows."""
    ch.fill(queue, "m")
    for _ in range(2):
        tag = ch.get(queue, no_ack=False)["delivery_tag"]
        ch.send("basic.reject", delivery_tag=tag, requeue=True)
        ch.sync()


@pytest.mark.parametrize(
    ("reason", "die", "arguments"),
    [
        ("rejected", die_rejected, {}),
        ("rejected", die_rejected, {"queue_type": "quorum"}),
        ("rejected", die_nacked, {}),
        ("expired", die_expired, {}),
        ("expired", die_expired, {"queue_type": "quorum"}),
        ("maxlen", die_of_length, {"max_length": 1}),
        ("maxlen", die_of_length, {"max_length": 1, "queue_type": "quorum"}),
        ("delivery_limit", die_of_deliveries, {"queue_type": "quorum", "delivery_limit": 1}),
    ],
)
def test_reasons(
    ch: Channel, name: Name, reason: str, die: Callable[[Channel, str], None], arguments: Any
) -> None:
    """Each reason is told in x-death and in x-first-death-*."""
    queue, dead = to_queue(ch, name, **arguments)
    dead_letters = reader(ch, dead)
    die(ch, queue)
    letter = dead_letters.expect_content("basic.deliver", "m", exchange="", routing_key=dead)
    assert not letter["redelivered"]
    entry = deaths(letter)[0]
    if die is die_expired:
        assert entry.pop("original-expiration") == "20"
    assert entry == {
        "count": 1, "reason": reason, "queue": queue, "exchange": "", "routing-keys": [queue],
    }  # fmt: skip
    for key, value in (("reason", reason), ("queue", queue), ("exchange", "")):
        assert letter.headers[f"x-first-death-{key}"] == {"S": value}
        last = letter.headers.get(f"x-last-death-{key}", {"S": value})
        assert last == {"S": value}
    assert own_headers(letter) == {}


def test_properties_stay(ch: Channel, name: Name) -> None:
    """All but the expiration stays as the publisher wrote it."""
    queue, dead = to_queue(ch, name)
    props: dict[str, Any] = {
        "content_type": "a/b", "delivery_mode": 2, "priority": 7, "correlation_id": "c",
        "reply_to": "r", "message_id": "i", "timestamp": 1, "type": "t", "app_id": "a",
    }  # fmt: skip
    headers = {"n": {"s": 5}, "t": {"F": {"x": {"V": None}}}}
    ch.fill(queue, "m", headers=headers, expiration="30", **props)
    letter = reader(ch, dead).expect_content("basic.deliver", "m")
    assert own_headers(letter) == headers
    assert {key: value for key, value in letter.props.items() if key != "headers"} == props


# -- where


def test_own_routing_key(ch: Channel, name: Name, exchange: Declare) -> None:
    """Without x-dead-letter-routing-key the letter keeps its key."""
    direct = exchange()
    queue, dead = dead_lettering(ch, name, direct, None), durable(ch, name)
    ch.bind(dead, direct, queue)
    ch.fill(queue, "m")
    reject(ch, queue)
    reader(ch, dead).expect_content("basic.deliver", "m", exchange=direct, routing_key=queue)


def test_own_key_to_own_queue(ch: Channel, name: Name) -> None:
    """The default exchange as dead-letter exchange leads a rejected message back to its queue."""
    queue = dead_lettering(ch, name, "", None)
    ch.fill(queue, "m")
    for n in (1, 2, 3):
        reject(ch, queue)
        wait_for(ch, queue, 1)
        assert trail(ch.get(queue, no_ack=False)) == [(queue, "rejected", n)]
        ch.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
        ch.sync()


def test_missing_exchange(ch: Channel, name: Name, exchange: Declare) -> None:
    """A message whose dead-letter exchange is missing is gone; one declared later is found."""
    fanout = exchange("fanout")
    ch.call("exchange.delete", exchange=fanout)
    queue, dead = dead_lettering(ch, name, fanout, None), durable(ch, name)
    ch.fill(queue, "gone", "found")
    reject(ch, queue)
    ch.sync()
    ch.call("exchange.declare", exchange=fanout, exchange_type="fanout")
    ch.bind(dead, fanout)
    reject(ch, queue)
    reader(ch, dead).expect_content("basic.deliver", "found")


def test_unroutable(ch: Channel, name: Name, exchange: Declare) -> None:
    """Where no binding fits, the alternate exchange of the dead-letter exchange gets it."""
    fanout = exchange("fanout")
    lossy, careful = exchange(), exchange(arguments={"alternate-exchange": fanout})
    dead = durable(ch, name)
    ch.bind(dead, fanout)
    for one in (lossy, careful):
        queue = dead_lettering(ch, name, one, None)
        ch.fill(queue, one)
        reject(ch, queue)
    letter = reader(ch, dead).expect_content("basic.deliver", careful, exchange=careful)
    assert len(deaths(letter)) == 1


def test_internal_exchange(ch: Channel, name: Name, exchange: Declare) -> None:
    """An exchange nobody may publish to takes dead letters."""
    internal = exchange("fanout", internal=True)
    queue, dead = dead_lettering(ch, name, internal, None), durable(ch, name)
    ch.bind(dead, internal)
    ch.fill(queue, "m")
    reject(ch, queue)
    reader(ch, dead).expect_content("basic.deliver", "m")


def test_carbon_copies(ch: Channel, name: Name, exchange: Declare) -> None:
    """CC and BCC route the letter as well, again and again; x-death never lists the keys of BCC."""
    direct = exchange()
    queue = dead_lettering(ch, name, direct, None)
    copies = {key: ch.declare(name(key)) for key in (queue, "cc", "bcc")}
    for key, copy in copies.items():
        ch.bind(copy, direct, key)
    ch.fill(queue, "m", headers={"CC": ["cc"], "BCC": ["bcc"]})
    reject(ch, queue)
    wait_for(ch, copies[queue], 1)
    letter = ch.get(copies["cc"], routing_key=queue)
    assert deaths(letter)[0]["routing-keys"] == [queue, "cc"]
    assert own_headers(letter) == {"CC": {"A": [{"S": "cc"}]}}
    assert own_headers(ch.get(copies["bcc"], routing_key=queue)) == {"CC": {"A": [{"S": "cc"}]}}


def test_blind_copies_of_letters(ch: Channel, name: Name, exchange: Declare) -> None:
    """A letter that dies once more is still routed by BCC, until a queue has its own key."""
    first, second = exchange(), exchange()
    queue = dead_lettering(ch, name, first, None)
    between = dead_lettering(ch, name, second, None)
    last = ch.declare(name("last"))
    for source, destination in ((first, between), (second, last)):
        ch.bind(destination, source, "bcc")
    ch.fill(queue, "m", headers={"BCC": ["bcc"]})
    reject(ch, queue)
    wait_for(ch, between, 1)
    reject(ch, between)
    wait_for(ch, last, 1)
    assert deaths(ch.get(last, routing_key=queue))[0]["routing-keys"] == [queue]


def test_carbon_copies_with_own_key(ch: Channel, name: Name, exchange: Declare) -> None:
    """With x-dead-letter-routing-key CC is neither followed nor kept, only told in x-death."""
    direct = exchange()
    queue = dead_lettering(ch, name, direct, "own")
    copies = {key: ch.declare(name(key)) for key in (queue, "cc", "bcc", "own")}
    for key, copy in copies.items():
        ch.bind(copy, direct, key)
    ch.fill(queue, "m", headers={"CC": ["cc"], "BCC": ["bcc"], "a": "b"})
    reject(ch, queue)
    wait_for(ch, copies["own"], 1)
    letter = ch.get(copies["own"], routing_key="own")
    assert deaths(letter)[0]["routing-keys"] == [queue, "cc"]
    assert own_headers(letter) == {"a": {"S": "b"}}
    for key in (queue, "cc", "bcc"):
        ch.get_empty(copies[key])


def test_into_a_full_queue(ch: Channel, name: Name) -> None:
    """A queue with reject-publish takes no dead letters above its limit either."""
    dead = ch.declare(name("dead"), arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    queue = dead_lettering(ch, name, "", dead)
    ch.fill(queue, *"abcd")
    for _ in range(4):
        reject(ch, queue)
    ch.get_empty(queue)
    wait_for(ch, dead, 2)
    time.sleep(0.1)
    assert ch.drain(dead) == ["a", "b"]


def test_overflow_upon_overflow(ch: Channel, name: Name) -> None:
    """A queue of dead letters with a limit dead-letters its own overflow."""
    last = durable(ch, name)
    middle = dead_lettering(ch, name, "", last, max_length=1)
    first = dead_lettering(ch, name, "", middle, max_length=1)
    letters = reader(ch, last)
    ch.fill(first, *"abcd")
    got = letters.deliveries(2)
    assert [letter.text for letter in got] == ["a", "b"]
    assert trail(got[0]) == [(middle, "maxlen", 1), (first, "maxlen", 1)]
    assert (ch.drain(middle), ch.drain(first)) == (["c"], ["d"])


# -- how often


def test_hops(broker: Target, ch: Channel, name: Name) -> None:
    """Each hop adds an entry on top; the first death stays told.

    RabbitMQ 3.10 reverses the older entries at each hop, Leveret keeps the newest first.
    """
    last = durable(ch, name)
    third = dead_lettering(ch, name, "", last, max_length=0)
    second = dead_lettering(ch, name, "", third, message_ttl=20)
    first = dead_lettering(ch, name, "", second)
    letters = reader(ch, last)
    ch.fill(first, "m", expiration="60000")
    reject(ch, first)
    letter = letters.expect_content("basic.deliver", "m")
    newest, *older = trail(letter)
    assert newest == (third, "maxlen", 1)
    assert broker.is_rabbitmq or older == [(second, "expired", 1), (first, "rejected", 1)]
    assert sorted(older) == sorted([(second, "expired", 1), (first, "rejected", 1)])
    assert all(entry["routing-keys"] == [entry["queue"]] for entry in deaths(letter))
    expirations = {entry["queue"]: entry.get("original-expiration") for entry in deaths(letter)}
    assert expirations == {third: None, second: None, first: "60000"}
    assert letter.headers["x-first-death-queue"] == {"S": first}
    assert letter.headers["x-first-death-reason"] == {"S": "rejected"}
    assert letter.headers.get("x-last-death-queue", {"S": third}) == {"S": third}
    assert "expiration" not in letter.props


def test_retry_loop(ch: Channel, name: Name) -> None:
    """Work queue, rejection, wait queue, and back: counts grow, the newest death is on top."""
    work, wait = name("work"), name("wait")
    for queue, target, more in ((work, wait, {}), (wait, work, {"x-message-ttl": 20})):
        ch.declare(queue, arguments={
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": target, **more,
        })  # fmt: skip
    worker = ch.connection.channel(2)
    worker.consume(work)
    ch.publish("", work, "m")
    worker.expect_content("basic.deliver", "m", delivery_tag=1)
    for n in range(1, 6):
        worker.send("basic.reject", delivery_tag=n, requeue=False)
        letter = worker.expect_content("basic.deliver", "m", delivery_tag=n + 1)
        assert trail(letter) == [(wait, "expired", n), (work, "rejected", n)]
        assert letter.headers["x-first-death-queue"] == {"S": work}


def test_two_reasons_in_one_queue(ch: Channel, name: Name) -> None:
    """A queue has an entry for each reason."""
    queue = dead_lettering(ch, name, "", None)
    ch.fill(queue, "m")
    reject(ch, queue)
    wait_for(ch, queue, 1)
    second, dead = to_queue(ch, name)
    letter = ch.get(queue)
    ch.publish("", second, "m", headers=letter.headers, expiration="0")
    letter = reader(ch, dead).expect_content("basic.deliver", "m")
    assert trail(letter) == [(second, "expired", 1), (queue, "rejected", 1)]


def test_published_x_death_is_counted_on(ch: Channel, name: Name) -> None:
    """A client that publishes what it got, headers and all, counts its retries this way."""
    queue, dead = to_queue(ch, name)
    letters = reader(ch, dead)
    headers: dict[str, Any] = {}
    for n in (1, 2, 3):
        ch.publish("", queue, "m", headers=headers)
        ch.sync()
        reject(ch, queue)
        letter = letters.expect_content("basic.deliver", "m")
        assert trail(letter) == [(queue, "rejected", n)]
        headers = letter.headers


@pytest.mark.parametrize("hops", [1, 2])
def test_cycle_without_rejection_ends(ch: Channel, name: Name, hops: int) -> None:
    """A message that came back by expiry alone is dropped instead of going round for ever."""
    queues = [name(f"cycle-{n}") for n in range(hops)]
    for n, queue in enumerate(queues):
        ch.declare(queue, arguments={
            "x-message-ttl": 20, "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": queues[(n + 1) % hops],
        })  # fmt: skip
    ch.fill(queues[0], "m")
    time.sleep(0.2)
    assert [ch.counts(queue) for queue in queues] == [(0, 0)] * hops
    time.sleep(0.1)
    assert [ch.drain(queue) for queue in queues] == [[]] * hops


def test_cycle_is_cut_for_one_queue(ch: Channel, name: Name, exchange: Declare) -> None:
    """Where a letter goes to several queues, only the one it came from is left out."""
    fanout = exchange("fanout")
    queue, dead = dead_lettering(ch, name, fanout, None, message_ttl=20), durable(ch, name)
    for one in (queue, dead):
        ch.bind(one, fanout)
    letters = reader(ch, dead)
    ch.fill(queue, "m")
    assert trail(letters.expect_content("basic.deliver", "m")) == [(queue, "expired", 1)]
    letters.sync()
    ch.get_empty(queue)


# -- what does not dead-letter


def test_open_transaction(ch: Channel, name: Name) -> None:
    """A rejection in a transaction dead-letters at the commit, not before, nor after a rollback."""
    queue, dead = to_queue(ch, name)
    ch.fill(queue, "m")
    ch.call("tx.select")
    tag = reject(ch, queue)["delivery_tag"]
    ch.call("tx.rollback")
    ch.get_empty(dead)
    ch.send("basic.reject", delivery_tag=tag, requeue=False)
    ch.sync()
    ch.get_empty(dead)
    ch.call("tx.commit")
    reader(ch, dead).expect_content("basic.deliver", "m")


def test_deleted_queue(ch: Channel, name: Name) -> None:
    """What is rejected after its queue was deleted is gone."""
    queue, dead = to_queue(ch, name)
    ch.fill(queue, "m")
    tag = ch.get(queue, no_ack=False)["delivery_tag"]
    ch.call("queue.delete", queue=queue)
    ch.send("basic.reject", delivery_tag=tag, requeue=False)
    ch.sync()
    ch.get_empty(dead)


# -- restarts


def test_after_a_kill(restartable: Broker) -> None:
    """Letters keep their x-death over a restart, and go on being counted."""
    names = iter(f"q-{n}" for n in range(100))

    def named(_: str) -> str:
        return next(names)

    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        last = durable(ch, named)
        wait = dead_lettering(ch, named, "", last, message_ttl=1000)
        work = dead_lettering(ch, named, "", wait)
        loop = dead_lettering(ch, named, "", None)
        bulk, dead = to_queue(ch, named)
        ch.fill(work, "m", delivery_mode=2, expiration="60000")
        ch.fill(loop, "m", delivery_mode=2)
        ch.fill(bulk, *map(str, range(500)), delivery_mode=2)
        for queue in (work, loop):
            reject(ch, queue)
        for _ in range(500):
            ch.get(bulk, no_ack=False)
        ch.send("basic.nack", delivery_tag=0, multiple=True, requeue=False)
        wait_for(ch, dead, 500)
        wait_for(ch, loop, 1)
        time.sleep(0.4)
        restartable.kill()
        connection.drop()
    restartable.start()
    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        letter = reader(ch, last).expect_content("basic.deliver", "m")
        assert trail(letter) == [(wait, "expired", 1), (work, "rejected", 1)]
        assert deaths(letter)[1]["original-expiration"] == "60000"
        assert letter.headers["x-first-death-queue"] == {"S": work}
        assert trail(reject(ch, loop)) == [(loop, "rejected", 1)]
        wait_for(ch, loop, 1)
        assert trail(ch.get(loop)) == [(loop, "rejected", 2)]
        assert ch.drain(dead) == [str(n) for n in range(500)]
        assert ch.drain(bulk) == []
