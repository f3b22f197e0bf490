"""The system's clock is set, forward or back: nothing expires, rings or disconnects too early."""

from collections.abc import Callable
from typing import Any

import pytest
from pamqp import commands

from broker.clock import Clock
from tests.amqp.dialogue import TimedWorld, declare, say, send, started
from tests.frames import (
    PROTOCOL_HEADER,
    connection_open,
    message,
    method,
    publish,
    raw_frame,
    start_ok,
    tune_ok,
)
from tests.world import Client

MINUTE_S = 60
YEAR_S = 365 * 86400
HEARTBEAT = raw_frame(8, 0, b"")


class SetWorld(TimedWorld):
    """A world whose system clock can be set; its time is what `Clock` makes of it."""

    def __init__(self) -> None:
        self.set_by_s = 0.0
        super().__init__()

    def _boot(self) -> None:
        self.clock = Clock(
            lambda: int((self.now_s + self.set_by_s) * 1e9), lambda: int(self.now_s * 1e9)
        )
        super()._boot()

    def _read_clock(self) -> None:
        self.broker.now_ms = self.clock.now_ms()


def count(world: TimedWorld, name: str = "q") -> int:
    """Messages ready in a queue."""
    return len(world.broker.vhosts["/"].queues[name])


def expiring(world: SetWorld, arguments: dict[str, Any], **properties: Any) -> Client:
    """A message in a queue, one of them with a time of its own."""
    client = started(world, declare(durable=True, arguments=arguments))
    say(world, client, send(delivery_mode=2, **properties))
    return client


def queue_ttl(world: SetWorld) -> Callable[[], bool]:
    """A message in a queue with a TTL of a minute."""
    expiring(world, {"x-message-ttl": MINUTE_S * 1000})
    return lambda: count(world) == 0


def message_ttl(world: SetWorld) -> Callable[[], bool]:
    """A message with an expiration of a minute."""
    expiring(world, {}, expiration=str(MINUTE_S * 1000))
    return lambda: count(world) == 0


def queue_lease(world: SetWorld) -> Callable[[], bool]:
    """A queue that expires when nobody used it for a minute."""
    expiring(world, {"x-expires": MINUTE_S * 1000})
    return lambda: "q" not in world.broker.vhosts["/"].queues


def delay(world: SetWorld) -> Callable[[], bool]:
    """A message that is delayed for a minute."""
    client = started(
        world,
        declare(durable=True),
        commands.Exchange.Declare(
            exchange="delay",
            exchange_type="x-delayed-message",
            durable=True,
            arguments={"x-delayed-type": "fanout"},
        ),
        commands.Queue.Bind(queue="q", exchange="delay"),
    )
    content = message(1, b"m", headers={"x-delay": MINUTE_S * 1000}, delivery_mode=2)
    say(world, client, publish(1, "delay"), content)
    return lambda: count(world) == 1


def retry(world: SetWorld) -> Callable[[], bool]:
    """A message that waits a minute before it is tried again."""
    arguments = {"x-delayed-retry-type": "all", "x-delayed-retry-min": MINUTE_S * 1000}
    client = expiring(world, arguments)
    (got, *_) = say(world, client, method(1, commands.Basic.Get(0, "q", False)))
    say(world, client, method(1, commands.Basic.Nack(got.command.delivery_tag, requeue=True)))
    return lambda: count(world) == 1


CASES = [queue_ttl, message_ttl, queue_lease, delay, retry]
JUMPS = [3600, -3600, 10 * YEAR_S, -10 * YEAR_S]


@pytest.mark.parametrize("jump_s", JUMPS)
@pytest.mark.parametrize("case", CASES)
def test_a_jump_brings_nothing_forward(
    case: Callable[[SetWorld], Callable[[], bool]], jump_s: float
) -> None:
    """What is due in a minute is due in a minute, give or take a tenth, wherever the clock goes."""
    world = SetWorld()
    is_over = case(world)
    assert not is_over()
    world.set_by_s = jump_s
    world.wait(MINUTE_S * 0.85)
    assert not is_over()
    world.wait(MINUTE_S * 0.35)
    assert is_over()


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_jump_is_no_missed_heartbeat(jump_s: float) -> None:
    """A peer that says something every half interval stays connected."""
    world = SetWorld()
    client = Client(world)
    world.clients.append(client)
    for octets in (PROTOCOL_HEADER, start_ok(), tune_ok(heartbeat=10), connection_open()):
        client.feed(octets)
        world.run()
    world.set_by_s = jump_s
    for _ in range(20):
        world.wait(5)
        client.feed(HEARTBEAT)
    assert not client.transport.closed
    world.wait(60)
    assert client.transport.closed, "a silent peer is noticed"


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_start_after_a_jump_loses_nothing_without_a_limit(jump_s: float) -> None:
    """What has no deadline is there whatever the clock says at the next start."""
    world = SetWorld()
    client = expiring(world, {"x-queue-type": "quorum"})
    world.set_by_s = jump_s
    world.restart()
    world.wait(MINUTE_S)
    assert count(world) == 1
    client = started(world)
    (got, *_) = say(world, client, method(1, commands.Basic.Get(0, "q", False)))
    assert got.body == b"m"
