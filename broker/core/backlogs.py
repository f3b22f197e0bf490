"""What a queue needs of its backlog, and which one it gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from broker.core.backlog import Backlog
from broker.core.groups import GroupedBacklog
from broker.core.message import Message
from broker.core.paging import Page, Paging
from broker.core.priorities import PriorityBacklog
from broker.core.settings import QueueSettings


class AnyBacklog(Protocol):
    """What a queue needs of its backlog; ``Backlog`` says what each member means."""

    recovered_below: int

    @property
    def size_bytes(self) -> int:
        """Octets of all bodies."""

    def __len__(self) -> int: ...

    def __bool__(self) -> bool: ...

    def __iter__(self) -> Iterator[Message]: ...

    def browse(self, skip: int = 0) -> Iterator[Message]:
        """All messages but the first few in their order, read from the disk where need be."""

    def returned_ids(self) -> Iterator[int]:
        """The ids of messages that were delivered before, those from before a restart aside."""

    def find(self, ids: Sequence[int]) -> list[Message]:
        """Messages by their ascending ids, in no particular order; they stay."""

    def take_out(self, ids: Sequence[int]) -> list[Message]:
        """Take out messages by their ascending ids, wherever they are."""

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
        """Drop everything, after ``take_pages``."""

    def recover(self, pages: Sequence[tuple[int, Page]], paging: Paging) -> None:
        """Begin with pages, in order of id, each with the priority of its messages."""

    def take_pages(self) -> list[Page]:
        """Drop all pages."""

    def take_expired(self, now_ms: int, count: int) -> list[Message]:
        """Take out messages in pages whose own expiration is over: about so many at the most."""

    @property
    def deadline_ms(self) -> int:
        """When to call ``take_expired``; ``NEVER``."""

    def parts(self) -> Iterable[Backlog]:
        """What can be paged out, each on its own."""


def make_backlog(settings: QueueSettings) -> AnyBacklog:
    """The backlog that keeps the order these settings ask for."""
    if settings.message_group_header is not None:
        return GroupedBacklog(settings.message_group_header)
    if settings.max_priority is not None:
        return PriorityBacklog(settings.max_priority)
    return Backlog()
