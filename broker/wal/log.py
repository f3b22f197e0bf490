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
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from broker.wal.disk import REAL_DISK, Disk
from broker.wal.errors import CorruptLog, LogFailed
from broker.wal.frame import HEADER, SNAPSHOT, encode_frame, encode_header, segment_name
from broker.wal.reader import Reader, Stored
from broker.wal.record import Batch, Gathering
from broker.wal.recovery import Position, recover
from broker.wal.segment import SegmentWriter
from broker.wal.space import Space
from broker.wal.worker import Worker

# A longer write takes more than half a millisecond even on a quick disk: not in the loop.
INLINE_MAX_BYTES = 1 << 19
INLINE_MAX_SEGMENTS = 4
EXPECT_BYTES = 4 << 20  # what a reader is going to want next


def _ignore(line: str) -> None:
    pass


class Log:
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
        self.gathering = 0
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
        self._random = random
        self._failure: LogFailed | None = None
        self._closed = False
        self._salt = 0
        self._chain = 0
        self._head: tuple[int, bytes] | None = None  # a segment to begin before the next batch
        self._stale_head: int | None = None
        self._gather()

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
        self._chain = end.chain
        self._roll(end.number + 1)
        start = clock()
        self._writer.begin(*self._enter_segment())
        self._worker.estimate_s = (clock() - start) / 2  # a write, and a sync of the directory
        self.durable = end.number + 1

    # -- gathering ---------------------------------------------------------------------

    def _gather(self) -> None:
        self._batch = batch = Gathering()
        self._released: list[int] = []  # one batch number for each reference that is gone
        self._released_many: list[tuple[int, int]] = []  # the same: batch, and how many
        # ``publish`` is hot: bound methods of the batch's columns save it the way there.
        self._add_route = batch.publish_route.append
        self._add_id = batch.publish_id.append
        self._add_ms = batch.publish_ms.append
        self._add_detail = batch.publish_detail.append
        self._add_content = batch.contents.append

    def route(self, address: bytes, queue_ids: tuple[int, ...]) -> int:
        """Row of the gathering batch's route table; valid while ``gathering`` is the same."""
        routes = self._batch.routes
        return routes.setdefault((address, queue_ids), len(routes))

    def publish(
        self, row: int, message_id: int, published_ms: int, detail: int, content: bytes
    ) -> None:
        """A message: one reference on the gathering batch for each queue of its route.

        ``detail``, 64 bits, is the owner's: what it wants to know after a restart at once.
        """
        self._add_route(row)
        self._add_id(message_id)
        self._add_ms(published_ms)
        self._add_detail(detail)
        self._add_content(content)

    def settle(self, queue_id: int, message_ids: list[int], batches: list[int]) -> None:
        """Messages are gone from a queue; ``batches`` are those they were published in."""
        batch = self._batch
        batch.settle_queue.append(queue_id)
        batch.settle_length.append(len(message_ids))
        batch.settle_id.extend(message_ids)
        self._released += batches

    def settle_many(
        self, queue_id: int, message_ids: Sequence[int], references: Iterable[tuple[int, int]]
    ) -> None:
        """The same of many; ``references`` are batches and how many of the messages each holds."""
        batch = self._batch
        batch.settle_queue.append(queue_id)
        batch.settle_length.append(len(message_ids))
        batch.settle_id.extend(message_ids)
        self._released_many += references

    def count(self, queue_id: int, message_id: int, n: int) -> None:
        """A message came back to its queue; it was delivered ``n`` times so far."""
        batch = self._batch
        batch.count_queue.append(queue_id)
        batch.count_id.append(message_id)
        batch.count_times.append(n)

    def operation(self, encoded: bytes) -> None:
        """A change of topology."""
        self._batch.operations.append(encoded)

    def release(self, batches: list[int]) -> None:
        """References that ended without a settle: an operation or a later copy says so."""
        self._released += batches

    def release_many(self, references: Iterable[tuple[int, int]]) -> None:
        """The same of many: batches and how many references on each ended."""
        self._released_many += references

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
            large=segment is not None or len(payload) > INLINE_MAX_BYTES,
        )

    def _seal(self) -> tuple[tuple[int, bytes] | None, bytes, bytes, bytes]:
        """Make the gathered batch a frame, and gather the next one.

        A segment to begin before it, the frame's header, its payload, and the payload's head.
        """
        number, batch = self.gathering, self._batch
        segment = self._enter_segment() if self._head is not None else None
        head = batch.head()
        payload = b"".join([head, *batch.contents])
        header, self._chain = encode_frame(number, self.durable, payload, self._chain, self._salt)
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
        payload = snapshot.encode()
        self._salt = int.from_bytes(self._random(4), "little")
        header, self._chain = encode_header(first_batch, self._salt, self._chain)
        frame, self._chain = encode_frame(
            first_batch, first_batch - 1, payload, self._chain, self._salt, SNAPSHOT
        )
        self._head = first_batch, header + frame + payload
        self.gathering = first_batch + 1

    def _enter_segment(self) -> tuple[int, bytes]:
        """The segment that was composed becomes the last one."""
        assert self._head is not None
        (first_batch, octets), self._head = self._head, None
        self._space.begin(segment_name(first_batch), first_batch, HEADER.size)
        self._space.add(first_batch, len(octets) - HEADER.size, 0, 0)
        self._stale_head = self._space.stale_head()
        self.bytes_written += len(octets)
        return first_batch, octets

    def _write(
        self, segment: tuple[int, bytes] | None, frame: bytes, payload: bytes, head: bytes
    ) -> None:
        """Disk work: on any thread."""
        if segment is not None:
            self._writer.begin(*segment)
        self._writer.append(frame, payload, head)

    def _written(self, number: int, error: Exception | None) -> None:
        if error is not None:
            self._fail(error)
            return
        self.durable = number
        self._on_durable(number)
        self._reclaim()

    def _fail(self, error: Exception) -> None:
        self._failure = failure = _failed(error)
        failure.__cause__ = error
        self._on_failure(failure)

    # -- reading -----------------------------------------------------------------------

    def read(self, batch: int, message_ids: Sequence[int]) -> list[Stored]:
        """Messages of a batch that is durable and has a live reference, in the order of the ids.

        What was durable and cannot be read any more is a failure of the log: ``LogFailed``, after
        ``on_failure``.
        """
        try:
            return self._reader.read(*self._space.place(batch), batch, message_ids)
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
            self._worker.run(
                partial(self._writer.retire, names),
                partial(self._retired, len(names)),
                large=len(names) > INLINE_MAX_SEGMENTS,
            )

    def _retired(self, count: int, error: Exception | None) -> None:
        if error is not None:
            self._fail(error)
            return
        self._space.forget(count)
        self._stale_head = self._space.stale_head()
        self.reclaimed += count
        if self._batch:
            # It was gathered while the worker was busy here, and its commit turned away.
            self._on_durable(self.durable)

    def stale_head(self) -> int | None:
        """The last batch of the oldest segment, if its live messages should be copied forward.

        To do so, publish each live message of a batch up to that number again under its id, for
        the queues that hold it, and release its old references. Cheap: may be asked each tick.
        """
        if self._stale_head is None or self._head is not None:
            return None
        self._release(self.gathering)
        # A head without live references has been copied already, and is about to go.
        return self._stale_head if self._space.segments[0].live else None

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
        self._failure = self._failure or LogFailed("the log is closed")
        self._let_go()

    def _let_go(self) -> None:
        self._writer.close()
        self._reader.close()
        self._writer.disk.close(self._lock)


def _failed(error: Exception) -> LogFailed:
    verb = "read" if isinstance(error, CorruptLog) else "written"
    return LogFailed(f"the log cannot be {verb}: {error}")
