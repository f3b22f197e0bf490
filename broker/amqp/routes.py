"""The routes a session remembers for the fast path, and what was published over them.

Invariants:

* Every route was resolved at ``generation`` of the vhost; whoever uses them compares it first
  (fast path invariant F2).
* ``Route.published`` is passed to the tally once: when the route is forgotten, or by ``count``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol import fastpath
from protocol.connection import WORK_SHARED

if TYPE_CHECKING:
    from broker.amqp.session import Session
    from broker.core.counters import Tally
    from broker.core.queue import Queue
    from broker.core.route import Route
    from protocol.fastpath import Publish

ROUTES_MAX = 1024  # raw publish frames a session remembers
FANOUT_FREE = 16  # queues: up to here a read is worked off in one go if nobody waits


class Routes:
    """See the module."""

    __slots__ = ("_counting", "by_frame", "fanout", "generation", "targets")

    def __init__(self) -> None:
        self.by_frame: dict[bytes, Publish] = {}
        self.targets: set[Queue] = set()  # queues they lead to
        self.fanout = 0  # most queues that one of them leads to
        self.generation = -1
        self._counting: list[tuple[Route, Tally]] = []

    def __len__(self) -> int:
        return len(self.by_frame)

    def at(self, generation: int) -> dict[bytes, Publish]:
        """The routes that hold at this generation, by the frame of the publish."""
        if generation != self.generation:
            self.forget(generation)
        return self.by_frame

    def remember(self, frame: bytes, route: Route, tally: Tally) -> None:
        """Equal frames may take this route."""
        if len(self.by_frame) >= ROUTES_MAX:
            self.by_frame.clear()
            self.count()
            self._counting.clear()
        self.by_frame[frame] = route.publish
        self.fanout = max(self.fanout, len(route.queues))
        self._counting.append((route, tally))

    def forget(self, generation: int) -> None:
        """Something that routes depend on has changed."""
        self.by_frame.clear()
        self.targets.clear()
        self.fanout = 0
        self.generation = generation
        if self._counting:
            self.count()
            self._counting.clear()

    def scan(self, session: Session, buffer: bytes, position: int) -> int:
        """See ``Connection.scan``. Where one publish leads to many queues, fewer at a time."""
        connection, end = session.connection, len(buffer)
        span = connection.work_left
        if span <= 0:
            return position
        if self.fanout > (1 if span <= WORK_SHARED else FANOUT_FREE):
            span = span // self.fanout + 1
        routes = self.at(session.vhost.generation)
        payload_max = min(connection.frame_max, connection.offer.message_size_max)
        while True:
            stop = min(position + span, end)
            after = fastpath.scan(buffer, position, routes, session.acks, payload_max, stop)
            if after > position or stop == end:
                break
            span *= 8  # if there is a unit at all, it is larger
        if stop < end:
            connection.work_left = 0
        return after

    def count(self) -> None:
        """Pass on what was published since the last time."""
        for route, tally in self._counting:
            if route.published:
                tally.count(route.queues, route.published, route.persistent)
                route.published = route.persistent = 0
