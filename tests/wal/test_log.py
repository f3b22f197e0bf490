"""The log as its owner sees it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from random import Random
from typing import Any

import pytest

from broker.wal import REAL_DISK, CorruptLog, DirectoryInUse, Log, LogFailed
from broker.wal import frame as frame_format
from tests.faults import MemoryDisk
from tests.wal.owner import Owner


@pytest.fixture
def disk() -> MemoryDisk:
    """An empty disk."""
    return MemoryDisk()


@pytest.fixture
def owner(disk: MemoryDisk) -> Owner:
    """An owner of a new log."""
    return Owner(disk)


def reopened(owner: Owner) -> Owner:
    """The same log after a restart that came without warning."""
    return Owner(owner.disk.after_power_cut(Random(1)))


def publish_and_commit(owner: Owner, queue: int, times: int, size: int = 300) -> list[int]:
    """Messages, each in a batch of its own."""
    ids = []
    for _ in range(times):
        ids.append(owner.publish([queue], bytes(size)))
        owner.commit()
    return ids


def test_a_batch_is_numbered_when_it_gathers(owner: Owner) -> None:
    """What is logged while ``gathering`` is n is durable when ``on_durable`` says n."""
    queue = owner.declare()
    number = owner.log.gathering
    owner.publish([queue], b"x")
    assert owner.log.pending
    assert owner.log.durable < number
    owner.commit()
    assert owner.durable == [number]
    assert owner.log.durable == number
    assert owner.log.gathering > number
    assert not owner.log.pending


def test_an_empty_commit_does_nothing(owner: Owner, disk: MemoryDisk) -> None:
    """A tick in which nothing was logged costs no call of the disk and no number."""
    number, calls = owner.log.gathering, disk.calls
    owner.log.route(b"unused", (1,))
    owner.log.commit()
    assert (owner.log.gathering, disk.calls, owner.durable) == (number, calls, [])


def test_a_route_has_one_row_in_a_batch(owner: Owner) -> None:
    """The same address and queues share a row; another batch has another table."""
    log = owner.log
    owner.declare()
    assert log.route(b"a", (1,)) == log.route(b"a", (1,)) == 0
    assert log.route(b"a", (1, 2)) == 1
    assert log.route(b"b", (1,)) == 2
    owner.commit()
    assert log.route(b"b", (1,)) == 0


def test_commit_calls_the_disk_once(owner: Owner, disk: MemoryDisk) -> None:
    """A commit is one write that is durable when it returns."""
    queue = owner.declare()
    owner.publish([queue], b"x")
    del disk.trace[:]
    owner.commit()
    assert disk.trace == ["write"]


def test_close_writes_what_is_gathered(owner: Owner) -> None:
    """An orderly end loses nothing, confirms it, and frees the directory."""
    queue = owner.declare()
    owner.publish([queue], b"x")
    number = owner.log.gathering
    owner.log.close()
    owner.log.close()
    assert owner.durable == [number]
    assert Owner(owner.disk).queues == owner.queues
    with pytest.raises(LogFailed):
        owner.log.commit()


def test_a_second_opener_is_refused(owner: Owner, disk: MemoryDisk) -> None:
    """A log has one owner; a failed opening does not disturb the first."""
    with pytest.raises(DirectoryInUse):
        Owner(disk)
    owner.declare()
    owner.commit()
    assert owner.durable


def test_a_refused_opening_lets_go(owner: Owner, disk: MemoryDisk) -> None:
    """After ``CorruptLog`` the directory is not locked: a second attempt says the same."""
    owner.log.close()
    for file in disk.names.values():
        file.write(0, b"?")
    for _ in range(2):
        with pytest.raises(CorruptLog):
            Owner(disk)


def test_a_large_message_is_stored(owner: Owner) -> None:
    """A message larger than a segment makes a larger segment."""
    queue = owner.declare()
    owner.publish([queue], b"x" * 100_000)
    owner.commit()
    publish_and_commit(owner, queue, 3)
    assert reopened(owner).queues == owner.queues


# -- segments ------------------------------------------------------------------------------


def test_each_segment_begins_with_the_topology(owner: Owner) -> None:
    """The snapshot is the topology right after the batch before it, though others follow."""
    queue = owner.declare()
    while owner.log._head is None:
        owner.publish([queue], bytes(500))
        owner.commit()
    later = owner.declare()  # gathered after the snapshot was made, written with it
    publish_and_commit(owner, later, 1)
    assert owner.log.segments == 2
    again = reopened(owner)
    assert again.queues == owner.queues
    assert again.recovered == owner.log.durable


def test_frames_say_what_was_durable(owner: Owner, disk: MemoryDisk) -> None:
    """Each frame names the last durable batch when it was written, and bears its segment's salt."""
    queue = owner.declare()
    publish_and_commit(owner, queue, 10)
    salts = set()
    before = 0
    for name in frame_format.segment_names(disk.list_directory("data")):
        octets = bytes(disk.names[f"data/{name}"].durable)
        header = frame_format.parse_header(octets)
        assert not isinstance(header, str)
        salts.add(header.salt)
        at = frame_format.HEADER.size
        while (frame := frame_format.parse_frame(octets, header.salt, at)) is not None:
            assert frame.durable == before
            # The first batch of a segment after its snapshot was sealed before that was durable.
            before = frame.number if not frame.is_snapshot or frame.number == 1 else before
            at += frame_format.FRAME.size + frame.length
    assert before == owner.log.durable
    assert len(salts) == owner.log.segments > 1


def test_settled_segments_are_reclaimed(owner: Owner, disk: MemoryDisk) -> None:
    """When all messages of the oldest segments are settled these go, at the commit that says so."""
    queue = owner.declare()
    ids = publish_and_commit(owner, queue, 60)
    segments, octets = owner.log.segments, owner.log.disk_bytes
    assert segments > 5
    owner.settle(queue, ids[1:])
    owner.commit()
    assert owner.log.segments >= segments, "the oldest message pins all"
    owner.settle(queue, ids[:1])
    owner.commit()
    assert owner.log.segments <= 2
    assert owner.log.reclaimed >= segments - 1
    assert owner.log.disk_bytes < octets / 5
    assert sum(name.endswith(".spare") for name in disk.names) == 2


def test_reclaiming_keeps_what_is_live(owner: Owner) -> None:
    """Segments in front of the oldest live message go; it and what follows stay."""
    queue = owner.declare()
    ids = publish_and_commit(owner, queue, 60)
    owner.settle(queue, ids[:30])
    owner.commit()
    assert owner.log.reclaimed
    assert list(reopened(owner).queues[queue]) == ids[30:]


def test_a_message_is_live_until_its_last_queue_settles_it(owner: Owner) -> None:
    """One of two references keeps the segment."""
    one, two = owner.declare(), owner.declare()
    message = owner.publish([one, two], b"x")
    owner.commit()
    ids = publish_and_commit(owner, one, 20)
    owner.settle(one, [message, *ids])
    owner.commit()
    owner.commit()
    assert owner.log.reclaimed == 0
    assert list(reopened(owner).queues[two]) == [message]
    owner.settle(two, [message])
    owner.commit()
    assert owner.log.reclaimed


def test_messages_go_only_after_their_settle_is_durable(owner: Owner, disk: MemoryDisk) -> None:
    """A power cut right after a reclaim cannot bring back half of what happened."""
    queue = owner.declare()
    ids = publish_and_commit(owner, queue, 20)
    owner.settle(queue, ids)
    disk.trace.clear()
    owner.commit()
    assert disk.trace[-1] == "sync_directory"
    assert disk.trace.index("write") < disk.trace.index("rename")
    assert reopened(owner).queues == {queue: {}}


def test_a_release_without_a_record_rests_on_earlier_batches(owner: Owner) -> None:
    """When unacked messages of a deleted queue end in an idle tick, space is freed in that tick."""
    queue = owner.declare()
    publish_and_commit(owner, queue, 20)
    batches = owner._apply(b"delete %d" % queue)
    owner.log.operation(b"delete %d" % queue)
    owner.commit()
    assert owner.log.reclaimed == 0
    owner.log.release(batches)
    owner.commit()
    assert owner.log.reclaimed


def test_recovered_messages_keep_their_segments(owner: Owner) -> None:
    """After a restart only what is retained is live, and it is kept until it is settled."""
    queue = owner.declare()
    ids = publish_and_commit(owner, queue, 40)
    owner.settle(queue, ids[:20])
    owner.commit()
    again = reopened(owner)
    again.commit()
    assert list(reopened(again).queues[queue]) == ids[20:]
    again.settle(queue, ids[20:])
    again.commit()
    assert again.log.segments == 1
    assert reopened(again).queues == {queue: {}}


def test_copying_forward_frees_the_log(owner: Owner) -> None:
    """One old message pins a whole log until it is copied; then the log is small again."""
    queue = owner.declare()
    old = owner.publish([queue], b"old")
    owner.count(queue, old)
    owner.commit()
    for _ in range(100):
        (message,) = publish_and_commit(owner, queue, 1)
        owner.settle(queue, [message])
        head = owner.log.stale_batches(0, 1 << 30)
        if head is not None:
            owner.copy_forward(head)
            assert owner.log.stale_batches(0, 1 << 30) is None, "it is asked for once"
        owner.commit()
        assert owner.log.disk_bytes < 6 * 2000
    assert owner.log.reclaimed > 5
    assert reopened(owner).queues == owner.queues == {queue: {old: (b"old", 1)}}


def test_live_small_messages_are_not_copied_for_ever(owner: Owner) -> None:
    """A log of nothing but live messages is not stale, however small they are."""
    queue = owner.declare()
    for _ in range(100):
        for _ in range(50):
            owner.publish([queue], b"")
        owner.commit()
        assert owner.log.stale_batches(0, 1 << 30) is None
    assert owner.log.segments > 10


# -- failures ------------------------------------------------------------------------------


def test_a_failing_snapshot_stops_the_log(owner: Owner) -> None:
    """A batch that could not be sealed is not skipped: nothing after it is confirmed either."""
    queue = owner.declare()
    owner.commit()

    def fail() -> list[bytes]:
        raise ValueError("no topology")

    owner.log._snapshot = fail
    with pytest.raises(LogFailed):
        publish_and_commit(owner, queue, 20)
    assert len(owner.failures) == 1
    confirmed = len(owner.durable)
    owner.log.close()
    assert len(owner.durable) == confirmed


# -- with a thread -------------------------------------------------------------------------


class SlowDisk(MemoryDisk):
    """A disk whose writes wait for permission, so that a test sees what happens meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.permits: Queue[str] = Queue()
        self.slow = False

    def write(self, fd: int, parts: Any, offset: int) -> int:
        """Write when permitted."""
        if self.slow and threading.current_thread() is not threading.main_thread():
            permit = self.permits.get(timeout=10)
            if permit == "fail":
                raise OSError(5, "input/output error")
        return super().write(fd, parts, offset)


class Slow:
    """An owner on a slow disk, with a loop that runs what was called when told."""

    def __init__(self) -> None:
        self.disk = SlowDisk()
        self.calls: Queue[tuple[Callable[..., None], tuple[Any, ...]]] = Queue()
        self.owner = Owner(
            self.disk, call_in_loop=lambda function, *args: self.calls.put((function, args))
        )
        self.owner.log._worker.estimate_s = 1.0
        self.disk.slow = True

    def finish(self, permit: str = "write") -> None:
        """Let the write end, and the loop hear of it."""
        self.disk.permits.put(permit)
        function, args = self.calls.get(timeout=10)
        function(*args)


@pytest.fixture
def slow() -> Iterator[Slow]:
    """An owner on a slow disk."""
    made = Slow()
    yield made
    for _ in range(5):
        made.disk.permits.put("write")
    made.owner.log.close()


def test_batches_gather_while_one_is_in_flight(slow: Slow) -> None:
    """All that came during a write is the next batch, and nothing is confirmed early."""
    owner = slow.owner
    queue = owner.declare()
    first = owner.log.gathering
    owner.commit()
    for _ in range(5):
        owner.publish([queue], b"x")
        owner.log.commit()
        assert owner.log.gathering == first + 1
    assert owner.durable == []
    assert owner.log.pending
    slow.finish()
    assert owner.durable == [first]
    assert owner.log.pending
    owner.commit()
    slow.finish()
    assert owner.durable == [first, first + 1]
    assert not owner.log.pending
    assert owner.log.commits == 2
    assert reopened(owner).queues == owner.queues


def test_close_waits_for_the_write_in_flight(slow: Slow) -> None:
    """What is in flight and what gathered meanwhile are both durable when ``close`` returns."""
    owner = slow.owner
    queue = owner.declare()
    first = owner.log.gathering
    owner.commit()
    owner.publish([queue], b"x")
    slow.disk.permits.put("write")
    owner.log.close()
    assert owner.durable == [first, first + 1]
    assert Owner(slow.disk).queues == owner.queues
    function, args = slow.calls.get(timeout=10)
    function(*args)
    assert owner.durable == [first, first + 1], "the loop's late call is ignored"


def test_a_failure_on_the_thread_reaches_the_loop(slow: Slow) -> None:
    """A failed write is told on the loop's thread, and what gathered meanwhile is never written."""
    owner = slow.owner
    queue = owner.declare()
    owner.commit()
    owner.publish([queue], b"x")
    slow.finish("fail")
    assert len(owner.failures) == 1
    assert owner.durable == []
    with pytest.raises(LogFailed):
        owner.log.commit()
    owner.log.close()
    assert Owner(slow.disk).queues == {}


def test_a_commit_turned_away_by_a_reclaim_is_asked_for_again(slow: Slow) -> None:
    """What gathered while segments were retired does not wait for other traffic."""
    owner = slow.owner
    queue = owner.declare()
    message = owner.publish([queue], bytes(3000))
    owner.commit()
    slow.finish()
    owner.settle(queue, [message])
    owner.commit()
    for _ in range(2):
        slow.disk.permits.put("write")  # of the new segment's beginning, and of the bounds
    slow.finish()
    assert owner.log._worker.busy, "the first segment is being retired"
    owner.publish([queue], b"x")
    number = owner.log.gathering
    owner.commit()
    assert owner.log.gathering == number, "turned away"
    called = len(owner.durable)
    slow.finish()
    assert owner.log.reclaimed
    assert len(owner.durable) == called + 1
    owner.commit()
    slow.finish()
    assert owner.durable[-1] == number


def test_segments_roll_and_go_on_the_thread(slow: Slow) -> None:
    """Beginning and retiring segments is disk work, too; the owner sees only batches."""
    owner = slow.owner
    queue = owner.declare()
    for _ in range(30):
        slow.owner.log._worker.estimate_s = 1.0
        message = owner.publish([queue], bytes(300))
        owner.commit()
        slow.disk.permits.put("write")
        slow.finish()
        owner.settle(queue, [message])
        while owner.log._worker.busy:  # a segment is being retired
            slow.finish()
    assert owner.log.reclaimed > 3
    owner.commit()
    slow.finish()
    assert reopened(owner).queues == {queue: {}}


# -- on the real disk ----------------------------------------------------------------------


def test_real_directory(tmp_path: Path) -> None:
    """On a real disk: begin, fill segments, reclaim, restart, and refuse a second opener."""
    batches: list[int] = []
    durable: list[int] = []
    calls: Queue[tuple[Callable[..., None], tuple[Any, ...]]] = Queue()

    def start() -> Log:
        return Log.open(
            tmp_path / "data",
            replay=lambda batch: batches.extend(batch.publish_id),
            snapshot=list,
            on_durable=durable.append,
            on_failure=lambda error: pytest.fail(str(error)),
            call_in_loop=lambda function, *args: calls.put((function, args)),
            disk=REAL_DISK,
            segment_bytes=10_000,
        )

    log = start()
    assert sum(path.stat().st_size for path in (tmp_path / "data").iterdir()) < 1 << 19
    with pytest.raises(DirectoryInUse):
        start()
    for message_id in range(100):
        log.publish(log.route(b"", (1,)), message_id, 0, 0, bytes(1000))
        if message_id < 50:
            log.settle(1, [message_id], [log.gathering])
        log.commit()
        while log.pending:
            function, args = calls.get(timeout=10)
            function(*args)
    assert len(durable) == 100
    log.close()
    log = start()
    assert batches[-50:] == list(range(50, 100))
    assert log.segments < 10
    log.close()
