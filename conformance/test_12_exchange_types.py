"""The exchange types RabbitMQ ships as plugins: hashes, chance, recent history, federation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.brokers import Broker
from conformance.channel import Channel
from conformance.conftest import Target
from conformance.wire import Connection

Declare = Callable[..., str]
Name = Callable[[str], str]
HASHES = ("x-consistent-hash", "x-modulus-hash")


def spread(ch: Channel, exchange: str, queues: list[str], keys: list[str]) -> dict[str, str]:
    """Publish a message under each key; which queue got it, and no other did."""
    for key in keys:
        ch.publish(exchange, key, key)
    ch.sync()
    found = [(key, queue) for queue in queues for key in ch.drain(queue)]
    assert sorted(key for key, _ in found) == sorted(keys), "lost or doubled"
    return dict(found)


def bound(ch: Channel, name: Name, exchange: str, *keys: str) -> list[str]:
    """A queue bound with each key."""
    queues = [ch.declare(name("q")) for _ in keys]
    for queue, key in zip(queues, keys, strict=True):
        ch.bind(queue, exchange, key)
    return queues


def refused_binding(ch: Channel, exchange: str, queue: str, key: str) -> str:
    """The text with which a binding key is refused."""
    ch.send("queue.bind", queue=queue, exchange=exchange, routing_key=key)
    text = ch.expect_closed_with(406)
    ch.reopen()
    return text.removeprefix("PRECONDITION_FAILED - ")


def refused_declare(ch: Channel, kind: str, arguments: dict[str, Any], code: int = 406) -> str:
    """The text with which an exchange is refused."""
    ch.send("exchange.declare", exchange="refused", exchange_type=kind, arguments=arguments)
    text = ch.expect_closed_with(code)
    ch.reopen()
    return text.removeprefix("PRECONDITION_FAILED - ")


# -- hashes


def test_consistent_hash_follows_the_weights(ch: Channel, exchange: Declare, name: Name) -> None:
    """The binding key is the weight: twice the weight gets twice as many keys."""
    hashing = exchange("x-consistent-hash")
    queues = bound(ch, name, hashing, "1", "2", "1")
    got = spread(ch, hashing, queues, [f"key{n}" for n in range(4000)])
    counts = [list(got.values()).count(queue) for queue in queues]
    for count, share in zip(counts, (1000, 2000, 1000), strict=True):
        assert abs(count - share) < 0.15 * share, counts


@pytest.mark.parametrize("kind", HASHES)
def test_hash_sticks(ch: Channel, exchange: Declare, name: Name, kind: str) -> None:
    """The same key goes to the same queue, however often, and keys do not all go to one."""
    hashing = exchange(kind)
    queues = bound(ch, name, hashing, "1", "1", "1")
    keys = [f"key{n}" for n in range(100)]
    once, again = spread(ch, hashing, queues, keys), spread(ch, hashing, queues, keys)
    assert once == again
    assert set(once.values()) == set(queues)


@pytest.mark.parametrize("kind", HASHES)
def test_hash_without_bindings(ch: Channel, exchange: Declare, kind: str) -> None:
    """Nothing is bound, so a mandatory message comes back."""
    ch.publish(exchange(kind), "key", "m", mandatory=True)
    ch.expect_content("basic.return", "m", reply_code=312)


def test_consistent_hash_moves_little(ch: Channel, exchange: Declare, name: Name) -> None:
    """What a new queue takes comes from all; the other keys stay, and return when it goes."""
    hashing = exchange("x-consistent-hash")
    keys = [f"key{n}" for n in range(600)]
    queues = bound(ch, name, hashing, "1", "1", "1")
    before = spread(ch, hashing, queues, keys)
    [new] = bound(ch, name, hashing, "1")
    after = spread(ch, hashing, [*queues, new], keys)
    moved = {key for key in keys if before[key] != after[key]}
    assert {after[key] for key in moved} == {new}
    assert 75 < len(moved) < 225, len(moved)
    ch.call("queue.unbind", queue=new, exchange=hashing, routing_key="1")
    assert spread(ch, hashing, queues, keys) == before


def test_consistent_hash_bound_twice(ch: Channel, exchange: Declare, name: Name) -> None:
    """A queue bound with two weights gets each message once, by its first weight."""
    hashing = exchange("x-consistent-hash")
    first, other = bound(ch, name, hashing, "1", "1")
    ch.bind(first, hashing, "50")
    got = spread(ch, hashing, [first, other], [f"key{n}" for n in range(1000)])
    assert 350 < list(got.values()).count(first) < 650


def test_consistent_hash_weights(ch: Channel, exchange: Declare, queue: str) -> None:
    """A weight is an integer from 1 on, with or without a sign."""
    hashing = exchange("x-consistent-hash")
    for key in ("1", "+2", "007"):
        ch.bind(queue, hashing, key)
    for key, shown in {
        "": "<<>>", "abc": '<<"abc">>', "1.5": '<<"1.5">>', " 1": '<<" 1">>', "1 ": '<<"1 ">>',
        'a"b\\': '<<"a\\"b\\\\">>',
    }.items():  # fmt: skip
        text = f"The binding key must be an integer: {shown}"
        assert refused_binding(ch, hashing, queue, key) == text
    for key in ("0", "-1", "-0"):
        text = "The binding key must be greater than 0"
        assert refused_binding(ch, hashing, queue, key) == text


@pytest.mark.parametrize(
    ("argument", "props"),
    [
        ({"hash-header": "h"}, lambda n: {"headers": {"h": f"v{n}"}}),
        ({"hash-header": "h"}, lambda n: {"headers": {"h": n}}),
        ({"hash-property": "message_id"}, lambda n: {"message_id": f"v{n}"}),
        ({"hash-property": "correlation_id"}, lambda n: {"correlation_id": f"v{n}"}),
        ({"hash-property": "timestamp"}, lambda n: {"timestamp": n}),
    ],
)
def test_consistent_hash_of_other_things(
    ch: Channel,
    exchange: Declare,
    name: Name,
    argument: dict[str, str],
    props: Callable[[int], dict[str, Any]],
) -> None:
    """A header or a property decides instead of the key; without it all messages are alike."""
    hashing = exchange("x-consistent-hash", arguments=argument)
    queues = bound(ch, name, hashing, "1", "1")
    for _ in range(2):
        for n in range(50):
            ch.publish(hashing, f"key{n}", str(n), **props(n))
    ch.sync()
    drained = [ch.drain(queue) for queue in queues]
    assert all(drained)
    assert not set(drained[0]) & set(drained[1])
    assert all(bodies.count(body) == 2 for bodies in drained for body in bodies)
    for n in range(20):
        ch.publish(hashing, f"key{n}", str(n))
    ch.sync()
    assert sorted(len(ch.drain(queue)) for queue in queues) == [0, 20]


def test_consistent_hash_arguments(ch: Channel) -> None:
    """A header and a property exclude each other, and three properties can be hashed."""
    both = {"hash-header": "h", "hash-property": "message_id"}
    text = "hash-header and hash-property are mutually exclusive"
    assert refused_declare(ch, "x-consistent-hash", both) == text
    text = "Unsupported property: app_id"
    assert refused_declare(ch, "x-consistent-hash", {"hash-property": "app_id"}) == text


def test_hash_takes_the_routing_key_not_cc(ch: Channel, exchange: Declare, name: Name) -> None:
    """Keys that CC adds change nothing: a message goes to one queue."""
    hashing = exchange("x-consistent-hash")
    queues = bound(ch, name, hashing, "1", "1", "1")
    for n in range(30):
        ch.publish(hashing, "key", "m", headers={"CC": [f"key{n}"]})
    ch.sync()
    assert sorted(len(ch.drain(queue)) for queue in queues) == [0, 0, 30]


# -- chance


def test_random(ch: Channel, exchange: Declare, name: Name) -> None:
    """Each message goes to one queue, any of them, whatever the keys."""
    random = exchange("x-random")
    queues = bound(ch, name, random, "a", "", "c")
    for key in ("a", "b"):
        for _ in range(300):
            ch.publish(random, key, "m")
    ch.sync()
    counts = [len(ch.drain(queue)) for queue in queues]
    assert sum(counts) == 600
    assert min(counts) > 100, counts


def test_random_follows_bindings(ch: Channel, exchange: Declare, name: Name) -> None:
    """A queue that was unbound gets nothing more; without bindings a message is unroutable."""
    random = exchange("x-random")
    gone, left = bound(ch, name, random, "a", "a")
    ch.call("queue.unbind", queue=gone, exchange=random, routing_key="a")
    for _ in range(20):
        ch.publish(random, "a", "m")
    ch.sync()
    assert (len(ch.drain(gone)), len(ch.drain(left))) == (0, 20)
    ch.call("queue.unbind", queue=left, exchange=random, routing_key="a")
    ch.publish(random, "a", "m", mandatory=True)
    ch.expect_content("basic.return", "m", reply_code=312)


def test_local_random(ch: Channel, broker: Target, exchange: Declare, name: Name) -> None:
    """As x-random, for classic queues that are bound with an empty key."""
    if broker.is_rabbitmq:
        pytest.skip("RabbitMQ has it since 4.0")
    random = exchange("x-local-random")
    queues = bound(ch, name, random, "", "")
    for n in range(200):
        ch.publish(random, f"key{n}", "m")
    ch.sync()
    counts = [len(ch.drain(queue)) for queue in queues]
    assert sum(counts) == 200
    assert min(counts) > 50, counts
    text = "Non empty binding 'k' key not permitted"
    assert refused_binding(ch, random, queues[0], "k") == text
    quorum = ch.declare(name("q"), durable=True, arguments={"x-queue-type": "quorum"})
    text = "Queue type rabbit_quorum_queue not valid for this exchange type"
    assert refused_binding(ch, random, quorum, "") == text


# -- recent history


def test_recent_history(ch: Channel, exchange: Declare, name: Name) -> None:
    """All bindings get a message; a new one gets the last 20, oldest first, whatever the key."""
    history = exchange("x-recent-history")
    [early] = bound(ch, name, history, "early")
    numbers = [str(n) for n in range(25)]
    for number in numbers:
        ch.publish(history, f"key{number}", number, message_id=number)
    ch.sync()
    assert ch.drain(early) == numbers
    [late] = bound(ch, name, history, "late")
    first = ch.get(late, exchange=history, routing_key="key5", redelivered=False)
    assert first.props == {"message_id": "5"}
    assert ch.drain(late) == numbers[6:]
    ch.bind(late, history, "late")
    assert ch.drain(late) == []
    ch.bind(late, history, "again")
    assert ch.drain(late) == numbers[5:]


def test_recent_history_is_not_routing(ch: Channel, exchange: Declare) -> None:
    """A message that only the history keeps is unroutable."""
    ch.publish(exchange("x-recent-history"), "k", "m", mandatory=True)
    ch.expect_content("basic.return", "m", reply_code=312)


def test_recent_history_leaves_out(ch: Channel, exchange: Declare, name: Name) -> None:
    """The no-store header keeps a message out of the history if it is true, and only then."""
    history = exchange("x-recent-history", arguments={"x-recent-history-length": 3})
    for body, header in (("a", True), ("b", False), ("c", "true"), ("d", 1), ("e", True)):
        ch.publish(history, "k", body, headers={"x-recent-history-no-store": header})
    [queue] = bound(ch, name, history, "")
    assert ch.drain(queue) == ["b", "c", "d"]


def test_recent_history_once_a_message(ch: Channel, exchange: Declare, name: Name) -> None:
    """A message with several keys is one message of the history."""
    history = exchange("x-recent-history")
    ch.publish(history, "a", "m", headers={"CC": ["b", "c"]})
    [queue] = bound(ch, name, history, "")
    assert ch.drain(queue) == ["m"]


def test_recent_history_through_an_exchange(ch: Channel, exchange: Declare, name: Name) -> None:
    """A new binding to an exchange passes the history on to where that routes it."""
    history, direct = exchange("x-recent-history"), exchange("direct")
    [queue] = bound(ch, name, direct, "k")
    ch.publish(history, "k", "m")
    ch.call("exchange.bind", destination=direct, source=history, routing_key="")
    assert ch.drain(queue) == ["m"]


@pytest.mark.parametrize(
    ("length", "shown"), [("a", '<<"a">>'), (0, "0"), (-1, "-1"), (True, "true")]
)
def test_recent_history_length(ch: Channel, length: object, shown: str) -> None:
    """The length is a positive integer."""
    text = f"Invalid argument {shown}, 'x-recent-history-length' must be a positive integer"
    arguments = {"x-recent-history-length": length}
    assert refused_declare(ch, "x-recent-history", arguments) == text


def test_recent_history_outlives_a_restart(restartable: Broker, target: Target) -> None:
    """A durable exchange keeps the persistent messages of its history, even if it is killed."""
    if target.is_rabbitmq:
        pytest.skip("RabbitMQ forgets the history")
    with Connection(restartable.url) as connection:
        ch = connection.channel()
        ch.call(
            "exchange.declare", exchange="h", exchange_type="x-recent-history", durable=True,
            arguments={"x-recent-history-length": 2},
        )  # fmt: skip
        ch.call("confirm.select")
        for n, mode in enumerate((2, 2, 2, 1), start=1):
            ch.publish("h", "k", str(n), delivery_mode=mode)
        ch.expect_confirms(1, 2, 3, 4)
    restartable.kill()
    restartable.start()
    with Connection(restartable.url) as connection:
        ch = connection.channel()
        ch.declare("late")
        ch.bind("late", "h", "")
        assert ch.drain("late") == ["3"]


# -- federation, and what all share


def test_federation_upstream(ch: Channel, exchange: Declare, name: Name) -> None:
    """A fanout that holds back what has come too far or was at the downstream already."""
    assert refused_declare(ch, "x-federation-upstream", {}) == "Argument x-max-hops missing"
    text = "Argument x-max-hops must be of type long"
    assert refused_declare(ch, "x-federation-upstream", {"x-max-hops": {"s": 1}}) == text
    upstream = exchange(
        "x-federation-upstream",
        arguments={
            "x-max-hops": {"l": 2}, "x-downstream-name": "down", "x-downstream-vhost": "/",
        },
    )  # fmt: skip
    [queue] = bound(ch, name, upstream, "any")
    here = {"cluster-name": "down", "vhost": "/"}
    there = {"cluster-name": "other", "vhost": "/"}
    for body, received in (("0", []), ("1", [there]), ("2", [there, there]), ("back", [here])):
        ch.publish(upstream, "k", body, headers={"x-received-from": received})
    ch.publish(upstream, "k", "none")
    ch.sync()
    assert ch.drain(queue) == ["0", "1", "none"]


def test_one_key_of_several_is_enough(ch: Channel, exchange: Declare, name: Name) -> None:
    """The alternate exchange gets a message only if none of its keys leads anywhere."""
    fallback = exchange("fanout")
    direct = exchange("direct", arguments={"alternate-exchange": fallback})
    [queue], [other] = bound(ch, name, direct, "k"), bound(ch, name, fallback, "")
    ch.publish(direct, "nowhere", "m", headers={"CC": ["k"]})
    ch.publish(direct, "nowhere", "lost", headers={"CC": ["neither"]})
    ch.sync()
    assert (ch.drain(queue), ch.drain(other)) == (["m"], ["lost"])
