"""A channel: what tags stand for, and what closing gives back."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from tests.amqp.dialogue import (
    bodies,
    consume,
    declare,
    heard,
    names,
    say,
    send,
    started,
    stored,
    tags,
)
from tests.frames import ack, channel_open, method
from tests.world import Client, World


def delivered(count: int) -> tuple[World, Client]:
    """A client that has been delivered so many messages of `q`."""
    world = World()
    client = started(world, declare(durable=True), consume())
    assert len(tags(say(world, client, *(stored(b"%d" % n) for n in range(count))))) == count
    return world, client


def queue_of(world: World, name: str = "q") -> Any:
    """A queue."""
    return world.broker.vhosts["/"].queues[name]


def test_an_unknown_tag_closes_the_channel() -> None:
    """A tag that was never given, or is settled already, is refused with 406."""
    for tag, multiple in ((4, False), (4, True), (1, False), (1, True), (0, False)):
        world, client = delivered(3)
        say(world, client, ack(1, 1))
        (close,) = say(world, client, ack(1, tag, multiple=multiple))
        assert (close.name, close.command.reply_code) == ("Channel.Close", 406)
        assert close.command.reply_text == f"PRECONDITION_FAILED - unknown delivery tag {tag}"


def test_all_of_nothing_is_fine() -> None:
    """Tag 0 with multiple is whatever is unacked, also if that is nothing."""
    world, client = delivered(2)
    everything = ack(1, 0, multiple=True)
    assert say(world, client, everything, everything) == []
    assert not client.session.channels[1].unacked
    assert queue_of(world).unacked == 0


def test_tags_of_one_channel_mean_nothing_on_another() -> None:
    """Acks look at their own channel alone."""
    world, client = delivered(1)
    found = say(world, client, channel_open(2), ack(2, 1))
    assert names(found) == ["Channel.OpenOk", "Channel.Close"]
    assert list(client.session.channels[1].unacked) == [1]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.sampled_from("akd")), max_size=12),
    st.booleans(),
)
def test_tags_stand_for_what_the_specification_says(
    settles: list[tuple[int, bool, str]], fast_path: bool
) -> None:
    """Any acks, requeues and rejects leave unacked exactly what a plain list says."""
    world = World(fast_path=fast_path)
    client = started(world, declare())
    get = method(1, commands.Basic.Get(queue="q"))
    say(world, client, *(send(b"%d" % n) for n in range(8)), *[get] * 8)
    unacked = {tag: tag - 1 for tag in range(1, 9)}
    ready: set[int] = set()
    for tag, multiple, how in settles:
        known = tag in unacked or (tag == 0 and multiple)
        octets = {
            "a": ack(1, tag, multiple=multiple),
            "k": method(1, commands.Basic.Nack(tag, multiple, True)),
            "d": method(1, commands.Basic.Nack(tag, multiple, False)),
        }[how]
        found = say(world, client, octets)
        if not known:
            assert names(found) == ["Channel.Close"]
            ready |= set(unacked.values())
            unacked.clear()
            break
        taken = [n for n in unacked if n == tag or (multiple and (n < tag or tag == 0))]
        for number in taken:
            message = unacked.pop(number)
            if how == "k":
                ready.add(message)
        assert list(client.session.channels[1].unacked) == sorted(unacked)
    queue = queue_of(world)
    assert {int(message.content[-2:-1]) for message in queue.stored()} == ready
    assert queue.unacked == len(unacked)


def test_acks_act_in_the_tick() -> None:
    """An ack frees neither credit nor log before the tick, and exactly once then."""
    world, client = delivered(2)
    queue, channel = queue_of(world), client.session.channels[1]
    client.feed(ack(1, 1))
    assert (queue.unacked, channel.outstanding) == (2, 2)
    world.run()
    assert (queue.unacked, channel.outstanding) == (1, 1)


def test_outstanding_counts_no_gets() -> None:
    """What basic.get took has no part in the credit of consumers."""
    world = World()
    client = started(world, declare(), commands.Basic.Qos(0, 1, True))
    get = method(1, commands.Basic.Get(queue="q"))
    say(world, client, send(b"0"), send(b"1"), get, method(1, consume()))
    assert client.session.channels[1].outstanding == 1
    assert len(client.session.channels[1].unacked) == 2


def test_closing_gives_back_in_order() -> None:
    """What a closed channel held is ready again, in its old order, as redelivered."""
    world, client = delivered(4)
    say(world, client, ack(1, 2))
    close = method(1, commands.Channel.Close(0, "", 0, 0))
    found = say(world, client, close, channel_open(2), method(2, consume()))
    assert bodies(found) == [b"0", b"2", b"3"]
    assert all(a.command.redelivered for a in found if a.name == "Basic.Deliver")
    assert tags(found) == [1, 2, 3]


def test_acks_just_before_the_close_count() -> None:
    """An ack in the same read as channel.close is kept, also over a crash."""
    world, client = delivered(2)
    say(world, client, ack(1, 1), method(1, commands.Channel.Close(0, "", 0, 0)))
    assert len(queue_of(world)) == 1
    world.restart()
    assert len(queue_of(world)) == 1


def test_closing_by_an_error_gives_back_too() -> None:
    """A channel the broker closes loses its consumers and deliveries as any other."""
    world, client = delivered(2)
    say(world, client, ack(1, 9))
    queue = queue_of(world)
    assert (len(queue), queue.unacked, queue.consumers) == (2, 0, [])


def test_an_auto_delete_queue_goes_with_its_channel() -> None:
    """The last consumer of an auto-delete queue takes it along, unacked messages included."""
    world = World()
    client = started(world, declare(auto_delete=True), consume())
    say(world, client, send(), send())
    say(world, client, method(1, commands.Channel.Close(0, "", 0, 0)))
    assert "q" not in world.broker.vhosts["/"].queues


def test_recover_redelivers_to_the_same_channel() -> None:
    """basic.recover gives everything back, and it comes again as redelivered."""
    world, client = delivered(2)
    found = say(world, client, method(1, commands.Basic.Recover(True)))
    assert names(found) == ["Basic.RecoverOk", "Basic.Deliver", "Basic.Deliver"]
    assert bodies(found) == [b"0", b"1"]
    assert tags(found) == [3, 4]


def test_unacked_of_a_deleted_queue_are_released_by_their_acks() -> None:
    """Deliveries whose queue is gone can still be acked, and requeued to nowhere."""
    world, client = delivered(3)
    say(world, client, method(1, commands.Queue.Delete(queue="q")))
    assert say(world, client, ack(1, 1), method(1, commands.Basic.Nack(2, False, True))) == []
    client.vanish()
    assert heard(world, started(world)) == []
    assert sum(segment.live for segment in world.log._space.segments) == 0
