"""What recovery makes of a damaged log: a prefix with all that was durable, or a refusal."""

import zlib
from random import Random

import pytest

from broker.wal import CorruptLog, UnknownVersion, bounds, recovery
from broker.wal import frame as frame_format
from broker.wal.frame import FRAME, HEADER
from broker.wal.record import Gathering
from tests.faults import File, MemoryDisk
from tests.wal.owner import DIRECTORY, Owner, State

SEED = 7


class Written:
    """A log of several segments that was left without closing it, and where its batches are."""

    def __init__(self, batches: int = 12, size: int = 60, segment_bytes: int = 600) -> None:
        self.disk = MemoryDisk()
        self.owner = Owner(self.disk, random=Random(SEED).randbytes, segment_bytes=segment_bytes)
        queue = self.owner.declare()
        other = self.owner.declare()
        random = Random(SEED)
        for number in range(batches):
            self.owner.publish([queue, other] if number % 2 else [queue], random.randbytes(size))
            if number % 3 == 2:
                self.owner.settle(queue, list(self.owner.queues[queue])[:1])
                self.owner.count(queue, next(iter(self.owner.queues[queue])))
            self.owner.commit()
        indexes = {name for name in self.disk.names if name.endswith(".index")}
        self.indexed = self.disk.copy()
        self.disk = self.disk.copy()
        for name in indexes:
            self.disk.unlink(name)
        self.names = frame_format.segment_names(self.disk.list_directory(DIRECTORY))

    def octets(self, name: str) -> bytes:
        """What a segment holds."""
        return bytes(self.disk.names[f"{DIRECTORY}/{name}"].current)

    def with_file(self, name: str, octets: bytes) -> MemoryDisk:
        """The disk, with other octets in one file."""
        disk = self.disk.copy()
        disk.names[f"{DIRECTORY}/{name}"] = File(octets)
        return disk

    def frames(self, name: str) -> list[int]:
        """Offsets of the frames of a segment, and of the end of the last."""
        octets = self.octets(name)
        header = frame_format.parse_header(octets)
        assert not isinstance(header, str)
        offsets = [HEADER.size]
        while (frame := frame_format.parse_frame(octets, header.salt, offsets[-1])) is not None:
            offsets.append(offsets[-1] + FRAME.size + frame.length)
        return offsets

    def states(self, last: int) -> list[State]:
        """The states after the last batches, the newest first."""
        return [
            self.owner.history[number] for number in sorted(self.owner.history)[: -last - 1 : -1]
        ]


def reopen(disk: MemoryDisk) -> Owner:
    """Recover; then a commit and another recovery must work as well."""
    owner = Owner(disk)
    again = Owner(disk.copy())
    assert again.queues == owner.queues
    queue = again.declare()
    again.publish([queue], b"after")
    again.commit()
    last = Owner(again.disk.copy())
    assert last.queues == again.queues
    return owner


def outcome(disk: MemoryDisk) -> Owner | CorruptLog:
    """What opening comes to."""
    try:
        return Owner(disk)
    except CorruptLog as refusal:
        return refusal


def refusal(disk: MemoryDisk) -> CorruptLog:
    """Why opening is refused."""
    with pytest.raises(CorruptLog) as caught:
        Owner(disk)
    return caught.value


def test_recovers_what_was_written() -> None:
    """An undamaged log of several segments gives back the last state, without a remark."""
    written = Written()
    assert len(written.names) > 2
    owner = reopen(written.disk.copy())
    assert owner.queues == written.owner.queues
    assert owner.reports == []


@pytest.mark.parametrize("filler", [None, b"\0", b"\xff"], ids=["cut", "zeros", "ones"])
def test_last_batch_cut_at_every_octet(filler: bytes | None) -> None:
    """A last frame of which only the beginning was written is cut off; all before it is there."""
    written = Written(batches=4, segment_bytes=10_000)
    name = written.names[-1]
    octets = written.octets(name)
    *_, start, end = written.frames(name)
    newest, before = written.states(2)
    for length in range(start, end + 1):
        kept = octets[:length]
        if filler is not None:
            kept = kept.ljust(len(octets), filler)
        complete = kept[start:end] == octets[start:end]
        owner = reopen(written.with_file(name, kept))
        assert owner.queues == (newest if complete else before), length
        tail = kept[end if complete else start :][: FRAME.size]
        assert len(owner.reports) == bool(tail.strip(b"\0"))


def test_last_batches_cut_at_every_octet() -> None:
    """A log that ends early, wherever it does, is a prefix of the log."""
    written = Written(batches=4, segment_bytes=10_000)
    name = written.names[-1]
    octets = written.octets(name)
    offsets = written.frames(name)
    states = written.states(4)
    for length in range(offsets[-4], offsets[-1]):
        behind = sum(length < end for end in offsets[-3:])
        assert Owner(written.with_file(name, octets[:length])).queues == states[behind]


@pytest.mark.parametrize("chunk_bytes", [1 << 20, FRAME.size + 3])
@pytest.mark.parametrize("flip", [0x01, 0x10, 0x80, 0xFF])
def test_every_octet_flipped(flip: int, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flipped octet anywhere is refused with its file, or costs at most the last batch."""
    monkeypatch.setattr(recovery, "_CHUNK_BYTES", chunk_bytes)
    written = Written(batches=8)
    newest, before = written.states(2)
    for name in written.names:
        octets = written.octets(name)
        *offsets, last, end = written.frames(name)
        assert offsets
        for at in range(len(octets)):
            damaged = bytearray(octets)
            damaged[at] ^= flip
            result = outcome(written.with_file(name, bytes(damaged)))
            if name != written.names[-1]:
                must_refuse, is_torn = at < end, False
            else:
                must_refuse, is_torn = at < last, last <= at < end + FRAME.size
            assert isinstance(result, CorruptLog) == must_refuse, at
            if isinstance(result, CorruptLog):
                assert result.file == name
                assert result.offset <= at
            else:
                assert result.queues == (before if is_torn and at < end else newest)
                assert len(result.reports) == is_torn


def test_damage_behind_an_index_is_noticed_when_it_is_read() -> None:
    """With an index a segment is not read at the start: then who reads a message is refused."""
    written = Written(batches=8)
    newest, *_ = written.states(1)
    seen = set()
    for name in written.names[:-1]:
        octets = written.octets(name)
        for at in range(len(octets)):
            damaged = bytearray(octets)
            damaged[at] ^= 0x10
            disk = written.indexed.copy()
            disk.names[f"{DIRECTORY}/{name}"] = File(damaged)
            result = outcome(disk)
            if isinstance(result, CorruptLog):
                assert result.file == name
            else:
                assert result.queues == newest
            seen.add(type(result))
    assert seen == {CorruptLog, Owner}


def test_a_damaged_index_is_of_no_consequence() -> None:
    """An index with any octet flipped, cut short or missing is not used."""
    written = Written(batches=8)
    newest, *_ = written.states(1)
    for name in [name for name in written.indexed.names if name.endswith(".index")]:
        octets = bytes(written.indexed.names[name].current)
        for at in range(len(octets)):
            for damaged in (octets[:at], octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]):
                disk = written.indexed.copy()
                disk.names[name] = File(damaged)
                assert Owner(disk).queues == newest, at


def test_a_damaged_snapshot_is_refused() -> None:
    """A segment had its snapshot before it had its name, so this cannot be a torn tail."""
    written = Written(batches=1)
    written.owner.log.close()
    Owner(written.disk)
    *_, name = frame_format.segment_names(written.disk.list_directory(DIRECTORY))
    octets = written.octets(name)
    start, end = written.frames(name)
    for at in range(end):
        damaged = bytearray(octets)
        damaged[at] ^= 4
        error = refusal(written.with_file(name, bytes(damaged)))
        assert (error.file, error.offset) == (name, start if at >= start else 0)


def test_a_missing_segment_is_refused() -> None:
    """A hole in the middle of the log names the file and offset before it."""
    written = Written()
    first, second, *_ = written.names
    disk = written.disk.copy()
    disk.unlink(f"{DIRECTORY}/{second}")
    error = refusal(disk)
    assert (error.file, error.offset) == (first, written.frames(first)[-1])
    assert "missing" in error.reason


def test_a_missing_tail_of_an_old_segment_is_refused() -> None:
    """Only the last segment may end early."""
    written = Written()
    first, *_ = written.names
    offsets = written.frames(first)
    for length in range(offsets[-1]):
        error = refusal(written.with_file(first, written.octets(first)[:length]))
        assert error.file == first
        assert error.offset <= length


def test_any_suffix_of_segments_is_a_log() -> None:
    """Without its oldest segments a log still knows all queues, and the newer messages."""
    written = Written()
    disk = written.disk.copy()
    disk.unlink(f"{DIRECTORY}/{bounds.NAME}")
    for name in written.names[:-1]:
        disk.unlink(f"{DIRECTORY}/{name}")
        queues = Owner(disk.copy()).queues
        assert queues.keys() == written.owner.queues.keys()
        for queue, messages in queues.items():
            assert messages.items() <= written.owner.queues[queue].items()
            assert messages


@pytest.mark.parametrize("at", [0, -1, slice(None)], ids=["first", "last", "all"])
def test_a_segment_missing_at_an_end_is_refused(at: int | slice) -> None:
    """Nothing in the other segments tells of it; the bounds do."""
    written = Written()
    lost = written.names[at]
    disk = written.disk.copy()
    for name in [lost] if isinstance(lost, str) else lost:
        disk.unlink(f"{DIRECTORY}/{name}")
    error = refusal(disk)
    assert error.file == (lost if isinstance(lost, str) else lost[0])
    assert "is missing" in error.reason
    disk.unlink(f"{DIRECTORY}/{bounds.NAME}")
    Owner(disk)


def test_behind_an_end_nothing_can_be_torn() -> None:
    """A log that was closed in order is whole: damage to its last batch is not cut off."""
    written = Written(batches=4, segment_bytes=10_000)
    written.owner.log.close()
    written.disk = written.owner.disk.copy()
    name = written.names[-1]
    start, end = written.frames(name)[-2:]
    for at in range(start, end):
        damaged = bytearray(written.octets(name))
        damaged[at] ^= 1
        error = refusal(written.with_file(name, bytes(damaged)))
        assert (error.file, error.offset) == (name, start)
    error = refusal(written.with_file(name, written.octets(name)[: start - 10]))
    assert error.offset < start


def test_damaged_bounds_say_nothing() -> None:
    """A record with a flipped octet is as good as none: the log is recovered."""
    written = Written(batches=2)
    whole = written.octets(bounds.NAME)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        disk = written.with_file(bounds.NAME, bytes(damaged))
        assert bounds.read_bounds(disk, DIRECTORY) == (0, 0, 0)
        assert Owner(disk).queues == written.owner.queues


def test_a_segment_under_another_name_is_refused() -> None:
    """A file must be what its name says."""
    written = Written()
    first, second, *_ = written.names
    assert refusal(written.with_file(second, written.octets(first))).file == second


def test_a_segment_of_another_log_is_refused() -> None:
    """Segments of two logs do not mix, even where their numbers fit."""
    written, other = Written(size=60), Written(size=61)
    name = other.names[1]
    assert name in written.names
    error = refusal(written.with_file(name, other.octets(name)))
    assert (error.file, error.offset) == (name, 0)


def test_a_newer_version_is_refused() -> None:
    """A segment of an unknown version is not guessed at."""
    written = Written()
    name = written.names[0]
    fields = HEADER.pack(frame_format.MAGIC, frame_format.VERSION + 1, 1, 1, 0, 0)[:-4]
    header = fields + zlib.crc32(fields).to_bytes(4, "little")
    with pytest.raises(
        UnknownVersion, match=f"version {frame_format.VERSION + 1}, .* reads 2"
    ) as caught:
        Owner(written.with_file(name, header + written.octets(name)[HEADER.size :]))
    assert caught.value.is_newer


def test_a_file_of_another_kind_is_refused() -> None:
    """What is no segment at all is said to be none, not one of another version."""
    written = Written()
    error = refusal(written.with_file(written.names[0], b"a letter to grandmother\n" * 9))
    assert "not a segment" in error.reason


def forged(*batches: tuple[int, bytes, int, int]) -> MemoryDisk:
    """A disk whose one segment holds frames of: number, payload, flags, durable."""
    octets, chain = frame_format.encode_header(1, 99, 0)
    for number, payload, flags, durable in batches:
        frame, chain = frame_format.encode_frame(number, durable, payload, chain, 99, flags)
        octets += frame + payload
    disk = MemoryDisk()
    disk.names[f"{DIRECTORY}/{frame_format.segment_name(1)}"] = File(octets)
    return disk


EMPTY = bytes(28)


def test_a_sound_frame_with_a_malformed_payload_is_refused() -> None:
    """What no crash can have caused is never cut off, though it is last."""
    error = refusal(forged((1, EMPTY, frame_format.SNAPSHOT, 0), (2, b"?", 0, 1)))
    assert (error.file, error.offset) == ("00000000000000000001.log", HEADER.size + FRAME.size + 28)


@pytest.mark.parametrize("flags", [(0, 0), (1, 1)])
def test_a_misplaced_snapshot_is_refused(flags: tuple[int, int]) -> None:
    """A segment begins with its one snapshot."""
    first, second = flags
    assert "snapshot" in refusal(forged((1, EMPTY, first, 0), (2, EMPTY, second, 1))).reason


@pytest.mark.parametrize(("durable", "refused"), [(1, False), (2, True), (3, True)])
def test_a_later_frame_is_a_proof_only_if_it_was_written_later(durable: int, refused: bool) -> None:
    """Batch 2 is missing: the frame of batch 4 proves a loss if 2 was durable when it was made."""
    disk = forged((1, EMPTY, frame_format.SNAPSHOT, 0), (4, EMPTY, 0, durable))
    assert isinstance(outcome(disk), CorruptLog) == refused


def test_a_torn_tail_is_kept_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remains of a torn batch are copied whole to a file that the report names."""
    monkeypatch.setattr(recovery, "_CHUNK_BYTES", FRAME.size + 9)
    written = Written(batches=4, segment_bytes=10_000)
    name = written.names[-1]
    start = written.frames(name)[-2]
    damaged = bytearray(written.octets(name))
    damaged[start] ^= 1
    disk = written.with_file(name, bytes(damaged))
    (report,) = Owner(disk).reports
    broken = f"{name}.{start}.broken"
    assert broken in report
    assert disk.names[f"{DIRECTORY}/{broken}"].durable == damaged[start:]
    assert len(disk.names[f"{DIRECTORY}/{name}"].durable) == start
    assert Owner(disk.copy()).reports == [], "said once"


@pytest.mark.parametrize(
    ("salt", "number", "chained"), [(98, 2, True), (99, 2, False), (99, 1, True)]
)
def test_an_old_frame_in_a_recycled_file_stays_dead(salt: int, number: int, chained: bool) -> None:
    """A sound frame where the log ends is not read with another salt, chain or number."""
    disk = forged((1, EMPTY, frame_format.SNAPSHOT, 0))
    file = disk.names[f"{DIRECTORY}/{frame_format.segment_name(1)}"]
    last = frame_format.parse_frame(bytes(file.current), 99, HEADER.size)
    assert last is not None
    operation = Gathering()
    operation.operations = [b"declare 1"]
    payload = operation.encode()
    chain = last.crc if chained else last.crc ^ 1
    frame, _ = frame_format.encode_frame(number, 0, payload, chain, salt)
    file.write(len(file.current), frame + payload)
    assert Owner(disk).queues == {}


def test_leftovers_are_tidied() -> None:
    """Drafts and spares in excess go; files of others stay."""
    disk = Written().disk.copy()
    for name in ("7.new", "1.spare", "2.spare", "3.spare", "notes.txt", "x.log"):
        disk.names[f"{DIRECTORY}/{name}"] = File(b"?")
    Owner(disk)
    names = disk.list_directory(DIRECTORY)
    assert sum(name.endswith(".spare") for name in names) == 1, "two adopted, one of them in use"
    assert "7.new" not in names
    assert {"notes.txt", "x.log"} <= set(names)
