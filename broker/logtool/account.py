"""What the batches of a log add up to: which messages a start would recover, segment by segment.

It states by itself what ``broker.restore`` does with the same batches, so one checks the other.
The topology is the model's own, without messages: operations are applied to an empty broker.

Memory: about 100 octets for each message that lives in a queue.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from broker.core.broker import Broker
from broker.core.operations import apply, decode_operation
from broker.core.store import Store
from broker.logtool.scan import Damage, Found, SegmentBegins, TornTail
from broker.wal import Batch


@dataclass(slots=True)
class Segment:
    """One segment's figures. ``live`` counts a message once for each queue that holds it."""

    name: str
    octets: int
    batches: int = 0
    operations: int = 0
    messages: int = 0
    references: int = 0
    live: int = 0
    message_octets: int = 0
    oldest_ms: int | None = None
    newest_ms: int | None = None

    @property
    def live_octets(self) -> int:
        """An estimate, as the broker makes it: its messages count as equally large."""
        return self.message_octets * self.live // self.references if self.references else 0


@dataclass(slots=True)
class Account:
    """See the module. ``live`` is by queue id: message id to the batch of its newest copy."""

    segments: list[Segment] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    torn: TornTail | None = None
    broker: Broker = field(default_factory=Broker)
    live: dict[int, dict[int, int]] = field(default_factory=dict)
    _firsts: list[int] = field(default_factory=list)  # first batch of each segment
    _snapshot_seen: bool = False

    def add(self, part: SegmentBegins | Found | Damage | TornTail) -> None:
        """Take in what was found next."""
        match part:
            case SegmentBegins(name, octets):
                self.segments.append(Segment(name, octets))
                self._firsts.append(int(name.removesuffix(".log")))
            case Found(batch):
                self._topology(batch)
                self._messages(batch)
            case Damage():
                self.damages.append(part)
                self._snapshot_seen = False  # the next one restates what is lost here
            case TornTail():
                self.torn = part

    def _topology(self, batch: Batch) -> None:
        self.segments[-1].batches += 1
        self.segments[-1].operations += len(batch.operations)
        if batch.is_snapshot and self._snapshot_seen:
            return
        self._snapshot_seen = self._snapshot_seen or batch.is_snapshot
        for octets in batch.operations:
            apply(self.broker, decode_operation(octets))

    def _messages(self, batch: Batch) -> None:
        segment = self.segments[-1]
        segment.messages += len(batch.publish_id)
        segment.references += batch.references()
        segment.message_octets += batch.published_octets()
        if batch.publish_ms:
            oldest, newest = min(batch.publish_ms), max(batch.publish_ms)
            segment.oldest_ms = min(oldest, segment.oldest_ms or oldest)
            segment.newest_ms = max(newest, segment.newest_ms or newest)
        for row, message_id in zip(batch.publish_route, batch.publish_id, strict=True):
            for queue_id in batch.routes[row][1]:
                self.live.setdefault(queue_id, {})[message_id] = batch.number
        for queue_id, message_ids in batch.settles:
            messages = self.live.get(queue_id, {})
            for message_id in message_ids:
                messages.pop(message_id, None)

    def finish(self) -> None:
        """The log has ended: messages of queues that are gone are gone with them."""
        known = self.queues()
        self.live = {queue_id: held for queue_id, held in self.live.items() if queue_id in known}
        for messages in self.live.values():
            for number, count in Counter(messages.values()).items():
                self.segments[bisect_right(self._firsts, number) - 1].live += count

    def queues(self) -> dict[int, tuple[str, str]]:
        """Vhost and name of all that keeps messages, by queue id."""
        return {
            queue.id: (
                queue.vhost,
                f"exchange {queue.name}" if isinstance(queue, Store) else queue.name,
            )
            for vhost in self.broker.vhosts.values()
            for queue in vhost.keepers()
        }


def leftovers(directory: Path) -> list[Path]:
    """Remains of torn batches that earlier starts put aside."""
    return sorted(directory.glob("*.broken"))
