"""Headers, and the files of an open log."""

import errno
from collections.abc import Sequence

import pytest

from broker.wal import frame as frame_format
from broker.wal.bounds import read_bounds
from broker.wal.disk import Buffer
from broker.wal.frame import FRAME, HEADER
from broker.wal.index import index_name
from broker.wal.segment import SegmentWriter
from tests.faults import File, MemoryDisk

DIRECTORY = "data"


def writer(disk: MemoryDisk) -> SegmentWriter:
    """Segments of 100 octets, on a disk; its calls are counted from here."""
    files = SegmentWriter(disk, DIRECTORY, 100)
    faults, disk.faults = disk.faults, {}
    files.tidy()
    disk.trace.clear()
    disk.calls, disk.faults = 0, faults
    return files


def octets(disk: MemoryDisk, name: str) -> bytes:
    """What is durable of a file."""
    return bytes(disk.durable_names[f"{DIRECTORY}/{name}"].durable)


def test_header_round_trip() -> None:
    """A segment header is read as it was written, and its crc begins the chain."""
    header, crc = frame_format.encode_header(42, 7, 9)
    assert len(header) == HEADER.size
    assert frame_format.parse_header(header) == (42, 7, 9, crc)


def test_frame_round_trip() -> None:
    """A frame header is read as it was written, wherever it stands."""
    header, crc = frame_format.encode_frame(5, 4, b"payload", 3, 7, frame_format.SNAPSHOT)
    frame = frame_format.parse_frame(b"xx" + header, 7, 2)
    assert frame is not None
    assert (frame.number, frame.durable, frame.is_snapshot) == (5, 4, True)
    assert (frame.length, frame.chain, frame.crc) == (7, 3, crc)


def test_every_bit_of_a_header_counts() -> None:
    """Neither kind of header is believed with a bit flipped or an octet missing."""
    header, _ = frame_format.encode_header(42, 7, 9)
    frame, _ = frame_format.encode_frame(5, 4, b"payload", 3, 7)
    for at in range(len(header)):
        assert isinstance(frame_format.parse_header(header[:at]), str)
        for bit in range(8):
            damaged = bytearray(header)
            damaged[at] ^= 1 << bit
            assert isinstance(frame_format.parse_header(bytes(damaged)), str)
    for at in range(len(frame)):
        assert frame_format.parse_frame(frame[:at], 7) is None
        for bit in range(8):
            damaged = bytearray(frame)
            damaged[at] ^= 1 << bit
            assert frame_format.parse_frame(bytes(damaged), 7) is None


@pytest.mark.parametrize("first_batch", [0, 1 << 63, (1 << 64) - 1])
def test_impossible_batch_numbers_are_refused(first_batch: int) -> None:
    """Number 0 means "not logged", and a log must be able to count on."""
    header, _ = frame_format.encode_header(first_batch, 7, 9)
    assert isinstance(frame_format.parse_header(header), str)


def test_a_segment_is_durable_before_it_has_its_name() -> None:
    """First the octets, then the name, then the directory; then the bounds may speak of it."""
    disk = MemoryDisk()
    writer(disk).begin(1, b"beginning", 0)
    named = ["open", "size", "write", "rename", "sync_directory"]
    assert disk.trace == [*named, "open", "write", "open of an index"]
    assert read_bounds(disk, DIRECTORY) == (1, 1, 0)
    assert octets(disk, frame_format.segment_name(1)).startswith(b"beginning")


def test_small_writes_take_room_along() -> None:
    """The file grows in steps, so that most writes stay inside it; behind the end are zeros."""
    disk = MemoryDisk()
    files = writer(disk)
    files.begin(1, b"x" * 10, 0)
    name = frame_format.segment_name(1)
    sizes = [len(octets(disk, name))]
    for _ in range(20):
        files.append(b"y" * 60, b"y" * 40, b"")
        sizes.append(len(octets(disk, name)))
    assert sizes[0] == 1010
    assert len(set(sizes)) == 3
    assert octets(disk, name).rstrip(b"\0") == b"x" * 10 + b"y" * 2000
    files.append(b"z" * 5000, b"", b"")
    assert len(octets(disk, name)) == 7010 + FRAME.size, "a large write does not"


def test_a_short_write_is_continued() -> None:
    """What the kernel did not take at once is written after it."""
    disk = MemoryDisk({3: "short", 9: "short", 10: "short"})
    files = writer(disk)
    files.begin(1, b"beginning", 0)
    files.append(b"abcdefgh" * 200, b"ij", b"")
    written = b"beginning" + b"abcdefgh" * 200 + b"ij"
    assert disk.trace.count("write") == 5, "of the first write the padding was left out"
    assert octets(disk, frame_format.segment_name(1)).rstrip(b"\0") == written


class FullDisk(MemoryDisk):
    """A disk with room for some octets of each file."""

    room = 0

    def write(self, fd: int, parts: Sequence[Buffer], offset: int) -> int:
        """Write what there is room for."""
        fitting = b"".join(parts)[: max(0, self.room - offset)]
        if not fitting:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(fd, [fitting], offset)


def test_a_full_disk_need_not_take_the_padding() -> None:
    """The last octets of a disk are good for a frame; only then is it full."""
    disk = FullDisk()
    disk.room = 100
    files = writer(disk)
    files.begin(1, b"x" * 10, 0)
    files.append(b"y" * 90, b"", b"")
    assert octets(disk, frame_format.segment_name(1)) == b"x" * 10 + b"y" * 90
    with pytest.raises(OSError, match="no space"):
        files.append(b"z", b"", b"")


def test_retired_segments_become_spares_first() -> None:
    """Two are kept to be written over, unless they are huge; the others go."""
    disk = MemoryDisk()
    files = writer(disk)
    names = [frame_format.segment_name(number) for number in range(1, 6)]
    for name in names:
        disk.names[f"{DIRECTORY}/{name}"] = File(b"old" * (100 if name == names[1] else 10))
    files.retire(names[:4], 5)
    assert read_bounds(disk, DIRECTORY).first == 5
    left = sorted(name for name in disk.durable_names if not name.endswith("/bounds"))
    spares = [f"{DIRECTORY}/{name.removesuffix('.log')}.spare" for name in (names[0], names[2])]
    assert left == sorted([*spares, f"{DIRECTORY}/{names[4]}"])
    files.begin(9, b"new", 0)
    assert octets(disk, frame_format.segment_name(9))[:6] == b"new\0\0\0"
    assert len(files.spares) == 1
    unsynced = [name for change in disk.unsynced_names for name, _ in change]
    assert unsynced == [f"{DIRECTORY}/{index_name(frame_format.segment_name(9))}"]


def test_each_retirement_is_durable_before_the_next() -> None:
    """A crash never leaves a hole: segments go in order."""
    disk = MemoryDisk()
    files = writer(disk)
    names = [frame_format.segment_name(number) for number in range(1, 4)]
    for name in names:
        disk.names[f"{DIRECTORY}/{name}"] = File()
    files.retire(names, 4)
    changes = [
        call for call in disk.trace if call in ("write", "rename", "unlink", "sync_directory")
    ]
    going = ["rename", "sync_directory"] * 2 + ["unlink", "sync_directory"]
    assert changes == ["write", *going], "first the bounds say that they are not needed"


def test_only_segments_count_as_such() -> None:
    """The order of the log is that of the names; other files are left out."""
    names = ["x.log", "00000000000000000010.log", "00000000000000000002.log", "lock"]
    names += ["00000000000000000002.log.9.broken", "00000000000000000001.spare"]
    assert frame_format.segment_names(names) == [
        "00000000000000000002.log",
        "00000000000000000010.log",
    ]
