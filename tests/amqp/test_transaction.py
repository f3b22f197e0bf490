"""tx: nothing happens before commit, all of it then, nothing after rollback."""

from contextlib import suppress
from random import Random

from pamqp import commands

from tests.amqp.dialogue import (
    SlowDisk,
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
from tests.faults import PowerCut
from tests.frames import ack, channel_open, message, method, publish
from tests.world import Client, World

SELECT, COMMIT, ROLLBACK = (
    method(1, wish) for wish in (commands.Tx.Select(), commands.Tx.Commit(), commands.Tx.Rollback())
)


def transactional(*wishes: object) -> tuple[World, Client]:
    """A client in tx mode on channel 1, before the durable queue `q`."""
    world = World()
    client = started(world, declare(durable=True), *wishes)
    say(world, client, SELECT)
    return world, client


def ready(world: World, name: str = "q") -> list[bytes]:
    """The last octet of what a queue holds ready, in order."""
    messages = sorted(world.broker.vhosts["/"].queues[name].stored(), key=lambda m: m.id)
    return [message.content[-2:-1] for message in messages]


def test_publishes_wait_for_commit() -> None:
    """Nobody sees what was published before it is committed; then it is there in order."""
    world, client = transactional()
    say(world, client, stored(b"a"), stored(b"b"))
    assert ready(world) == []
    assert names(say(world, client, COMMIT)) == ["Tx.CommitOk"]
    assert ready(world) == [b"a", b"b"]
    assert names(say(world, client, COMMIT)) == ["Tx.CommitOk"]
    assert ready(world) == [b"a", b"b"]


def test_rollback_forgets_publishes() -> None:
    """What was rolled back is never stored, what follows is."""
    world, client = transactional()
    assert names(say(world, client, stored(b"a"), ROLLBACK, stored(b"b"), COMMIT)) == [
        "Tx.RollbackOk",
        "Tx.CommitOk",
    ]
    assert ready(world) == [b"b"]


def test_acks_wait_for_commit() -> None:
    """Acked deliveries stay unsettled until commit, and give no credit."""
    world, client = transactional(commands.Basic.Qos(0, 2, False), consume())
    assert tags(say(world, client, *[stored()] * 4, COMMIT)) == [1, 2]
    queue = world.broker.vhosts["/"].queues["q"]
    assert say(world, client, ack(1, 2, multiple=True)) == []
    assert queue.unacked == 2
    found = say(world, client, COMMIT)
    assert sorted(names(found)) == ["Basic.Deliver", "Basic.Deliver", "Tx.CommitOk"]
    assert tags(found) == [3, 4]


def test_rollback_makes_acks_undone() -> None:
    """After rollback every tag that was acked or rejected can be settled again."""
    world, client = transactional(consume())
    say(world, client, *[stored(b"%d" % n) for n in range(4)], COMMIT)
    settled = [ack(1, 3), method(1, commands.Basic.Reject(1, True)), ack(1, 2, multiple=True)]
    assert names(say(world, client, *settled, ROLLBACK)) == ["Tx.RollbackOk"]
    assert list(client.session.channels[1].unacked) == [1, 2, 3, 4]
    assert names(say(world, client, ack(1, 4, multiple=True), COMMIT)) == ["Tx.CommitOk"]
    queue = world.broker.vhosts["/"].queues["q"]
    assert (len(queue), queue.unacked) == (0, 0)


def test_an_unknown_tag_is_refused_at_once() -> None:
    """An ack of nothing closes the channel without waiting for commit."""
    world, client = transactional()
    assert names(say(world, client, ack(1, 1))) == ["Channel.Close"]


def test_a_tag_is_taken_only_once() -> None:
    """Within one transaction a delivery cannot be acked twice."""
    world, client = transactional(consume())
    say(world, client, stored(), COMMIT)
    assert names(say(world, client, ack(1, 1), ack(1, 1))) == ["Channel.Close"]


def test_rejects_act_at_commit() -> None:
    """A reject without requeue drops its message at commit, one with requeue returns it."""
    world, client = transactional(consume())
    say(world, client, stored(b"a"), stored(b"b"), COMMIT)
    say(
        world,
        client,
        method(1, commands.Basic.Cancel("c")),
        method(1, commands.Basic.Reject(1, False)),
        method(1, commands.Basic.Nack(2, False, True)),
    )
    assert ready(world) == []
    say(world, client, COMMIT)
    assert ready(world) == [b"b"]
    assert world.broker.vhosts["/"].queues["q"].unacked == 0


def test_a_reject_is_a_failure_in_a_transaction_too() -> None:
    """A queue that delays the retry of failures does so for a reject that is committed."""
    arguments = {
        "x-queue-type": "quorum",
        "x-delayed-retry-type": "failed",
        "x-delayed-retry-min": 1000,
    }
    world, client = transactional(declare("retry", durable=True, arguments=arguments))
    say(world, client, method(1, consume("retry")), stored(b"a", "retry"), COMMIT)
    reject = method(1, commands.Basic.Reject(1, True))
    assert names(say(world, client, reject, COMMIT)) == ["Tx.CommitOk"]
    queue = world.broker.vhosts["/"].queues["retry"]
    assert (len(queue), queue.unacked, len(list(queue.stored()))) == (0, 0, 1)


def test_a_closed_channel_commits_nothing() -> None:
    """What was not committed when the channel goes is as if it had never been said."""
    world, client = transactional(consume())
    say(world, client, stored(b"a"), COMMIT)
    close = method(1, commands.Channel.Close(0, "", 0, 0))
    say(world, client, ack(1, 1), stored(b"b"), close)
    assert ready(world) == [b"a"]
    assert world.broker.vhosts["/"].queues["q"].unacked == 0


def test_a_lost_connection_commits_nothing() -> None:
    """A client that vanishes in a transaction leaves deliveries ready and stores nothing."""
    world, client = transactional(consume())
    say(world, client, stored(b"a"), COMMIT, ack(1, 1), stored(b"b"))
    client.vanish()
    world.run()
    assert ready(world) == [b"a"]


def test_commit_ok_waits_for_the_disk() -> None:
    """The answer to commit leaves when everything committed is durable."""
    world, client = transactional()
    disk = SlowDisk(world)
    assert say(world, client, stored(), COMMIT) == []
    disk.finish_all()
    assert names(heard(world, client)) == ["Tx.CommitOk"]


def test_commit_ok_waits_for_its_own_batch() -> None:
    """It is not enough that another client's change of topology, one batch earlier, is durable."""
    world, client = transactional()
    other = started(world)
    disk = SlowDisk(world)
    assert say(world, other, method(1, declare("p", durable=True))) == []
    assert say(world, client, stored(), COMMIT) == []
    disk.finish()
    assert names(heard(world, other)) == ["Queue.DeclareOk"]
    assert heard(world, client) == []
    disk.finish()
    assert names(heard(world, client)) == ["Tx.CommitOk"]


def test_a_commit_is_whole_or_absent_after_a_power_cut() -> None:
    """Publishes and acks of one commit survive together or not at all, whenever power fails."""
    outcomes = set()
    for seed in range(40):
        world, client = transactional(declare("p", durable=True), consume("p"))
        say(world, client, stored(b"x", "p"), COMMIT)
        say(world, client, *[stored(b"%d" % n * 700) for n in range(5)], ack(1, 1))
        world.disk.faults = {world.disk.calls + 1: "cut"}
        with suppress(PowerCut):
            say(world, client, COMMIT)
        world.disk = world.disk.after_power_cut(Random(seed))
        world.restart()
        state = (tuple(ready(world)), len(ready(world, "p")))
        assert state in {((), 1), ((b"0", b"1", b"2", b"3", b"4"), 0)}
        outcomes.add(state)
    assert len(outcomes) == 2


def test_a_queue_deleted_before_commit_gets_nothing() -> None:
    """A message is stored on those of its queues that exist at commit."""
    world, client = transactional(
        declare("p"),
        commands.Queue.Bind(queue="p", exchange="amq.fanout"),
        commands.Queue.Bind(queue="q", exchange="amq.fanout"),
    )
    say(world, client, publish(1, "amq.fanout", "") + message(1, b"a"))
    say(world, client, method(1, commands.Queue.Delete(queue="p")), COMMIT)
    assert ready(world) == [b"a"]
    assert "p" not in world.broker.vhosts["/"].queues


def test_a_refusing_queue_fails_the_commit() -> None:
    """A message that a full queue refuses closes the channel instead of commit-ok."""
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    world, client = transactional(declare("full", arguments=arguments))
    found = say(world, client, send(key="full"), send(key="full"), COMMIT)
    assert names(found) == ["Channel.Close"]
    assert "partial tx completion" in found[0].command.reply_text


def test_transactions_of_two_channels_are_apart() -> None:
    """Commit and rollback concern one channel only."""
    world, client = transactional()
    other = channel_open(2) + method(2, commands.Tx.Select())
    say(world, client, other, stored(b"a"), stored(b"b", channel=2))
    say(world, client, method(2, commands.Tx.Rollback()), COMMIT)
    assert ready(world) == [b"a"]


def test_confirms_and_transactions_exclude_each_other() -> None:
    """A channel is in one mode; commit without select is refused."""
    for first, second in (
        (method(1, commands.Confirm.Select()), SELECT),
        (SELECT, method(1, commands.Confirm.Select())),
        (b"", COMMIT),
        (b"", ROLLBACK),
    ):
        world = World()
        client = started(world)
        found = say(world, client, first, second)
        assert (found[-1].name, found[-1].command.reply_code) == ("Channel.Close", 406)
