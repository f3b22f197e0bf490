"""Messages that wait for a time of their own, in memory or not: millions of them are fine.

Invariants of ``Waiting``:

* A message is in ``near``, or it is in ``far`` and in one ``Held``. Both are heaps by due time,
  then id; ``far`` has integers: due time, id and first place, 64 bits each.
* A ``Held`` is known by its first place, which ``far`` names, wherever its messages are now.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import compress

from broker.core.message import Message
from broker.core.paging import MESSAGE_BYTES, PAGE_MESSAGES_MAX, Page, Paging, write_out
from broker.core.store import Kept

NEVER_MS = 1 << 64
PLACE_BIAS = 1 << 63  # places may be less than 0
_MASK = (1 << 64) - 1
Due = tuple[int, int, Message]  # due (ms), message id, message


class Held(Page):
    """Messages of one place that wait."""

    __slots__ = ("_alive", "first_place", "left")

    def __init__(self, place: int, ids: array[int]) -> None:
        super().__init__(ids, (place,), 0)
        self.first_place = place
        self._alive = bytearray(b"\1") * len(ids)
        self.left = len(ids)

    def __len__(self) -> int:
        return self.left

    def by_place(self) -> Iterable[tuple[int, Sequence[int]]]:
        """See ``Page``: those that still wait."""
        return [(self.places[0], list(compress(self.ids, self._alive)))]

    def has(self, message_id: int) -> bool:
        """Whether a message waits here."""
        at = bisect_left(self.ids, message_id)
        return at < len(self.ids) and self.ids[at] == message_id and bool(self._alive[at])

    def drop(self, message_id: int) -> None:
        """A message does not wait any more."""
        self._alive[bisect_left(self.ids, message_id)] = 0
        self.left -= 1


class Waiting(Kept):
    """See the module. It is also the part of itself that is paged out."""

    def __init__(self) -> None:
        self.near: list[Due] = []
        self.far: list[int] = []
        self._held: dict[int, list[Held]] = {}
        self._near_bytes = 0

    def __len__(self) -> int:
        return len(self.near) + len(self.far)

    def __iter__(self) -> Iterator[Message]:
        """Those in memory."""
        return (message for _, _, message in self.near)

    @property
    def next_due_ms(self) -> int:
        """When the first is due."""
        near = self.near[0][0] if self.near else NEVER_MS
        return min(near, self.far[0] >> 128) if self.far else near

    def add(self, due_ms: int, message: Message) -> None:
        """A message waits until then."""
        heappush(self.near, (due_ms, message.id, message))
        self._near_bytes += message.size

    def take_due(self, now_ms: int, count: int, paging: Paging) -> list[Message]:
        """Take out what is due, in order: at most so many."""
        due: list[tuple[int, int]] = []
        found: dict[int, Message] = {}
        wanted: list[tuple[Held, int]] = []
        while len(due) < count and self.next_due_ms <= now_ms:
            due_ms = self.next_due_ms
            if self.near and self.near[0][:2] <= (due_ms, self._far_id(due_ms)):
                _, message_id, message = heappop(self.near)
                self._near_bytes -= message.size
                found[message_id] = message
            else:
                _, message_id, place = _unpack(heappop(self.far))
                wanted.append((self._find(place, message_id), message_id))
            due.append((due_ms, message_id))
        found.update(self._take(wanted, paging))
        return [found[message_id] for _, message_id in due]

    def _far_id(self, due_ms: int) -> int:
        """The id of the first far message if it is due then, else more than any id."""
        if self.far and self.far[0] >> 128 == due_ms:
            return self.far[0] >> 64 & _MASK
        return NEVER_MS

    def _find(self, place: int, message_id: int) -> Held:
        return next(held for held in self._held[place] if held.has(message_id))

    def _take(self, wanted: list[tuple[Held, int]], paging: Paging) -> dict[int, Message]:
        """Read messages back, and end their waiting."""
        by_held: dict[Held, list[int]] = {}
        for held, message_id in wanted:
            by_held.setdefault(held, []).append(message_id)
        found: dict[int, Message] = {}
        for held, ids in by_held.items():
            for message in paging.read_some(held.places[0], sorted(ids)):
                found[message.id] = message
                held.drop(message.id)
            if not held.left:
                paging.free(held)
                self._held[held.first_place].remove(held)
                if not self._held[held.first_place]:
                    del self._held[held.first_place]
        return found

    def listed(self, paging: Paging, start: int, count: int) -> list[tuple[int, Message]]:
        """Messages in the order they are due, from a position; they stay."""
        entries = [(due_ms, message_id, 0) for due_ms, message_id, _ in self.near]
        entries = sorted(entries + list(map(_unpack, self.far)))[start : start + count]
        near = {message_id: message for _, message_id, message in self.near}
        found = []
        for due_ms, message_id, place in entries:
            message = near.get(message_id)
            if message is None:
                held = self._find(place, message_id)
                (message,) = paging.read_some(held.places[0], (message_id,))
            found.append((due_ms, message))
        return found

    def remove(self, unwanted: set[int], paging: Paging) -> list[Message]:
        """Take out messages by id. Looks at every message."""
        removed = [message for message in self if message.id in unwanted]
        self.near = [entry for entry in self.near if entry[1] not in unwanted]
        heapify(self.near)
        self._near_bytes -= sum([message.size for message in removed])
        gone = [_unpack(far) for far in self.far if far >> 64 & _MASK in unwanted]
        if gone:
            self.far = [far for far in self.far if far >> 64 & _MASK not in unwanted]
            heapify(self.far)
        wanted = [(self._find(place, message_id), message_id) for _, message_id, place in gone]
        return removed + list(self._take(wanted, paging).values())

    # -- as a backlog, and as a part of one (see ``broker.core.backlogs``) ---------------

    def parts(self) -> Iterable[Waiting]:  # type: ignore[override]
        """What can be paged out."""
        return (self,)

    def paged(self) -> Iterable[Page]:
        """What is not in memory."""
        return [held for some in self._held.values() for held in some]

    @property
    def resident(self) -> tuple[int, int]:
        """How many messages are in memory, and the octets of their bodies."""
        return len(self.near), self._near_bytes

    def page_out(self, keep_bytes: int, paging: Paging) -> list[Message]:
        """Move the later half out of memory; none if there are few. ``OSError`` as for a backlog.

        Half at once, as each time all have to be sorted.
        """
        if len(self.near) < PAGE_MESSAGES_MAX or len(self.near) * MESSAGE_BYTES < keep_bytes:
            return []
        self.near.sort(key=_due_and_id)
        middle = len(self.near) // 2
        later = [entry for entry in self.near[middle:] if paging.is_readable(entry[2])]
        later = later[: PAGE_MESSAGES_MAX * max(1, len(later) // PAGE_MESSAGES_MAX)]
        moved: set[int] = set()
        try:
            for start in range(0, len(later), PAGE_MESSAGES_MAX):
                chunk = later[start : start + PAGE_MESSAGES_MAX]
                self._move(chunk, write_out(paging.queue, [message for _, _, message in chunk]))
                moved.update([message_id for _, message_id, _ in chunk])
        finally:
            out = [message for _, id_, message in later if id_ in moved]
            self.near = [entry for entry in self.near if entry[1] not in moved]
            self._near_bytes -= sum([message.size for message in out])
        return out

    def _move(self, chunk: list[Due], places: list[int]) -> None:
        by_place: dict[int, list[int]] = {}
        for (due_ms, message_id, _), place in zip(chunk, places, strict=True):
            by_place.setdefault(place, []).append(message_id)
            heappush(self.far, due_ms << 128 | message_id << 64 | place + PLACE_BIAS)
        for place, ids in by_place.items():
            self._held.setdefault(place, []).append(Held(place, array("Q", sorted(ids))))

    def take_pages(self) -> list[Page]:
        """Drop what is not in memory; what it was."""
        pages = list(self.paged())
        self._held.clear()
        self.far.clear()
        return pages

    def clear(self) -> list[Message]:
        """Drop what is in memory, after ``take_pages``; the messages there were."""
        messages = list(self)
        self.near.clear()
        self._near_bytes = 0
        return messages


def _unpack(far: int) -> tuple[int, int, int]:
    return far >> 128, far >> 64 & _MASK, (far & _MASK) - PLACE_BIAS


def _due_and_id(entry: Due) -> tuple[int, int]:
    return entry[0], entry[1]
