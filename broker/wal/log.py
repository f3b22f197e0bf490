"""The log as its owner sees it: gather, commit, be told what is durable.

One thread owns a ``Log``: the event loop's. What runs elsewhere is in ``worker``.

Invariants:

* ``gathering`` is the number the next written batch will have. A number is skipped only for the
  snapshot of a new segment, which describes the topology right after the batch before it.
* Numbers, chain and salt are settled when a batch is sealed, so with one batch in flight frames
  stand in the file in that order.
* ``on_durable`` is called in order of batches, each after its sync; never after a failure. It is
  called again with the last number when a commit was turned away that can be done now.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from broker.wal.disk import REAL_DISK, Disk
from broker.wal.errors import CorruptLog, LogFailed
from broker.wal.frame import HEADER, Chain, segment_name
from broker.wal.gather import Gatherer
from broker.wal.reader import Reader
from broker.wal.record import Batch, Gathering, Stored
from broker.wal.recovery import Position, recover
from broker.wal.segment import SegmentWriter
from broker.wal.space import Space
from broker.wal.worker import Worker

# A longer write takes more than half a millisecond even on a quick disk: not in the loop.
INLINE_MAX_BYTES = 1 << 19
INLINE_MAX_SEGMENTS = 4

Beginning = tuple[int, bytes, int]  # of a segment: first batch, octets, salt
EXPECT_BYTES = 4 << 20  # what a reader is going to want next


def _ignore(line: str) -> None:
    pass


class Log(Gatherer):
    """See the package. ``open`` makes one.

    Counters for the metrics: ``commits``, ``bytes_written``, ``reclaimed`` (segments), and by
    property ``sync_us``, ``segments``, ``disk_bytes``.
    """

    def __init__(
        self,
        *,
        writer: SegmentWriter,
        reader: Reader,
        space: Space,
        worker: Worker,
        lock: int,
        snapshot: Callable[[], list[bytes]],
        on_durable: Callable[[int], None],
        on_failure: Callable[[LogFailed], None],
        random: Callable[[int], bytes],
    ) -> None:
        super().__init__()
        self.durable = 0
        self.commits = 0
        self.bytes_written = 0
        self.reclaimed = 0
        self._writer = writer
        self._reader = reader
        self._space = space
        self._worker = worker
        self._lock = lock
        self._snapshot = snapshot
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._failure: LogFailed | None = None
        self._closed = False
        self._chain = Chain(0, random)
        self._head: Beginning | None = None  # a segment to begin before the next batch
        self._in_flight = Gathering()

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
        report: Callable[[str], None] = _ignore,
        segment_bytes: int = 64 << 20,
    ) -> Log:
        """Recover a directory and begin a new segment.

        ``replay`` gets each batch in order. ``snapshot`` gives the operations that rebuild the
        topology: it is asked here, and whenever a segment is full; it must not log anything.
        ``on_durable`` gets the number of a batch when it is on disk, ``on_failure`` the reason
        why nothing will be any more; both are called on the loop's thread, by ``commit`` or
        through ``call_in_loop``. ``report`` gets a line about a torn tail that was cut off.
        """
        path = os.fspath(directory)
        try:
            disk.make_directory(path)
            lock = disk.lock(os.path.join(path, "lock"))
        except OSError as error:
            raise _failed(error) from error
        worker = Worker(clock, call_in_loop)
        log = cls(
            writer=SegmentWriter(disk, path, segment_bytes),
            reader=Reader(disk, path),
            space=Space(segment_bytes),
            worker=worker,
            lock=lock,
            snapshot=snapshot,
            on_durable=on_durable,
            on_failure=on_failure,
            random=random,
        )
        try:
            log._writer.tidy()
            log._begin(recover(disk, path, log._space, replay, report), clock)
        except OSError as error:
            log._let_go()
            raise _failed(error) from error
        except Exception:
            log._let_go()
            raise
        return log

    def _begin(self, end: Position, clock: Callable[[], float]) -> None:
        """A new segment after what was recovered: an old tail is never appended to."""
        self._chain.crc = end.chain
        self._roll(end.number + 1)
        start = clock()
        self._writer.begin(*self._enter_segment())
        self._worker.estimate_s = (clock() - start) / 2  # a write, and a sync of the directory
        self.durable = end.number + 1

    def retain(self, batch: int, references: int) -> None:
        """After recovery, before the first commit: this batch still has live references."""
        self._space.retain(batch, references)

    # -- committing --------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether anything is gathered or in flight."""
        return self._worker.busy or bool(self._batch)

    def commit(self) -> None:
        """Write what was gathered, unless a write is in flight. Once per tick, at its end.

        Call it again when ``on_durable`` came and ``pending`` is true.
        """
        if self._failure is not None:
            raise self._failure
        if self._worker.busy:
            return
        if self._batch:
            self._commit()
            return
        # Nothing was gathered, so what is released rests on batches before: durable.
        self._release(self.durable)
        self._reclaim()

    def _release(self, released_in: int) -> None:
        """Tell the account of references that are gone when that batch is durable."""
        self._space.release(self._released, released_in)
        self._space.release_many(self._released_many, released_in)
        self._released = []
        self._released_many = []

    def _commit(self) -> None:
        number = self.gathering
        try:
            segment, frame, payload, head = self._seal()
        except Exception as error:  # of ``snapshot``, or an integer out of range
            self._fail(error)
            return
        self._worker.run(
            partial(self._write, segment, frame, payload, head),
            partial(self._written, number),
            large=len(payload) > INLINE_MAX_BYTES,
        )

    def _seal(self) -> tuple[Beginning | None, bytes, bytes, bytes]:
        """Make the gathered batch a frame, and gather the next one.

        A segment to begin before it, the frame's header, its payload, and the payload's head.
        """
        number, batch = self.gathering, self._batch
        self._in_flight = batch
        segment = self._enter_segment() if self._head is not None else None
        head = batch.head()
        payload = b"".join([head, *batch.contents])
        header = self._chain.frame(number, self.durable, payload)
        octets = len(header) + len(payload)
        references = batch.references()
        self._space.add(number, octets, batch.published_octets(), references)
        self._space.retain(number, references)
        self._release(number)
        self._gather()
        self.gathering = number + 1
        if self._space.segments[-1].octets >= self._writer.segment_bytes:
            self._roll(number + 1)
        self.commits += 1
        self.bytes_written += octets
        return segment, header, payload, head

    def _roll(self, first_batch: int) -> None:
        """Compose the beginning of the next segment: a snapshot of the topology as it is now."""
        snapshot = Gathering()
        snapshot.operations = self._snapshot()
        octets = self._chain.segment(first_batch, snapshot.encode())
        self._head = first_batch, octets, self._chain.salt
        self.gathering = first_batch + 1

    def _enter_segment(self) -> Beginning:
        """The segment that was composed becomes the last one."""
        assert self._head is not None
        beginning, self._head = self._head, None
        first_batch, octets, _ = beginning
        self._space.begin(segment_name(first_batch), first_batch, HEADER.size)
        self._space.add(first_batch, len(octets) - HEADER.size, 0, 0)
        self.bytes_written += len(octets)
        return beginning

    def _write(self, segment: Beginning | None, frame: bytes, payload: bytes, head: bytes) -> None:
        """Disk work: on any thread."""
        if segment is not None:
            self._writer.begin(*segment)
        self._writer.append(frame, payload, head)

    def _written(self, number: int, error: Exception | None) -> None:
        if error is not None:
            self._fail(error)
            return
        self.durable = number
        self._in_flight = Gathering()
        self._on_durable(number)
        self._reclaim()

    def _fail(self, error: Exception) -> None:
        self._failure = failure = _failed(error)
        failure.__cause__ = error
        self._on_failure(failure)

    # -- reading -----------------------------------------------------------------------

    def read(self, batch: int, message_ids: Sequence[int], *, verify: bool = False) -> list[Stored]:
        """Messages of a batch that has live references, in the order of the ids.

        With ``verify`` the batch's checksum is verified, however few of its messages are read.

        What was durable and cannot be read any more is a failure of the log: ``LogFailed``, after
        ``on_failure``.
        """
        if batch == self.gathering:
            return self._batch.read(message_ids)
        if batch > self.durable:
            return self._in_flight.read(message_ids)
        try:
            place = self._space.place(batch)
            return self._reader.read(*place, batch, message_ids, verify=verify)
        except (OSError, CorruptLog) as error:
            self._fail(error)
            assert self._failure is not None
            raise self._failure from error

    def expect(self, batch: int) -> None:
        """This batch and what follows it will be read soon."""
        with suppress(OSError, CorruptLog):
            self._reader.expect(*self._space.place(batch), EXPECT_BYTES)

    # -- space -------------------------------------------------------------------------

    def _reclaim(self) -> None:
        """Let segments go in which nothing is live."""
        if self._worker.busy or self._failure is not None:
            return
        names = [segment.name for segment in self._space.reclaimable(self.durable)]
        if names:
            self._reader.forget(names)
            first_batch = self._space.segments[len(names)].first_batch
            self._worker.run(
                partial(self._writer.retire, names, first_batch),
                partial(self._retired, len(names)),
                large=len(names) > INLINE_MAX_SEGMENTS,
            )

    def _retired(self, count: int, error: Exception | None) -> None:
        if error is not None:
            self._fail(error)
            return
        self._space.forget(count)
        self.reclaimed += count
        if self._batch:
            # It was gathered while the worker was busy here, and its commit turned away.
            self._on_durable(self.durable)

    def stale_batches(self, after: int, octets: int) -> int | None:
        """The oldest batches whose live messages should be copied forward: the last of them.

        They are those after a batch, as many as make up so many octets, within the oldest
        segment; None if it need not be copied. To do so, publish each of their live messages
        again under its id, for the queues that still hold it, and release its old references.
        """
        if self._head is not None:
            return None
        self._release(self.gathering)
        return self._space.batches_of_head(after, octets) if self._space.is_head_stale() else None

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return len(self._space.segments)

    @property
    def sync_us(self) -> int:
        """Microseconds spent in writing and syncing, ever."""
        return self._worker.total_us

    @property
    def disk_bytes(self) -> int:
        """What the segments hold, without spares and padding."""
        return sum(segment.octets for segment in self._space.segments)

    # -- the end -----------------------------------------------------------------------

    def close(self) -> None:
        """Write all that is gathered, and let go of the directory."""
        if self._closed:
            return
        self._closed = True
        self._worker.join()
        while self._batch and self._failure is None:
            self._commit()
        if self._failure is None:
            self._end()
        self._failure = self._failure or LogFailed("the log is closed")
        self._let_go()

    def _end(self) -> None:
        try:
            self._writer.end(self.durable)
        except OSError as error:
            self._fail(error)

    def _let_go(self) -> None:
        self._writer.close()
        self._reader.close()
        self._writer.disk.close(self._lock)


def _failed(error: Exception) -> LogFailed:
    verb = "read" if isinstance(error, CorruptLog) else "written"
    return LogFailed(f"the log cannot be {verb}: {error}")
