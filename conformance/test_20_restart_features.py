"""Features beyond AMQP's own with a restart in the middle: those that no other file restarts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.brokers import Broker, Leveret
from conformance.channel import Channel
from conformance.conftest import URL, Target, private_broker
from conformance.wire import Connection

TIMEOUT_MS = 900
KEYS = [f"key-{n}" for n in range(40)]
HASHING = {
    "x-consistent-hash": ["1", "2", "1"],
    "x-modulus-hash": ["", "", ""],
}


@pytest.fixture(scope="module")
def restarted(
    target: Target, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Broker, dict[str, list[str]]]]:
    """A broker that was prepared, ended and started again, and which key went where before.

    One of the two Leverets is killed, the other one is stopped.
    """
    if URL:
        pytest.skip("a foreign broker is not ours to restart")
    plugins = tmp_path_factory.mktemp("restart") / "enabled_plugins"
    with private_broker(target.kind, plugins) as broker:
        with Connection(broker.url) as connection:
            before = prepare(connection.channel(1))
        getattr(broker, "kill" if target.kind == "fast" else "stop")()
        broker.start()
        yield broker, before


@pytest.fixture
def ch(restarted: tuple[Broker, dict[str, list[str]]]) -> Iterator[Channel]:
    """Channel 1 of a connection to it."""
    with Connection(restarted[0].url) as connection:
        yield connection.channel(1)


def declare(ch: Channel, queue: str, **arguments: Any) -> None:
    """A durable queue; arguments without their x-."""
    named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    ch.declare(queue, durable=True, arguments=named)


def prepare(ch: Channel) -> dict[str, list[str]]:
    """What the tests look at; which queue each key went to."""
    before = {}
    for kind, weights in HASHING.items():
        ch.call("exchange.declare", exchange=kind, exchange_type=kind, durable=True)
        for number, weight in enumerate(weights):
            declare(ch, f"{kind}-{number}")
            ch.bind(f"{kind}-{number}", kind, weight)
        before[kind] = [where(ch, kind, key) for key in KEYS]
    ch.call("exchange.declare", exchange="x-random", exchange_type="x-random", durable=True)
    declare(ch, "randomly")
    ch.bind("randomly", "x-random")
    ch.call("exchange.declare", exchange="x-headers", exchange_type="headers", durable=True)
    declare(ch, "with-x")
    ch.bind("with-x", "x-headers", arguments={"x-match": "all-with-x", "x-a": 1})

    ch.call("exchange.declare", exchange="letters", exchange_type="direct", durable=True)
    for key in ("k", "cc", "bcc"):
        declare(ch, f"letters-{key}")
        ch.bind(f"letters-{key}", "letters", key)
    declare(ch, "dying", dead_letter_exchange="letters")
    ch.bind("dying", "amq.direct", "k")
    declare(ch, "dlx", max_length=1, overflow="reject-publish-dlx", dead_letter_exchange="", dead_letter_routing_key="refused")  # fmt: skip  # noqa: E501
    declare(ch, "refused")
    declare(ch, "bytes", max_length_bytes=5)
    declare(ch, "expiring-unacked", message_ttl=500, dead_letter_exchange="", dead_letter_routing_key="expired")  # fmt: skip  # noqa: E501
    declare(ch, "expired")
    declare(ch, "lazy", queue_mode="lazy")
    declare(ch, "replicated", queue_type="quorum", dead_letter_strategy="at-least-once", overflow="reject-publish", dead_letter_exchange="amq.fanout")  # fmt: skip  # noqa: E501

    declare(ch, "letters-copied")
    ch.bind("letters-copied", "letters", "copied")
    ch.bind("dying", "amq.direct", "only")
    declare(ch, "impatient", consumer_timeout=TIMEOUT_MS)

    ch.call("confirm.select")
    headers = {"CC": ["cc"], "BCC": ["bcc"]}
    ch.publish("amq.direct", "k", "m", delivery_mode=2, headers=headers)
    ch.publish("amq.direct", "only", "copied", delivery_mode=2, headers={"CC": ["copied"]})
    for queue, *bodies in (
        ("dlx", "first"), ("bytes", "aaa", "bb"), ("expiring-unacked", "held"), ("lazy", "m"),
        ("replicated", "m"), ("impatient", "a", "b"),
    ):  # fmt: skip
        for body in bodies:
            ch.publish("", queue, body, delivery_mode=2)
    ch.expect_confirms(*range(1, 11))
    ch.get("expiring-unacked", no_ack=False)
    return before


def where(ch: Channel, exchange: str, key: str) -> str:
    """The queue that a message with this key reaches."""
    ch.publish(exchange, key, "m")
    queues = [f"{exchange}-{number}" for number in range(3)]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for queue in queues:
            if ch.drain(queue):
                return queue
    raise AssertionError(f"{key} went nowhere")


@pytest.mark.parametrize("kind", HASHING)
def test_hashing_sticks(
    ch: Channel, restarted: tuple[Broker, dict[str, list[str]]], kind: str
) -> None:
    """A key goes where it went before."""
    broker, before = restarted
    if kind == "x-consistent-hash" and not isinstance(broker, Leveret):
        pytest.skip("RabbitMQ makes its ring anew")
    assert [where(ch, kind, key) for key in KEYS] == before[kind]
    assert len(set(before[kind])) == 3


def test_other_exchange_types(ch: Channel) -> None:
    """Bindings of a random exchange and of one that matches x- headers are as they were."""
    ch.publish("x-random", "", "m")
    ch.publish("x-headers", "", "m", headers={"x-a": 1})
    ch.publish("x-headers", "", "no", headers={"x-a": 2})
    ch.sync()
    assert ch.drain("randomly") == ["m"]
    assert ch.drain("with-x") == ["m"]


def test_letters_by_blind_copy(ch: Channel) -> None:
    """A message that was published with BCC is dead-lettered by it."""
    tag = ch.get("dying", no_ack=False)["delivery_tag"]
    ch.send("basic.reject", delivery_tag=tag, requeue=False)
    for key in ("k", "cc", "bcc"):
        wait_for(ch, f"letters-{key}", 1)
        assert "BCC" not in ch.get(f"letters-{key}", routing_key="k").headers


def test_letters_by_copy(ch: Channel) -> None:
    """A message that was published with CC alone is dead-lettered by it, and keeps the header."""
    tag = ch.get("dying", no_ack=False, body="copied")["delivery_tag"]
    ch.send("basic.reject", delivery_tag=tag, requeue=False)
    wait_for(ch, "letters-copied", 1)
    letter = ch.get("letters-copied", body="copied", routing_key="only")
    assert letter.headers["CC"] == {"A": [{"S": "copied"}]}


def test_the_timeout_of_a_queue(restarted: tuple[Broker, Any]) -> None:
    """A queue's own consumer timeout holds, and a consumer may still ask for more time."""
    broker, _ = restarted
    if not isinstance(broker, Leveret):
        pytest.skip("RabbitMQ 3.10 has no timeout for one queue")
    with Connection(broker.url) as connection:
        patient, hasty = connection.channel(1), connection.channel(2)
        patient.get("impatient", no_ack=False, body="a")
        hasty.get("impatient", no_ack=False, body="b")
        for _ in range(5):
            time.sleep(TIMEOUT_MS / 3000)
            patient.publish("", "amq.leveret.extend")
            patient.sync()
        assert "timed out" in hasty.expect_closed_with(406)
        patient.send("basic.ack", delivery_tag=1)
        patient.sync()
        assert patient.drain("impatient") == ["b"]


def test_delays_priorities_and_duplicates_together(restartable: Broker) -> None:
    """Of delayed messages with one header the first waits on after a kill; priorities hold."""
    if not isinstance(restartable, Leveret):
        pytest.skip("RabbitMQ's plugins for delays and deduplication are not there")
    arguments = {"x-delayed-type": "direct", "x-message-deduplication": True}

    def send(ch: Channel, body: str, key: str, priority: int) -> None:
        headers = {"x-delay": 1500, "x-deduplication-header": key}
        ch.publish("later", "k", body, headers=headers, priority=priority, delivery_mode=2)

    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        kind = "x-delayed-message"
        ch.call("exchange.declare", exchange="later", exchange_type=kind, durable=True, arguments=arguments)  # fmt: skip  # noqa: E501
        declare(ch, "first-things-first", max_priority=10)
        ch.bind("first-things-first", "later", "k")
        ch.call("confirm.select")
        for number, (body, key, priority) in enumerate(
            (("low", "1", 1), ("high", "2", 9), ("dup", "1", 9)), start=1
        ):
            send(ch, body, key, priority)
            ch.expect_confirms(number)
        restartable.kill()
        connection.drop()
    restartable.start()
    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        send(ch, "dup again", "2", 9)
        send(ch, "new", "3", 5)
        wait_for(ch, "first-things-first", 3)
        assert ch.drain("first-things-first") == ["high", "new", "low"]


def test_refused_messages_are_dead_lettered(ch: Channel) -> None:
    """A queue that was full is full, and refuses into its dead-letter exchange."""
    ch.call("confirm.select")
    ch.publish("", "dlx", "second", delivery_mode=2)
    assert ch.expect_confirms(1) == {1: "nack"}
    wait_for(ch, "refused", 1)
    letter = ch.get("refused", body="second")
    assert letter.headers["x-first-death-reason"] == {"S": "maxlen"}


def test_limit_in_octets(ch: Channel) -> None:
    """What was there before counts."""
    ch.publish("", "bytes", "c", delivery_mode=2)
    ch.sync()
    assert ch.drain("bytes") == ["bb", "c"]


def test_what_was_held_expires(ch: Channel) -> None:
    """A message that a client held when its time passed expires once nobody holds it."""
    wait_for(ch, "expired", 1)
    assert ch.drain("expired") == ["held"]


def test_arguments_that_say_how_to_store(ch: Channel, restarted: tuple[Broker, Any]) -> None:
    """Lazy queues and those of type quorum are what they were, with what they held."""
    declare(ch, "lazy", queue_mode="lazy")
    assert ch.drain("lazy") == ["m"]
    if isinstance(restarted[0], Leveret):
        # RabbitMQ 3.10 answers nothing for a quorum queue for long after a kill.
        assert ch.drain("replicated") == ["m"]
    ch.send("queue.declare", queue="replicated", durable=True)
    assert "current is the value 'amq.fanout'" in ch.expect_closed_with(406)


def wait_for(ch: Channel, queue: str, count: int) -> None:
    """Return when so many messages are ready."""
    deadline = time.monotonic() + 10
    while ch.counts(queue)[0] < count:
        assert time.monotonic() < deadline, ch.counts(queue)
        time.sleep(0.02)
