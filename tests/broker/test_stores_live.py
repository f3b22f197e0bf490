"""What exchanges keep for themselves, on a whole broker with a log of small segments."""

from typing import Any

import pytest
from pamqp import commands

from broker.core.queue import Queue
from protocol.content import body_of
from tests.frames import channel_open, message, method, publish
from tests.world import Client, World

KINDS: dict[str, dict[str, Any]] = {
    "x-delayed-message": {"x-delayed-type": "fanout"},
    "x-recent-history": {},
    "x-message-deduplication": {"x-cache-size": 10},
}


def started(world: World) -> Client:
    """A client with channel 1."""
    client = world.connect()
    feed(world, client, channel_open(1))
    return client


def feed(world: World, client: Client, *octets: bytes) -> None:
    """Let the broker work off octets of a client."""
    client.feed(b"".join(octets))
    world.run()


def keep(world: World, client: Client, kind: str) -> None:
    """An exchange x of this kind that keeps a message, or what it remembers of it."""
    for wish in (
        commands.Exchange.Declare(
            exchange="x", exchange_type=kind, durable=True, arguments=KINDS[kind]
        ),
        commands.Queue.Declare(queue="busy", durable=True),
    ):
        feed(world, client, method(1, wish))
    headers = {"x-delay": 1 << 40, "x-deduplication-header": "seen"}
    content = message(1, b"kept", headers=headers, delivery_mode=2)
    feed(world, client, publish(1, "x", "k"), content)


def store(world: World) -> Queue:
    """What the exchange keeps."""
    [found] = world.broker.vhosts["/"].exchanges["x"].stores
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_kept_does_not_pin_the_log(kind: str) -> None:
    """It is copied out of old segments like messages of queues, and survives that and a restart."""
    world = World()
    client = started(world)
    keep(world, client, kind)
    [before] = list(store(world).backlog)
    first = before.batch
    traffic = publish(1, "", "busy") + message(1, b"t" * 500, delivery_mode=2)
    get = method(1, commands.Basic.Get(queue="busy", no_ack=True))
    for _ in range(100):
        feed(world, client, traffic, get)
        world.reclaim()
        world.run()
    [kept] = list(store(world).backlog)
    assert kept.batch > first
    assert world.log.reclaimed > 0
    world.restart()
    [again] = list(store(world).backlog)
    assert (again.id, again.content) == (kept.id, kept.content)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_was_kept_goes_with_the_exchange(kind: str) -> None:
    """An exchange of the same name that is declared later begins empty, also after a restart."""
    world = World()
    client = started(world)
    keep(world, client, kind)
    feed(world, client, method(1, commands.Exchange.Delete(exchange="x")))
    declare = commands.Exchange.Declare(
        exchange="x", exchange_type=kind, durable=True, arguments=KINDS[kind]
    )
    feed(world, client, method(1, declare))
    assert len(store(world)) == 0
    world.restart()
    assert len(store(world)) == 0


def test_what_became_due_while_the_broker_was_down() -> None:
    """It is routed as soon as time is looked at."""
    world = World()
    client = started(world)
    keep(world, client, "x-delayed-message")
    bind = commands.Queue.Bind(queue="busy", exchange="x")
    feed(world, client, method(1, bind))
    world.restart()
    broker = world.broker
    broker.now_ms = (1 << 42) + broker.now_ms
    broker.timers.run(broker.now_ms)
    assert [body_of(each.content) for each in broker.vhosts["/"].queues["busy"].backlog] == [
        b"kept"
    ]


def test_any_exchange_remembers_duplicates_over_restarts() -> None:
    """With the argument x-message-deduplication an exchange of any type keeps what it has seen."""
    world = World()
    arguments = {"x-message-deduplication": True}
    declare = commands.Exchange.Declare(
        exchange="x", exchange_type="topic", durable=True, arguments=arguments
    )
    bind = commands.Queue.Bind(queue="q", exchange="x", routing_key="#")
    wishes = [declare, commands.Queue.Declare(queue="q", durable=True), bind]
    feed(world, started(world), *(method(1, wish) for wish in wishes))
    headers = {"x-deduplication-header": "seen"}
    for _ in range(3):
        content = message(1, b"m", headers=headers, delivery_mode=2)
        feed(world, started(world), publish(1, "x", "k"), content)
        assert len(world.broker.vhosts["/"].queues["q"]) == 1
        assert len(store(world)) == 1
        world.restart()
