"""Ready messages of a queue: what waits to be delivered, and in which order.

Invariants of ``Backlog`` (first in, first out):

* Order is message id order. ``ready`` holds messages in that order as they arrived;
  ``requeued`` is a heap of messages that came back, all with smaller ids than the head of
  ``ready``. So a requeued message has its original place, and it is redelivered exactly if it
  comes from ``requeued`` (or is older than ``recovered_below``, after a restart).
* ``holes`` are ids of messages that ended in the middle (they expired): still in ``ready`` or
  ``requeued``, never handed out, not counted. Neither begins with one between two calls, so no
  page is read to hand its first message out at once. When they are the greater part they are
  swept.
* ``size_bytes`` is the sum of the bodies of what is counted.
* A long backlog has ``pages``: behind ``ready`` come pages whose messages are not in memory, then
  ``pages.tail``, the newest. ``last`` is where the next message is appended: the tail, or
  ``ready``. Between two calls ``ready`` is empty only if there are no pages, so that the next
  message can always be looked at.

Other orders are kept in several ``Backlog``: see ``broker.core.priorities`` and ``groups``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, islice

from broker.core.message import Message
from broker.core.paging import MESSAGE_BYTES, NEVER, Page, Pages, Paging

TAKE_BYTES_MAX = 1 << 18  # one take ends behind the message that reaches this
SWEEP_MIN = 1000  # holes from which sweeping is considered


class Backlog:
    """First in, first out. See the module."""

    __slots__ = (
        "holes",
        "last",
        "pages",
        "paging",
        "ready",
        "recovered_below",
        "requeued",
        "size_bytes",
    )

    def __init__(self) -> None:
        self.ready: deque[Message] = deque()
        self.requeued: list[tuple[int, Message]] = []
        self.holes: set[int] = set()
        self.size_bytes = 0
        self.recovered_below = 0  # messages with smaller ids were here before a restart
        self.last = self.ready
        self.pages: Pages | None = None
        self.paging: Paging | None = None  # set with the first page

    def __len__(self) -> int:
        length = len(self.ready) + len(self.requeued) - len(self.holes)
        return length if self.pages is None else length + len(self.pages)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[Message]:
        """All messages in memory, in no particular order."""
        newest = self.pages.tail if self.pages is not None else ()
        for message in chain(self.ready, newest):
            if message.id not in self.holes:
                yield message
        for message_id, message in self.requeued:
            if message_id not in self.holes:
                yield message

    def browse(self, skip: int = 0) -> Iterator[Message]:
        """All messages but the first few in their order, a page at a time in memory.

        Not while the queue changes.
        """
        pages = self.pages.pages if self.pages is not None else ()
        first = [m for _, m in sorted(self.requeued, key=_entry_id)] + list(self.ready)
        first = [message for message in first if message.id not in self.holes]
        yield from first[skip:]
        skip = max(0, skip - len(first))
        for page in pages:
            assert self.paging is not None
            if skip < len(page):
                yield from self.paging.read(page)[skip:]
            skip = max(0, skip - len(page))
        newest = self.pages.tail if self.pages is not None else ()
        yield from islice((m for m in newest if m.id not in self.holes), skip, None)

    def returned_ids(self) -> Iterator[int]:
        """The ids of messages that were delivered before, those from before a restart aside."""
        return (message_id for message_id, _ in self.requeued)

    def find(self, ids: Sequence[int]) -> list[Message]:
        """Messages by their ascending ids, in no particular order; they stay."""
        wanted = set(ids)
        found = [message for message in self if message.id in wanted]
        if self.pages is not None and self.paging is not None:
            found += self.pages.find(self.paging, ids)
        return found

    def take_out(self, ids: Sequence[int]) -> list[Message]:
        """Take out messages by their ascending ids, wherever they are."""
        paged: list[Message] = []  # before the others, whose end may have a page read
        if self.pages is not None and self.paging is not None:
            paged = self.pages.take(self.paging, ids)
            self.size_bytes -= sum([message.size for message in paged])
        wanted = set(ids)
        resident = [message for message in self if message.id in wanted]
        for message in resident:
            self.remove(message)
        return resident + paged

    def append(self, message: Message) -> None:
        """A new message. Hot."""
        self.last.append(message)
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
        if count >= len(ready) and self.size_bytes <= TAKE_BYTES_MAX and self.pages is None:
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
        if not ready:
            self._page_in()
        return batch, False

    def withhold(self, message: Message) -> None:
        """A message waits elsewhere: of no interest here."""

    def _take_recovered(self, count: int) -> list[Message]:
        batch: list[Message] = []
        while self.ready and len(batch) < count and self.ready[0].id < self.recovered_below:
            message = self.ready.popleft()
            self.size_bytes -= message.size
            batch.append(message)
            if not self.ready:
                self._page_in()
                break
        return batch

    def _take_around(self, count: int) -> tuple[list[Message], bool]:
        """One message: with holes about, speed is not what matters."""
        if self.requeued:
            message, redelivered = heappop(self.requeued)[1], True
        else:
            message = self._pop()
            redelivered = message.id < self.recovered_below
        self.size_bytes -= message.size
        self._skip_holes()
        return [message], redelivered

    def _skip_holes(self) -> None:
        while self.requeued and self.requeued[0][0] in self.holes:
            self.holes.discard(heappop(self.requeued)[0])
        while self.ready and self.ready[0].id in self.holes:
            self.holes.discard(self._pop().id)

    def _pop(self) -> Message:
        message = self.ready.popleft()
        if not self.ready:
            self._page_in()
        return message

    def remove(self, message: Message) -> None:
        """A counted message ends where it is."""
        self.holes.add(message.id)
        self.size_bytes -= message.size
        if len(self.holes) > max(SWEEP_MIN, len(self)):
            self._sweep()
        else:
            self._skip_holes()

    def _sweep(self) -> None:
        self.ready = self._without_holes(self.ready)
        self.last = self.ready
        if self.pages is not None:
            self.last = self.pages.tail = self._without_holes(self.pages.tail)
        self.requeued = [entry for entry in self.requeued if entry[0] not in self.holes]
        heapify(self.requeued)
        self.holes.clear()
        if not self.ready:
            self._page_in()

    def _without_holes(self, messages: Iterable[Message]) -> deque[Message]:
        return deque(message for message in messages if message.id not in self.holes)

    def clear(self) -> list[Message]:
        """Drop everything, after ``take_pages``; the messages there were, in order."""
        tail = () if self.pages is None else self.pages.tail
        messages = [message for _, message in sorted(self.requeued, key=_entry_id)]
        messages += self.ready
        messages += tail
        if self.holes:
            messages = [message for message in messages if message.id not in self.holes]
        self.ready.clear()
        self.requeued.clear()
        self.holes.clear()
        self.size_bytes = 0
        if self.pages is not None:
            self.pages.tail.clear()
            self._page_in()
        return messages

    # -- pages -------------------------------------------------------------------------

    def parts(self) -> Iterable[Backlog]:
        """What can be paged out: all of it."""
        return (self,)

    def paged(self) -> Iterable[Page]:
        """The pages, in order."""
        return () if self.pages is None else self.pages.pages

    @property
    def resident(self) -> tuple[int, int]:
        """How many messages are in memory, and the octets of their bodies."""
        if self.pages is None:
            return len(self.ready) + len(self.requeued), self.size_bytes
        count = len(self.ready) + len(self.requeued) + len(self.pages.tail)
        return count, self.size_bytes - self.pages.size_bytes

    def _page_in(self) -> None:
        """The head ran out: read the next page, or go on with the newest messages."""
        pages = self.pages
        while pages is not None and not self.ready:
            if not pages.pages:
                self.ready = pages.tail
                self.pages = pages = None
                break
            assert self.paging is not None
            page = pages.pop()
            if pages.pages:
                self.paging.expect(pages.pages[0])
            self.size_bytes -= page.size_bytes
            messages = self.paging.page_in(page)
            self.size_bytes += sum([message.size for message in messages])
            self.ready.extend(messages)

    def recover(self, pages: Sequence[tuple[int, Page]], paging: Paging) -> None:
        """Begin with pages, after a restart. Ends with the first of them in memory."""
        self.paging = paging
        self.last = deque()
        self.pages = Pages(self.last)
        for _, page in pages:
            self.pages.add(page)
        self.size_bytes += self.pages.size_bytes
        self._page_in()

    def page_out(self, keep_bytes: int, paging: Paging) -> list[Message]:
        """Move a page of messages out of memory, those needed last of the older ones.

        At least one message, and about so many octets at the head, stay. What cannot be read
        back yet stays too. Returns the messages; none if there is nothing to move. If writing
        them fails (``OSError``), nothing has changed.
        """
        if self.holes:
            self._sweep()
        self.paging = paging
        if self.pages is None:
            self._split(keep_bytes)
        pages = self.pages
        if pages is None:
            return []
        at_tail = True
        messages = paging.run(pages.tail)
        if not messages:
            at_tail = False
            surplus = list(islice(self.ready, _head_length(self.ready, keep_bytes), None))
            messages = [*reversed(paging.run(reversed(surplus)))]
        if not messages:
            return []
        page = paging.make(messages)
        if at_tail:
            pages.add(page)
            drop = pages.tail.popleft
        else:
            pages.add_first(page)
            drop = self.ready.pop
        for _ in messages:
            drop()
        return messages

    def _split(self, keep_bytes: int) -> None:
        """Cut the ready messages in a head, which stays, and a tail."""
        length = _head_length(self.ready, keep_bytes)
        if length < len(self.ready):
            head = deque([self.ready.popleft() for _ in range(length)])
            self.pages = Pages(self.ready)
            self.last, self.ready = self.ready, head

    def take_pages(self) -> list[Page]:
        """Drop all pages; which there were."""
        if self.pages is None:
            return []
        self.size_bytes -= self.pages.size_bytes
        dropped = self.pages.clear()
        if not self.ready:
            self._page_in()
        return dropped

    def take_expired(self, now_ms: int, count: int) -> list[Message]:
        """Take out messages in pages whose own expiration is over: about so many at the most."""
        expired: list[Message] = []
        pages = self.pages
        if pages is not None and pages.deadline_ms <= now_ms:
            assert self.paging is not None
            expired = pages.take_expired(self.paging, now_ms, count)
            self.size_bytes -= sum([message.size for message in expired])
        return expired

    @property
    def deadline_ms(self) -> int:
        """When to call ``take_expired``; ``NEVER``."""
        return NEVER if self.pages is None else self.pages.deadline_ms


def _head_length(ready: Iterable[Message], keep_bytes: int) -> int:
    """How many messages at the head make up so many octets: at least one."""
    length = size = 0
    for message in ready:
        size += message.size + MESSAGE_BYTES
        length += 1
        if size >= keep_bytes:
            break
    return length


def _entry_id(entry: tuple[int, Message]) -> int:
    return entry[0]
