"""Messages that wait for a time of their own, in memory or not: millions of them are fine.

Invariants of ``Waiting``:

* ``heap`` has an integer for each message: when it is due, in milliseconds, and its id in the
  lower 64 bits. An entry costs about 50 octets.
* A message is in ``messages``, in order of id, or in one ``Held``. Those of lower ids leave memory
  first, so ``held`` is in order of id too, and one is found by bisection.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import compress

from broker.core.message import Message
from broker.core.paging import MESSAGE_BYTES, Page, Paging, compact, compact_places, write_out
from broker.core.store import Kept

NEVER_MS = 1 << 64
SWEEP_MIN = 1000  # empty pages from which they are swept
_MASK = (1 << 64) - 1


class Held(Page):
    """Messages that wait, with gaps where some do not any more."""

    __slots__ = ("_alive", "left")

    def __init__(self, ids: Sequence[int], places: list[int]) -> None:
        super().__init__(compact(ids), compact_places(places), 0)
        self._alive = bytearray(b"\1") * len(ids)
        self.left = len(ids)

    def __len__(self) -> int:
        return self.left

    def by_place(self) -> Iterable[tuple[int, Sequence[int]]]:
        """See ``Page``: those that still wait."""
        ids = list(compress(self.ids, self._alive))
        places = compress(self.places, self._alive) if len(self.places) > 1 else self.places
        return Page(ids, list(places), 0).by_place()

    def place_of(self, message_id: int) -> int:
        """Where a message is."""
        return self.places[self._row(message_id) if len(self.places) > 1 else 0]

    def _row(self, message_id: int) -> int:
        return bisect_left(self.ids, message_id)

    def drop(self, message_id: int) -> None:
        """A message does not wait any more."""
        self._alive[self._row(message_id)] = 0
        self.left -= 1


class Waiting(Kept):
    """See the module. It is also the part of itself that is paged out."""

    def __init__(self) -> None:
        self.heap: list[int] = []
        self.messages: dict[int, Message] = {}
        self._held: list[Held] = []
        self._firsts: list[int] = []  # where each of ``_held`` begins
        self._bytes = 0  # of the bodies in memory
        self._empty = 0  # of ``_held``

    def __len__(self) -> int:
        return len(self.heap)

    def __iter__(self) -> Iterator[Message]:
        """Those in memory."""
        return iter(self.messages.values())

    @property
    def next_due_ms(self) -> int:
        """When the first is due."""
        return self.heap[0] >> 64 if self.heap else NEVER_MS

    def add(self, due_ms: int, message: Message) -> None:
        """A message waits until then; its id is greater than all before."""
        heappush(self.heap, due_ms << 64 | message.id)
        self.messages[message.id] = message
        self._bytes += message.size

    def take_due(self, now_ms: int, count: int, paging: Paging) -> list[Message]:
        """Take out what is due, in order: at most so many."""
        heap, limit = self.heap, (now_ms + 1) << 64
        ids: list[int] = []
        while heap and heap[0] < limit and len(ids) < count:
            ids.append(heappop(heap) & _MASK)
        return self._take(ids, paging)

    def remove(self, unwanted: set[int], paging: Paging) -> list[Message]:
        """Take out messages by id. Looks at every message."""
        gone = [entry & _MASK for entry in self.heap if entry & _MASK in unwanted]
        self.heap = [entry for entry in self.heap if entry & _MASK not in unwanted]
        heapify(self.heap)
        return self._take(gone, paging)

    def listed(self, paging: Paging, start: int, count: int) -> list[tuple[int, Message]]:
        """Messages in the order they are due, from a position; they stay."""
        entries = sorted(self.heap)[start : start + count]
        found = self._read([entry & _MASK for entry in entries], paging)
        return [(entry >> 64, found[entry & _MASK]) for entry in entries]

    def _take(self, ids: list[int], paging: Paging) -> list[Message]:
        found = self._read(ids, paging)
        for message_id in ids:
            message = self.messages.pop(message_id, None)
            if message is not None:
                self._bytes -= message.size
                continue
            held = self._find(message_id)
            held.drop(message_id)
            if not held.left:
                paging.free(held)
                self._empty += 1
        if self._empty > max(SWEEP_MIN, len(self._held) // 2):
            self._held = [held for held in self._held if held.left]
            self._firsts = [held.ids[0] for held in self._held]
            self._empty = 0
        return [found[message_id] for message_id in ids]

    def _find(self, message_id: int) -> Held:
        return self._held[bisect_right(self._firsts, message_id) - 1]

    def _read(self, ids: list[int], paging: Paging) -> dict[int, Message]:
        """Messages by id, wherever they are."""
        found = {id_: self.messages[id_] for id_ in ids if id_ in self.messages}
        wanted: dict[int, list[int]] = {}
        for message_id in sorted(id_ for id_ in ids if id_ not in found):
            place = self._find(message_id).place_of(message_id)
            wanted.setdefault(place, []).append(message_id)
        for place, some in wanted.items():
            found.update((message.id, message) for message in paging.read_some(place, some))
        return found

    # -- as a backlog, and as a part of one (see ``broker.core.backlogs``) ---------------

    def parts(self) -> Iterable[Waiting]:  # type: ignore[override]
        """What can be paged out."""
        return (self,)

    def paged(self) -> Iterable[Page]:
        """What is not in memory."""
        return [held for held in self._held if held.left]

    @property
    def resident(self) -> tuple[int, int]:
        """How many messages are in memory, and the octets of their bodies."""
        return len(self.messages), self._bytes

    def page_out(self, keep_bytes: int, paging: Paging) -> list[Message]:
        """Move the oldest out of memory, whenever they are due; see ``Backlog.page_out``."""
        if len(self.messages) * MESSAGE_BYTES + self._bytes <= keep_bytes:
            return []
        messages = paging.run(self.messages.values())
        if messages:
            ids = [message.id for message in messages]
            self._held.append(Held(ids, write_out(paging.queue, messages)))
            self._firsts.append(ids[0])
        for message in messages:
            del self.messages[message.id]
            self._bytes -= message.size
        return messages

    def take_pages(self) -> list[Page]:
        """Drop what is not in memory; what it was."""
        pages = list(self.paged())
        self.heap = [entry for entry in self.heap if entry & _MASK in self.messages]
        heapify(self.heap)
        self._held.clear()
        self._firsts.clear()
        self._empty = 0
        return pages

    def clear(self) -> list[Message]:
        """Drop everything, after ``take_pages``; the messages there were."""
        messages = list(self)
        self.messages.clear()
        self.heap.clear()
        self._bytes = 0
        return messages
