"""What the model has to do at a certain time. Whoever runs the model asks ``next_due_ms``.

``wake`` is called when that has become earlier.

Times are milliseconds since the epoch, as ``Broker.now_ms``. A timer is never cancelled: what
it calls looks whether there is still something to do.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush


class Timers:
    """A heap of callbacks."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0  # ties are broken by age

    def at(self, due_ms: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` once ``due_ms`` is reached."""
        self._count += 1
        earlier = not self._heap or due_ms < self._heap[0][0]
        heappush(self._heap, (due_ms, self._count, callback))
        if earlier:
            self._wake()

    @property
    def next_due_ms(self) -> int | None:
        """When ``run`` has something to do next; None if there is nothing."""
        return self._heap[0][0] if self._heap else None

    def run(self, now_ms: int) -> None:
        """Call what is due. What is added meanwhile and due at once waits for the next run."""
        due = []
        while self._heap and self._heap[0][0] <= now_ms:
            due.append(heappop(self._heap)[2])
        for callback in due:
            callback()
