"""Back-pressure: publishers wait for consumers that keep up, and only for those.

One process serves both sides, so a publisher that is read as fast as it can write takes the CPU
its consumers need: measured without this, 780,000 messages a second went into a queue and
330,000 came out. While a queue that is being consumed fast has a backlog, sockets that publish
to it are not read. A queue whose consumers are slow or absent is left to grow: its consumers
would not gain from the CPU its publishers are denied.

"Fast" is judged over windows of ``WINDOW_S``. A queue found slow is exempt from throttling for
a time that doubles up to ``EXEMPT_MAX_S``, so that a publisher to a slow queue loses next to
nothing; the first fast window ends that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from broker.core.queue import Queue

BACKLOG_LOW = 500  # messages at which publishers are read again
WINDOW_S = 0.02
FAST_PER_S = 20_000  # messages a second from which consumers count as fast
EXEMPT_MIN_S, EXEMPT_MAX_S = 0.1, 5.0


class Reader(Protocol):
    """A session whose reading can be held back."""

    targets: set[Queue]  # queues it publishes to

    def hold_back(self) -> None:
        """Read no more for now."""

    def read_on(self) -> None:
        """Read again."""


class _Watch:
    """What is known of the consumers of one queue with a backlog."""

    __slots__ = ("delivered", "exempt_s", "exempt_until", "since")

    def __init__(self, now: float, delivered: int) -> None:
        self.since = now
        self.delivered = delivered
        self.exempt_until = 0.0
        self.exempt_s = EXEMPT_MIN_S


class Pressure:
    """See the module. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.congested: set[Queue] = set()
        self._watched: dict[Queue, _Watch] = {}
        self._held: list[Reader] = []

    @property
    def waits(self) -> bool:
        """Whether a reader is held back."""
        return bool(self._held)

    def judge(self, backlogged: Iterable[Queue], now: float) -> bool:
        """Once a tick: which queues are congested. True if the coming ticks must look again.

        ``backlogged`` are queues that were pumped and have a backlog and consumers.
        """
        for queue in backlogged:
            if queue not in self._watched:
                self._watched[queue] = _Watch(now, queue.counters.deliver_get)
                self.congested.add(queue)
        for queue in list(self._watched):
            self._look(queue, self._watched[queue], now)
        if self._held:
            held, self._held = self._held, []
            for reader in held:
                if self.congested.isdisjoint(reader.targets):
                    reader.read_on()
                else:
                    self._held.append(reader)
        return self.waits

    def _look(self, queue: Queue, watch: _Watch, now: float) -> None:
        if len(queue) <= BACKLOG_LOW or not queue.consumers:
            del self._watched[queue]
            self.congested.discard(queue)
            return
        elapsed = now - watch.since
        if elapsed < WINDOW_S:
            return
        fast = queue.counters.deliver_get - watch.delivered >= FAST_PER_S * elapsed
        watch.since, watch.delivered = now, queue.counters.deliver_get
        if fast:
            watch.exempt_until, watch.exempt_s = 0.0, EXEMPT_MIN_S
            self.congested.add(queue)
        elif now >= watch.exempt_until:
            if queue in self.congested:
                self.congested.discard(queue)
                watch.exempt_until = now + watch.exempt_s
                watch.exempt_s = min(2 * watch.exempt_s, EXEMPT_MAX_S)
            else:
                self.congested.add(queue)

    def check(self, reader: Reader) -> None:
        """After a read: hold the reader back if it publishes to a congested queue."""
        if self.congested and not self.congested.isdisjoint(reader.targets):
            self._held.append(reader)
            reader.hold_back()
