"""Ready messages of a queue: what waits to be delivered, and in which order.

Invariants of ``Backlog`` (first in, first out):

* Order is message id order. ``ready`` holds messages in that order as they arrived;
  ``requeued`` is a heap of messages that came back, all with smaller ids than the head of
  ``ready``. So a requeued message has its original place, and it is redelivered exactly if it
  comes from ``requeued`` (or is older than ``recovered_below``, after a restart).
* ``holes`` are ids of messages that ended in the middle (they expired): still in ``ready`` or
  ``requeued``, never handed out, not counted. When they are the greater part they are swept.
* ``size_bytes`` is the sum of the bodies of what is counted.

``PriorityBacklog`` keeps one ``Backlog`` for each priority in use.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Protocol

from broker.core.message import Message

TAKE_BYTES_MAX = 1 << 18  # one take ends behind the message that reaches this
SWEEP_MIN = 1000  # holes from which sweeping is considered


class AnyBacklog(Protocol):
    """What a queue needs of its backlog; ``Backlog`` says what each member means."""

    recovered_below: int

    @property
    def size_bytes(self) -> int:
        """Octets of all bodies."""

    def __len__(self) -> int: ...

    def __bool__(self) -> bool: ...

    def __iter__(self) -> Iterator[Message]: ...

    def append(self, message: Message) -> None:
        """A new message."""

    def put_back(self, message: Message) -> None:
        """A delivered message comes back."""

    def settled(self, messages: Iterable[Message]) -> None:
        """Handed out messages are done."""

    def oldest(self) -> Message | None:
        """The message of the lowest id, which may not be the next one."""

    def take_oldest(self) -> Message:
        """Take out the message of the lowest id."""

    def take(self, count: int) -> tuple[list[Message], bool]:
        """The next messages and whether they are redelivered."""

    def take_excess(self) -> Message:
        """The message that a length limit drops next: the next one, whoever may not have it yet."""

    def withhold(self, message: Message) -> None:
        """A message read from the log waits elsewhere, as if it were handed out."""

    def remove(self, message: Message) -> None:
        """A counted message ends where it is."""

    def clear(self) -> list[Message]:
        """Drop everything."""


class Backlog:
    """First in, first out. See the module."""

    __slots__ = ("holes", "ready", "recovered_below", "requeued", "size_bytes")

    def __init__(self) -> None:
        self.ready: deque[Message] = deque()
        self.requeued: list[tuple[int, Message]] = []
        self.holes: set[int] = set()
        self.size_bytes = 0
        self.recovered_below = 0  # messages with smaller ids were here before a restart

    def __len__(self) -> int:
        return len(self.ready) + len(self.requeued) - len(self.holes)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[Message]:
        """All messages, in no particular order."""
        for message in self.ready:
            if message.id not in self.holes:
                yield message
        for message_id, message in self.requeued:
            if message_id not in self.holes:
                yield message

    def append(self, message: Message) -> None:
        """A new message. Hot."""
        self.ready.append(message)
        self.size_bytes += message.size

    def put_back(self, message: Message) -> None:
        """A delivered message comes back, to its place."""
        heappush(self.requeued, (message.id, message))
        self.size_bytes += message.size

    def settled(self, messages: Iterable[Message]) -> None:
        """Handed out messages are done: of no interest here."""

    def oldest(self) -> Message | None:
        """The next message, if there is one."""
        return self.head() if self else None

    def take_oldest(self) -> Message:
        """The next message, for who does not hand it out."""
        return self.take(1)[0][0]

    take_excess = take_oldest

    def head(self) -> Message:
        """The next message; there is one."""
        if self.holes:
            self._skip_holes()
        return self.requeued[0][1] if self.requeued else self.ready[0]

    def take(self, count: int) -> tuple[list[Message], bool]:
        """The next messages and whether they are redelivered: at least one, at most ``count``."""
        if self.holes:
            return self._take_around(count)
        if self.requeued:
            requeued = self.requeued
            batch = [heappop(requeued)[1] for _ in range(min(count, len(requeued)))]
            self.size_bytes -= sum([message.size for message in batch])
            return batch, True
        ready = self.ready
        if ready[0].id < self.recovered_below:
            return self._take_recovered(count), True
        if count >= len(ready) and self.size_bytes <= TAKE_BYTES_MAX:
            batch = list(ready)
            ready.clear()
            self.size_bytes = 0
            return batch, False
        batch = []
        size = 0
        take = ready.popleft
        for _ in range(min(count, len(ready))):
            message = take()
            size += message.size
            batch.append(message)
            if size >= TAKE_BYTES_MAX:
                break
        self.size_bytes -= size
        return batch, False

    def withhold(self, message: Message) -> None:
        """A message waits elsewhere: of no interest here."""

    def _take_recovered(self, count: int) -> list[Message]:
        batch: list[Message] = []
        while self.ready and len(batch) < count and self.ready[0].id < self.recovered_below:
            message = self.ready.popleft()
            self.size_bytes -= message.size
            batch.append(message)
        return batch

    def _take_around(self, count: int) -> tuple[list[Message], bool]:
        """One message: with holes about, speed is not what matters."""
        self._skip_holes()
        if self.requeued:
            message, redelivered = heappop(self.requeued)[1], True
        else:
            message = self.ready.popleft()
            redelivered = message.id < self.recovered_below
        self.size_bytes -= message.size
        return [message], redelivered

    def _skip_holes(self) -> None:
        while self.requeued and self.requeued[0][0] in self.holes:
            self.holes.discard(heappop(self.requeued)[0])
        while not self.requeued and self.ready and self.ready[0].id in self.holes:
            self.holes.discard(self.ready.popleft().id)

    def remove(self, message: Message) -> None:
        """A counted message ends where it is."""
        self.holes.add(message.id)
        self.size_bytes -= message.size
        if len(self.holes) > max(SWEEP_MIN, len(self)):
            self._sweep()

    def _sweep(self) -> None:
        self.ready = deque(message for message in self.ready if message.id not in self.holes)
        self.requeued = [entry for entry in self.requeued if entry[0] not in self.holes]
        heapify(self.requeued)
        self.holes.clear()

    def clear(self) -> list[Message]:
        """Drop everything; the messages there were, in order."""
        messages = sorted(self, key=_id)
        self.ready.clear()
        self.requeued.clear()
        self.holes.clear()
        self.size_bytes = 0
        return messages


def _id(message: Message) -> int:
    return message.id


def _head_id(backlog: Backlog) -> int:
    return backlog.head().id


class PriorityBacklog:
    """Higher priorities first, and within one priority first in, first out."""

    __slots__ = ("_highest", "_levels", "_priorities", "recovered_below")

    def __init__(self, highest: int) -> None:
        self._highest = highest
        self._levels: dict[int, Backlog] = {}
        self._priorities: list[int] = []  # in use, highest first
        self.recovered_below = 0

    @property
    def size_bytes(self) -> int:
        """Octets of all bodies."""
        return sum(level.size_bytes for level in self._levels.values())

    def __len__(self) -> int:
        return sum(map(len, self._levels.values()))

    def __bool__(self) -> bool:
        return any(self._levels.values())

    def __iter__(self) -> Iterator[Message]:
        for priority in self._priorities:
            yield from self._levels[priority]

    def _level(self, message: Message) -> Backlog:
        """A priority above the queue's highest counts as the highest."""
        priority = min(message.priority, self._highest)
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = Backlog()
            level.recovered_below = self.recovered_below
            self._priorities = sorted(self._levels, reverse=True)
        return level

    def append(self, message: Message) -> None:
        """A new message."""
        self._level(message).append(message)

    def put_back(self, message: Message) -> None:
        """A delivered message comes back, to its place."""
        self._level(message).put_back(message)

    def settled(self, messages: Iterable[Message]) -> None:
        """Handed out messages are done: of no interest here."""

    def oldest(self) -> Message | None:
        """The message of the lowest id, of whatever priority."""
        return min(
            (level.head() for level in self._levels.values() if level), key=_id, default=None
        )

    def take_oldest(self) -> Message:
        """The message of the lowest id, of whatever priority."""
        return min(filter(None, self._levels.values()), key=_head_id).take_oldest()

    def _first(self) -> Backlog:
        return next(level for p in self._priorities if (level := self._levels[p]))

    def take(self, count: int) -> tuple[list[Message], bool]:
        """As ``Backlog.take``; a batch has one priority."""
        return self._first().take(count)

    def take_excess(self) -> Message:
        """The next message, for a length limit."""
        return self._first().take_excess()

    def withhold(self, message: Message) -> None:
        """A message waits elsewhere: of no interest here."""

    def remove(self, message: Message) -> None:
        """A counted message ends where it is."""
        self._level(message).remove(message)

    def clear(self) -> list[Message]:
        """Drop everything; the messages there were, in order of delivery."""
        return [m for priority in self._priorities for m in self._levels[priority].clear()]
