"""tx: publishes and acks of a channel, kept until commit.

Messages are routed when they are published and stored at commit, to the queues that still
exist. Commit-ok leaves when the log batch that holds all of it is durable; as a batch is one
write, what one commit stores survives a crash whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.amqp.channel import Channel, Unacked


class Transaction:
    """What a channel in tx mode has not committed yet."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._publishes: list[Callable[[], None]] = []
        self._acked: dict[int, Unacked] = {}
        self._rejected: list[tuple[dict[int, Unacked], bool, bool]] = []  # requeue, failed

    @property
    def uncommitted(self) -> int:
        """Messages that were published and not committed."""
        return len(self._publishes)

    def publish(self, publish: Callable[[], None]) -> None:
        """Keep a publish, mandatory returns included, for commit."""
        self._publishes.append(publish)

    def ack(self, tag: int, *, multiple: bool) -> None:
        """basic.ack; an unknown tag is refused at once."""
        self._acked.update(self._take(tag, multiple=multiple))

    def reject(self, tag: int, *, multiple: bool, requeue: bool, failed: bool) -> None:
        """basic.nack and basic.reject."""
        self._rejected.append((self._take(tag, multiple=multiple), requeue, failed))

    def _take(self, tag: int, *, multiple: bool) -> dict[int, Unacked]:
        unacked = self.channel.unacked
        tags = [number for number in unacked if number <= tag or tag == 0] if multiple else [tag]
        taken = {number: unacked[number] for number in tags if number in unacked}
        self.channel.take_or_refuse(tag, multiple=multiple)
        return taken

    def commit(self) -> None:
        """Carry everything out: publishes in order, then acks and rejects."""
        publishes, self._publishes = self._publishes, []
        for publish in publishes:
            publish()
        self.channel.settle(self._acked.values())
        self._acked = {}
        rejected, self._rejected = self._rejected, []
        for entries, requeue, failed in rejected:
            self.channel.reject(list(entries.values()), requeue=requeue, failed=failed)

    def rollback(self) -> None:
        """Forget publishes; what was acked is unacked again."""
        self._publishes = []
        taken = self._acked
        for entries, _, _ in self._rejected:
            taken |= entries
        self.channel.put_back(taken)
        self._acked, self._rejected = {}, []

    @property
    def messages_uncommitted(self) -> int:
        """How many publishes are kept."""
        return len(self._publishes)

    @property
    def acks_uncommitted(self) -> int:
        """How many deliveries were acked or rejected."""
        return len(self.held())

    def held(self) -> list[Unacked]:
        """The deliveries that were acked or rejected here: unsettled until commit."""
        taken = list(self._acked.values())
        for entries, _, _ in self._rejected:
            taken += entries.values()
        return taken
