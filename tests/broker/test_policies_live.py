"""Policies and limits as clients meet them: on connections that were there before."""

from typing import Any

from pamqp import commands

from broker.core.policies import delete_policy, set_policy
from broker.core.vhost_settings import set_limit
from tests.frames import (
    PROTOCOL_HEADER,
    channel_open,
    commands_in,
    connection_open,
    message,
    method,
    publish,
    start_ok,
    tune_ok,
)
from tests.world import Client, World


def said(world: World, client: Client, *octets: bytes) -> list[Any]:
    """What the broker answers to octets fed in one read."""
    client.feed(b"".join(octets))
    world.run()
    return [command for _, command in commands_in([client.said()])]


def names(answers: list[Any]) -> list[str]:
    """The names of methods."""
    return [answer.name for answer in answers]


def started(world: World, *declarations: Any) -> Client:
    """A client with channel 1 in confirm mode, after some declarations."""
    client = world.connect()
    said(world, client, channel_open(1), *(method(1, wish) for wish in declarations))
    said(world, client, method(1, commands.Confirm.Select()))
    return client


def test_an_alternate_exchange_holds_for_the_next_publish() -> None:
    """A publisher whose routes were resolved before follows a policy from its next message on."""
    world = World()
    client = started(
        world,
        commands.Exchange.Declare(exchange="x", exchange_type="direct"),
        commands.Queue.Declare(queue="q"),
        commands.Queue.Bind(queue="q", exchange="amq.fanout"),
    )
    one = publish(1, "x", "k", mandatory=True) + message(1)
    assert names(said(world, client, one, one)) == ["Basic.Return", "Basic.Return", "Basic.Ack"]
    vhost = world.broker.vhosts["/"]
    set_policy(vhost, "p", pattern="^x", definition={"alternate-exchange": "amq.fanout"})
    assert names(said(world, client, one, one)) == ["Basic.Ack"]
    assert len(vhost.queues["q"]) == 2
    delete_policy(vhost, "p")
    assert names(said(world, client, one)) == ["Basic.Return", "Basic.Ack"]


def test_a_full_queue_refuses_the_next_publish() -> None:
    """A policy that makes a queue refuse publishes holds for routes resolved before."""
    world = World()
    client = started(world, commands.Queue.Declare(queue="q"))
    one = publish(1, "", "q") + message(1)
    assert names(said(world, client, one, one)) == ["Basic.Ack"]
    vhost = world.broker.vhosts["/"]
    definition = {"max-length": 2, "overflow": "reject-publish"}
    set_policy(vhost, "p", pattern="^q", definition=definition)
    assert names(said(world, client, one)) == ["Basic.Nack"]
    delete_policy(vhost, "p")
    assert names(said(world, client, one)) == ["Basic.Ack"]
    assert len(vhost.queues["q"]) == 3


def test_policies_and_limits_survive_a_kill() -> None:
    """What was set, dropped and dead-lettered before a kill is so after it."""
    world = World()
    durable = [commands.Queue.Declare(queue=name, durable=True) for name in ("q", "dead")]
    client = started(world, *durable)
    one = publish(1, "", "q") + message(1, delivery_mode=2)
    said(world, client, one, one, one)
    definition = {
        "max-length": 2,
        "expires": 60_000,
        "dead-letter-exchange": "",
        "dead-letter-routing-key": "dead",
    }
    vhost = world.broker.vhosts["/"]
    set_policy(vhost, "p", pattern="^q", definition=definition)
    set_policy(vhost, "o", pattern="^q", definition={"max-length": 1}, operator=True)
    set_limit(vhost, "max-queues", 2)
    world.run()
    for _ in range(2):
        world.restart()
        world.run()
        vhost = world.broker.vhosts["/"]
        assert {name: len(queue) for name, queue in vhost.queues.items()} == {"q": 1, "dead": 2}
        assert vhost.queues["q"].settings.max_length == 1
    client = world.connect()
    assert names(said(world, client, channel_open(1), one)) == ["Channel.OpenOk"]
    assert len(vhost.queues["dead"]) == 3
    third = method(1, commands.Queue.Declare(queue="third"))
    (refused,) = said(world, client, third)
    assert refused.reply_text == (
        "PRECONDITION_FAILED - cannot declare queue 'third': "
        "queue limit in vhost '/' (2) is reached"
    )


def test_a_connection_above_the_limit_is_refused() -> None:
    """At the limit connection.open is refused; when a connection ends, another may come."""
    world = World()
    set_limit(world.broker.vhosts["/"], "max-connections", 1)
    first = world.connect()
    assert first.session.opened
    second = Client(world)
    world.clients.append(second)
    answers = said(world, second, PROTOCOL_HEADER, start_ok(), tune_ok(), connection_open())
    refused = answers[-1]
    assert (refused.reply_code, refused.reply_text, refused.class_id, refused.method_id) == (
        530,
        "NOT_ALLOWED - access to vhost '/' refused for user 'guest': "
        "connection limit (1) is reached",
        10,
        40,
    )
    second.vanish()
    first.vanish()
    assert world.connect().session.opened
    assert world.broker.vhosts["/"].connections == 1
