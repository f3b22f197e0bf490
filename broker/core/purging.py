"""What left a queue all at once, and what the log has not been told of yet.

A purge empties a queue of any length at once. That its messages are gone is then told in slices,
one a tick, so that ten million of them keep nobody waiting. A crash in between brings back some,
as it may bring back what was acked last.

Invariants: each message is told of once, and is in no queue any more. Until then the log keeps
it, wherever copies of it in other queues go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from broker.core.message import Message
from broker.core.paging import Page, Paging

if TYPE_CHECKING:
    from broker.core.queue import Queue

SLICE_MESSAGES = 10_000  # a tick: some milliseconds
PAGE_WEIGHT = 10  # a message in a page takes so much less time


class Purging:
    """See the module."""

    def __init__(self) -> None:
        self._left: deque[tuple[Queue, list[Message] | Page]] = deque()  # lists in reverse order

    def __bool__(self) -> bool:
        """Whether there is something left to tell."""
        return bool(self._left)

    def take(self, queue: Queue, messages: list[Message], pages: Sequence[Page]) -> int:
        """These left the queue: begin to tell of them; how many they are."""
        count = len(messages) + sum(map(len, pages))
        messages.reverse()  # so that the first can be taken from the end
        self._left.append((queue, messages))
        self._left += [(queue, page) for page in pages]
        self.step()
        if self._left:
            queue.broker.wake()
        return count

    def step(self) -> None:
        """Tell of the next slice; whoever calls sees that another tick comes."""
        left = SLICE_MESSAGES
        while left > 0 and self._left:
            queue, rest = self._left.popleft()
            if isinstance(rest, Page):
                Paging(queue).forget(rest)
                left -= max(1, len(rest) // PAGE_WEIGHT)
                continue
            piece = rest[-left:][::-1]
            del rest[-left:]
            queue.forget(piece)
            left -= len(piece)
            if rest:
                self._left.appendleft((queue, rest))

    def finish(self) -> None:
        """Tell of everything: the log is about to be closed."""
        while self._left:
            self.step()
