"""Samples every counter once in an interval, so that rates and histories can be shown.

Objects are sampled in slices, so a pass over 50,000 queues takes a while and delays nobody.
Everything has its last two samples, which make a rate. The node and the vhosts have a history; of
other objects those have one that somebody looks at, and any others while there are few.

Invariant: ``tracks`` holds objects of the last pass only; what is gone is forgotten with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from broker.core.counters import Deliveries, Publishes
from broker.management import measures, rows
from broker.management.answers import Slices
from broker.management.series import BASIC, DETAILED, GLOBAL, History, Retention, Row, Track

if TYPE_CHECKING:
    from broker.core.vhost import Vhost
    from broker.server import Server

HISTORIES_MAX = 500  # of a kind of object, unless somebody looks at more
LOOKED_MS = 600_000  # how long a history is kept after somebody looked
TOTALS_MS = 200  # how old totals may be that are shown, at most
NODE = "node"  # the track of the node's own measures
OVERVIEW = "overview"

_log = logging.getLogger("leveret.management")


class Sampler:
    """See the module."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.interval_ms = server.config.collect_statistics_interval_ms
        self.tracks: dict[Hashable, Track] = {}
        self._next: dict[Hashable, Track] = {}
        self._histories: dict[str, int] = {}
        self._totals: dict[str, list[int]] = {}
        self._overview: Row = [0] * len(rows.OVERVIEW)
        self._totals_ms = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sample."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Sample no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.sample()
            except Exception:
                _log.exception("statistics could not be sampled")
            # At the beginning of the next interval: see ``Track.add``.
            await asyncio.sleep((self.interval_ms - _now_ms() % self.interval_ms) / 1000)

    # -- what is shown -----------------------------------------------------------------

    def track(self, key: Hashable, now: Callable[[], Row]) -> Track:
        """What is known of an object; one that was not sampled yet has its counters of now."""
        track = self.tracks.get(key)
        if track is None:
            track = Track()
            track.add(_now_ms(), now())
        return track

    def rate(self, key: Hashable, names: tuple[str, ...], name: str) -> float:
        """How fast one counter of an object grows."""
        track = self.tracks.get(key)
        return track.rate(names.index(name)) if track is not None else 0.0

    def watch(self, key: Hashable, retention: Retention = DETAILED) -> None:
        """Somebody asks for the history of an object: keep one from now on."""
        track = self.tracks.get(key)
        if track is not None:
            track.looked_ms = _now_ms()
            if track.history is None:
                track.history = History(retention)
                track.history.add(track.slot_ms, track.row)

    async def totals(self) -> tuple[dict[str, list[int]], Row]:
        """The rows of the vhosts, by name, and of the overview: at most a moment old."""
        if _now_ms() - self._totals_ms > TOTALS_MS:
            await self._add_up()
        return self._totals, self._overview

    async def count(self) -> None:
        """Count what channels published on the fast path, so that counters are of this moment."""
        slices = Slices()
        for session in list(self._server.sessions):
            for channel in list(session.channels.values()):
                channel.counters.count()
            if slices.over:
                await slices.rest()

    # -- sampling ----------------------------------------------------------------------

    async def sample(self) -> None:
        """One pass over everything."""
        self._next, self._histories = {}, {}
        slices = Slices()
        for session in list(self._server.sessions):
            if session.opened:
                self._add("connection", session, rows.of_connection(session))
            for channel in list(session.channels.values()):
                channel.counters.count()
                self._add("channel", channel, rows.of_channel(channel))
            if slices.over:
                await slices.rest()
        for vhost in list(self._server.broker.vhosts.values()):
            for exchange in list(vhost.exchanges.values()):
                self._add("exchange", exchange, rows.of_exchange(exchange))
            for queue in list(vhost.queues.values()):
                self._add("queue", queue, rows.of_queue(queue))
                if slices.over:
                    await slices.rest()
        totals, overview = await self.totals()
        for name, row in totals.items():
            self._add("vhost", ("vhost", name), row, BASIC)
        self._add("overview", OVERVIEW, overview, GLOBAL)
        self._add("node", NODE, measures.row(self._server), BASIC)
        self.tracks, self._next = self._next, {}

    def _add(self, kind: str, key: Hashable, row: Row, retention: Retention = DETAILED) -> None:
        track = self.tracks.get(key) or Track()
        now_ms = _now_ms()
        count = self._histories.get(kind, 0)
        if track.history is None and count < HISTORIES_MAX:
            track.history = History(retention)
        elif count >= HISTORIES_MAX and now_ms - track.looked_ms > LOOKED_MS:
            track.history = None
        if track.history is not None:
            self._histories[kind] = count + 1
        track.add(now_ms, row, self.interval_ms)
        self._next[key] = track

    async def _add_up(self) -> None:
        """Sum up queues and exchanges by vhost."""
        await self.count()
        slices = Slices()
        totals: dict[str, list[int]] = {}
        octets: dict[str, list[int]] = {}
        for session in list(self._server.sessions):
            if session.opened:
                found = octets.setdefault(session.vhost.name, [0, 0])
                found[0] += session.read_bytes
                found[1] += session.output.written_bytes
            if slices.over:
                await slices.rest()
        for vhost in list(self._server.broker.vhosts.values()):
            totals[vhost.name] = await _row_of_vhost(vhost, slices) + octets.get(vhost.name, [0, 0])
        self._totals = totals
        sums = [sum(column) for column in zip(*totals.values(), strict=True)]
        self._overview = [
            *(sums or [0] * len(rows.VHOST)),
            *rows.of_churn(self._server.broker.churn),
        ]
        self._totals_ms = _now_ms()


async def _row_of_vhost(vhost: Vhost, slices: Slices) -> list[int]:
    """``VHOST`` without its octets."""
    ready = unacked = persistent = 0
    deliveries, publishes = Deliveries(), Publishes()
    deliveries.add([vhost.retired_deliveries])
    publishes.add([vhost.retired_publishes, *(one.publishes for one in vhost.exchanges.values())])
    for queue in list(vhost.queues.values()):
        ready += len(queue)
        unacked += queue.unacked
        persistent += queue.counters.persistent
        if queue.counters.deliver_get or queue.counters.get_empty:
            deliveries.add([queue.counters])
        if slices.over:
            await slices.rest()
    return [
        ready + unacked,
        ready,
        unacked,
        *rows.of_publishes(publishes),
        *rows.of_deliveries(deliveries),
        0,
        persistent,
    ]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
