"""The firehose as a client meets it that listens to amq.rabbitmq.trace."""

from typing import Any

import pytest
from pamqp import commands

from protocol.content import body_of, headers_of
from protocol.tables import plain
from tests.frames import channel_open, message, method, publish
from tests.world import Client, World

TRACE = "amq.rabbitmq.trace"


@pytest.fixture(params=[True, False])
def world(request: pytest.FixtureRequest) -> World:
    """A broker with a queue q, and a queue traces for the firehose, which is not on."""
    world = World(fast_path=request.param)
    client = world.connect()
    feed(world, client, channel_open(1))
    for wish in (
        commands.Queue.Declare(queue="q"),
        commands.Queue.Declare(queue="traces"),
        commands.Queue.Bind(queue="traces", exchange=TRACE, routing_key="#"),
    ):
        feed(world, client, method(1, wish))
    return world


def feed(world: World, client: Client, *octets: bytes) -> None:
    """Let the broker work off octets of a client."""
    client.feed(b"".join(octets))
    world.run()


def connected(world: World) -> Client:
    """A client with channel 1."""
    client = world.connect()
    feed(world, client, channel_open(1))
    return client


def traces(world: World) -> list[tuple[str, bytes, dict[str, Any]]]:
    """Key, body and headers of what the firehose gave; it is gone then."""
    queue = world.broker.vhosts["/"].queues["traces"]
    found = [
        (each.routing_key, body_of(each.content), {
            name: plain(value) for name, value in headers_of(each.content).items()
        })
        for each in queue.backlog
    ]  # fmt: skip
    queue.purge()
    return found


def test_what_a_trace_tells(world: World) -> None:
    """A copy of each message as published and as delivered, with the headers RabbitMQ gives."""
    client = connected(world)
    world.broker.vhosts["/"].trace(on=True)
    content = message(1, b"payload", content_type="text/plain", priority=1, headers={"h": 1})
    feed(world, client, publish(1, "", "q"), content)
    feed(world, client, method(1, commands.Basic.Get(queue="q", no_ack=True)))
    (published, first, told), (delivered, second, more) = traces(world)
    assert (published, delivered, first, second) == (
        "publish.", "deliver.q", b"payload", b"payload",
    )  # fmt: skip
    assert list(told) == [
        "exchange_name", "routing_keys", "properties", "node", "vhost", "connection", "channel",
        "user", "routed_queues",
    ]  # fmt: skip
    assert list(more) == [
        "exchange_name", "routing_keys", "properties", "node", "redelivered", "vhost",
        "connection", "channel", "user",
    ]  # fmt: skip
    properties = {"priority": 1, "headers": {"h": 1}, "content_type": "text/plain"}
    expected = {
        "exchange_name": "", "routing_keys": ["q"], "properties": properties, "vhost": "/",
        "channel": 1, "user": "guest",
    }  # fmt: skip
    assert expected.items() <= told.items()
    assert expected.items() <= more.items()
    assert (told["routed_queues"], more["redelivered"]) == (["q"], 0)


def test_consumers_and_unroutable_messages(world: World) -> None:
    """Deliveries to a consumer are traced, a redelivery as such, and what reaches no queue too."""
    client = connected(world)
    vhost = world.broker.vhosts["/"]
    vhost.trace(on=True)
    feed(world, client, publish(1, "amq.topic", "a.b") + message(1, b"lost"))
    feed(world, client, method(1, commands.Basic.Consume(queue="q", consumer_tag="c")))
    feed(world, client, publish(1, "", "q") + message(1, b"m"))
    feed(world, client, method(1, commands.Basic.Recover(True)))
    found = traces(world)
    assert [key for key, _, _ in found] == [
        "publish.amq.topic", "publish.", "deliver.q", "deliver.q",
    ]  # fmt: skip
    assert found[0][2]["routed_queues"] == []
    assert [headers["redelivered"] for _, _, headers in found[2:]] == [0, 1]


def test_the_switch_holds_for_the_next_message(world: World) -> None:
    """Publishers with routes of their own notice when the firehose goes on and off again."""
    client = connected(world)
    one = publish(1, "", "q") + message(1, b"m")
    counts = []
    for on in (False, True, False):
        world.broker.vhosts["/"].trace(on=on)
        feed(world, client, one, one, one)
        feed(world, client, one)
        counts.append(len(traces(world)))
    assert counts == [0, 4, 0]


def test_traces_are_not_traced(world: World) -> None:
    """Who listens to the firehose gets each message once."""
    client = connected(world)
    world.broker.vhosts["/"].trace(on=True)
    feed(world, client, publish(1, "", "q") + message(1, b"m"))
    feed(world, client, method(1, commands.Basic.Get(queue="traces", no_ack=True)))
    feed(world, client, method(1, commands.Basic.Get(queue="traces", no_ack=True)))
    assert traces(world) == []
