"""Looking into a queue and taking messages out of it, in memory and in pages alike."""

from typing import Any

import pytest
from pamqp import commands

from broker.core import browsing
from broker.core.queue import Queue
from protocol.content import body_of
from tests.amqp.dialogue import bodies, consume, declare, say, started, stored
from tests.frames import method
from tests.pages import tiny_pages
from tests.world import Client, World

ARGUMENTS: list[dict[str, Any]] = [{}, {"x-max-priority": 3}, {"x-message-group-header": "g"}]


def filled(paged: bool, arguments: dict[str, Any]) -> tuple[World, Client, Queue]:
    """A queue with ten messages; the first two were delivered before."""
    world = World(paged=paged)
    wish = declare(durable=True, arguments=arguments)
    client = started(world, wish, declare("other", durable=True))
    say(world, client, *(stored(b"%d" % number) for number in range(10)))
    for _ in range(2):
        say(world, client, method(1, commands.Basic.Get(queue="q")))
    say(world, client, method(1, commands.Basic.Nack(delivery_tag=2, multiple=True)))
    return world, client, world.broker.vhosts["/"].queues["q"]


def shown(queue: Queue, skip: int = 0) -> list[bytes]:
    """The bodies of what it holds ready."""
    return [body_of(message.content) for message in queue.backlog.browse(skip)]


@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_any_part_of_a_queue_can_be_seen(paged: bool, arguments: dict[str, Any]) -> None:
    """Messages are shown in the order of delivery, from any position on."""
    with tiny_pages():
        _, _, queue = filled(paged, arguments)
        everything = [b"%d" % number for number in range(10)]
        for skip in range(11):
            assert shown(queue, skip) == everything[skip:]
        first = [message.id for message in queue.backlog.browse()][:2]
        assert sorted(queue.backlog.returned_ids()) == first


@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("chosen", [{0}, {9}, {1, 4, 5, 8}, set(range(10)), set()])
def test_chosen_messages_are_taken_out(
    paged: bool, arguments: dict[str, Any], chosen: set[int]
) -> None:
    """Exactly those go, wherever they are; the others are delivered in their order."""
    with tiny_pages():
        world, client, queue = filled(paged, arguments)
        ids = [message.id for message in queue.backlog.browse()]
        wanted = sorted(ids[number] for number in chosen)
        assert sorted(message.id for message in queue.backlog.find(wanted)) == wanted
        assert browsing.take_out(queue, [*wanted, 1 << 40]) == len(chosen)
        rest = [b"%d" % number for number in range(10) if number not in chosen]
        assert (len(queue), shown(queue)) == (len(rest), rest)
        assert queue.backlog.size_bytes == len(rest)
        assert bodies(say(world, client, method(1, consume(no_ack=True)))) == rest


@pytest.mark.parametrize("paged", [False, True])
def test_moved_messages_are_in_one_queue_after_a_restart(paged: bool) -> None:
    """What was moved is in the other queue, and in the first one no more, also from the log."""
    with tiny_pages():
        world, _, queue = filled(paged, {})
        ids = [message.id for message in queue.backlog.browse()]
        other = world.broker.vhosts["/"].queues["other"]
        assert browsing.move(queue, ids[3:7], browsing.to_queue(other)) == (4, 0)
        world.run()
        world.restart()
        queues = world.broker.vhosts["/"].queues
        assert shown(queues["q"]) == [b"0", b"1", b"2", b"7", b"8", b"9"]
        assert shown(queues["other"]) == [b"3", b"4", b"5", b"6"]
