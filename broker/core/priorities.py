"""The backlog of a queue with priorities: one ``Backlog`` for each priority in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from broker.core.backlog import Backlog
from broker.core.message import Message
from broker.core.paging import NEVER, Page, Paging


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

    def browse(self, skip: int = 0) -> Iterator[Message]:
        """All messages but the first few in their order, read from the disk where need be."""
        for priority in self._priorities:
            level = self._levels[priority]
            yield from level.browse(skip)
            skip = max(0, skip - len(level))

    def returned_ids(self) -> Iterator[int]:
        """See ``Backlog``."""
        return chain.from_iterable(level.returned_ids() for level in self._levels.values())

    def find(self, ids: Sequence[int]) -> list[Message]:
        """See ``Backlog``."""
        return [message for level in self._levels.values() for message in level.find(ids)]

    def take_out(self, ids: Sequence[int]) -> list[Message]:
        """See ``Backlog``."""
        levels = self._levels.values()
        return [message for level in levels for message in level.take_out(ids)]

    def _level(self, message: Message) -> Backlog:
        return self.level(message.priority)

    def level(self, priority: int) -> Backlog:
        """Where a priority belongs: one above the queue's highest counts as the highest."""
        priority = min(priority, self._highest)
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
        heads = [level.head() for level in self._levels.values() if level]
        return min(heads, key=_id, default=None)

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

    def parts(self) -> Iterable[Backlog]:
        """What can be paged out: the levels."""
        return self._levels.values()

    def recover(self, pages: Sequence[tuple[int, Page]], paging: Paging) -> None:
        """Begin with pages, after a restart."""
        by_level: dict[int, list[tuple[int, Page]]] = {}
        for priority, page in pages:
            by_level.setdefault(min(priority, self._highest), []).append((priority, page))
        for priority, of_level in by_level.items():
            self.level(priority).recover(of_level, paging)

    def take_pages(self) -> list[Page]:
        """Drop all pages; which there were."""
        return [page for level in self._levels.values() for page in level.take_pages()]

    def take_expired(self, now_ms: int, count: int) -> list[Message]:
        """Take out messages in pages whose own expiration is over: about so many at the most."""
        return [m for level in self._levels.values() for m in level.take_expired(now_ms, count)]

    @property
    def deadline_ms(self) -> int:
        """When to call ``take_expired``; ``NEVER``."""
        return min([level.deadline_ms for level in self._levels.values()], default=NEVER)

    def clear(self) -> list[Message]:
        """Drop everything, after ``take_pages``; the messages there were, in order of delivery."""
        return [m for priority in self._priorities for m in self._levels[priority].clear()]
