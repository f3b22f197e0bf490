"""Resource alarms: memory and disk. While one is raised, whoever publishes is blocked.

Owns: the watermarks, how they are measured, and telling sessions. RabbitMQ's rules: a
connection is told ``connection.blocked`` with its first publish during an alarm, and is not
read until the alarm is over; connections that only consume notice nothing.

While the room that is kept for the log is spent (``broker.reserve``) the disk alarm stays on.

Invariant: ``reasons`` is what the last look found; sessions are unblocked when it is empty.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from broker import machine
from broker.config import Config
from broker.reserve import Reserve

INTERVAL_S = 1.0
MEMORY, DISK = "low on memory", "low on disk"

_log = logging.getLogger("leveret.alarm")


class Blocking(Protocol):
    """What blocks one session, see ``broker.amqp.blocking``."""

    def alarm_raised(self) -> None:
        """Publishes are to be looked at one by one."""

    def alarm_cleared(self) -> None:
        """Read on, and say so."""


class Alarms:
    """See the module."""

    def __init__(self, config: Config, reserve: Reserve | None = None) -> None:
        self._reserve = reserve
        self.reasons: tuple[str, ...] = ()
        self._directory = config.data_dir
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take the watermarks from these settings; the next look goes by them."""
        self.memory_max = _memory_watermark_bytes(config)
        self.disk_free_min = _disk_limit_bytes(config)

    @property
    def memory_alarm(self) -> bool:
        """Whether memory is short."""
        return MEMORY in self.reasons

    @property
    def disk_alarm(self) -> bool:
        """Whether disk space is."""
        return DISK in self.reasons

    @property
    def text(self) -> str:
        """What connection.blocked says."""
        return " & ".join(self.reasons)

    def look(self, sessions: Iterable[Blocking]) -> None:
        """Measure, and tell the sessions what has changed."""
        before = self.reasons
        found = []
        if resident_bytes() > self.memory_max:
            found.append(MEMORY)
        if self._disk_is_low():
            found.append(DISK)
        self.reasons = tuple(found)
        if self.reasons == before:
            return
        for reason in self.reasons:
            if reason not in before:
                _log.warning("publishers are blocked: %s", self._explained(reason))
        if not self.reasons:
            _log.info("publishers may go on")
        for session in sessions:
            if self.reasons:
                session.alarm_raised()
            else:
                session.alarm_cleared()

    def _explained(self, reason: str) -> str:
        """How bad it is, and what to do."""
        if reason == MEMORY:
            used, most = resident_bytes() >> 20, self.memory_max >> 20
            return (
                f"{reason}, {used} MiB of {most} are used: have messages consumed or purged, or "
                "raise vm_memory_high_watermark"
            )
        free, least = free_disk_bytes(self._directory) >> 20, self.disk_free_min >> 20
        return (
            f"{reason}, {free} MiB are free for {self._directory} and {least} are wanted: make "
            "room, or lower disk_free_limit"
        )

    def _disk_is_low(self) -> bool:
        spare = free_disk_bytes(self._directory) - self.disk_free_min
        if self._reserve is not None:
            self._reserve.take(spare)
            return spare < 0 or self._reserve.spent
        return spare < 0


def resident_bytes() -> int:
    """What this process occupies in memory; 0 where that cannot be told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * machine.PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def free_disk_bytes(directory: str) -> int:
    """What is left for us where the log is."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def _total_memory_bytes(config: Config) -> int:
    if config.total_memory_bytes is not None:
        return config.total_memory_bytes
    return machine.memory_bytes()


def _memory_watermark_bytes(config: Config) -> int:
    if config.memory_high_watermark_bytes is not None:
        return config.memory_high_watermark_bytes
    return int(config.memory_high_watermark_relative * _total_memory_bytes(config))


def _disk_limit_bytes(config: Config) -> int:
    if config.disk_free_limit_relative is not None:
        return int(config.disk_free_limit_relative * _total_memory_bytes(config))
    return config.disk_free_limit_bytes
