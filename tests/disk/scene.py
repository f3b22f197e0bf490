"""A broker in memory with queues of every kind, and a ledger of what its clients were promised.

A *copy* is a message in a queue, or on its way there through an exchange's delay or to the dead
letters. Operations publish and settle copies; afterwards `audit` starts a broker on what became of
the disk, and compares what clients get from it with the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from random import Random
from typing import Any

from pamqp import commands

from tests.amqp.dialogue import Heard, TimedWorld, declare, hear
from tests.faults import MemoryDisk
from tests.frames import channel_open, message, method, publish
from tests.world import Client

CONFIRMING, PLAIN, TRANSACTING = 1, 2, 3  # channels
DELAY_MS = 5000
SEGMENT_BYTES = 3000

QUEUES: dict[str, dict[str, Any]] = {
    "q": {},
    "other": {},
    "work": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
    "dead": {},
    "limited": {"x-queue-type": "quorum", "x-delivery-limit": 100},
    "late": {},
}
FAMILY = {"dead": "work"}  # copies that are found there belong here


class Scene:
    """See the module. Sets of copies are (home, body)."""

    def __init__(self, *, slow: bool = False) -> None:
        """``slow``: disk work is done later, and messages are not kept in memory."""
        self.world = TimedWorld(segment_bytes=SEGMENT_BYTES, slow_disk=slow, paged=slow)
        self.serial = 0
        self.published: dict[tuple[str, bytes], None] = {}  # in order
        self.confirmed: set[tuple[str, bytes]] = set()
        self.gone: set[tuple[str, bytes]] = set()  # settled, or about to be
        self.groups: list[set[tuple[str, bytes]]] = []  # each one transaction
        self.queues: dict[str, bool | None] = {}  # name: must it exist? None: nobody knows
        self._tags: dict[int, set[tuple[str, bytes]]] = {}
        self.open()

    def open(self) -> None:
        """A client with its channels; everything is declared if it is not there."""
        self.client: Client = self.world.connect()
        self.tag = 0
        self._tags.clear()
        self.say(*(channel_open(number) for number in (CONFIRMING, PLAIN, TRANSACTING)))
        wishes: list[Any] = []
        for name, arguments in QUEUES.items():
            wishes.append(declare(name, durable=True, arguments=arguments))
        delaying = {"x-delayed-type": "direct"}
        wishes += [
            commands.Exchange.Declare(exchange="fan", exchange_type="fanout", durable=True),
            commands.Exchange.Declare(
                exchange="delay",
                exchange_type="x-delayed-message",
                durable=True,
                arguments=delaying,
            ),
            commands.Queue.Bind(queue="q", exchange="fan"),
            commands.Queue.Bind(queue="other", exchange="fan"),
            commands.Queue.Bind(queue="late", exchange="delay", routing_key="late"),
        ]
        self.say(*(method(PLAIN, wish) for wish in wishes))
        self.queues |= dict.fromkeys(QUEUES, True)
        self.say(method(CONFIRMING, commands.Confirm.Select()))
        self.say(method(TRANSACTING, commands.Tx.Select()))

    def say(self, *octets: bytes) -> list[Heard]:
        """Say everything in one read, and hear the answers; confirms go to the ledger."""
        self.client.feed(b"".join(octets))
        try:
            self.world.run()
        finally:
            heard = hear(self.client.said())
            for each in heard:
                if each.name == "Basic.Ack":
                    self._confirm(each.command.delivery_tag, multiple=each.command.multiple)
        return heard

    def _confirm(self, last: int, *, multiple: bool) -> None:
        for tag in [tag for tag in self._tags if tag == last or (multiple and tag < last)]:
            self.confirmed |= self._tags.pop(tag)

    def publish(
        self,
        *homes: str,
        exchange: str = "",
        channel: int = CONFIRMING,
        size: int = 20,
        **properties: Any,
    ) -> bytes:
        """The octets of a persistent message to these queues."""
        self.serial += 1
        body = (b"%d " % self.serial).ljust(size, b".")
        copies = {(home, body) for home in homes}
        self.published |= dict.fromkeys(sorted(copies))
        if channel == CONFIRMING:
            self.tag += 1
            self._tags[self.tag] = copies
        elif channel == TRANSACTING:
            self.groups[-1] |= copies
        content = message(channel, body, delivery_mode=2, **properties)
        return publish(channel, exchange, homes[0]) + content

    def fill(self) -> None:
        """A backlog in several segments: everything is confirmed."""
        for number in range(6):
            self.say(
                *(self.publish(home, size=150) for home in ("q", "work", "limited")),
                self.publish("q", "other", exchange="fan", size=150),
                self.publish("late", exchange="delay", headers={"x-delay": DELAY_MS}),
            )
            if number in (1, 3):
                self.settle("q", commands.Basic.Ack)
        self.hold("limited", commands.Basic.Nack, requeue=True)
        assert len(self.world.log._space.segments) > 3
        assert self.confirmed == set(self.published)

    def take(self, name: str) -> list[tuple[int, bytes]]:
        """Get what a queue holds, to be acked; delivery tags and bodies."""
        count = len(self.world.broker.vhosts["/"].queues[name])
        heard = self.say(*([method(PLAIN, commands.Basic.Get(0, name, False))] * count))
        return [(h.command.delivery_tag, h.body) for h in heard if h.name == "Basic.GetOk"]

    def hold(self, name: str, command: Any, **options: Any) -> None:
        """Get what a queue holds, and answer each with a method."""
        taken = self.take(name)
        self.say(*(method(PLAIN, command(tag, **options)) for tag, _ in taken))

    def settle(self, name: str, command: Any, **options: Any) -> None:
        """The same, with one that is their end."""
        taken = self.take(name)
        self.gone |= {(name, body) for _, body in taken}
        self.say(*(method(PLAIN, command(tag, **options)) for tag, _ in taken))

    def change(self, name: str, wish: Any, *, exists: bool) -> None:
        """Declare or delete a queue; until it is answered nobody knows."""
        self.queues[name] = None
        (answer,) = self.say(method(PLAIN, wish))
        assert answer.name == type(wish).__name__.join(("Queue.", "Ok")), answer
        self.queues[name] = exists

    def frozen(self) -> Scene:
        """The ledger as it is now, for an audit later."""
        scene = copy(self)
        scene.published, scene.queues = dict(self.published), dict(self.queues)
        scene.confirmed, scene.gone = set(self.confirmed), set(self.gone)
        scene.groups = [set(group) for group in self.groups]
        return scene

    # -- afterwards --------------------------------------------------------------------

    def audit(self, disk: MemoryDisk) -> None:
        """Start a broker on this disk: it has all that was promised, and nothing else."""
        self.world.restart(disk)
        client = self.world.connect()

        def ask(*octets: bytes) -> list[Heard]:
            client.feed(b"".join(octets))
            self.world.run()
            return hear(client.said())

        ask(channel_open(1))
        existing = set(self.world.broker.vhosts["/"].queues)
        for name, exists in self.queues.items():
            assert exists in (None, name in existing), f"{name} must exist: {exists}"
        self.world.wait(2 * DELAY_MS / 1000)
        found: dict[str, list[bytes]] = {}
        for name in sorted(existing):
            get = method(1, commands.Basic.Get(0, name, True))
            while (answer := ask(get)[0]).name == "Basic.GetOk":
                found.setdefault(FAMILY.get(name, name), []).append(answer.body)
        copies = {(home, body) for home, bodies in found.items() for body in bodies}
        assert len(copies) == sum(map(len, found.values())), "a copy came back twice"
        assert self.confirmed - self.gone <= copies, "confirmed, and lost"
        assert copies <= self.published.keys(), "from nowhere"
        for home in ("q", "other", "limited"):
            bodies = found.get(home, [])
            assert bodies == sorted(bodies, key=lambda body: int(body.split()[0])), "out of order"
        for group in self.groups:
            kept = group - self.gone
            assert kept & copies in (set(), kept), "half a transaction"
        self._works(ask)

    def _works(self, ask: Callable[..., list[Heard]]) -> None:
        """The broker that was started confirms and deletes."""
        content = publish(1, "", "new") + message(1, b"new", delivery_mode=2)
        answers = ask(
            method(1, declare("new", durable=True)),
            method(1, commands.Confirm.Select()),
            content,
            method(1, commands.Queue.Delete(queue="new")),
        )
        names = sorted(answer.name for answer in answers)
        wanted = ["Basic.Ack", "Confirm.SelectOk", "Queue.DeclareOk", "Queue.DeleteOk"]
        assert names == wanted, names


def futures(disk: MemoryDisk, *, only_power_cuts: bool = False) -> list[MemoryDisk]:
    """What may become of a disk: the process is killed, or the machine loses power."""
    cuts = [disk.after_power_cut(Random(seed)) for seed in range(2)]
    return cuts if only_power_cuts else [disk.after_kill(), *cuts]
