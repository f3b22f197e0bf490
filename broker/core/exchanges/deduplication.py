"""``x-message-deduplication``: a fanout that lets through each deduplication header once.

Messages without the header ``x-deduplication-header`` pass always. ``x-cache-size`` headers are
remembered, each for ``x-cache-ttl`` ms, which a message may set for itself by a header of that
name. Unless the argument ``x-cache-persistence`` is ``memory``, a durable exchange remembers
the headers of persistent messages over a restart: each is logged as a small message without a
body, in the batch of the message itself.

Exchanges of other types drop duplicates in the same way, and then route as they do, with the
argument ``x-message-deduplication`` (``broker.core.intake``); there ``x-cache-size`` has a default.

The queue argument ``x-message-deduplication`` is another thing: such a queue takes no message
whose header equals that of one it holds, ready or unacked.

As in RabbitMQ's plugin a header counts as seen from routing on, even if the message's
transaction is rolled back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from broker.core.exchange import Envelope, Exchange
from broker.core.message import Message
from broker.core.queue import Queue
from broker.core.route import NOBODY, Route
from broker.core.store import Kept, Store
from protocol.content import encode_header, frame_content, headers_of
from protocol.errors import PreconditionFailed
from protocol.methods import shortstr
from protocol.tables import Field, Table, encode_field, is_integer

if TYPE_CHECKING:
    from broker.core.vhost import Vhost

HEADER = "x-deduplication-header"
CACHE_SIZE = 128  # unless the exchange says otherwise
_INTEGER = re.compile(rb"[0-9]{1,18}")


def key_of(headers: Table) -> bytes | None:
    """What is compared: the header's value; integers are equal in any width."""
    value = headers.get(HEADER)
    if value is None:
        return None
    return encode_field(Field("l", value.value) if is_integer(value) else value)


def _number(value: Field | None) -> int:
    """A count or time greater than 0, as an integer or as text; 0 for anything else."""
    if value is None:
        return 0
    if value.tag == "S":
        return int(value.value) if _INTEGER.fullmatch(value.value) else 0
    return max(0, value.value) if is_integer(value) else 0


class Seen(Kept):
    """The remembered headers, oldest first, each with the message that stands for it."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, Message] = {}

    def __len__(self) -> int:
        return len(self.by_key)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.by_key.values())

    def clear(self) -> list[Message]:
        """Drop everything; the messages there were."""
        messages = list(self)
        self.by_key.clear()
        return messages


class SeenStore(Store):
    """What one exchange remembers."""

    def __init__(self, vhost: Vhost, exchange: Exchange, queue_id: int) -> None:
        super().__init__(vhost, exchange, queue_id)
        self.seen = Seen()
        self.backlog = self.seen  # type: ignore[assignment]
        arguments = exchange.arguments
        self._size = _number(arguments.get("x-cache-size")) or CACHE_SIZE
        self._ttl_ms = _number(arguments.get("x-cache-ttl")) or -1
        self._logged = arguments.get("x-cache-persistence") != Field("S", b"memory")

    def lets_pass(self, envelope: Envelope) -> bool:
        """Whether a message has no header to compare or a new one, which is remembered."""
        headers = envelope.headers
        key = key_of(headers)
        if key is None:
            return True
        if self.has(key):
            return False
        ttl_ms = _number(headers.get("x-cache-ttl")) or self._ttl_ms
        persistent = self._logged and envelope.properties.get("delivery_mode") == 2
        self.remember(key, headers[HEADER], ttl_ms, persistent=persistent)
        return True

    def has(self, key: bytes) -> bool:
        """Whether the key is remembered; one whose time is over is forgotten here."""
        message = self.seen.by_key.get(key)
        if message is None:
            return False
        if message.ttl_ms < 0 or self.broker.now_ms < message.published_ms + message.ttl_ms:
            return True
        self.forget([self.seen.by_key.pop(key)])
        return False

    def remember(self, key: bytes, header: Field, ttl_ms: int, *, persistent: bool) -> None:
        """Remember a key that is not known. ``ttl_ms`` is -1 for ever."""
        if persistent:
            properties: dict[str, Any] = {"headers": {HEADER: header}, "delivery_mode": 2}
            if ttl_ms >= 0:
                properties["expiration"] = str(ttl_ms)
            content = frame_content(0, encode_header(0, properties), b"")
            address = shortstr("") + shortstr("")
            Route(self.broker, NOBODY, address, [self]).publish(content, 0, True, 0, ttl_ms)
        else:
            self._insert(key, Message(0, b"", b"", 0, self.broker.now_ms, ttl_ms, 0, 0))

    def push(self, message: Message) -> None:
        """See ``Store``."""
        key = key_of(headers_of(message.content))
        assert key is not None
        self._insert(key, message)

    def _insert(self, key: bytes, message: Message) -> None:
        by_key = self.seen.by_key
        by_key[key] = message
        if len(by_key) > self._size:
            self.forget([by_key.pop(next(iter(by_key)))])


class DeduplicationExchange(Exchange):
    """See the module."""

    type = "x-message-deduplication"
    cacheable = False
    store_count = 1

    @staticmethod
    def check_arguments(arguments: Table) -> None:
        """See ``Exchange``."""
        if "x-cache-size" not in arguments:
            raise _no_size()
        check_cache_arguments(arguments)

    def open_stores(self, vhost: Vhost) -> None:
        """See ``Exchange``."""
        self.seen = SeenStore(vhost, self, self.first_store_id)
        self.stores = (self.seen,)

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        assert self.seen is not None
        if not self.seen.lets_pass(envelope):
            return ()
        return [binding.destination for binding in self.bindings.values()]


def check_cache_arguments(arguments: Table) -> None:
    """Raise ``PreconditionFailed`` for what makes no sense for remembering headers."""
    if "x-cache-size" in arguments and not _number(arguments["x-cache-size"]):
        raise _no_size()
    if "x-cache-ttl" in arguments and not _number(arguments["x-cache-ttl"]):
        raise PreconditionFailed(
            "Invalid argument, 'x-cache-ttl' must be an integer greater than 0"
        )
    persistence = arguments.get("x-cache-persistence")
    if persistence not in (None, Field("S", b"disk"), Field("S", b"memory")):
        raise PreconditionFailed(
            "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'"
        )


def _no_size() -> PreconditionFailed:
    return PreconditionFailed(
        "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"
    )


class DeduplicatingQueue(Queue):
    """A queue with ``x-message-deduplication``, see the module."""

    needs_messages = True

    def __init__(self, *arguments: Any, **properties: Any) -> None:
        super().__init__(*arguments, **properties)
        self._held: dict[bytes, int] = {}  # key -> id of the message that has it

    def push(self, message: Message) -> None:
        """See ``Store``."""
        key = key_of(headers_of(message.content))
        if key is not None and self._held.setdefault(key, message.id) != message.id:
            self.forget([message])
            return
        super().push(message)

    def forget(self, messages: list[Message]) -> None:
        """See ``Queue``: their headers may come again."""
        for message in messages:
            key = key_of(headers_of(message.content))
            if key is not None and self._held.get(key) == message.id:
                del self._held[key]
        super().forget(messages)

    def purge(self) -> int:
        """See ``Queue``."""
        pages = [page for part in self.backlog.parts() for page in part.paged()]
        gone = {message_id for page in pages for message_id in page.ids}
        gone.update(message.id for message in self.backlog)
        self._held = {key: id_ for key, id_ in self._held.items() if id_ not in gone}
        return super().purge()
