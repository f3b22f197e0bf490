"""Publisher confirms: in order, once each, and never before what they promise is durable."""

from pamqp import commands

from tests.amqp.dialogue import Heard, SlowDisk, declare, heard, names, say, send, started, stored
from tests.frames import channel_open, message, method, publish
from tests.world import Client, World

SELECT = commands.Confirm.Select()
FULL = {"x-max-length": 1, "x-overflow": "reject-publish"}


def answers(heard: list[Heard]) -> list[tuple[str, int, bool]]:
    """Confirms as (ack or nack, number, multiple)."""
    return [
        (a.name.removeprefix("Basic."), a.command.delivery_tag, a.command.multiple)
        for a in heard
        if a.name in ("Basic.Ack", "Basic.Nack")
    ]


def slow_world(*wishes: object) -> tuple[World, Client, SlowDisk]:
    """A client in confirm mode before a durable queue; from now on the disk is slow."""
    world = World()
    client = started(world, declare(durable=True), *wishes, SELECT)
    return world, client, SlowDisk(world)


def test_one_ack_confirms_all_of_a_tick() -> None:
    """What was published in one tick is confirmed by one ack, multiple if there are several."""
    world = World()
    client = started(world, declare(), SELECT)
    assert answers(say(world, client, send())) == [("Ack", 1, False)]
    assert answers(say(world, client, send(), send(), send())) == [("Ack", 4, True)]
    assert answers(say(world, client, send())) == [("Ack", 5, False)]


def test_nothing_is_confirmed_before_it_is_durable() -> None:
    """A persistent message is confirmed when its batch is written, not while it is."""
    world, client, disk = slow_world()
    assert answers(say(world, client, stored())) == []
    disk.finish_all()
    assert answers(heard(world, client)) == [("Ack", 1, False)]


def test_messages_gathered_behind_a_write_wait_for_the_next() -> None:
    """A write confirms only what it holds, although more was published meanwhile."""
    world, client, disk = slow_world()
    say(world, client, stored(), stored())
    assert answers(say(world, client, stored())) == []
    disk.finish()
    assert answers(heard(world, client)) == [("Ack", 2, True)]
    disk.finish_all()
    assert answers(heard(world, client)) == [("Ack", 3, False)]


def test_transient_messages_do_not_overtake() -> None:
    """A message that need not be stored is confirmed after what was published before it."""
    world, client, disk = slow_world(declare("fast"))
    say(world, client, stored())
    assert answers(say(world, client, send(key="fast"))) == []
    disk.finish_all()
    assert answers(heard(world, client)) == [("Ack", 2, True)]


def test_transient_messages_do_not_wait_for_others() -> None:
    """A channel that stores nothing is confirmed although another one waits for the disk."""
    world, client, disk = slow_world(declare("fast"))
    say(world, client, stored())
    other = started(world, SELECT)
    assert answers(say(world, other, send(key="fast"))) == [("Ack", 1, False)]
    disk.finish_all()


def test_nacks_stand_in_their_place() -> None:
    """What a full queue refuses is nacked between the acks of what came before and after."""
    world = World()
    client = started(world, declare("full", arguments=FULL), declare(), SELECT)
    one, full = send(), send(key="full")
    found = answers(say(world, client, full, one, one, full, one))
    assert found == [("Ack", 3, True), ("Nack", 4, True), ("Ack", 5, False)]


def test_a_nack_waits_for_what_was_published_before() -> None:
    """A nack, too, overtakes no message that is not durable yet."""
    world, client, disk = slow_world(declare("full", arguments=FULL))
    say(world, client, send(key="full"))
    say(world, client, stored())
    assert answers(say(world, client, send(key="full"))) == []
    disk.finish_all()
    assert answers(heard(world, client)) == [("Ack", 2, False), ("Nack", 3, True)]


def test_a_return_precedes_the_confirm() -> None:
    """A mandatory message that goes nowhere is returned, then confirmed."""
    world = World()
    client = started(world, SELECT)
    lost = publish(1, "", "nowhere", mandatory=True) + message(1)
    assert names(say(world, client, lost)) == ["Basic.Return", "Basic.Ack"]


def test_nothing_is_confirmed_on_a_closed_channel() -> None:
    """After channel.close no confirm follows, neither on it nor on its successor."""
    world, client, disk = slow_world()
    close = method(1, commands.Channel.Close(0, "", 0, 0))
    found = say(world, client, stored(), close, channel_open(1), method(1, SELECT))
    assert names(found) == ["Channel.CloseOk", "Channel.OpenOk", "Confirm.SelectOk"]
    disk.finish_all()
    assert answers(heard(world, client)) == []
    assert len(world.broker.vhosts["/"].queues["q"]) == 1


def test_numbers_begin_with_select_and_only_once() -> None:
    """Messages before confirm.select do not count; selecting again does not count anew."""
    world = World()
    client = started(world, declare())
    assert answers(say(world, client, send(), method(1, SELECT), send())) == [("Ack", 1, False)]
    assert answers(say(world, client, method(1, SELECT), send())) == [("Ack", 2, False)]


def test_confirmed_messages_survive_and_are_all_that_is_confirmed() -> None:
    """Whatever was confirmed when the process is killed is there after it."""
    world, client, disk = slow_world()
    say(world, client, stored(b"a"), stored(b"b"))
    disk.finish()
    say(world, client, stored(b"c"))
    world.restart()
    queue = world.broker.vhosts["/"].queues["q"]
    assert [message.content[-2:-1] for message in queue.stored()] == [b"a", b"b"]
