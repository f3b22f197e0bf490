"""Subscriptions: credit of both scopes, framing for the receiver, order, cancels."""

import pytest
from pamqp import commands

from broker.amqp import consumer as consumer_module
from tests.amqp.dialogue import (
    bodies,
    consume,
    declare,
    hear,
    heard,
    names,
    say,
    send,
    started,
    stored,
    tags,
)
from tests.frames import (
    PROTOCOL_HEADER,
    ack,
    channel_open,
    connection_open,
    method,
    publish,
    split,
    start_ok,
    tune_ok,
)
from tests.frames import message as content
from tests.world import Client, World


def qos(count: int, *, channel_wide: bool = False) -> commands.Basic.Qos:
    """basic.qos."""
    return commands.Basic.Qos(0, count, channel_wide)


def numbered(count: int) -> list[bytes]:
    """Messages 0, 1, 2, ..."""
    return [send(b"%d" % number) for number in range(count)]


def test_prefetch_limits_each_consumer() -> None:
    """Without global, each consumer holds as many as the limit, and gets more as it acks."""
    world = World()
    client = started(world, declare(), qos(2), consume(tag="a"), consume(tag="b"))
    found = say(world, client, *numbered(6))
    assert sorted(a.command.consumer_tag for a in found) == ["a", "a", "b", "b"]
    assert len(tags(say(world, client, ack(1, 2, multiple=True)))) == 2


def test_prefetch_holds_for_later_consumers_only() -> None:
    """basic.qos without global does not change consumers that exist."""
    world = World()
    client = started(world, declare(), qos(1), consume(tag="a"), qos(3))
    assert len(tags(say(world, client, *numbered(5)))) == 1


def test_global_prefetch_is_shared() -> None:
    """With global, all consumers of the channel together hold at most the limit."""
    world = World()
    wishes = [declare(), declare("p"), qos(3, channel_wide=True), consume(), consume("p", "d")]
    client = started(world, *wishes)
    say(world, client, *numbered(4))
    say(world, client, send(key="p"), send(key="p"))
    (channel,) = client.session.channels.values()
    assert channel.outstanding == len(channel.unacked) == 3
    say(world, client, ack(1, 1))
    assert channel.outstanding == 3
    assert (
        len(world.broker.vhosts["/"].queues["p"]) + len(world.broker.vhosts["/"].queues["q"]) == 2
    )


def test_the_lower_of_both_limits_holds() -> None:
    """A consumer under both limits gets as many as both allow."""
    world = World()
    client = started(world, declare(), qos(2), qos(3, channel_wide=True), consume())
    assert len(tags(say(world, client, *numbered(9)))) == 2


def test_a_lowered_global_limit_holds_back() -> None:
    """A limit below what is outstanding stops deliveries until enough was acked."""
    world = World()
    client = started(world, declare(), qos(4, channel_wide=True), consume())
    assert tags(say(world, client, *numbered(9))) == [1, 2, 3, 4]
    say(world, client, method(1, qos(2, channel_wide=True)))
    assert tags(say(world, client, ack(1, 2, multiple=True))) == []
    assert tags(say(world, client, ack(1, 3))) == [5]


def test_lifting_the_global_limit_delivers() -> None:
    """basic.qos without global lifts the channel's limit: deliveries go on at once."""
    world = World()
    client = started(world, declare(), qos(1, channel_wide=True), consume())
    assert tags(say(world, client, *numbered(3))) == [1]
    assert tags(say(world, client, method(1, qos(1)))) == [2, 3]


def test_no_ack_needs_no_credit() -> None:
    """A consumer that need not acknowledge is not limited, and nothing stays unacked."""
    world = World()
    client = started(world, declare(), qos(1), consume(no_ack=True))
    assert len(tags(say(world, client, *numbered(5)))) == 5
    assert not client.session.channels[1].unacked


def test_rejected_deliveries_give_credit_back() -> None:
    """Credit returns however a delivery is settled, requeued ones included."""
    world = World()
    client = started(world, declare(), qos(1), consume())
    assert bodies(say(world, client, *numbered(3))) == [b"0"]
    dropped = method(1, commands.Basic.Reject(1, False))
    assert bodies(say(world, client, dropped)) == [b"1"]
    (again,) = say(world, client, method(1, commands.Basic.Nack(2, False, True)))
    assert (again.body, again.command.redelivered) == (b"1", True)


def test_the_hosts_default_prefetch() -> None:
    """A consumer of a channel that never said basic.qos has the configured prefetch."""
    world = World()
    world.default_consumer_prefetch = 2
    client = started(world, declare(), consume())
    assert tags(say(world, client, *numbered(5))) == [1, 2]


def small_framed(world: World) -> Client:
    """A client that accepts no frames above the least size."""
    client = Client(world)
    world.clients.append(client)
    client.feed(PROTOCOL_HEADER)
    client.feed(start_ok())
    client.feed(tune_ok(frame_max=4096))
    client.feed(connection_open())
    say(world, client, channel_open(1), method(1, declare()), method(1, consume()))
    return client


@pytest.mark.parametrize(("size", "frames"), [(1, 1), (4088, 1), (4089, 2), (10_000, 3)])
def test_bodies_are_split_for_the_receiver(size: int, frames: int) -> None:
    """A body arrives whole, in frames no larger than its consumer negotiated."""
    world = World()
    small = small_framed(world)
    body = bytes(number % 251 for number in range(size))
    say(world, started(world), send(body))
    octets = small.said()
    assert all(8 + len(payload) <= 4096 for _, _, payload in split(octets))
    small.transport.written += octets
    (delivery,) = heard(world, small)
    assert (delivery.body, delivery.body_frames) == (body, frames)


def test_deliveries_carry_the_consumers_channel() -> None:
    """What was published on one channel is delivered on the consumer's, properties and all."""
    world = World()
    client = started(world, declare(), channels=7)
    say(world, client, method(7, consume()))
    properties = {"content_type": "text/plain", "headers": {"n": 1}}
    say(world, started(world), b"")
    (delivery,) = say(world, client, send(b"body", channel=2, **properties))
    assert (delivery.channel, delivery.body) == (7, b"body")
    client.feed(send(b"body", channel=2, **properties))
    world.run()
    _, head, _ = split(client.said())
    assert head == split(content(7, b"body", **properties))[0]


def test_each_address_is_told_as_it_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchange and key of every delivery are right, also beyond the templates that are kept."""
    monkeypatch.setattr(consumer_module, "TEMPLATES_MAX", 2)
    world = World()
    bind = commands.Queue.Bind(queue="q", exchange="amq.topic", routing_key="#")
    client = started(world, declare(), bind, consume())
    keys = ["a", "b", "c", "a", "", "é", "c" * 200]
    found = say(world, client, *(publish(1, "amq.topic", key) + content(1) for key in keys))
    assert [(a.command.exchange, a.command.routing_key) for a in found] == [
        ("amq.topic", key) for key in keys
    ]


def test_delivery_tags_grow_by_one_over_all_consumers() -> None:
    """A channel counts deliveries and gets in one row, whoever they are for."""
    world = World()
    client = started(world, declare(), declare("p"), consume(), declare("got"))
    say(world, client, method(1, consume("p", "no-ack", no_ack=True)))
    get = method(1, commands.Basic.Get(queue="got"))
    found = say(world, client, send(key="got"), get, send(), send(key="p"), get)
    got = [a.command.delivery_tag for a in found if a.name == "Basic.GetOk"]
    assert got == [1]
    assert sorted(tags(found)) == [2, 3]


def test_cancelled_with_its_queue() -> None:
    """A consumer whose queue is deleted is told, after the answer to whoever deleted it."""
    world = World()
    client = started(world, declare(), consume())
    found = say(world, client, method(1, commands.Queue.Delete(queue="q")))
    assert names(found) == ["Queue.DeleteOk", "Basic.Cancel"]
    again = say(world, client, method(1, declare()), method(1, consume()))
    assert names(again) == ["Queue.DeclareOk", "Basic.ConsumeOk"]


def test_cancel_keeps_what_was_delivered() -> None:
    """After basic.cancel nothing more is delivered; what was stays to be acked or requeued."""
    world = World()
    client = started(world, declare(), qos(1), consume())
    say(world, client, *numbered(2))
    found = say(world, client, method(1, commands.Basic.Cancel("c")), ack(1, 1))
    assert names(found) == ["Basic.CancelOk"]
    assert len(world.broker.vhosts["/"].queues["q"]) == 1


def test_a_consumer_that_does_not_drain_gets_nothing() -> None:
    """While a socket does not take what is written, its consumers have no capacity."""
    world = World()
    client = started(world, declare(), consume())
    client.session.pause_writing()
    assert say(world, started(world), *numbered(3)) == []
    assert heard(world, client) == []
    client.session.resume_writing()
    assert bodies(heard(world, client)) == [b"0", b"1", b"2"]


def test_one_slow_reader_does_not_stop_another() -> None:
    """A queue whose first consumer does not drain delivers to the second."""
    world = World()
    slow = started(world, declare(), consume(tag="slow"))
    slow.session.pause_writing()
    quick = started(world, consume(tag="quick"))
    assert bodies(say(world, quick, stored(b"0"), stored(b"1"))) == [b"0", b"1"]
    assert heard(world, slow) == []


def test_consume_ok_leaves_before_the_deliveries() -> None:
    """A client that waits for consume-ok does not find deliveries in the same read."""
    world = World()
    client = started(world, declare())
    say(world, client, send())
    client.feed(method(1, consume()))
    assert names(hear(client.said())) == ["Basic.ConsumeOk"]
    assert names(heard(world, client)) == ["Basic.Deliver"]


def test_consume_ok_waits_for_what_waits_for_the_disk() -> None:
    """What precedes consume-ok precedes it on the wire, also if it has to wait."""
    world = World(slow_disk=True)
    client = started(world, declare("q"))
    say(world, client, send())
    client.feed(method(1, declare("d", durable=True)) + method(1, consume()))
    assert client.said() == b""
    answers = names(heard(world, client))
    assert answers == ["Queue.DeclareOk", "Basic.ConsumeOk", "Basic.Deliver"]
