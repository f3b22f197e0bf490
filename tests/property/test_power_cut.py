"""Power may go at any call to the disk: what was confirmed is there afterwards, and nothing else.

Each message is *confirmed* (its basic.ack was written), *uncertain*, or *taken* (a consumer got
it). What is recovered holds everything confirmed and not taken, and nothing never published.
"""

from collections.abc import Iterable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from protocol.content import body_of
from tests.faults import PowerCut
from tests.frames import channel_open, commands_in, message, method, publish
from tests.pages import tiny_pages
from tests.world import Client, World

QUEUES = ("q1", "q2")
SETUP = channel_open(1) + b"".join(
    method(1, command)
    for command in (
        *(commands.Queue.Declare(queue=name, durable=True) for name in QUEUES),
        commands.Exchange.Declare(exchange="x", exchange_type="fanout", durable=True),
        *(commands.Queue.Bind(queue=name, exchange="x") for name in QUEUES),
        commands.Confirm.Select(),
    )
)


class Ledger:
    """What a publisher knows."""

    def __init__(self) -> None:
        self.published: list[tuple[bytes, set[str]]] = []
        self.confirmed = 0

    def publish(self, exchange: str, key: str) -> bytes:
        """The octets of the next message."""
        body = b"m%d" % len(self.published)
        self.published.append((body, set(QUEUES) if exchange else {key}))
        return publish(1, exchange, key) + message(1, body, delivery_mode=2)

    def hear(self, client: Client) -> None:
        """Take note of confirms."""
        for _, command in commands_in([client.said()]):
            if isinstance(command, commands.Basic.Ack):
                self.confirmed = command.delivery_tag

    def judge(self, queue: str, found: Iterable[bytes], taken: set[bytes]) -> None:
        """Compare with what a queue holds after the power cut."""
        bodies = list(found)
        assert len(set(bodies)) == len(bodies), "a message came back twice"
        assert bodies == sorted(bodies, key=lambda body: int(body[1:])), "out of order"
        everything = {body for body, queues in self.published if queue in queues}
        confirmed = {body for body, queues in self.published[: self.confirmed] if queue in queues}
        assert confirmed - taken <= set(bodies) <= everything


@settings(max_examples=150)
@given(st.data())
def test_what_was_confirmed_survives(data: st.DataObject) -> None:
    """confirmed minus taken is recovered, in order, once; nothing is recovered from nowhere."""
    with tiny_pages():
        judge_a_power_cut(data)


def judge_a_power_cut(data: st.DataObject) -> None:
    """Publish and take under a disk that fails, start again, and compare."""
    world = World(
        segment_bytes=1000,
        slow_disk=data.draw(st.booleans()),
        paged=data.draw(st.booleans()),
    )
    client = world.connect()
    client.feed(SETUP + channel_open(2))
    world.run()
    client.said()
    ledger = Ledger()
    taken: dict[str, set[bytes]] = {name: set() for name in QUEUES}
    world.disk.faults[world.disk.calls + data.draw(st.integers(1, 60))] = "cut"
    try:
        for _ in range(40):
            for _ in range(data.draw(st.integers(1, 5))):
                exchange, key = data.draw(st.sampled_from([("", "q1"), ("", "q2"), ("x", "")]))
                client.feed(ledger.publish(exchange, key))
            if data.draw(st.booleans()):
                name = data.draw(st.sampled_from(QUEUES))
                taken[name] |= take_all(world, client, name)
            world.run()
            world.reclaim()
            ledger.hear(client)
    except PowerCut:
        ledger.hear(client)
    world.restart(world.disk.after_power_cut(Random(data.draw(st.integers(0, 1000)))))
    vhost = world.broker.vhosts["/"]
    for name in QUEUES:
        stored = sorted(vhost.queues[name].backlog.browse(), key=lambda each: each.id)
        ledger.judge(name, [body_of(each.content) for each in stored], taken[name])


def take_all(world: World, client: Client, name: str) -> set[bytes]:
    """Get everything from a queue without acks; the bodies."""
    queue = world.broker.vhosts["/"].queues[name]
    waiting = {body_of(each.content) for each in queue.backlog.browse()}
    client.feed(method(2, commands.Basic.Get(0, name, True)) * len(waiting))
    return waiting
