"""Message groups: strict order for each key, with any number of consumers.

With the queue argument ``x-message-group-header``, messages whose header of that name has the
same value form a group. The next message of a group is handed out only when the one before is
settled or has come back, so no two consumers ever work on the same group at once; different
groups proceed side by side. Messages without the header belong to no group.

Invariants:

* ``_busy`` are groups with a message handed out; a busy group offers nothing.
* ``_offers`` is a heap of (id of the first message, group) with an entry for each group that
  is not busy and not empty. An entry may be stale: then it is put right when it comes up.
* So messages are offered in order of id, as far as their groups allow.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from heapq import heappop, heappush

from broker.core.backlog import Backlog
from broker.core.message import Message
from protocol.content import headers_of


class GroupedBacklog:
    """The backlog of a queue with message groups; see ``broker.core.backlog`` for the others."""

    def __init__(self, header: str) -> None:
        self._header = header
        self._groups: dict[Hashable, Backlog] = {}
        self._out: dict[int, Hashable] = {}  # message id -> its group, while it is handed out
        self._busy: set[Hashable] = set()
        self._offers: list[tuple[int, int, Hashable]] = []
        self._count = 0
        self.recovered_below = 0

    @property
    def size_bytes(self) -> int:
        """Octets of all bodies."""
        return sum(group.size_bytes for group in self._groups.values())

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def __bool__(self) -> bool:
        """Whether there is something to hand out now."""
        return self._next() is not None

    def __iter__(self) -> Iterator[Message]:
        for group in self._groups.values():
            yield from group

    def levels(self) -> Iterable[Backlog]:
        """The parts in which order is order of id; who asks may have emptied some before."""
        for key in [key for key, group in self._groups.items() if not group]:
            del self._groups[key]
        return list(self._groups.values())

    def _key(self, message: Message) -> Hashable:
        value = headers_of(message.content).get(self._header)
        if value is None:
            return message.id
        return (value.tag, value.value if isinstance(value.value, Hashable) else repr(value.value))

    def append(self, message: Message) -> None:
        """A new message."""
        self._add(message, returned=False)

    def put_back(self, message: Message) -> None:
        """A delivered message comes back, to its place."""
        self._busy.discard(self._out.pop(message.id, None))
        self._add(message, returned=True)

    def _add(self, message: Message, *, returned: bool) -> None:
        key = self._key(message)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Backlog()
            group.recovered_below = self.recovered_below
        if returned:
            group.put_back(message)
        else:
            group.append(message)
        self._offer(key)

    def _offer(self, key: Hashable) -> None:
        group = self._groups.get(key)
        if group and key not in self._busy:
            self._count += 1
            heappush(self._offers, (group.head().id, self._count, key))

    def _next(self) -> Hashable | None:
        """The group that offers the oldest message; None if all wait."""
        offers = self._offers
        while offers:
            message_id, _, key = offers[0]
            group = self._groups.get(key)
            if group and key not in self._busy and group.head().id == message_id:
                return key
            heappop(offers)
            self._offer(key)
        return None

    def head(self) -> Message:
        """The next message; there is one."""
        key = self._next()
        assert key is not None
        return self._groups[key].head()

    def take(self, count: int) -> tuple[list[Message], bool]:
        """The next message alone: which one comes then depends on who gets it."""
        key = self._next()
        assert key is not None
        messages, redelivered = self._groups[key].take(1)
        self._out[messages[0].id] = key
        self._busy.add(key)
        if not self._groups[key]:
            del self._groups[key]
        return messages, redelivered

    def take_excess(self) -> Message:
        """The oldest message, of a busy group or not: a length limit drops it."""
        group = min(filter(None, self._groups.values()), key=lambda group: group.head().id)
        message = group.take_excess()
        self._offer(self._key(message))
        return message

    def withhold(self, message: Message) -> None:
        """A message waits for its retry since before a restart: its group waits with it."""
        key = self._out[message.id] = self._key(message)
        self._busy.add(key)

    def settled(self, messages: Iterable[Message]) -> None:
        """Handed out messages are done: their groups may go on."""
        for message in messages:
            key = self._out.pop(message.id, None)
            if key is not None:
                self._busy.discard(key)
                self._offer(key)

    def remove(self, message: Message) -> None:
        """A counted message ends where it is."""
        key = self._key(message)
        group = self._groups[key]
        group.remove(message)
        if not group:
            del self._groups[key]
        self._offer(key)

    def clear(self) -> list[Message]:
        """Drop everything that is ready; the messages there were."""
        messages = [message for group in self._groups.values() for message in group.clear()]
        self._groups.clear()
        self._offers.clear()
        return messages
