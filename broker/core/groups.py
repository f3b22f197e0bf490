"""Message groups: strict order for each key, with any number of consumers.

With the queue argument ``x-message-group-header``, messages whose header of that name has the
same value form a group. The next message of a group is handed out only when the one before is
settled or has come back, so no two consumers ever work on the same group at once; different
groups proceed side by side. Messages without the header belong to no group and wait for nobody.

Invariants:

* ``_groups`` has no empty group; the messages without the header are under ``NO_GROUP``.
* ``_busy`` are groups with a message handed out; a busy group offers nothing.
* ``_heads`` is a heap of (id of the first message, key) with an entry for each group, and
  ``_offers`` one with an entry for each group that is not busy. There may be others, of what was
  true once: they are dropped when they come up, or when they are the greater part.
* So messages are offered in order of id, as far as their groups allow, and no operation looks
  at all groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush, merge
from itertools import chain, islice

from broker.core.backlog import Backlog
from broker.core.message import Message
from broker.core.paging import NEVER, Page, Paging
from protocol.content import headers_of
from protocol.tables import encode_field

Key = bytes  # the header's value, encoded with its type
Heap = list[tuple[int, Key]]

NO_GROUP: Key = b""
REBUILD_MIN = 1000  # heap entries from which rebuilding is considered


class GroupedBacklog:
    """The backlog of a queue with message groups; see ``broker.core.backlog`` for the others."""

    def __init__(self, header: str) -> None:
        self._header = header
        self._groups: dict[Key, Backlog] = {}
        self._out: dict[int, Key] = {}  # message id -> its group, while it is handed out
        self._busy: set[Key] = set()
        self._heads: Heap = []
        self._offers: Heap = []
        self._length = 0
        self.size_bytes = 0
        self.recovered_below = 0

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        """Whether there is something to hand out now."""
        return self._next() is not None

    def __iter__(self) -> Iterator[Message]:
        for group in self._groups.values():
            yield from group

    def browse(self, skip: int = 0) -> Iterator[Message]:
        """All messages but the first few in order of id; nothing changes."""
        groups = [group.browse() for group in self._groups.values()]
        yield from islice(merge(*groups, key=lambda message: message.id), skip, None)

    def returned_ids(self) -> Iterator[int]:
        """See ``Backlog``."""
        return chain.from_iterable(group.returned_ids() for group in self._groups.values())

    def find(self, ids: Sequence[int]) -> list[Message]:
        """See ``Backlog``."""
        wanted = set(ids)
        return [message for message in self if message.id in wanted]

    def take_out(self, ids: Sequence[int]) -> list[Message]:
        """See ``Backlog``."""
        taken = self.find(ids)
        for message in taken:
            self.remove(message)
        return taken

    def _key(self, message: Message) -> Key:
        value = headers_of(message.content).get(self._header)
        return NO_GROUP if value is None else encode_field(value)

    # -- in ----------------------------------------------------------------------------

    def append(self, message: Message) -> None:
        """A new message."""
        key = self._key(message)
        group = self._group(key)
        group.append(message)
        self._count(message, 1)
        if len(group) == 1:
            self._announce(key)

    def put_back(self, message: Message) -> None:
        """A delivered message comes back, to its place."""
        key = self._out.pop(message.id) if message.id in self._out else self._key(message)
        self._busy.discard(key)
        self._group(key).put_back(message)
        self._count(message, 1)
        self._announce(key)

    def withhold(self, message: Message) -> None:
        """A message waits for its retry since before a restart: its group waits with it."""
        self._hand_out(message, self._key(message))

    def settled(self, messages: Iterable[Message]) -> None:
        """Handed out messages are done: their groups may go on."""
        for message in messages:
            key = self._out.pop(message.id, None)
            if key is not None:
                self._busy.discard(key)
                self._announce(key)

    def _group(self, key: Key) -> Backlog:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Backlog()
            group.recovered_below = self.recovered_below
        return group

    def _count(self, message: Message, times: int) -> None:
        self._length += times
        self.size_bytes += times * message.size

    # -- order -------------------------------------------------------------------------

    def _announce(self, key: Key) -> None:
        """A group, if there is one, has another first message, or is not busy any more."""
        group = self._groups.get(key)
        if group is None:
            return
        if len(self._heads) > max(REBUILD_MIN, 4 * len(self._groups)):
            self._heads = [(each.head().id, key) for key, each in self._groups.items()]
            self._offers = [entry for entry in self._heads if entry[1] not in self._busy]
            heapify(self._heads)
            heapify(self._offers)
            return
        entry = (group.head().id, key)
        heappush(self._heads, entry)
        if key not in self._busy:
            heappush(self._offers, entry)

    def _is_first(self, message_id: int, key: Key) -> bool:
        group = self._groups.get(key)
        return group is not None and group.head().id == message_id

    def _next(self) -> Key | None:
        """The group that offers the oldest message; None if all wait."""
        offers = self._offers
        while offers:
            message_id, key = offers[0]
            if key not in self._busy and self._is_first(message_id, key):
                return key
            heappop(offers)
        return None

    def _first(self) -> Key | None:
        """The group of the oldest message, busy or not."""
        heads = self._heads
        while heads:
            message_id, key = heads[0]
            if self._is_first(message_id, key):
                return key
            heappop(heads)
        return None

    def oldest(self) -> Message | None:
        """The message of the lowest id, of a busy group or not."""
        key = self._first()
        return None if key is None else self._groups[key].head()

    # -- out ---------------------------------------------------------------------------

    def take(self, count: int) -> tuple[list[Message], bool]:
        """The next message alone: which one comes then depends on who gets it."""
        key = self._next()
        assert key is not None
        messages, redelivered = self._take_from(key)
        self._hand_out(messages[0], key)
        self._announce(key)
        return messages, redelivered

    def take_oldest(self) -> Message:
        """Take out the message of the lowest id, of a busy group or not."""
        key = self._first()
        assert key is not None
        messages, _ = self._take_from(key)
        self._announce(key)
        return messages[0]

    take_excess = take_oldest

    def _take_from(self, key: Key) -> tuple[list[Message], bool]:
        group = self._groups[key]
        messages, redelivered = group.take(1)
        self._count(messages[0], -1)
        if not group:
            del self._groups[key]
        return messages, redelivered

    def _hand_out(self, message: Message, key: Key) -> None:
        if key != NO_GROUP:
            self._out[message.id] = key
            self._busy.add(key)

    def remove(self, message: Message) -> None:
        """A counted message ends where it is."""
        key = self._key(message)
        group = self._groups[key]
        group.remove(message)
        self._count(message, -1)
        if not group:
            del self._groups[key]
        self._announce(key)

    # -- pages: there are none, as a message's group is told by what it holds ------------

    deadline_ms = NEVER

    def parts(self) -> Iterable[Backlog]:
        """Nothing can be paged out."""
        return ()

    def recover(self, pages: Sequence[tuple[int, Page]], paging: Paging) -> None:
        """Never called: see ``Queue.recovers_pages``."""
        raise AssertionError("groups are recovered message by message")

    def take_pages(self) -> list[Page]:
        """There are none."""
        return []

    def take_expired(self, now_ms: int, count: int) -> list[Message]:
        """There are none: no message is in a page."""
        return []

    def clear(self) -> list[Message]:
        """Drop everything that is ready; the messages there were."""
        messages = [message for group in self._groups.values() for message in group.clear()]
        self._groups.clear()
        self._heads.clear()
        self._offers.clear()
        self._length = self.size_bytes = 0
        return messages
