"""The log's disk, with a reserve and a watch: how often, how much and how long it reads and writes.

Invariant: the counters are only written by whoever uses the disk, of whom there is one at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from broker.core.counters import Spread
from broker.reserve import Reserve
from broker.wal.disk import Buffer


class TimedDisk(Reserve):
    """See the module. A write is durable when it returns, so its time is that of the sync too."""

    def __init__(self, octets: int, on_spent: Callable[[], None]) -> None:
        super().__init__(octets, on_spent)
        self.reads = 0
        self.read_bytes = 0
        self.read_us = 0
        self.writes = 0
        self.written_bytes = 0
        self.write_us = Spread()

    def read(self, fd: int, length: int, offset: int) -> bytes:
        """See ``Disk``."""
        start_ns = time.perf_counter_ns()
        octets = super().read(fd, length, offset)
        self.read_us += (time.perf_counter_ns() - start_ns) // 1000
        self.reads += 1
        self.read_bytes += len(octets)
        return octets

    def write(self, fd: int, parts: Sequence[Buffer], offset: int) -> int:
        """See ``Disk``."""
        start_ns = time.perf_counter_ns()
        written = super().write(fd, parts, offset)
        self.write_us.add((time.perf_counter_ns() - start_ns) // 1000)
        self.writes += 1
        self.written_bytes += written
        return written
