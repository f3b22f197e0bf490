"""Programs that the model once showed to go wrong, shrunk and kept."""

from pamqp import commands

from tests.frames import channel_open, message, method, methods_in, publish
from tests.world import World


def test_a_message_nobody_waits_for_survives() -> None:
    """A persistent message survives a crash soon after, also without confirms and consumers."""
    world = World()
    client = world.connect()
    client.feed(channel_open(1) + method(1, commands.Queue.Declare(queue="q", durable=True)))
    world.run()
    client.feed(publish(1, "", "q") + message(1, b"m", delivery_mode=2))
    world.run()
    world.restart()
    assert len(world.broker.vhosts["/"].queues["q"]) == 1


def test_an_empty_commit_is_answered() -> None:
    """tx.commit is answered at once if there was nothing to store."""
    world = World()
    client = world.connect()
    client.feed(channel_open(1) + method(1, commands.Tx.Select()) + method(1, commands.Tx.Commit()))
    world.run()
    assert methods_in([client.said()])[-1] == (1, "Tx.CommitOk")
