"""The index of a segment: a help that is right or not used."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.wal import index
from broker.wal.frame import FRAME, Header, encode_frame
from broker.wal.index import IndexWriter, index_name, read_index
from tests.faults import MemoryDisk

SEGMENT = f"{7:020d}.log"
PATH = "data/" + index_name(SEGMENT)
HEADER = Header(first_batch=7, salt=99, chain=0, crc=0)
HEADS = [b"a head", b"", b"\xff" * 100]


def written(disk: MemoryDisk, heads: Sequence[bytes] = HEADS, *, seal: bool = True) -> None:
    """An index of frames with these heads."""
    writer = IndexWriter(disk, "data")
    writer.begin(SEGMENT, HEADER.first_batch, HEADER.salt)
    for number, head in enumerate(heads):
        frame, _ = encode_frame(7 + number, 6, b"payload", 0, HEADER.salt)
        writer.add(frame, head)
    if seal:
        writer.seal()
    else:
        writer.abandon()


def read(disk: MemoryDisk, header: Header = HEADER) -> list[tuple[int, bytes]] | None:
    """The batch numbers and heads it tells of."""
    found = read_index(disk, "data", SEGMENT, header)
    return None if found is None else [(each.frame.number, each.head) for each in found]


@pytest.mark.parametrize("buffer_bytes", [0, 1 << 20])
@pytest.mark.parametrize("heads", [HEADS, []])
def test_an_index_tells_the_frames(
    monkeypatch: pytest.MonkeyPatch, buffer_bytes: int, heads: list[bytes]
) -> None:
    """What was added comes back, however it was buffered, and no descriptor stays open."""
    monkeypatch.setattr(index, "_BUFFER_BYTES", buffer_bytes)
    disk = MemoryDisk()
    written(disk, heads)
    assert read(disk) == [(7 + number, head) for number, head in enumerate(heads)]
    assert not disk.descriptors


@given(st.data())
def test_a_damaged_index_is_not_used(data: st.DataObject) -> None:
    """Any changed octets, wherever they are, and any cut leave an index that nobody trusts."""
    disk = MemoryDisk()
    written(disk)
    octets = bytes(disk.names[PATH].current)
    at = data.draw(st.integers(0, len(octets) - 1))
    if data.draw(st.booleans()):
        disk.names[PATH].truncate(at)
    else:
        piece = data.draw(st.binary(min_size=1, max_size=min(4, len(octets) - at)))
        disk.names[PATH].write(at, piece)
        if bytes(disk.names[PATH].current) == octets:
            return
    assert read(disk) is None


def test_an_unfinished_index_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its trailer it may lack frames."""
    monkeypatch.setattr(index, "_BUFFER_BYTES", 0)
    disk = MemoryDisk()
    written(disk, seal=False)
    assert len(disk.names[PATH].current) > FRAME.size
    assert read(disk) is None
    assert read(MemoryDisk()) is None, "none at all"


@pytest.mark.parametrize("change", [{"salt": 98}, {"first_batch": 8}])
def test_an_index_fits_one_segment_only(change: dict[str, int]) -> None:
    """An index of another segment of that name is not used."""
    disk = MemoryDisk()
    written(disk)
    assert read(disk, HEADER._replace(**change)) is None


@pytest.mark.parametrize("buffer_bytes", [0, 1 << 20])
def test_faults_in_writing_are_of_no_consequence(
    monkeypatch: pytest.MonkeyPatch, buffer_bytes: int
) -> None:
    """Whichever call fails, nothing is raised, and the index is whole or not used."""
    monkeypatch.setattr(index, "_BUFFER_BYTES", buffer_bytes)
    sound = MemoryDisk()
    written(sound)
    for call in range(1, sound.calls + 1):
        disk = MemoryDisk({call: "eio"})
        written(disk)
        assert read(disk) is None
        assert not disk.descriptors


def test_a_fault_in_reading_is_no_index() -> None:
    """What cannot be opened, measured or read is made again from the segment."""
    for call in (1, 2, 3):
        disk = MemoryDisk()
        written(disk)
        disk.faults[disk.calls + call] = "eio"
        assert read(disk) is None
        assert not disk.descriptors
