"""A log file that is begun anew when it is large or old.

Owns: ``RotatingFile``. Finished files are called ``leveret.log.1`` (the newest), ``.2`` and so on,
with ``.gz`` behind it if they are compressed: on a thread, as the event loop writes the lines.
"""

import datetime
import gzip
import logging
import logging.handlers
import math
import os
import shutil
import threading
import time
from pathlib import Path

from broker.config.schedule import Schedule


class RotatingFile(logging.handlers.RotatingFileHandler):
    """Rotates at a size, at certain times, or both; keeps ``count`` finished files."""

    def __init__(
        self,
        place: Path,
        size_bytes: int | None,
        schedule: Schedule | None,
        count: int,
        *,
        compress: bool = False,
    ) -> None:
        # A file left by an earlier run may be due already: what counts is its last line.
        begun_s = place.stat().st_mtime if place.exists() else time.time()
        super().__init__(place, maxBytes=size_bytes or 0, backupCount=count, encoding="utf-8")
        self._schedule = schedule
        self._due_s = self._next_s(begun_s)
        self._compressing: threading.Thread | None = None
        if compress:
            self.namer = "{}.gz".format
            self.rotator = self._compress
            unfinished = f"{place}.1"
            if os.path.exists(unfinished):
                self._begin_to_compress(unfinished)

    def _next_s(self, after_s: float) -> float:
        if self._schedule is None:
            return math.inf
        after = datetime.datetime.fromtimestamp(after_s)
        return self._schedule.next_after(after).timestamp()

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802
        """Whether the line ``record`` belongs in the next file."""
        if record.created < self._due_s:
            return bool(super().shouldRollover(record))
        self._due_s = self._next_s(record.created)
        return True

    def doRollover(self) -> None:  # noqa: N802
        """Begin a new file; the last one has to be compressed before names move on."""
        if self._compressing is not None:
            self._compressing.join()
        super().doRollover()

    def _compress(self, source: str, dest: str) -> None:
        plain = dest.removesuffix(".gz")
        os.rename(source, plain)
        self._begin_to_compress(plain)

    def _begin_to_compress(self, plain: str) -> None:
        self._compressing = threading.Thread(target=_compress, args=(plain,))
        self._compressing.start()


def _compress(plain: str) -> None:
    """Put ``plain.gz`` in the place of ``plain``; what a crash leaves is done at the next start."""
    unfinished = f"{plain}.gz.part"
    with open(plain, "rb") as read, gzip.open(unfinished, "wb") as written:
        shutil.copyfileobj(read, written)
    os.replace(unfinished, f"{plain}.gz")
    os.unlink(plain)
