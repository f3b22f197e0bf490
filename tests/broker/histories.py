"""A broker's queues beside a plain model of them, for random histories over kills and reclaims."""

from collections import Counter
from typing import Any

from broker.core.message import Message
from broker.core.queue import Queue
from broker.core.route import NOBODY, Route
from broker.reclaim import CopyForward
from protocol.tables import table
from tests.frames import message as content
from tests.world import World

QUEUES: dict[str, dict[str, object]] = {
    "plain": {},
    "other": {},
    "limited": {"x-queue-type": "quorum", "x-delivery-limit": 1000},
}


def body_of(message: Message) -> bytes:
    """What was published."""
    return message.content[-1 - message.size : -1]


class History:
    """What is done to the broker is done to `expected`: queue -> body -> how often it came back."""

    def __init__(self, segment_bytes: int = 1500, *, paged: bool = False) -> None:
        self.world = World(segment_bytes=segment_bytes, paged=paged)
        self._copy_forward()
        self.expected: dict[str, dict[bytes, int]] = {}
        self.transient: set[bytes] = set()
        self.held: list[tuple[Queue, Message]] = []
        self.serial = 0
        for name in QUEUES:
            self.declare(name)

    def _copy_forward(self) -> None:
        world = self.world
        self.copy_forward = CopyForward(world.broker, world.log, lambda: list(self.held))

    @property
    def is_stale(self) -> bool:
        """Whether the head of the log is to be copied."""
        return self.world.log.stale_batches(0, 1 << 30) is not None

    @property
    def queues(self) -> dict[str, Queue]:
        """The queues there are."""
        return self.world.broker.vhosts["/"].queues

    def declare(self, name: str) -> None:
        """Declare a queue; if it is there nothing happens."""
        self.expected.setdefault(name, {})
        self.world.broker.vhosts["/"].declare_queue(
            name,
            durable=True,
            exclusive=False,
            auto_delete=False,
            arguments=table(QUEUES.get(name, {})),
            owner=None,
        )

    def delete(self, name: str) -> None:
        """Delete a queue with what it holds ready."""
        if name in self.queues:
            self.world.broker.vhosts["/"].delete_queue(name, None)
            del self.expected[name]

    def publish(self, names: list[str], *, persistent: bool = True, size: int = 20) -> bytes:
        """A message to those of the queues that exist; its body."""
        self.serial += 1
        body = b"%d " % self.serial + b"." * size
        queues = [self.queues[name] for name in names if name in self.queues]
        route = Route(self.world.broker, NOBODY, b"\x01x\x01k", queues)
        route.publish(content(1, body), len(body), persistent, 0, -1)
        for queue in queues:
            self.expected[queue.name][body] = 0
        if not persistent:
            self.transient.add(body)
        return body

    def get(self, name: str, *, no_ack: bool = False) -> Message | None:
        """The next message of a queue, held until it is settled."""
        queue = self.queues.get(name)
        found = queue.get(no_ack=no_ack) if queue is not None else None
        if queue is None or found is None:
            return None
        if no_ack:
            del self.expected[name][body_of(found[0])]
        else:
            self.held.append((queue, found[0]))
        return found[0]

    def settle(self, at: int, how: str) -> None:
        """Ack, reject or requeue a message that is held."""
        if not self.held:
            return
        queue, message = self.held.pop(at % len(self.held))
        {"ack": queue.ack, "reject": queue.reject, "requeue": queue.requeue}[how]([message])
        if queue.deleted:
            return
        if how != "requeue":
            del self.expected[queue.name][body_of(message)]
        elif queue.returns is not None:
            self.expected[queue.name][body_of(message)] += 1

    def reclaim(self) -> int:
        """Copy forward, once; how many messages that were."""
        self.world.run()
        copied = self.copy_forward.step(self.world.tick.settle)
        self.world.run()
        return copied

    def restart(self) -> None:
        """Kill the broker and start it on the same disk: what was held is ready again."""
        self.world.run()
        self.world.restart()
        self._copy_forward()
        self.world.run()
        self.held.clear()
        for name, messages in self.expected.items():
            lost = set() if "x-queue-type" in QUEUES.get(name, {}) else self.transient
            self.expected[name] = {
                body: count for body, count in messages.items() if body not in lost
            }

    def check(self) -> None:
        """The queues hold what is expected, in order, and each segment as many references."""
        self.world.run()
        found: dict[str, list[tuple[bytes, int]]] = {}
        references: Counter[str] = Counter()
        space = self.world.log._space
        holders = [
            (queue, message) for queue in self.queues.values() for message in queue.backlog.browse()
        ]
        for queue, message in sorted(holders + self.held, key=lambda pair: pair[1].id):
            if message.batch:
                segment = space._find(message.batch)
                assert segment is not None
                references[segment.name] += 1
            if not queue.deleted:
                count = (queue.returns or {}).get(message.id, 0)
                found.setdefault(queue.name, []).append((body_of(message), count))
        expected: dict[str, Any] = {
            name: list(messages.items()) for name, messages in self.expected.items() if messages
        }
        assert found == expected
        self.world.log.commit()
        assert {s.name: s.live for s in space.segments if s.live} == references
