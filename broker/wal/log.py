"""The log as its owner sees it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from broker.wal.disk import REAL_DISK, Disk
from broker.wal.errors import LogFailed
from broker.wal.record import Batch


class Log:
    """See the package."""

    gathering: int
    durable: int

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        *,
        replay: Callable[[Batch], None],
        snapshot: Callable[[], list[bytes]],
        on_durable: Callable[[int], None],
        on_failure: Callable[[LogFailed], None],
        call_in_loop: Callable[..., Any],
        disk: Disk = REAL_DISK,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[int], bytes] = os.urandom,
        report: Callable[[str], None] = lambda line: None,
        segment_bytes: int = 64 << 20,
    ) -> Log:
        """Recover the directory and begin a new segment."""
        raise NotImplementedError

    def route(self, address: bytes, queue_ids: tuple[int, ...]) -> int:
        """Row of the gathering batch's route table; valid while ``gathering`` is the same."""
        raise NotImplementedError

    def publish(self, row: int, message_id: int, published_ms: int, content: bytes) -> None:
        """A message: one reference on the gathering batch for each queue of its route."""
        raise NotImplementedError

    def settle(self, queue_id: int, message_ids: list[int], batches: list[int]) -> None:
        """Messages are gone from a queue; ``batches`` are those they were published in."""
        raise NotImplementedError

    def count(self, queue_id: int, message_id: int, n: int) -> None:
        """A message came back to its queue; it was delivered ``n`` times so far."""
        raise NotImplementedError

    def operation(self, encoded: bytes) -> None:
        """A change of topology."""
        raise NotImplementedError

    def release(self, batches: list[int]) -> None:
        """References that ended without a settle: an operation or a later copy says so."""
        raise NotImplementedError

    def retain(self, batch: int, references: int) -> None:
        """After recovery, before the first commit: this batch still has live references."""
        raise NotImplementedError

    def commit(self) -> None:
        """Write what was gathered, unless a write is in flight. Once per tick, at its end."""
        raise NotImplementedError

    @property
    def pending(self) -> bool:
        """Whether anything is gathered or in flight."""
        raise NotImplementedError

    def stale_head(self) -> int | None:
        """The last batch of the oldest segment, if its live messages should be copied forward."""
        raise NotImplementedError

    @property
    def disk_bytes(self) -> int:
        """What the segments and spares take on disk."""
        raise NotImplementedError

    def close(self) -> None:
        """Write all that is gathered, and let go of the directory."""
        raise NotImplementedError
