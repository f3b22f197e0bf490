"""Single messages are read back as they were written, with little kept in between."""

from collections.abc import Sequence

import pytest

from broker.wal import CorruptLog, reader
from broker.wal.frame import FRAME, HEADER, Chain
from broker.wal.reader import Reader
from broker.wal.record import Gathering, Stored
from tests.faults import MemoryDisk

MESSAGES = 40
CONTENT = 300  # octets, about


def content(message_id: int) -> bytes:
    """What a message holds."""
    return b"%06d" % message_id * (CONTENT // 6)


class Segments:
    """Segment files of a few frames, each of ``MESSAGES`` messages, and a reader of them."""

    def __init__(self, segments: int = 1, frames: int = 1, *, shuffled: bool = False) -> None:
        self.disk = MemoryDisk()
        self.places: dict[int, tuple[str, int]] = {}  # of batches
        self.ids: dict[int, list[int]] = {}
        chain = Chain(0, bytes)
        for segment in range(segments):
            first = segment * frames + 1
            name = f"{first:020d}.log"
            octets = bytearray(chain.segment(first, Gathering().encode())[: HEADER.size])
            for number in range(first, first + frames):
                self.places[number] = name, len(octets)
                payload = self._payload(number, shuffled=shuffled)
                octets += chain.frame(number, 0, payload) + payload
            fd = self.disk.open(f"data/{name}", create=True)
            self.disk.save(fd, octets, 0)
            self.disk.close(fd)
        self.reader = Reader(self.disk, "data")

    def _payload(self, number: int, *, shuffled: bool) -> bytes:
        ids = [number * 1000 + each for each in range(MESSAGES)]
        self.ids[number] = ids
        gathering = Gathering()
        gathering.routes = {(b"even", (1,)): 0, (b"odd", (1, 2)): 1}
        for id_ in reversed(ids) if shuffled else ids:
            gathering.publish_route.append(id_ % 2)
            gathering.publish_id.append(id_)
            gathering.publish_ms.append(id_ + 5)
            gathering.publish_detail.append(id_ + 7)
            gathering.contents.append(content(id_))
        return gathering.encode()

    def read(self, number: int, ids: Sequence[int], *, verify: bool = False) -> list[Stored]:
        """Messages of a batch."""
        return self.reader.read(*self.places[number], number, ids, verify=verify)

    def damage(self, number: int, message_id: int) -> None:
        """Change an octet of what a message holds."""
        name, _ = self.places[number]
        file = self.disk.names[f"data/{name}"]
        file.write(file.current.index(content(message_id)), b"!")


def expected(ids: Sequence[int]) -> list[Stored]:
    """What these messages are."""
    return [Stored(b"odd" if id_ % 2 else b"even", id_ + 5, id_ + 7, content(id_)) for id_ in ids]


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("probe_bytes", [100, 1 << 15])
@pytest.mark.parametrize("gap_bytes", [1, CONTENT, 1 << 12])
def test_messages_are_read_in_the_order_asked_for(
    monkeypatch: pytest.MonkeyPatch, shuffled: bool, probe_bytes: int, gap_bytes: int
) -> None:
    """One, some or all, in whatever order they stand in the frame, and however it is read."""
    monkeypatch.setattr(reader, "_PROBE_BYTES", probe_bytes)
    monkeypatch.setattr(reader, "SPAN_GAP_BYTES", gap_bytes)
    for step in (40, 13, 1):
        segments = Segments(2, 2, shuffled=shuffled)
        for number in (3, 1, 2, 4, 1):
            ids = segments.ids[number][::step]
            assert segments.read(number, ids) == expected(ids)
            assert segments.read(number, ids[::-1]) == expected(ids[::-1])


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many segments and frames are read: so many descriptors, heads and one payload."""
    monkeypatch.setattr(reader, "HEADS_MAX", 5)
    monkeypatch.setattr(reader, "FILES_MAX", 3)
    segments = Segments(7, 3)
    for number in [*segments.places, *reversed(segments.places)]:
        ids = segments.ids[number]
        assert segments.read(number, ids) == expected(ids)
        kept = segments.reader
        assert len(kept._files) == len(segments.disk.descriptors) <= 3
        assert len(kept._heads) <= 5
    segments.reader.close()
    assert not segments.disk.descriptors


def test_a_large_payload_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is verified once, and then read in pieces."""
    monkeypatch.setattr(reader, "PAYLOAD_BYTES_MAX", 10)
    segments = Segments()
    ids = segments.ids[1]
    assert segments.read(1, ids) == expected(ids)
    assert segments.reader._payload is None
    assert segments.read(1, ids[3:20]) == expected(ids[3:20])


def test_a_retired_segment_is_let_go_of() -> None:
    """Nothing of it is kept: neither its descriptor, nor heads, nor the payload read last."""
    segments = Segments(2, 2)
    for number in (3, 4, 1, 2):
        segments.read(number, segments.ids[number])
    gone, left = segments.places[1][0], segments.places[3][0]
    segments.reader.forget([gone])
    segments.disk.unlink(f"data/{gone}")
    assert len(segments.disk.descriptors) == 1
    assert {name for name, _ in segments.reader._heads} == {left}
    with pytest.raises(FileNotFoundError):
        segments.read(1, segments.ids[1])
    assert segments.read(3, segments.ids[3]) == expected(segments.ids[3])


def test_a_good_part_is_verified() -> None:
    """Damage anywhere in a frame is noticed by who reads much of it, or asks for it."""
    for damaged in (0, MESSAGES - 1):
        for ids, verify in ((slice(10, 20), False), (slice(10, 11), True)):
            segments = Segments()
            segments.damage(1, segments.ids[1][damaged])
            with pytest.raises(CorruptLog, match="batch 1 is damaged"):
                segments.read(1, segments.ids[1][ids], verify=verify)


def test_one_message_of_many_is_read_alone() -> None:
    """Who wants a single one has no other octets read than the head and its own."""
    segments = Segments()
    ids = segments.ids[1]
    segments.damage(1, ids[0])
    assert segments.read(1, ids[30:31]) == expected(ids[30:31])


@pytest.mark.parametrize("damage", ["header", "frame", "head", "end", "other batch", "other id"])
def test_what_is_not_there_is_told(damage: str) -> None:
    """A segment that does not hold what it should is named, and no descriptor is lost."""
    segments = Segments()
    name, offset = segments.places[1]
    file = segments.disk.names[f"data/{name}"]
    ids, number = [segments.ids[1][20]], 1
    if damage == "header":
        file.write(9, b"\xff")
    elif damage == "frame":
        file.write(offset + 9, b"\xff")
    elif damage == "head":
        file.write(offset + FRAME.size + 4, b"\xff" * 8)
    elif damage == "end":
        file.truncate(offset + FRAME.size + 1700)
    elif damage == "other batch":
        number = segments.places.setdefault(2, segments.places[1]) and 2
    else:
        ids = [17]
    with pytest.raises(CorruptLog, match=name):
        segments.read(number, ids)
    segments.reader.close()
    assert not segments.disk.descriptors


def test_a_segment_that_cannot_be_read_leaves_no_descriptor_open() -> None:
    """The one that was opened for it is closed."""
    segments = Segments()
    segments.disk.faults[segments.disk.calls + 2] = "eio"
    with pytest.raises(OSError, match="input/output"):
        segments.read(1, segments.ids[1])
    assert not segments.disk.descriptors
