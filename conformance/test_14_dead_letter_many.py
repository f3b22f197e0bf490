"""Dead-lettering of many messages, from and to many queues, and through many levels of them."""

from __future__ import annotations

import time
from collections.abc import Callable

from conformance.channel import Channel
from conformance.test_14_dead_letter import (
    dead_lettering,
    durable,
    reader,
    reject,
    to_queue,
    trail,
    wait_for,
)

Declare = Callable[..., str]
Name = Callable[[str], str]
BULK = 10_000
LEVELS = 28
UNIT_MS = 60


# -- deaths of a sender's


def test_deaths_without_count_are_counted(ch: Channel, name: Name) -> None:
    """Entries of x-death for the same queue and reason, as brokers wrote before 3.5, become one."""
    queue, dead = to_queue(ch, name)
    entries = []
    for died_in in ("x", "y", "x", "z"):
        entry = {"queue": died_in, "reason": "expired", "exchange": "e", "routing-keys": ["k"]}
        entries.append({"F": {**entry, "time": {"T": int(time.time())}}})
    entries.append({"F": {**entries[0]["F"], "reason": "rejected"}})
    ch.fill(queue, "m", headers={"x-death": {"A": entries}})
    reject(ch, queue)
    wait_for(ch, dead, 1)
    newest, *others = trail(ch.get(dead))
    assert newest == (queue, "rejected", 1)
    counts = [("x", "expired", 2), ("x", "rejected", 1), ("y", "expired", 1), ("z", "expired", 1)]
    assert sorted(others) == counts


# -- how many


def test_several_queues_at_once(ch: Channel, name: Name, exchange: Declare) -> None:
    """A message that dies in several queues leaves a letter for each, telling of its own."""
    fanout, dead = exchange("fanout"), durable(ch, name)
    queues = [dead_lettering(ch, name, "", dead, message_ttl=30) for _ in range(5)]
    for queue in queues:
        ch.bind(queue, fanout)
    ch.publish(fanout, "k", "m")
    trails = [trail(letter) for letter in reader(ch, dead).deliveries(5)]
    assert sorted(trails) == sorted([(queue, "expired", 1)] for queue in queues)


def test_to_several_queues(ch: Channel, name: Name, exchange: Declare) -> None:
    """A dead-letter exchange copies as any exchange does."""
    fanout = exchange("fanout")
    queue, copies = dead_lettering(ch, name, fanout, "k"), [durable(ch, name) for _ in range(5)]
    for copy in copies:
        ch.bind(copy, fanout)
    ch.fill(queue, "a", "b")
    reject(ch, queue)
    reject(ch, queue)
    for copy in copies:
        wait_for(ch, copy, 2)
        assert ch.drain(copy) == ["a", "b"]


def test_bulk_rejected(ch: Channel, name: Name) -> None:
    """Ten thousand rejected at once all arrive, in order."""
    queue, dead = to_queue(ch, name)
    bodies = [str(n) for n in range(BULK)]
    ch.fill(queue, *bodies)
    worker = ch.connection.channel(2)
    worker.consume(queue)
    worker.deliveries(BULK)
    worker.send("basic.nack", delivery_tag=0, multiple=True, requeue=False)
    letters = reader(ch, dead).deliveries(BULK)
    assert [letter.text for letter in letters] == bodies
    assert ch.counts(queue)[0] == 0


def test_bulk_expired(ch: Channel, name: Name) -> None:
    """Ten thousand with one TTL all expire and arrive, in order, persistent ones too."""
    queue, dead = to_queue(ch, name, message_ttl=300)
    letters = reader(ch, dead)
    bodies = [str(n) for n in range(BULK)]
    ch.fill(queue, *bodies, delivery_mode=2)
    assert [letter.text for letter in letters.deliveries(BULK)] == bodies


def test_bulk_dropped(ch: Channel, name: Name) -> None:
    """Ten thousand above a limit arrive, in order, but for those that stay."""
    queue, dead = to_queue(ch, name, max_length=100)
    letters = reader(ch, dead)
    bodies = [str(n) for n in range(BULK)]
    ch.fill(queue, *bodies)
    assert [letter.text for letter in letters.deliveries(BULK - 100)] == bodies[:-100]
    assert ch.drain(queue) == bodies[-100:]


# -- a topology of its own


def test_delay_levels(ch: Channel, name: Name) -> None:
    """Delays as Celery builds them: a queue with a TTL for each bit of the delay."""
    levels = [name(f"level-{n}") for n in range(LEVELS)]
    delivery, target = name("delivery"), ch.declare(name("target"))
    for exchange in (*levels, delivery):
        ch.call("exchange.declare", exchange=exchange, exchange_type="topic", durable=True)
    for n, level in enumerate(levels):
        below = levels[n - 1] if n else delivery
        ch.declare(level, durable=True, arguments={
            "x-queue-type": "quorum", "x-overflow": "reject-publish",
            "x-message-ttl": (1 << n) * UNIT_MS, "x-dead-letter-exchange": below,
        })  # fmt: skip
        places = ["*"] * (LEVELS - 1 - n)
        ch.bind(level, level, ".".join([*places, "1", "#"]))
        ch.call("exchange.bind", destination=below, source=level,
                routing_key=".".join([*places, "0", "#"]))  # fmt: skip
    ch.bind(target, delivery, "#.target")
    ch.consume(target, no_ack=True)
    began = time.monotonic()
    for delay in (5, 3, 1, 0):
        key = ".".join([*format(delay, f"0{LEVELS}b"), "target"])
        ch.publish(levels[-1], key, str(delay), delivery_mode=2)
    for delay in (0, 1, 3, 5):
        letter = ch.expect_content("basic.deliver", str(delay))
        assert time.monotonic() - began >= delay * UNIT_MS / 1000
        bits = [n for n in range(LEVELS) if delay >> n & 1]
        if bits:
            assert trail(letter) == [(levels[n], "expired", 1) for n in bits]
