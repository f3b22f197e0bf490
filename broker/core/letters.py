"""Dead letters that nobody has taken yet: what ``x-dead-letter-strategy`` at-least-once is for.

A quorum queue with that strategy, and ``reject-publish`` as overflow, keeps a message that ended
until its dead-letter exchange exists and leads somewhere, and no queue there refuses it. It tries
again from time to time, a few at once; when they find a way, the others follow.

Invariants: a letter that waits is neither ready nor unacked, counts in no length and stays in the
log. After a restart its message is ready again in its queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.core.message import Message
    from broker.core.queue import Queue

TRY_AGAIN_MS = 2000
TRIES_MAX = 32  # letters tried at once


class Letters:
    """The letters of one queue that wait."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting: deque[tuple[Message, str]] = deque()  # with the reason of their death
        self._expected = False  # a timer is set

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Message]:
        return (message for message, _ in self._waiting)

    def hold(self, message: Message, reason: str) -> None:
        """Nobody took it."""
        self._waiting.append((message, reason))
        self._try_in(TRY_AGAIN_MS)

    def _try_in(self, delay_ms: int) -> None:
        if not self._expected:
            self._expected = True
            timers = self._queue.broker.timers
            timers.at(self._queue.broker.now_ms + delay_ms, self._try)

    def _try(self) -> None:
        """Those that fail once more come back by ``hold``, behind the others."""
        before = len(self._waiting)
        self._expected = True  # until all are tried: then it is known how soon to try again
        for _ in range(min(before, TRIES_MAX)):
            message, reason = self._waiting.popleft()
            self._queue.drop([message], reason, again=True)
        self._expected = False
        if self._waiting:
            self._try_in(0 if len(self._waiting) < before else TRY_AGAIN_MS)

    def clear(self) -> list[Message]:
        """Drop everything; the messages there were."""
        messages = list(self)
        self._waiting.clear()
        return messages
