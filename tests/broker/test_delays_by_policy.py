"""x-delay on exchanges of any type, where a policy asks for it, on a whole broker."""

from typing import Any

import pytest
from pamqp import commands

from broker.core.exchanges.delayed import DelayStore
from broker.core.policies import delete_policy, set_policy
from protocol.content import body_of
from tests.frames import channel_open, commands_in, message, method, publish
from tests.world import Client, World

DELAY_MS = 60_000


def started(*wishes: Any, pattern: str = "") -> tuple[World, Client]:
    """A world with the durable queue q, whose exchanges delay if the pattern fits."""
    world = World()
    client = world.connect()
    declare = commands.Queue.Declare(queue="q", durable=True)
    client.feed(channel_open(1) + b"".join(method(1, wish) for wish in (declare, *wishes)))
    world.run()
    client.said()
    set_policy(
        world.broker.vhosts["/"],
        "delays",
        pattern=pattern,
        definition={"delayed-message": True},
        apply_to="exchanges",
    )
    return world, client


def send(world: World, client: Client, exchange: str, key: str, body: bytes, **more: Any) -> None:
    """Publish something persistent that is to wait."""
    headers = {"x-delay": DELAY_MS, **more}
    client.feed(publish(1, exchange, key) + message(1, body, headers=headers, delivery_mode=2))
    world.run()


def store(world: World, exchange: str) -> DelayStore:
    """What waits in an exchange."""
    found = world.broker.vhosts["/"].exchanges[exchange].delayed
    assert found is not None
    return found


def ready(world: World) -> list[bytes]:
    """What is in the queue."""
    backlog = world.broker.vhosts["/"].queues["q"].backlog
    return [body_of(each.content) for each in sorted(backlog, key=lambda each: each.id)]


def pass_time(world: World, ms: int) -> None:
    """Let the broker do what is due then."""
    world.broker.now_ms += ms
    world.broker.timers.run(world.broker.now_ms)


def bound(exchange: str, key: str = "", **arguments: Any) -> Any:
    """A wish for a binding of q."""
    return commands.Queue.Bind(queue="q", exchange=exchange, routing_key=key, arguments=arguments)


@pytest.mark.parametrize("exchange", ["", "amq.direct", "amq.topic", "amq.fanout", "amq.headers"])
def test_every_type_of_exchange(exchange: str) -> None:
    """A message with x-delay waits, another one does not; it is routed as the exchange routes."""
    wishes = [bound(exchange, "q", h="v")] if exchange else []
    world, client = started(*wishes)
    send(world, client, exchange, "q", b"later", h="v")
    client.feed(publish(1, exchange, "q") + message(1, b"now", headers={"h": "v"}))
    world.run()
    assert ready(world) == [b"now"]
    pass_time(world, DELAY_MS)
    assert ready(world) == [b"now", b"later"]


def test_publishers_follow_the_policy_from_the_next_message_on() -> None:
    """Routes that were resolved before hold no more, when the policy comes and when it goes."""
    world, client = started(bound("amq.direct", "q"), pattern="^never$")
    vhost = world.broker.vhosts["/"]
    send(world, client, "amq.direct", "q", b"1")
    assert ready(world) == [b"1"]
    definition = {"delayed-message": True}
    set_policy(vhost, "delays", pattern="direct", definition=definition, apply_to="exchanges")
    send(world, client, "amq.direct", "q", b"2")
    assert ready(world) == [b"1"]
    delete_policy(vhost, "delays")
    send(world, client, "amq.direct", "q", b"3")
    assert ready(world) == [b"1", b"3"]
    pass_time(world, DELAY_MS)
    assert ready(world) == [b"1", b"3", b"2"], "what waited is routed though the policy is gone"


def test_waiting_messages_are_listed_and_cancelled() -> None:
    """What waits can be seen with the time it is due, and taken away."""
    world, client = started(bound("amq.direct", "q"))
    first_ms = world.broker.now_ms
    for body in (b"1", b"2"):
        send(world, client, "amq.direct", "q", body)
    listed = store(world, "amq.direct").listed()
    assert len(listed) == 2
    sent_ms = [due_ms - DELAY_MS for due_ms, _ in listed]
    assert first_ms <= sent_ms[0] <= sent_ms[1] <= world.broker.now_ms
    assert store(world, "amq.direct").cancel([listed[0][1].id]) == 1
    pass_time(world, DELAY_MS)
    assert ready(world) == [b"2"]


@pytest.mark.parametrize("keep_policy", [True, False])
def test_waiting_messages_outlive_restarts(keep_policy: bool) -> None:
    """In predeclared exchanges and others, with the policy or without, over two restarts."""
    declare = commands.Exchange.Declare(exchange="x", exchange_type="fanout", durable=True)
    world, client = started(declare, bound("x"), bound("amq.direct", "q"))
    send(world, client, "x", "k", b"1")
    send(world, client, "amq.direct", "q", b"2", n=1)
    if not keep_policy:
        delete_policy(world.broker.vhosts["/"], "delays")
        world.run()
    for _ in range(2):
        world.restart()
        client = world.connect()
        client.feed(channel_open(1) + method(1, commands.Queue.Declare(queue="more", durable=True)))
        world.run()
    assert len(store(world, "x").waiting) == len(store(world, "amq.direct").waiting) == 1
    pass_time(world, DELAY_MS)
    assert sorted(ready(world)) == [b"1", b"2"]
    ids = [keeper.id for keeper in world.broker.vhosts["/"].keepers()]
    assert len(set(ids)) == len(ids)


def test_what_waits_goes_with_the_exchange() -> None:
    """An exchange of the same name that is declared later has nothing waiting, also on the disk."""
    declare = commands.Exchange.Declare(exchange="x", exchange_type="fanout", durable=True)
    world, client = started(declare, bound("x"))
    send(world, client, "x", "k", b"1")
    delete = commands.Exchange.Delete(exchange="x")
    client.feed(method(1, delete) + method(1, declare))
    world.run()
    assert world.broker.vhosts["/"].exchanges["x"].delayed is None
    world.restart()
    assert world.broker.vhosts["/"].exchanges["x"].delayed is None


def test_mandatory_messages_wait_unreturned() -> None:
    """Whether a queue will take it can be told only when it is due, so nothing is returned."""
    world, client = started()
    content = message(1, b"m", headers={"x-delay": DELAY_MS})
    client.feed(publish(1, "amq.direct", "nobody", mandatory=True) + content)
    world.run()
    assert commands_in([client.said()]) == []
