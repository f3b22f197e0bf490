"""What channels, exchanges, queues and the broker count of what clients do."""

import pytest
from pamqp import commands

from broker.amqp import counting
from broker.amqp.channel import Channel
from broker.core.counters import BodySizes, Deliveries, Publishes
from tests.amqp.dialogue import consume, declare, say, send, started, stored
from tests.frames import message, method, publish
from tests.world import Client, World

UNBOUND = publish(1, "amq.direct", "nowhere") + message(1)
MANDATORY = publish(1, "amq.direct", "nowhere", mandatory=True) + message(1)


def shown(counters: Deliveries | Publishes) -> dict[str, int]:
    """The counters that are not 0."""
    names = type(counters).__mro__[-2].__slots__  # type: ignore[attr-defined]
    return {
        name: getattr(counters, name)
        for name in names
        if name != "delivered_bytes" and getattr(counters, name)
    }


def channel_of(client: Client) -> Channel:
    """The channel, with its counters up to date."""
    channel = client.session.channels[1]
    channel.counters.count()
    return channel


@pytest.mark.parametrize("fast_path", [True, False])
def test_publishes_are_counted_everywhere(fast_path: bool) -> None:
    """A publish counts for its channel, exchange and queue, on either path."""
    world = World(fast_path=fast_path)
    client = started(world, declare(durable=True))
    say(world, client, send(), send(), stored(), stored())
    publishes, _ = channel_of(client).counters.totals()
    vhost = world.broker.vhosts["/"]
    assert shown(publishes) == {"publish": 4, "routed": 4}
    assert shown(vhost.exchanges[""].publishes) == {"publish": 4, "routed": 4}
    counters = vhost.queues["q"].counters
    assert (counters.publish, counters.persistent, counters.incoming) == (4, 2, {"": 4})


@pytest.mark.parametrize("fast_path", [True, False])
def test_sizes_of_bodies_are_counted(fast_path: bool) -> None:
    """The size of every body counts, routed or not, on either path; a bound belongs below it."""
    world = World(fast_path=fast_path)
    client = started(world, declare())
    for size in (0, 1, 100, 101, 1000, 1001):
        say(world, client, send(b"m" * size), publish(1, "", "nowhere") + message(1, b"m" * size))
    sizes = world.broker.body_sizes
    assert sizes.buckets == [6, 4, 2, 0, 0, 0, 0, 0, 0]
    assert sizes.total == 2 * (1 + 100 + 101 + 1000 + 1001)


def test_a_body_above_all_bounds() -> None:
    """What is larger than any bound is in the last bucket."""
    sizes = BodySizes()
    sizes.add([1, 10**9, BodySizes.BOUNDS[-1]])
    assert (sizes.buckets[0], sizes.buckets[-2], sizes.buckets[-1]) == (1, 1, 1)


@pytest.mark.parametrize("fast_path", [True, False])
def test_unroutable_messages_are_dropped_or_returned(fast_path: bool) -> None:
    """What reaches no queue is counted as dropped, or as returned if it was mandatory."""
    world = World(fast_path=fast_path)
    client = started(world)
    say(world, client, UNBOUND, UNBOUND, MANDATORY, MANDATORY, MANDATORY)
    expected = {"publish": 5, "drop_unroutable": 2, "return_unroutable": 3}
    publishes, _ = channel_of(client).counters.totals()
    assert shown(publishes) == expected
    assert shown(world.broker.vhosts["/"].exchanges["amq.direct"].publishes) == expected


def test_confirms_are_counted_for_the_exchange() -> None:
    """Every confirm counts for an exchange that was published to, also with several of them."""
    world = World()
    client = started(world, declare(), commands.Confirm.Select())
    say(world, client, send(), send(), send(), UNBOUND)
    publishes, _ = channel_of(client).counters.totals()
    exchanges = world.broker.vhosts["/"].exchanges
    assert publishes.confirm == 4
    assert exchanges[""].publishes.confirm == 3
    assert exchanges["amq.direct"].publishes.confirm == 1


def test_deliveries_and_acks_are_counted() -> None:
    """Deliveries count by whether they want an ack and were delivered before; acks when settled."""
    world = World()
    client = started(world, declare(), commands.Basic.Qos(prefetch_count=2), consume())
    say(world, client, send(), send(), send())
    say(world, client, method(1, commands.Basic.Reject(delivery_tag=1, requeue=True)))
    say(world, client, method(1, commands.Basic.Ack(delivery_tag=2)))
    _, deliveries = channel_of(client).counters.totals()
    expected = {"deliver": 4, "redeliver": 1, "ack": 1}
    assert shown(deliveries) == expected
    assert shown(world.broker.vhosts["/"].queues["q"].counters) == expected


def test_gets_are_counted() -> None:
    """basic.get counts by whether it wants an ack, and by whether there was a message."""
    world = World()
    client = started(world, declare())
    get = [method(1, commands.Basic.Get(queue="q", no_ack=no_ack)) for no_ack in (True, False)]
    say(world, client, send(), send(), get[0], get[1], get[0])
    expected = {"get": 1, "get_no_ack": 1, "get_empty": 1}
    _, deliveries = channel_of(client).counters.totals()
    assert shown(deliveries) == expected
    assert shown(world.broker.vhosts["/"].queues["q"].counters) == expected


def test_what_gone_objects_counted_stays_in_the_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel forgets deleted queues, and the vhost remembers what they counted."""
    monkeypatch.setattr(counting, "FORGET_MIN", 4)
    world = World()
    client = started(world)
    for number in range(20):
        name = f"q{number}"
        say(world, client, method(1, declare(name)), send(key=name))
        say(world, client, method(1, commands.Basic.Get(queue=name, no_ack=True)))
        say(world, client, method(1, commands.Queue.Delete(queue=name)))
    channel = channel_of(client)
    assert channel.counters.totals()[1].get_no_ack == 20
    assert len(channel.counters.deliveries) < 20
    assert world.broker.vhosts["/"].retired_deliveries.get_no_ack == 20


def test_comings_and_goings_are_counted() -> None:
    """Connections, channels and queues count when they come and when they go."""
    world = World()
    client = started(world, declare(), declare(), declare("p"), commands.Queue.Delete(queue="p"))
    client.vanish()
    churn = world.broker.churn
    assert (churn.connection_created, churn.connection_closed) == (1, 1)
    assert (churn.channel_created, churn.channel_closed) == (1, 1)
    assert (churn.queue_declared, churn.queue_created, churn.queue_deleted) == (3, 2, 1)
