"""Messages that a queue holds but that memory does not.

A ``Page`` is a run of messages of one queue: their ids, and the places where they can be read. A
place greater than 0 is a batch of the log, one less than 0 a frame of scratch: there go messages
that the log does not keep for the queue, when they are paged out.

Invariants:

* A message is resident or in one page, never both; a page is read back as a whole.
* Each message of a page in a batch of the log is a live reference of its queue on that batch. A
  frame of scratch belongs to one page, which frees it when it ends.
* ``ids`` are ascending, and with the places they are small: ranges or arrays of 8 octets.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from broker.core.message import HAS_TTL, Message
from protocol.content import peek_content

if TYPE_CHECKING:
    from broker.core.broker import Broker
    from broker.core.log import StoredMessage
    from broker.core.queue import Queue

NEVER = 1 << 62
PAGE_MESSAGES_MAX = 1000
PAGE_BYTES_MAX = 1 << 20
PAGE_MESSAGES_MIN = 64  # fewer, with fewer octets than this, are not worth a page
PAGE_BYTES_MIN = 1 << 16
MESSAGE_BYTES = 320  # what a resident message takes beside its body, about
# An expiration of its own is noticed at once in memory; in pages, which cost nothing, so late.
# A message is never delivered after it has expired, wherever it was.
LOOK_AGAIN_MS = 10_000

Entry = tuple[int, bytes, int, int, bytes]  # id, address, published_ms, detail, content


class Scratch(Protocol):
    """Messages outside the log, which a restart does not bring back."""

    def write(self, entries: list[Entry]) -> int:
        """Keep messages; the number of their frame, not 0. ``OSError`` if it cannot."""

    def read(self, frame: int, message_ids: Sequence[int]) -> Sequence[StoredMessage]:
        """Messages of a frame."""

    def free(self, frame: int) -> None:
        """A frame is not needed any more."""


class NoScratch:
    """Nowhere to keep messages: they stay in memory."""

    def write(self, entries: list[Entry]) -> int:
        """See ``Scratch``."""
        raise OSError("there is no scratch")

    def read(self, frame: int, message_ids: Sequence[int]) -> Sequence[StoredMessage]:
        """Never called: nothing was written."""
        raise AssertionError("nothing was written")

    def free(self, frame: int) -> None:
        """Never called: nothing was written."""


class Page:
    """See the module. ``deadline_ms`` is when to look for expired messages."""

    __slots__ = ("deadline_ms", "ids", "places", "size_bytes")

    def __init__(
        self,
        ids: Sequence[int],
        places: Sequence[int],
        size_bytes: int,
        deadline_ms: int = NEVER,
    ) -> None:
        self.ids = ids
        self.places = places  # one for each id, or one for all
        self.size_bytes = size_bytes
        self.deadline_ms = deadline_ms

    def __len__(self) -> int:
        return len(self.ids)

    def by_place(self) -> Iterable[tuple[int, Sequence[int]]]:
        """The places, each with the ids of the messages there."""
        if len(self.places) == 1:
            return [(self.places[0], self.ids)]
        found: dict[int, list[int]] = {}
        for message_id, place in zip(self.ids, self.places, strict=True):
            found.setdefault(place, []).append(message_id)
        return found.items()

    @property
    def frames(self) -> set[int]:
        """The frames of scratch it has."""
        return {-place for place in self.places if place < 0}

    def moved(self, last: int, batch: int) -> None:
        """Those of its messages that were in batches up to ``last`` are in another one now."""
        self.places = compact_places([batch if 0 < at <= last else at for at in self.places])

    def keep(self, messages: Sequence[Message]) -> None:
        """Only these of its messages are left."""
        if not messages:
            self.places = ()
        elif len(self.places) > 1:
            kept = {message.id for message in messages}
            at = zip(self.ids, self.places, strict=True)
            self.places = compact_places([place for id_, place in at if id_ in kept])
        self.ids = compact([message.id for message in messages])
        self.size_bytes = sum([message.size for message in messages])


def first_deadline_ms(messages: Iterable[Message]) -> int:
    """When the first of them expires by an expiration of its own."""
    own = [message.published_ms + message.ttl_ms for message in messages if message.ttl_ms >= 0]
    return min(own, default=NEVER)


def compact(ids: Sequence[int]) -> Sequence[int]:
    """Ascending ids in little memory."""
    if ids and ids[-1] - ids[0] == len(ids) - 1:
        return range(ids[0], ids[-1] + 1)
    return array("Q", ids)


def compact_places(places: list[int]) -> Sequence[int]:
    """The place of each message in little memory."""
    if places and places.count(places[0]) == len(places):
        return (places[0],)
    return array("q", places)


def read(broker: Broker, place: int, ids: Sequence[int]) -> list[Message]:
    """Messages of one place."""
    if place > 0:
        found, batch = broker.log.read(place, ids), place
    else:
        found, batch = broker.scratch.read(-place, ids), 0
    messages = []
    for message_id, (address, published_ms, detail, content) in zip(ids, found, strict=True):
        ttl_ms = peek_content(content)[2] if detail & HAS_TTL else -1
        size, priority = detail & 0xFFFFFFFF, detail >> 32 & 0xFF
        messages.append(
            Message(message_id, address, content, size, published_ms, ttl_ms, priority, batch)
        )
    return messages


def write_out(queue: Queue, messages: list[Message]) -> list[int]:
    """The place of each message outside memory; what the log lacks is written to scratch.

    Raises ``OSError`` if it cannot be written; then nothing has changed.
    """
    places = [message.batch if queue.durable else 0 for message in messages]
    if all(places):
        return places
    frame = queue.broker.scratch.write(
        [
            (m.id, m.address, m.published_ms, m.detail, m.content)
            for m, place in zip(messages, places, strict=True)
            if place == 0
        ]
    )
    return [place or -frame for place in places]


class Pages:
    """What lies behind the resident head of a backlog: pages, then the newest messages.

    A page that has no message left is dropped: where it was may be gone from the log.
    ``deadline_ms`` is when to look for expired messages, or earlier.
    """

    __slots__ = ("count", "deadline_ms", "pages", "size_bytes", "tail")

    def __init__(self, tail: deque[Message]) -> None:
        self.pages: deque[Page] = deque()
        self.tail = tail
        self.count = 0  # messages in pages
        self.size_bytes = 0  # of their bodies
        self.deadline_ms = NEVER

    def __len__(self) -> int:
        return self.count + len(self.tail)

    def add(self, page: Page) -> None:
        """A page behind all others."""
        self.pages.append(page)
        self._count(page)

    def add_first(self, page: Page) -> None:
        """A page before all others."""
        self.pages.appendleft(page)
        self._count(page)

    def _count(self, page: Page) -> None:
        self.count += len(page)
        self.size_bytes += page.size_bytes
        self.deadline_ms = min(self.deadline_ms, page.deadline_ms)

    def pop(self) -> Page:
        """The first page."""
        page = self.pages.popleft()
        self.count -= len(page)
        self.size_bytes -= page.size_bytes
        return page

    def clear(self) -> list[Page]:
        """Drop the pages; which there were."""
        pages = list(self.pages)
        self.pages.clear()
        self.count = self.size_bytes = 0
        self.deadline_ms = NEVER
        return pages

    def take_expired(self, paging: Paging, now_ms: int, count: int) -> list[Message]:
        """Take out messages whose own expiration is over, of so many pages as hold so many."""
        expired: list[Message] = []
        pages = self.clear()
        for page in pages:
            if page.deadline_ms <= now_ms and len(expired) < count:
                messages = paging.read(page)
                over = [m for m in messages if first_deadline_ms((m,)) <= now_ms]
                kept = [m for m in messages if first_deadline_ms((m,)) > now_ms]
                paging.keep(page, kept)
                page.deadline_ms = max(first_deadline_ms(kept), now_ms + LOOK_AGAIN_MS)
                expired += over
            if page:
                self.add(page)
        return expired

    def find(self, paging: Paging, ids: Sequence[int]) -> list[Message]:
        """Messages by their ascending ids, in no particular order; they stay."""
        wanted = set(ids)
        pages = [page for page in self.pages if _overlap(page.ids, ids)]
        return [m for page in pages for m in paging.read(page) if m.id in wanted]

    def take(self, paging: Paging, ids: Sequence[int]) -> list[Message]:
        """Take out messages by their ascending ids."""
        wanted = set(ids)
        taken: list[Message] = []
        for page in self.clear():
            if _overlap(page.ids, ids):
                messages = paging.read(page)
                paging.keep(page, [m for m in messages if m.id not in wanted])
                taken += [m for m in messages if m.id in wanted]
            if page:
                self.add(page)
        return taken


def _overlap(ids: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a page with these ids may hold one of the wanted; both are ascending."""
    at = bisect_left(wanted, ids[0])
    return at < len(wanted) and wanted[at] <= ids[-1]


class Paging:
    """How the backlog of one queue leaves memory and comes back."""

    __slots__ = ("queue",)

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def recover(self, pages: Sequence[tuple[int, Page]], counts: dict[int, int]) -> None:
        """Take over the messages a restart found, before anything else comes.

        ``pages`` are in order, each with the priority of its messages; ``counts`` says of some
        messages how often they came back.
        """
        queue = self.queue
        if queue.returns is not None:
            queue.returns.update(counts)
        if any(page.deadline_ms < NEVER for _, page in pages):
            queue.expect_expiring()
        queue.backlog.recover(pages, self)
        if queue.retention is not None:
            queue.retention.enforce_soon()

    def is_readable(self, message: Message) -> bool:
        """Whether a message could be read back: what is not durable yet cannot."""
        return message.batch <= self.queue.broker.log.durable

    def run(self, messages: Iterable[Message]) -> list[Message]:
        """The first of some messages, enough for a page; none if there are too few."""
        run: list[Message] = []
        size = 0
        for message in messages:
            if not self.is_readable(message):
                break
            run.append(message)
            size += message.size
            if size >= PAGE_BYTES_MAX or len(run) >= PAGE_MESSAGES_MAX:
                break
        return run if size >= PAGE_BYTES_MIN or len(run) >= PAGE_MESSAGES_MIN else []

    def make(self, messages: list[Message]) -> Page:
        """A page of messages that are ready. ``OSError`` if they cannot be written."""
        places = write_out(self.queue, messages)
        if self.queue.retention is not None:
            self.queue.retention.expiry.take(messages)
        return Page(
            compact([message.id for message in messages]),
            compact_places(places),
            sum([message.size for message in messages]),
            first_deadline_ms(messages),
        )

    def read(self, page: Page) -> list[Message]:
        """The messages of a page, which stays as it is."""
        broker = self.queue.broker
        if len(page.places) == 1:
            return read(broker, page.places[0], page.ids)
        found = [m for place, ids in page.by_place() for m in read(broker, place, ids)]
        return sorted(found, key=_id)

    def read_some(self, place: int, ids: Sequence[int]) -> list[Message]:
        """Messages of one place, by ascending ids."""
        return read(self.queue.broker, place, ids)

    def page_in(self, page: Page) -> list[Message]:
        """The messages of a page, which ends."""
        messages = self.read(page)
        self.free(page)
        if self.queue.retention is not None:
            self.queue.retention.came_back(messages)
        return messages

    def expect(self, page: Page) -> None:
        """This page will be read next."""
        log = self.queue.broker.log
        if 0 < page.places[0] <= log.durable:  # a copy may not be written yet
            log.expect(page.places[0])

    def keep(self, page: Page, messages: Sequence[Message]) -> None:
        """Only these messages of a page are left."""
        before = page.frames
        page.keep(messages)
        self._free(before - page.frames)

    def forget(self, page: Page) -> None:
        """The messages of a page are gone for good; as ``Queue.forget``."""
        self.free(page)
        queue = self.queue
        if queue.returns:
            queue.returns.forget(page.ids)
        log = queue.broker.log
        for place, ids in page.by_place():
            if place > 0 and queue.deleted:
                log.release_many([(place, len(ids))])
            elif place > 0:
                log.settle_many(queue.id, ids, [(place, len(ids))])
        queue.broker.wake()

    def free(self, page: Page) -> None:
        """Give up what scratch keeps for a page."""
        self._free(page.frames)

    def _free(self, frames: Iterable[int]) -> None:
        for frame in frames:
            self.queue.broker.scratch.free(frame)


def _id(message: Message) -> int:
    return message.id
