"""Delayed messages and deduplication, as the plugins know them that RabbitMQ does not ship."""

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
LONG_MS = 1 << 33  # some 99 days
DEDUPLICATE = {"x-message-deduplication": True}


@pytest.fixture(autouse=True)
def known(broker: Target) -> None:
    """Debian's RabbitMQ has neither plugin."""
    if broker.is_rabbitmq:
        pytest.skip("RabbitMQ has no such exchange type without a plugin")


def delayed(exchange: Declare, kind: str = "direct", **arguments: Any) -> str:
    """A delayed message exchange that routes as ``kind``."""
    return exchange("x-delayed-message", arguments={"x-delayed-type": kind, **arguments})


def bound(ch: Channel, name: Name, exchange: str, key: str = "", **args: Any) -> str:
    """A queue bound with this key."""
    queue = ch.declare(name("q"), **args)
    ch.bind(queue, exchange, key)
    return queue


def refused(ch: Channel, kind: str, arguments: dict[str, Any]) -> str:
    """The text with which an exchange is refused."""
    ch.send("exchange.declare", exchange="refused", exchange_type=kind, arguments=arguments)
    text = ch.expect_closed_with(406)
    ch.reopen()
    return text.removeprefix("PRECONDITION_FAILED - ")


# -- delayed


def test_delayed_messages_come_when_due(ch: Channel, exchange: Declare, name: Name) -> None:
    """The order is that of the due times, not of publishing; nobody need do anything for it."""
    later = delayed(exchange)
    ch.consume(bound(ch, name, later, "k"), no_ack=True)
    for delay in (150, 50, 100, 0):
        ch.publish(later, "k", str(delay), headers={"x-delay": delay, "h": "v"})
    ch.expect_content("basic.deliver", "0")
    for delay in (50, 100, 150):
        content = ch.expect_content("basic.deliver", str(delay), exchange=later, routing_key="k")
        assert content.headers == {"x-delay": {"I": -delay}, "h": {"S": "v"}}


@pytest.mark.parametrize(
    "delay",
    [{"b": 1}, {"B": 1}, {"s": 1}, {"u": 1}, {"I": 1}, {"i": 1}, {"l": 1}, "1", "+1", {"d": 1.9}],
)
def test_what_says_a_delay(ch: Channel, exchange: Declare, name: Name, delay: object) -> None:
    """Any integer, a number as text, a float: what comes out tells that it was delayed."""
    later = delayed(exchange)
    ch.consume(bound(ch, name, later, "k"), no_ack=True)
    ch.publish(later, "k", "m", headers={"x-delay": delay})
    assert ch.expect_content("basic.deliver", "m").headers == {"x-delay": {"I": -1}}


@pytest.mark.parametrize(
    "delay",
    [{"I": 0}, {"b": -50}, {"S": ""}, {"S": "soon"}, {"S": "1.5"}, {"S": " 1"}, {"t": True},
     {"V": None}, {"T": 50}, {"A": [{"I": 50}]}],
)  # fmt: skip
def test_what_says_no_delay(ch: Channel, exchange: Declare, name: Name, delay: object) -> None:
    """A message goes at once if its delay is not above 0 or is no number, and stays as it is."""
    later = delayed(exchange)
    queue = bound(ch, name, later, "k")
    ch.publish(later, "k", "m", headers={"x-delay": delay})
    ch.sync()
    assert ch.get(queue).headers == {"x-delay": delay}


@pytest.mark.parametrize("delay", [{"l": LONG_MS}, {"l": (1 << 63) - 1}, "9" * 30, {"d": 1e300}])
def test_long_delays(ch: Channel, exchange: Declare, name: Name, delay: object) -> None:
    """A delay above 49 days, which overflows 32 bits, does not fire early."""
    later = delayed(exchange)
    queue = bound(ch, name, later, "k")
    ch.publish(later, "k", "late", headers={"x-delay": delay})
    ch.publish(later, "k", "soon", headers={"x-delay": 30})
    ch.consume(queue, no_ack=True)
    ch.expect_content("basic.deliver", "soon")
    ch.sync()


@pytest.mark.parametrize(
    ("kind", "binding_key", "key"),
    [("direct", "a.b", "a.b"), ("fanout", "", "a.b"), ("topic", "a.*", "a.b"),
     ("x-consistent-hash", "1", "a.b"), ("x-random", "", "a.b"), ("x-modulus-hash", "", "a")],
)  # fmt: skip
def test_delayed_type(
    ch: Channel, exchange: Declare, name: Name, kind: str, binding_key: str, key: str
) -> None:
    """Any exchange type routes what is due, and what has no delay."""
    later = delayed(exchange, kind)
    ch.consume(bound(ch, name, later, binding_key), no_ack=True)
    ch.publish(later, key, "delayed", headers={"x-delay": 20})
    ch.publish(later, key, "at once")
    assert [content.text for content in ch.deliveries(2)] == ["at once", "delayed"]


def test_delayed_headers(ch: Channel, exchange: Declare, name: Name) -> None:
    """A delayed headers exchange looks at the headers when the message is due."""
    later = delayed(exchange, "headers")
    queue = ch.declare(name("q"))
    ch.bind(queue, later, "", arguments={"x-match": "all", "a": 1})
    ch.publish(later, "", "no", headers={"x-delay": 10, "a": 2})
    ch.publish(later, "", "yes", headers={"x-delay": 20, "a": 1})
    ch.consume(queue, no_ack=True)
    ch.expect_content("basic.deliver", "yes")


def test_delayed_recent_history(ch: Channel, exchange: Declare, name: Name) -> None:
    """The history behind a delay has what became due."""
    later = delayed(exchange, "x-recent-history")
    ch.consume(bound(ch, name, later), no_ack=True)
    ch.publish(later, "k", "m", headers={"x-delay": 10})
    ch.expect_content("basic.deliver", "m")
    assert ch.drain(bound(ch, name, later)) == ["m"]


def test_bindings_count_when_due(ch: Channel, exchange: Declare, name: Name) -> None:
    """Where a message goes is decided when it is due; if nowhere, it is dropped."""
    later = delayed(exchange)
    early, late = bound(ch, name, later, "k"), ch.declare(name("q"))
    ch.publish(later, "k", "m", headers={"x-delay": 400})
    ch.publish(later, "nowhere", "m", headers={"x-delay": 1})
    ch.sync()
    ch.call("queue.unbind", queue=early, exchange=later, routing_key="k")
    ch.bind(late, later, "k")
    ch.consume(late, no_ack=True)
    ch.expect_content("basic.deliver", "m")
    assert ch.drain(early) == []


def test_delayed_mandatory_and_confirms(ch: Channel, exchange: Declare) -> None:
    """A delayed message is confirmed when it is taken; a mandatory one is not returned then."""
    later = delayed(exchange)
    ch.call("confirm.select")
    ch.publish(later, "k", "m", mandatory=True, headers={"x-delay": 50}, delivery_mode=2)
    assert ch.expect_confirms(1) == {1: "ack"}
    ch.publish(later, "k", "m", mandatory=True)
    ch.expect_content("basic.return", "m", reply_code=312)


def test_delayed_transaction(ch: Channel, exchange: Declare, name: Name) -> None:
    """What is rolled back is never due."""
    later = delayed(exchange)
    queue = bound(ch, name, later, "k")
    ch.call("tx.select")
    ch.publish(later, "k", "back", headers={"x-delay": 1})
    ch.call("tx.rollback")
    ch.publish(later, "k", "done", headers={"x-delay": 30})
    ch.call("tx.commit")
    ch.consume(queue, no_ack=True)
    ch.expect_content("basic.deliver", "done")


def test_delayed_copies_and_alternate(ch: Channel, exchange: Declare, name: Name) -> None:
    """CC and BCC add keys, the alternate exchange takes what is unroutable, when it is due."""
    fallback = exchange("fanout")
    later = delayed(exchange, **{"alternate-exchange": fallback})
    queue, other = bound(ch, name, later, "cc"), bound(ch, name, fallback)
    ch.publish(later, "k", "cc", headers={"x-delay": 20, "CC": ["cc"]})
    ch.publish(later, "k", "bcc", headers={"x-delay": 20, "BCC": ["cc"]})
    ch.publish(later, "k", "lost", headers={"x-delay": 20})
    ch.consume(other, no_ack=True)
    ch.expect_content("basic.deliver", "lost")
    assert ch.drain(queue) == ["cc", "bcc"]


def test_dead_letters_wait(ch: Channel, exchange: Declare, name: Name) -> None:
    """A delayed exchange behind a queue delays dead letters: a retry after a pause."""
    later = delayed(exchange)
    work = ch.declare(name("q"), arguments={"x-dead-letter-exchange": later})
    ch.bind(work, later, work)
    ch.fill(work, "m", headers={"x-delay": 20})
    ch.consume(work)
    tag = ch.expect_content("basic.deliver", "m", redelivered=False)["delivery_tag"]
    ch.send("basic.reject", delivery_tag=tag, requeue=False)
    again = ch.expect_content("basic.deliver", "m", redelivered=False)
    assert again.headers["x-delay"] == {"I": -20}
    assert "x-death" in again.headers


def test_expiration_counts_from_the_queue(ch: Channel, exchange: Declare, name: Name) -> None:
    """A delay longer than the expiration does not kill the message."""
    later = delayed(exchange)
    ch.consume(bound(ch, name, later, "k"), no_ack=True)
    ch.publish(later, "k", "m", headers={"x-delay": 60}, expiration="20")
    assert ch.expect_content("basic.deliver", "m").props["expiration"] == "20"


def test_deleting_drops_what_waits(ch: Channel, exchange: Declare, name: Name) -> None:
    """Messages that wait go with their exchange; one of the same name begins empty."""
    arguments = {"x-delayed-type": "fanout"}
    later = exchange("x-delayed-message", arguments=arguments)
    ch.publish(later, "k", "gone", headers={"x-delay": 300})
    ch.call("exchange.delete", exchange=later)
    ch.call(
        "exchange.declare", exchange=later, exchange_type="x-delayed-message", arguments=arguments
    )
    ch.consume(bound(ch, name, later), no_ack=True)
    ch.publish(later, "k", "m", headers={"x-delay": 400})
    ch.expect_content("basic.deliver", "m")


def test_delayed_arguments(ch: Channel, connect: Callable[..., Connection]) -> None:
    """The type is required, must be known, and its own arguments and bindings be in order."""
    text = "Invalid argument, 'x-delayed-type' must be an existing exchange type"
    for arguments in ({}, {"x-delayed-type": 5}, {"x-delayed-type": "x-delayed-message"}):
        assert refused(ch, "x-delayed-message", arguments) == text
    hashing = {"x-delayed-type": "x-consistent-hash", "hash-property": "app_id"}
    assert refused(ch, "x-delayed-message", hashing) == "Unsupported property: app_id"
    connection = connect()
    connection.channel().send(
        "exchange.declare", exchange="x", exchange_type="x-delayed-message",
        arguments={"x-delayed-type": "nosuch"},
    )  # fmt: skip
    text = "COMMAND_INVALID - unknown exchange type 'nosuch'"
    connection.expect_connection_close(503, text, 40, 10)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_delayed_messages_outlive_a_restart(restartable: Broker, end: str) -> None:
    """Persistent messages wait on after a restart; what became due meanwhile goes at once."""
    with Connection(restartable.url) as connection:
        ch = connection.channel()
        ch.call(
            "exchange.declare", exchange="later", exchange_type="x-delayed-message", durable=True,
            arguments={"x-delayed-type": "fanout"},
        )  # fmt: skip
        ch.declare("q", durable=True)
        ch.bind("q", "later")
        ch.call("confirm.select")
        for body, delay, mode in (
            ("c", 3000, 2), ("a", 100, 2), ("never", LONG_MS, 2), ("b", 2500, 2), ("lost", 2500, 1)
        ):  # fmt: skip
            ch.publish("later", "k", body, headers={"x-delay": delay}, delivery_mode=mode)
        ch.expect_confirms(1, 2, 3, 4, 5)
    getattr(restartable, end)()
    restartable.start()
    for again in (False, True):
        with Connection(restartable.url) as connection:
            ch = connection.channel()
            ch.consume("q")
            got = [ch.expect_content() for _ in range(3)]
            assert [content.text for content in got] == ["a", "b", "c"]
            if again:
                assert all(content["redelivered"] for content in got)
                continue
        restartable.kill()
        restartable.start()


# -- deduplication


@pytest.fixture
def once(ch: Channel, exchange: Declare, name: Name) -> tuple[str, str]:
    """A deduplicating exchange that remembers three headers, and a queue bound to it."""
    unique = exchange("x-message-deduplication", arguments={"x-cache-size": 3})
    return unique, bound(ch, name, unique)


def send(ch: Channel, exchange: str, body: str, value: object = None, **headers: object) -> None:
    """Publish with a deduplication header, unless it is None."""
    if value is not None:
        headers["x-deduplication-header"] = value
    ch.publish(exchange, "any", body, headers=headers)


def test_duplicates_are_dropped(ch: Channel, once: tuple[str, str]) -> None:
    """Each value of the header passes once; a message without it always; type and value count."""
    unique, queue = once
    for body, value in (
        ("a", "1"), ("dup", "1"), ("b", 1), ("dup", {"l": 1}), ("c", None), ("d", None),
    ):  # fmt: skip
        send(ch, unique, body, value)
    ch.sync()
    assert ch.drain(queue) == ["a", "b", "c", "d"]


def test_only_so_many_are_remembered(ch: Channel, once: tuple[str, str]) -> None:
    """Above the cache size the oldest value is forgotten."""
    unique, queue = once
    for value in "abcda":
        send(ch, unique, value, value)
    send(ch, unique, "dup", "d")
    ch.sync()
    assert ch.drain(queue) == ["a", "b", "c", "d", "a"]


def test_values_are_forgotten_in_time(ch: Channel, exchange: Declare, name: Name) -> None:
    """A value passes again after x-cache-ttl, which a message may set for itself."""
    unique = exchange(
        "x-message-deduplication", arguments={"x-cache-size": "10", "x-cache-ttl": 100_000}
    )
    queue = bound(ch, name, unique)
    send(ch, unique, "long", "a")
    send(ch, unique, "short", "b", **{"x-cache-ttl": 1})
    while not (bodies := ch.drain(queue)) or "again" not in bodies:
        send(ch, unique, "dup", "a")
        send(ch, unique, "again", "b", **{"x-cache-ttl": 1})
        assert "dup" not in bodies


def test_duplicates_are_confirmed_and_unroutable(ch: Channel, once: tuple[str, str]) -> None:
    """A duplicate is answered like any message without a queue."""
    unique, _ = once
    ch.call("confirm.select")
    header = {"x-deduplication-header": "a"}
    ch.publish(unique, "k", "m", mandatory=True, headers=header)
    ch.expect("basic.ack", delivery_tag=1)
    ch.publish(unique, "k", "m", mandatory=True, headers=header)
    ch.expect_content("basic.return", "m", reply_code=312)
    ch.expect("basic.ack", delivery_tag=2)


def test_deduplication_arguments(ch: Channel) -> None:
    """The size is required; size and time are positive; persistence is disk or memory."""
    kind = "x-message-deduplication"
    text = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"
    for size in ({}, {"x-cache-size": 0}, {"x-cache-size": "many"}, {"x-cache-size": True}):
        assert refused(ch, kind, size) == text
    text = "Invalid argument, 'x-cache-ttl' must be an integer greater than 0"
    assert refused(ch, kind, {"x-cache-size": 1, "x-cache-ttl": 0}) == text
    text = "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'"
    assert refused(ch, kind, {"x-cache-size": 1, "x-cache-persistence": "tape"}) == text


def test_deduplication_outlives_a_restart(restartable: Broker) -> None:
    """A durable exchange remembers the headers of persistent messages, even if it is killed."""

    def publish(values: str) -> None:
        for n, value in enumerate(values, start=1):
            for exchange in ("disk", "memory"):
                headers = {"x-deduplication-header": value}
                ch.publish(exchange, "k", value, headers=headers, delivery_mode=2)
            ch.expect_confirms(2 * n - 1, 2 * n)

    with Connection(restartable.url) as connection:
        ch = connection.channel()
        for where in ("disk", "memory"):
            ch.call(
                "exchange.declare", exchange=where, exchange_type="x-message-deduplication",
                durable=True, arguments={"x-cache-size": 2, "x-cache-persistence": where},
            )  # fmt: skip
            ch.declare(where, durable=True)
            ch.bind(where, where)
        ch.call("confirm.select")
        publish("abc")
    restartable.kill()
    restartable.start()
    with Connection(restartable.url) as connection:
        ch = connection.channel()
        ch.call("confirm.select")
        publish("cba")
        assert ch.drain("disk") == ["a", "b", "c", "a"]
        assert ch.drain("memory") == ["a", "b", "c", "c", "b", "a"]


def test_queue_holds_no_duplicates(ch: Channel, name: Name) -> None:
    """A queue takes no message like one it holds, ready or unacked; after that it does."""
    queue = ch.declare(name("q"), arguments=DEDUPLICATE)
    header = {"x-deduplication-header": "a"}
    ch.fill(queue, "1", "dup", headers=header)
    ch.fill(queue, "plain", "plain")
    assert ch.counts(queue) == (3, 0)
    tag = ch.get(queue, no_ack=False, message_count=2)["delivery_tag"]
    ch.fill(queue, "dup", headers=header)
    ch.send("basic.nack", delivery_tag=tag, requeue=True)
    ch.sync()
    ch.fill(queue, "dup", headers=header)
    assert ch.drain(queue) == ["1", "plain", "plain"]
    ch.fill(queue, "2", "dup", headers=header)
    ch.call("queue.purge", queue=queue)
    ch.fill(queue, "3", "dup", headers=header)
    assert ch.drain(queue) == ["3"]


def test_queue_of_unique_messages_outlives_a_restart(restartable: Broker) -> None:
    """After a restart a queue knows what it holds."""
    header = {"x-deduplication-header": "a"}
    with Connection(restartable.url) as connection:
        ch = connection.channel()
        ch.declare("q", durable=True, arguments=DEDUPLICATE)
        ch.fill("q", "1", "dup", headers=header, delivery_mode=2)
    restartable.kill()
    restartable.start()
    with Connection(restartable.url) as connection:
        ch = connection.channel()
        ch.fill("q", "dup", headers=header, delivery_mode=2)
        assert ch.drain("q") == ["1"]


# -- deduplication on exchanges of other types


@pytest.mark.parametrize("kind", ["direct", "topic", "headers", "x-delayed-message"])
def test_other_types_drop_duplicates(ch: Channel, exchange: Declare, name: Name, kind: str) -> None:
    """With the argument x-message-deduplication any exchange lets each header through once."""
    arguments = DEDUPLICATE | ({"x-delayed-type": "direct"} if "delayed" in kind else {})
    unique = exchange(kind, arguments=arguments)
    queue, elsewhere = bound(ch, name, unique, "k"), bound(ch, name, unique, "other")
    for body, key, value in (
        ("a", "k", "1"), ("b", "k", "1"), ("c", "k", "2"), ("d", "k", None), ("e", "k", None),
    ):  # fmt: skip
        headers = {} if value is None else {"x-deduplication-header": value}
        ch.publish(unique, key, body, headers=headers)
    ch.sync()
    assert ch.drain(queue) == ["a", "c", "d", "e"]
    if kind != "headers":
        assert ch.drain(elsewhere) == []


def test_delayed_duplicates(ch: Channel, exchange: Declare, name: Name) -> None:
    """Of messages that wait the first that is due gets through."""
    unique = delayed(exchange, **DEDUPLICATE)
    queue = bound(ch, name, unique, "k")
    for body, delay in (("late", 200), ("early", 50)):
        headers = {"x-delay": delay, "x-deduplication-header": "1"}
        ch.publish(unique, "k", body, headers=headers)
    ch.consume(queue, no_ack=True)
    ch.expect_content("basic.deliver", "early")
    ch.connection.expect_silence(0.3)


def test_other_types_check_their_arguments(ch: Channel) -> None:
    """A size of the cache that makes no sense is refused; without one there is a default."""
    text = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"
    assert refused(ch, "topic", DEDUPLICATE | {"x-cache-size": 0}) == text
