"""basic.publish: what is refused, in which order, and that the fast path changes nothing."""

from typing import Any

import pytest
from pamqp import commands

from broker.amqp import routes
from tests.amqp.dialogue import (
    SlowDisk,
    bodies,
    consume,
    declare,
    heard,
    names,
    say,
    send,
    started,
    stored,
)
from tests.frames import (
    body,
    channel_open,
    header,
    header_payload,
    message,
    method,
    publish,
    raw_frame,
)
from tests.world import World


def odd_mode() -> bytes:
    """A message with a delivery mode that pamqp would not write."""
    properties = header_payload(1, b"\x03", flags=0x1000)
    return publish(1, "", "q") + raw_frame(2, 1, properties) + body(1, b"m")


def refusal(*octets: bytes, wishes: tuple[Any, ...] = ()) -> tuple[str, int, str]:
    """How the broker ends a channel or connection for a publish."""
    world = World()
    client = started(world, declare(), *wishes)
    close = say(world, client, *octets)[-1]
    return close.name, close.command.reply_code, close.command.reply_text


@pytest.mark.parametrize(
    ("octets", "code", "text"),
    [
        (publish(1, "no") + message(1), 404, "NOT_FOUND - no exchange 'no' in vhost '/'"),
        (send(user_id="other"), 406, "user_id property set to 'other' but authenticated"),
        (send(expiration="soon"), 406, "invalid expiration 'soon': no_integer"),
        (send(expiration="1s"), 406, "invalid expiration '1s': {leftover_string,\"s\"}"),
        (send(expiration="-1"), 406, "invalid expiration '-1': {value_negative,-1}"),
        (odd_mode(), 406, "invalid message: {delivery_mode_unknown,3}"),
        (send(headers={"CC": "q"}), 406, '{unacceptable_type_in_header,"CC",longstr}'),
        (send(headers={"BCC": 1}), 406, "unacceptable_type_in_header"),
        (send(reply_to="amq.rabbitmq.reply-to"), 406, "fast reply consumer does not exist"),
    ],
)
def test_what_closes_the_channel(octets: bytes, code: int, text: str) -> None:
    """A publish that breaks a rule closes its channel, and says why."""
    name, reply_code, reply_text = refusal(octets)
    assert (name, reply_code) == ("Channel.Close", code)
    assert text in reply_text


def test_immediate_closes_the_connection() -> None:
    """immediate is a part of AMQP that RabbitMQ dropped: 540."""
    immediate = publish(1, "", "q", immediate=True) + message(1)
    assert refusal(immediate) == (
        "Connection.Close",
        540,
        "NOT_IMPLEMENTED - immediate=true",
    )


def test_internal_exchanges_are_not_for_clients() -> None:
    """Nobody publishes to an internal exchange directly."""
    internal = commands.Exchange.Declare(exchange="i", exchange_type="fanout", internal=True)
    name, code, text = refusal(publish(1, "i") + message(1), wishes=(internal,))
    assert (name, code) == ("Channel.Close", 403)
    assert text == ("ACCESS_REFUSED - cannot publish to internal exchange 'i' in vhost '/'")


def test_a_message_over_the_limit_is_refused() -> None:
    """A body above the configured size closes the channel, and nothing of it is stored."""
    world = World()
    world.offer = type(world.offer)(world.offer.server_properties, message_size_max=10)
    client = started(world, declare())
    assert say(world, client, send(b"m" * 10)) == []
    (close,) = say(world, client, send(b"m" * 11))
    assert close.command.reply_text == (
        "PRECONDITION_FAILED - message size 11 is larger than configured max size 10"
    )
    assert len(world.broker.vhosts["/"].queues["q"]) == 1


def test_copies_go_where_cc_and_bcc_say() -> None:
    """CC and BCC add routing keys; receivers see CC, and no BCC."""
    world = World()
    client = started(world, declare(), declare("cc"), declare("bcc"))
    one = send(b"1", headers={"CC": ["cc", "q"], "BCC": ["bcc"], "n": 1})
    say(world, client, one, one)
    vhost = world.broker.vhosts["/"]
    assert [len(vhost.queues[name]) for name in ("q", "cc", "bcc")] == [2, 2, 2]
    (got,) = say(world, client, method(1, commands.Basic.Get(queue="bcc")))
    assert got.body == b"1"
    for stored_message in vhost.queues["bcc"].stored():
        assert b"BCC" not in stored_message.content
        assert b"CC" in stored_message.content


def test_a_route_follows_the_topology() -> None:
    """A publish that is repeated goes where its bindings lead at each moment."""
    world = World()
    client = started(world, declare(), declare("p"))
    one = publish(1, "amq.direct", "k") + message(1)
    bind = [
        method(1, commands.Queue.Bind(queue=name, exchange="amq.direct", routing_key="k"))
        for name in "qp"
    ]
    unbind = method(1, commands.Queue.Unbind(queue="q", exchange="amq.direct", routing_key="k"))
    delete = method(1, commands.Queue.Delete(queue="p"))
    say(world, client, one, one, bind[0], one, one, bind[1], one, one, unbind, one, one)
    vhost = world.broker.vhosts["/"]
    assert [len(vhost.queues[name]) for name in "qp"] == [4, 4]
    assert names(say(world, client, delete, one, one)) == ["Queue.DeleteOk"]
    assert len(vhost.queues["q"]) == 4


def test_a_route_follows_what_others_change() -> None:
    """A binding that another connection makes holds for the next publish of this one."""
    world = World()
    client, other = started(world, declare()), started(world)
    one = publish(1, "amq.fanout", "") + message(1)
    say(world, client, one, one)
    say(world, other, method(1, commands.Queue.Bind(queue="q", exchange="amq.fanout")))
    say(world, client, one)
    assert len(world.broker.vhosts["/"].queues["q"]) == 1


def test_remembered_routes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session remembers a bounded number of addresses, and all are routed rightly."""
    monkeypatch.setattr(routes, "ROUTES_MAX", 3)
    world = World()
    wishes = [declare(f"q{number}") for number in range(8)]
    client = started(world, *wishes)
    for _ in range(2):
        say(world, client, *(send(key=f"q{number}") for number in range(8)))
        assert len(client.session.routes) <= 3
    assert {len(queue) for queue in world.broker.vhosts["/"].queues.values()} == {2}


def test_a_transactional_channel_leaves_no_route() -> None:
    """After tx.select no publish takes the way that stores at once."""
    world = World()
    client = started(world, declare())
    say(world, client, send(), send())
    assert client.session.routes
    say(world, client, method(1, commands.Tx.Select()), send(), send())
    assert not client.session.routes
    assert len(world.broker.vhosts["/"].queues["q"]) == 2


def test_a_reopened_channel_begins_anew() -> None:
    """Routes of a closed channel do not serve, or confirm for, its successor."""
    world = World()
    client = started(world, declare(), commands.Confirm.Select())
    assert names(say(world, client, send(), send())) == ["Basic.Ack"]
    close = method(1, commands.Channel.Close(0, "", 0, 0))
    found = say(world, client, close, channel_open(1), send(), send())
    assert names(found) == ["Channel.CloseOk", "Channel.OpenOk"]
    assert len(world.broker.vhosts["/"].queues["q"]) == 4


def test_mandatory_and_routed_is_not_returned() -> None:
    """mandatory has no effect on a message that reaches a queue."""
    world = World()
    client = started(world, declare(), consume(no_ack=True))
    one = publish(1, "", "q", mandatory=True) + message(1, b"1")
    found = say(world, client, one, one)
    assert names(found) == ["Basic.Deliver"] * 2
    assert bodies(found) == [b"1", b"1"]


def test_a_returned_message_is_whole() -> None:
    """basic.return carries properties and body, and where the message was to go."""
    world = World()
    client = started(world)
    lost = publish(1, "amq.topic", "a.b", mandatory=True) + message(1, b"x" * 9000, priority=3)
    (returned,) = say(world, client, lost)
    command = returned.command
    assert (command.reply_code, command.reply_text) == (312, "NO_ROUTE")
    assert (command.exchange, command.routing_key) == ("amq.topic", "a.b")
    assert returned.body == b"x" * 9000


def test_an_empty_body_is_a_message() -> None:
    """A message without a body frame is stored and delivered as any other."""
    world = World()
    client = started(world, declare(), consume())
    empty = publish(1, "", "q") + header(1, 0)
    assert bodies(say(world, client, empty, empty, send(b"1"))) == [b"", b"", b"1"]


def test_one_message_is_logged_once_for_all_its_queues() -> None:
    """What goes to several durable queues is written once, and settled in each by itself."""
    world = World()
    names_ = [f"q{number}" for number in range(5)]
    wishes = [declare(name, durable=True) for name in names_]
    wishes += [commands.Queue.Bind(queue=name, exchange="amq.fanout") for name in names_]
    client = started(world, *wishes)
    before = world.log.bytes_written
    octets = b"b" * 1000
    say(world, client, publish(1, "amq.fanout", "") + message(1, octets, delivery_mode=2))
    assert len(octets) < world.log.bytes_written - before < 2 * len(octets)
    say(world, client, method(1, commands.Basic.Get(queue="q0", no_ack=True)))
    world.restart()
    queues = world.broker.vhosts["/"].queues
    assert [len(queues[name]) for name in names_] == [0, 1, 1, 1, 1]


def test_consumers_need_not_wait_for_the_disk() -> None:
    """A persistent message is delivered in the tick it came, whatever the disk does."""
    world = World()
    client = started(world, declare(durable=True))
    consumer = started(world, consume())
    disk = SlowDisk(world)
    say(world, client, stored(b"1"))
    assert bodies(heard(world, consumer)) == [b"1"]
    disk.finish_all()
