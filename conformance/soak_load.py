"""The load of a soak: publishers, consumers and an operator, each a thread with an account.

``PLAIN`` is what any broker can carry: persistent messages to durable queues, with acks.
``MIXED`` adds fan-out, transient messages, rejects with dead-lettering, requeues, delays,
priorities, transactions and changes of topology and policies.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from conformance.brokers import Broker
from conformance.channel import Channel
from conformance.codec import Method
from conformance.soak_account import (
    DEAD,
    LATE,
    PRIORITIES,
    PRIORITY,
    REJECTING,
    Account,
    Copy,
    copy_of,
    number_of,
)
from conformance.wire import Connection, TcpClosed

WINDOW = 200
PREFETCH = 50
CROWDED = 5000
"""Above so many copies in the queues publishers slow down, so that each look stays short."""

DELAY_MAX_MS = 300
NUMBERS = 10_000_000
"""Numbers a publisher may use in one round."""


@dataclass(frozen=True)
class Route:
    """Where a publisher sends, and the queues that get a copy."""

    exchange: str
    key: str
    queues: tuple[str, ...]


@dataclass(frozen=True)
class Load:
    """Who works. Queues are durable; consumers are given by the queues that each consumes."""

    routes: tuple[Route, ...]
    publishers: int
    consumers: tuple[tuple[str, ...], ...]
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)  # of queues
    transactions: tuple[str, ...] = ()  # queues of the transactional publisher
    is_mixed: bool = False

    @property
    def queues(self) -> tuple[str, ...]:
        """All queues that hold messages."""
        names = [queue for route in self.routes for queue in route.queues]
        return tuple(dict.fromkeys([*names, *self.transactions, *self.arguments]))


_PLAIN_ROUTES = tuple(Route("", name, (name,)) for name in ("plain0", "plain1", "plain2"))
_FAN_OUT = ("fan0", "fan1", "fan2")
_DELAYING = "soak-late"

PLAIN = Load(
    routes=_PLAIN_ROUTES,
    publishers=4,
    consumers=(("plain0",), ("plain1",), ("plain2",), ("plain0",)),
)
MIXED = Load(
    routes=(
        *_PLAIN_ROUTES,
        Route("soak-fan", "", _FAN_OUT),
        Route("", REJECTING, (REJECTING,)),
        Route(_DELAYING, LATE, (LATE,)),
        Route("", PRIORITY, (PRIORITY,)),
    ),
    publishers=3,
    consumers=(
        ("plain0", "fan0", "tx0"),
        ("plain1", "fan1", LATE),
        (REJECTING, "fan2", "plain2"),
        ("tx1", DEAD, PRIORITY),
        (REJECTING, "plain0"),
    ),
    arguments={
        REJECTING: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD},
        DEAD: {},
        PRIORITY: {"x-max-priority": PRIORITIES},
    },
    transactions=("tx0", "tx1"),
    is_mixed=True,
)


def declare(broker: Broker, load: Load) -> None:
    """Make what the load needs."""
    with Connection(broker.url) as connection:
        channel = connection.channel(1)
        for queue in load.queues:
            channel.declare(queue, durable=True, arguments=load.arguments.get(queue, {}))
        if load.is_mixed:
            for exchange, kind, arguments in (
                ("soak-fan", "fanout", {}),
                (_DELAYING, "x-delayed-message", {"x-delayed-type": "direct"}),
                ("soak-op", "direct", {}),
            ):
                channel.call(
                    "exchange.declare",
                    exchange=exchange,
                    exchange_type=kind,
                    durable=True,
                    arguments=arguments,
                )
            for queue in _FAN_OUT:
                channel.bind(queue, "soak-fan")
            channel.bind(LATE, _DELAYING, LATE)


@dataclass
class Depth:
    """About how many copies are in the queues; clients add to it without a lock."""

    copies: int = 0


class Client(threading.Thread):
    """One client that works until the broker is gone; ``failure`` is what else ended it."""

    def __init__(
        self, broker: Broker, load: Load, number: int, generation: int, depth: Depth
    ) -> None:
        super().__init__(daemon=True)
        self.broker = broker
        self.load = load
        self.number = number
        self.generation = generation
        self.depth = depth
        self.chance = random.Random(f"{number}/{generation}")
        self.account = Account()
        self.failure: BaseException | None = None
        self.connection = Connection(broker.url)
        self.channel = self.connection.channel(1)

    def run(self) -> None:
        """Work; the broker's end ends this client."""
        try:
            self.work()
        except (TcpClosed, OSError):
            pass
        except Exception as error:
            self.failure = error
        finally:
            self.connection.drop()

    def work(self) -> None:
        """What this client does until an exception ends it."""
        raise NotImplementedError

    def publish(self, route: Route, tag: int, *, delivery_mode: int) -> set[Copy]:
        """Publish message number ``tag`` of this round; its copies."""
        number = self.generation * NUMBERS + tag
        name = f"{','.join(route.queues)}:{self.number}:{number}"
        copies = {copy_of(queue, name) for queue in route.queues}
        self.account.published |= copies
        self.depth.copies += len(copies)
        properties: dict[str, Any] = {"delivery_mode": delivery_mode}
        if route.exchange == _DELAYING:
            properties["headers"] = {"x-delay": self.chance.randrange(DELAY_MAX_MS)}
        if route.key == PRIORITY:
            properties["priority"] = number % PRIORITIES
        body = f"{name}|".ljust(self.chance.choice((16, 100, 1000, 5000)), "x")
        self.channel.publish(route.exchange, route.key, body, **properties)
        return copies


class Publisher(Client):
    """Publishes to each route in turn and keeps a window of unconfirmed messages."""

    def work(self) -> None:
        """Publish and take confirms for ever."""
        self.channel.call("confirm.select")
        waiting: dict[int, set[Copy]] = {}
        routes = self.load.routes
        tag = 0
        while True:
            while len(waiting) < (WINDOW if self.depth.copies < CROWDED else 1):
                tag += 1
                transient = self.load.is_mixed and self.chance.random() < 0.1
                copies = self.publish(
                    routes[tag % len(routes)], tag, delivery_mode=1 if transient else 2
                )
                if transient:
                    self.account.fleeting |= copies
                    copies = set()  # its confirm promises nothing
                waiting[tag] = copies
            event = self.channel.next()
            assert isinstance(event, Method), f"expected basic.ack, got {event}"
            assert event.name == "basic.ack", f"expected basic.ack, got {event}"
            last = event["delivery_tag"]
            covered = [one for one in waiting if one <= last] if event["multiple"] else [last]
            for one in covered:
                self.account.confirmed |= waiting.pop(one)


class Committer(Client):
    """Publishes in transactions over two queues, some of which it rolls back."""

    def work(self) -> None:
        """Commit and roll back for ever."""
        self.channel.call("tx.select")
        routes = [Route("", queue, (queue,)) for queue in self.load.transactions]
        tag = 0
        while True:
            if self.depth.copies >= CROWDED:
                time.sleep(0.01)  # consumers get their turn
            group: set[Copy] = set()
            for _ in range(self.chance.randint(1, 8)):
                tag += 1
                group |= self.publish(routes[tag % len(routes)], tag, delivery_mode=2)
            if self.chance.random() < 0.2:
                self.account.fleeting |= group
                self.depth.copies -= len(group)
                self.channel.call("tx.rollback")
            else:
                self.account.groups.append(group)
                self.channel.call("tx.commit")
                self.account.confirmed |= group


class Consumer(Client):
    """Consumes some queues; acks one by one or several at once, and keeps some unacked."""

    def work(self) -> None:
        """Take deliveries and settle them for ever."""
        queues = self.load.consumers[self.number]
        self.channel.call("basic.qos", prefetch_count=PREFETCH)
        for queue in queues:
            self.channel.send("basic.consume", queue=queue, consumer_tag=queue, nowait=True)
        together = self.number % 2 == 0 and REJECTING not in queues
        unsettled: list[tuple[int, str, Copy, bool]] = []
        while True:
            content = self.channel.expect_content()
            queue, mark = content["consumer_tag"], content["redelivered"]
            copy = copy_of(queue, content.text)
            self.account.delivered.append((queue, copy, mark))
            unsettled.append((content["delivery_tag"], queue, copy, mark))
            if len(unsettled) >= PREFETCH // 2:
                done, unsettled = unsettled[:20], unsettled[20:]
                if together:
                    self.ack(*(copy for _, _, copy, _ in done))
                    self.channel.send("basic.ack", delivery_tag=done[-1][0], multiple=True)
                else:
                    for tag, queue, copy, mark in done:
                        self.settle(tag, queue, copy, mark)

    def ack(self, *copies: Copy) -> None:
        """Note that these are acked now."""
        self.account.ack_sent.update(copies)
        self.depth.copies -= len(copies)

    def settle(self, tag: int, queue: str, copy: Copy, mark: bool) -> None:
        """Ack one delivery, or reject or requeue it where that is the custom."""
        custom = number_of(copy) % 5 if queue == REJECTING else 0
        if custom in (1, 2):
            self.account.rejected.add(copy)
            self.channel.send("basic.reject", delivery_tag=tag, requeue=False)
        elif custom == 3 and not mark:
            self.account.requeued.add(copy)
            self.channel.send("basic.nack", delivery_tag=tag, requeue=True)
        else:
            self.ack(copy)
            self.channel.send("basic.ack", delivery_tag=tag)


class Operator(Client):
    """Declares, binds and deletes queues, and changes policies of those that carry the load."""

    def work(self) -> None:
        """Change things for ever."""
        policies = ({"max-length": 1_000_000}, {"message-ttl": 3_600_000}, None)
        has_policies = self.ask("GET", "/api/policies") == 200
        queues = self.account.queues
        turn = 0
        while True:
            turn += 1
            name = f"soak-op-{self.generation}-{turn}"
            self.channel.declare(name, durable=True)
            queues[name] = True
            self.channel.bind(name, "soak-op", name)
            if turn % 2:
                del queues[name]  # while it is being deleted nobody knows
                self.channel.call("queue.delete", queue=name)
                queues[name] = False
            if has_policies:
                self.set_policy(policies[turn % len(policies)])
            time.sleep(0.01)

    def set_policy(self, definition: dict[str, int] | None) -> None:
        """Set the one policy, or delete it."""
        path = "/api/policies/%2F/soak"
        if definition is None:
            assert self.ask("DELETE", path) in (204, 404)
        else:
            policy = {"pattern": "^(plain|fan|tx)", "definition": definition, "apply-to": "queues"}
            assert self.ask("PUT", path, json.dumps(policy)) in (201, 204)

    def ask(self, method: str, path: str, body: str | None = None) -> int:
        """One request to the management API; the status of its answer."""
        api = http.client.HTTPConnection("127.0.0.1", self.broker.management_port, timeout=20)
        head = {"Authorization": f"Basic {b64encode(b'guest:guest').decode()}"}
        try:
            api.request(method, path, body, head)
            return api.getresponse().status
        except http.client.HTTPException as error:
            raise OSError(error) from None  # the broker is gone
        finally:
            api.close()


def clients(broker: Broker, load: Load, generation: int, depth: Depth) -> list[Client]:
    """Everybody who works in one round, not started yet."""
    team: list[Client] = [
        kind(broker, load, number, generation, depth)
        for kind, count in ((Publisher, load.publishers), (Consumer, len(load.consumers)))
        for number in range(count)
    ]
    if load.is_mixed:
        team.append(Committer(broker, load, load.publishers, generation, depth))
        team.append(Operator(broker, load, 0, generation, depth))
    return team


def look(broker: Broker, load: Load) -> dict[str, list[tuple[Copy, bool]]]:
    """Everything in the queues, in order, with its mark; it is put back afterwards."""
    found: dict[str, list[tuple[Copy, bool]]] = {}
    with Connection(broker.url) as connection:
        channel = connection.channel(1)
        for queue in load.queues:
            count, _ = channel.counts(queue)
            channel.consume(queue)
            contents = channel.deliveries(count)
            connection.expect_silence(0.02)
            found[queue] = [(copy_of(queue, one.text), one["redelivered"]) for one in contents]
        channel.close()
    return found


def check_queues(broker: Broker, must_exist: dict[str, bool]) -> None:
    """The operator's queues are what was answered; afterwards they are gone."""
    with Connection(broker.url) as connection:
        channel: Channel = connection.channel(1)
        for name, exists in must_exist.items():
            channel.send("queue.declare", queue=name, passive=True)
            event = channel.next()
            assert isinstance(event, Method), f"expected an answer, got {event}"
            assert (event.name == "queue.declare-ok") == exists, f"{name} must exist: {exists}"
            if exists:
                channel.call("queue.delete", queue=name)
            else:
                channel.send("channel.close-ok")
                channel.reopen()
