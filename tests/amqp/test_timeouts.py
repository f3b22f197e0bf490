"""The consumer timeout: what is not acked in time closes its channel, unless more is asked for."""

from collections.abc import Callable
from typing import Any

import pytest
from pamqp import commands

from broker.amqp import timeouts
from broker.amqp.ages import MARK_MS, MARKS_MAX, Ages
from tests.amqp.dialogue import (
    TimedWorld,
    bodies,
    consume,
    declare,
    heard,
    names,
    say,
    send,
    started,
    tags,
)
from tests.frames import ack, channel_open, method
from tests.world import Client

DEFAULT_MS = 60_000


def look(world: TimedWorld, client: Client, default_ms: int | None = DEFAULT_MS) -> list[Any]:
    """Look for overdue deliveries, as the server does now and then."""
    timeouts.close_overdue(client.session, default_ms)
    return heard(world, client)


def extend(**headers: int | str) -> bytes:
    """Ask for more time."""
    return send(key=timeouts.EXTEND, headers=headers)


def holding(count: int = 1, *wishes: Any, **arguments: Any) -> tuple[TimedWorld, Client]:
    """A client that holds so many deliveries of `q`, made a second apart."""
    world = TimedWorld()
    client = started(world, *wishes or [declare()], consume(arguments=arguments))
    for number in range(count):
        assert len(tags(say(world, client, send(b"%d" % number)))) == 1
        world.wait(1)
    return world, client


def test_an_overdue_delivery_closes_its_channel() -> None:
    """Past the timeout the channel is closed with 406, and the message is ready again."""
    world, client = holding()
    world.wait(58)
    assert look(world, client) == []
    world.wait(3)
    (close,) = look(world, client)
    assert (close.name, close.command.reply_code) == ("Channel.Close", 406)
    assert "timed out. Timeout value used: 60000 ms" in close.command.reply_text
    assert len(world.broker.vhosts["/"].queues["q"]) == 1
    assert look(world, client) == []


def test_other_channels_stay() -> None:
    """Only the channel with the overdue delivery is closed."""
    world, client = holding()
    say(world, client, channel_open(2))
    world.wait(100)
    assert [close.channel for close in look(world, client)] == [1]
    assert names(say(world, client, method(2, declare("other")))) == ["Queue.DeclareOk"]


def test_acks_in_time_keep_the_channel() -> None:
    """What counts is the oldest delivery that is still unacked."""
    world, client = holding(3)
    world.wait(30)
    say(world, client, ack(1, 2, multiple=True), send())
    world.wait(28)
    assert look(world, client) == []
    say(world, client, ack(1, 3))
    world.wait(20)
    assert look(world, client) == []
    world.wait(20)
    assert names(look(world, client)) == ["Channel.Close"]


def test_gets_time_out_too() -> None:
    """A delivery by basic.get is no different."""
    world = TimedWorld()
    get = method(1, commands.Basic.Get(queue="q"))
    client = started(world, declare())
    say(world, client, send(), get)
    world.wait(61)
    assert names(look(world, client)) == ["Channel.Close"]


@pytest.mark.parametrize("default_ms", [DEFAULT_MS, None])
@pytest.mark.parametrize(
    ("queue_ms", "consumer_ms", "used_ms"),
    [(5000, None, 5000), (None, 5000, 5000), (9000, 5000, 5000), (5000, 9000, 5000)],
)
def test_the_lowest_timeout_holds(
    default_ms: int | None, queue_ms: int | None, consumer_ms: int | None, used_ms: int
) -> None:
    """Of the consumer's, the queue's and the configured timeout the lowest one counts."""
    queue = declare(arguments={"x-consumer-timeout": queue_ms} if queue_ms else {})
    arguments = {"x-consumer-timeout": consumer_ms} if consumer_ms else {}
    world, client = holding(1, queue, **arguments)
    world.wait(used_ms / 1000 - 2)
    assert look(world, client, default_ms) == []
    world.wait(2)
    (close,) = look(world, client, default_ms)
    assert f"Timeout value used: {used_ms} ms" in close.command.reply_text


def test_without_any_timeout_nothing_is_overdue() -> None:
    """Where no timeout is set, a delivery may be held for ever."""
    world, client = holding()
    world.wait(1_000_000)
    assert look(world, client, None) == []


@pytest.mark.parametrize("default_ms", [DEFAULT_MS, None])
def test_a_cancelled_consumers_timeout_holds(default_ms: int | None) -> None:
    """What a consumer was delivered before it was cancelled keeps the consumer's timeout."""
    world, client = holding(1, **{"x-consumer-timeout": 5000})
    say(world, client, method(1, commands.Basic.Cancel("c")))
    world.wait(6)
    assert names(look(world, client, default_ms)) == ["Channel.Close"]


def test_more_time_for_all() -> None:
    """Without a tag the time of all deliveries of the channel begins anew."""
    world, client = holding(2)
    world.wait(50)
    assert say(world, client, extend()) == []
    world.wait(50)
    assert look(world, client) == []
    world.wait(11)
    assert names(look(world, client)) == ["Channel.Close"]


def test_more_time_for_one() -> None:
    """With a tag it begins anew for that delivery alone."""
    world, client = holding(2)
    world.wait(50)
    say(world, client, extend(**{"delivery-tag": 1}))
    world.wait(15)
    assert names(look(world, client)) == ["Channel.Close"]


def test_again_and_again() -> None:
    """A consumer that keeps asking is never overdue, and its requests are not kept."""
    world, client = holding(2)
    channel = client.session.channels[1]
    for tag in range(3, 40):
        world.wait(50)
        say(world, client, extend(), send(), ack(1, tag - 2))
        assert look(world, client) == []
    assert len(channel.ages._extended) <= 2 * len(channel.unacked)
    assert len(channel.ages._marks) <= 4


def test_asking_is_published_nowhere_but_confirmed() -> None:
    """A request for more time is confirmed in its turn and kept by no queue."""
    world, client = holding()
    say(world, client, method(1, commands.Confirm.Select()))
    for number in (1, 2, 3):
        (answer,) = say(world, client, extend())
        assert (answer.name, answer.command.delivery_tag) == ("Basic.Ack", number)
    assert len(world.broker.vhosts["/"].queues["q"]) == 0


@pytest.mark.parametrize(
    ("tag", "text"),
    [(99, "unknown delivery tag 99"), ("1", "delivery-tag must be an integer, got longstr")],
)
def test_nonsense_is_refused(tag: int | str, text: str) -> None:
    """A tag that is not outstanding, or no number, closes the channel."""
    world, client = holding()
    (close,) = say(world, client, extend(**{"delivery-tag": tag}))
    assert close.command.reply_text == f"PRECONDITION_FAILED - {text}"


def test_a_rolled_back_ack_is_still_timed() -> None:
    """A delivery that was acked in a transaction and rolled back times out as before."""
    world, client = holding()
    say(world, client, method(1, commands.Tx.Select()), ack(1, 1))
    look(world, client)
    say(world, client, method(1, commands.Tx.Rollback()))
    world.wait(120)
    assert names(look(world, client)) == ["Channel.Close"]


def test_redelivered_to_the_next() -> None:
    """What was taken from a stuck consumer reaches another one, with its own time."""
    world, stuck = holding()
    other = started(world)
    say(world, other, method(1, consume(tag="other")))
    world.wait(61)
    look(world, stuck)
    assert bodies(heard(world, other)) == [b"0"]
    assert look(world, other) == []
    world.wait(61)
    assert names(look(world, other)) == ["Channel.Close"]


def test_how_often_it_is_looked() -> None:
    """Looking happens often enough to notice a timeout soon after, never more than it pays."""
    for timeout_ms in (1, 1000, 60_000, 1_800_000):
        interval_s = timeouts.interval_s(timeout_ms)
        assert timeouts.INTERVAL_MIN_S <= interval_s <= timeouts.INTERVAL_MAX_S
        assert interval_s * 1000 <= max(100, timeout_ms / 10)


class Alarm:
    """A timer that rings when the test says so."""

    def __init__(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.delay_s = delay_s
        self.ring = callback
        self.pending = True

    def cancel(self) -> None:
        """Never ring."""
        self.pending = False


def test_a_shorter_timeout_is_looked_for_at_once() -> None:
    """Who has a short timeout is not made to wait for a look that was meant for long ones."""
    world, client = holding(1, **{"x-consumer-timeout": 2000})
    alarms: list[Alarm] = []

    def call_later(delay_s: float, callback: Callable[[], None]) -> Alarm:
        alarms.append(Alarm(delay_s, callback))
        return alarms[-1]

    watch = timeouts.Watch(1_800_000, [], call_later, lambda: None)
    watch.look()
    watch.expect(1_800_000)
    assert [alarm.delay_s for alarm in alarms] == [timeouts.INTERVAL_MAX_S]
    watch.expect(2000)
    assert [(alarm.delay_s, alarm.pending) for alarm in alarms] == [(10, False), (0.2, True)]
    alarms[-1].ring()
    assert alarms[-1].delay_s == timeouts.INTERVAL_MAX_S, "nobody has a short timeout any more"

    busy = timeouts.Watch(1_800_000, [client.session], call_later, lambda: None)
    busy.look()
    assert alarms[-1].delay_s == 0.2
    world.wait(3)
    alarms[-1].ring()
    assert names(heard(world, client)) == ["Channel.Close"]


def test_a_consumer_tells_of_its_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consuming and getting announce the timeouts of consumer and queue."""
    told: list[int] = []
    world = TimedWorld()
    monkeypatch.setattr(world.timeouts, "expect", told.append)
    queue = declare(arguments={"x-consumer-timeout": 7000})
    client = started(world, queue, consume(arguments={"x-consumer-timeout": 5000}))
    assert told == [5000, 7000]
    say(world, client, method(1, commands.Basic.Cancel("c")), send())
    say(world, client, method(1, commands.Basic.Get(queue="q")))
    assert told == [5000, 7000, 7000]


def test_marks_are_bounded() -> None:
    """One delivery that stays unacked for ever does not make a channel grow, nor any too old."""
    ages = Ages()
    for tag in range(1, 20_000):
        ages.note(tag, tag * MARK_MS)
    ages.forget_settled({1: None})
    assert len(ages._marks) <= MARKS_MAX
    for tag in range(1, 20_000, 97):
        too_young_ms = ages.delivered_ms(tag) - tag * MARK_MS
        assert 0 <= too_young_ms <= 2 * MARK_MS + (20_000 - tag) * MARK_MS / 8
