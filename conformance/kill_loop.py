"""kill -9 under load, again and again, and an exact account of what that did to the messages.

Owns the load (four confirming publishers, four consumers with manual acks, three durable queues)
and the account. After each restart a client gets everything that is in the queues and compares:

* a message whose confirm had come and whose ack had not been sent is there;
* nothing is there twice, and nothing that was gone at an earlier look comes back;
* a message that anybody had been given before is marked as redelivered;
* messages of one publisher stand in their order in each queue, and no consumer was ever given
  a new message behind a newer one.

A kill ends the process; the kernel keeps what was written, so this does not prove that anything
was synced to the disk. It proves that what the broker says and what it writes agree at any moment.

``python -m conformance.kill_loop --kills 30`` runs it for longer than the test suite does.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from conformance.brokers import Broker
from conformance.channel import Channel
from conformance.codec import Method
from conformance.wire import Connection, TcpClosed

PUBLISHERS = CONSUMERS = 4
QUEUES = ("kill-0", "kill-1", "kill-2")
WINDOW = 200
PREFETCH = 50
CROWDED = 5000
"""Above so many messages in the queues publishers slow down, so that each look stays short."""

Id = str
"""``queue:publisher:number``; numbers of one publisher grow over all rounds."""


def place(message: Id) -> tuple[tuple[str, str], int]:
    """Whose message it is in which queue, and its number there."""
    queue, publisher, number = message.split(":")
    return (queue, publisher), int(number)


@dataclass
class Account:
    """What clients saw. Each client writes to one of its own; they are added up when it ended."""

    published: set[Id] = field(default_factory=set)
    confirmed: set[Id] = field(default_factory=set)
    delivered: list[tuple[Id, bool]] = field(default_factory=list)
    ack_sent: set[Id] = field(default_factory=set)

    def add(self, other: Account) -> None:
        """Add what another client saw."""
        self.published |= other.published
        self.confirmed |= other.confirmed
        self.delivered += other.delivered
        self.ack_sent |= other.ack_sent


@dataclass
class Depth:
    """About how many messages are in the queues; clients add to it without a lock."""

    messages: int = 0


class Client(threading.Thread):
    """One client that works until the broker is gone; ``failure`` is what else ended it."""

    def __init__(self, url: str, number: int, generation: int, depth: Depth) -> None:
        super().__init__(daemon=True)
        self.depth = depth
        self.number = number
        self.generation = generation
        self.account = Account()
        self.failure: BaseException | None = None
        self.connection = Connection(url)
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


class Publisher(Client):
    """Publishes to each queue in turn and keeps a window of unconfirmed messages."""

    def work(self) -> None:
        """Publish and take confirms for ever."""
        chance = random.Random(f"{self.number}/{self.generation}")
        self.channel.call("confirm.select")
        waiting: dict[int, Id] = {}
        tag = 0
        while True:
            while len(waiting) < (WINDOW if self.depth.messages < CROWDED else 1):
                tag += 1
                self.depth.messages += 1
                queue = QUEUES[tag % len(QUEUES)]
                message = f"{queue}:{self.number}:{self.generation * 10_000_000 + tag}"
                self.account.published.add(message)
                waiting[tag] = message
                body = f"{message}|".ljust(chance.choice((16, 100, 1000, 5000)), "x")
                self.channel.publish("", queue, body, delivery_mode=2)
            event = self.channel.next()
            assert isinstance(event, Method), f"expected basic.ack, got {event}"
            assert event.name == "basic.ack", f"expected basic.ack, got {event}"
            last = event["delivery_tag"]
            covered = [one for one in waiting if one <= last] if event["multiple"] else [last]
            self.account.confirmed |= {waiting.pop(one) for one in covered}


class Consumer(Client):
    """Consumes one queue; acks one by one or several at once, and keeps some unacked."""

    def work(self) -> None:
        """Take deliveries and ack them for ever."""
        self.channel.call("basic.qos", prefetch_count=PREFETCH)
        self.channel.consume(QUEUES[self.number % len(QUEUES)])
        unacked: list[tuple[int, Id]] = []
        together = self.number % 2 == 0
        while True:
            content = self.channel.expect_content()
            message = content.text.split("|")[0]
            self.account.delivered.append((message, content["redelivered"]))
            unacked.append((content["delivery_tag"], message))
            if len(unacked) >= PREFETCH // 2:
                done, unacked = unacked[:20], unacked[20:]
                self.depth.messages -= len(done)
                self.account.ack_sent |= {one for _, one in done}
                if together:
                    self.channel.send("basic.ack", delivery_tag=done[-1][0], multiple=True)
                else:
                    for tag, _ in done:
                        self.channel.send("basic.ack", delivery_tag=tag)


def look(url: str) -> dict[str, list[tuple[Id, bool]]]:
    """Everything in the queues, in order, with its mark; it is put back afterwards."""
    found: dict[str, list[tuple[Id, bool]]] = {}
    with Connection(url) as connection:
        channel = connection.channel(1)
        for queue in QUEUES:
            count, _ = channel.counts(queue)
            channel.consume(queue)
            contents = channel.deliveries(count)
            connection.expect_silence(0.02)
            found[queue] = [(one.text.split("|")[0], one["redelivered"]) for one in contents]
        channel.close()
    return found


class Judge:
    """The account of all rounds so far."""

    def __init__(self) -> None:
        self.given: set[Id] = set()
        self.gone: set[Id] = set()
        self.there: set[Id] = set()
        self.total = Account()

    def round(self, accounts: list[Account], found: dict[str, list[tuple[Id, bool]]]) -> None:
        """Compare what this round's clients saw with what is in the queues after the restart."""
        new = Account()
        for account in accounts:
            self._judge_order(account.delivered)
            new.add(account)
        self._judge_marks(new.delivered)
        listed = [message for queue in QUEUES for message, _ in found[queue]]
        present = set(listed)
        assert len(listed) == len(present), (
            f"twice: {_some(m for m in present if listed.count(m) > 1)}"
        )
        owed = (self.there | new.confirmed) - new.ack_sent
        assert owed <= present, f"confirmed and lost: {_some(owed - present)}"
        assert not present & self.gone, f"came back: {_some(present & self.gone)}"
        known = self.there | new.published
        assert present <= known, f"from nowhere: {_some(present - known)}"
        for queue in QUEUES:
            self._judge_place(queue, found[queue])
        self.gone |= known - present
        self.there = present
        self.given |= present
        self.total.add(new)

    def _judge_order(self, delivered: list[tuple[Id, bool]]) -> None:
        last: dict[tuple[str, str], int] = {}
        for message, redelivered in delivered:
            if redelivered:
                continue
            whose, number = place(message)
            assert last.get(whose, -1) < number, f"{message} came after number {last[whose]}"
            last[whose] = number

    def _judge_marks(self, delivered: list[tuple[Id, bool]]) -> None:
        for message, redelivered in delivered:
            assert redelivered or message not in self.given, f"{message} again, not redelivered"
            self.given.add(message)

    def _judge_place(self, queue: str, found: list[tuple[Id, bool]]) -> None:
        last: dict[tuple[str, str], int] = {}
        for message, redelivered in found:
            whose, number = place(message)
            assert whose[0] == queue, f"{message} is in {queue}"
            assert last.get(whose, -1) < number, f"{message} stands behind {last[whose]}"
            assert redelivered or message not in self.given, f"{message} is not marked"
            last[whose] = number


def _some(messages: object) -> str:
    listed = sorted(messages, key=place)  # type: ignore[call-overload]
    return f"{len(listed)}, such as {listed[:3]}"


def run(
    broker: Broker, kills: int, report: Callable[[str], None] = lambda _: None, seed: int = 0
) -> Account:
    """Load the broker and kill it so many times; AssertionError says what was wrong."""
    chance = random.Random(seed)
    judge = Judge()
    with Connection(broker.url) as connection:
        for queue in QUEUES:
            connection.channel(1).declare(queue, durable=True)
            Channel(connection, 1).close()
    for generation in range(kills):
        depth = Depth(len(judge.there))
        clients: list[Client] = [
            kind(broker.url, number, generation, depth)
            for kind, count in ((Publisher, PUBLISHERS), (Consumer, CONSUMERS))
            for number in range(count)
        ]
        for client in clients:
            client.start()
        time.sleep(chance.uniform(0.15, 0.7))
        broker.kill()
        for client in clients:
            client.join(30.0)
            assert not client.is_alive(), "a client did not notice the broker's end"
        began = time.monotonic()
        broker.start()
        started_s = time.monotonic() - began
        for client in clients:
            assert client.failure is None, f"a client failed before the kill: {client.failure}"
        judge.round([client.account for client in clients], look(broker.url))
        new = sum(len(client.account.confirmed) for client in clients)
        report(
            f"kill {generation + 1}: {new} confirmed, {len(judge.there)} in the queues, "
            f"up again after {started_s:.2f} s"
        )
    return judge.total


def main() -> int:
    """Run the loop against a private broker."""
    from conformance.conftest import private_broker

    parser = argparse.ArgumentParser(prog="conformance.kill_loop", description=main.__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--broker", choices=("fast", "slow", "rabbitmq"), default="fast")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temp,
        private_broker(options.broker, Path(temp) / "enabled_plugins") as broker,
    ):
        total = run(broker, options.kills, print, options.seed)
    print(
        f"{options.kills} kills: {len(total.confirmed)} messages confirmed, "
        f"{len(total.delivered)} deliveries, none lost, none doubled, all in order"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
