"""Messages outside the log: kept while a frame is needed, and not for longer."""

import pytest

from broker.wal import LogFailed, Scratch, scratch
from tests.faults import MemoryDisk

Entry = tuple[int, bytes, int, int, bytes]


def entries(*ids: int) -> list[Entry]:
    """Messages of these ids, each with a content of its own."""
    return [(id_, b"to %d" % (id_ % 2), 1000 + id_, id_, b"content %d" % id_) for id_ in ids]


class Scene:
    """A scratch whose files hold one frame each, and what it told of failures."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, disk: MemoryDisk | None = None) -> None:
        monkeypatch.setattr(scratch, "FILE_BYTES", 1)
        self.disk = disk or MemoryDisk()
        self.failures: list[LogFailed] = []
        self.scratch = Scratch(self.disk, "paging", self.failures.append)

    @property
    def files(self) -> int:
        """How many there are."""
        assert len(self.disk.descriptors) == len(self.disk.names), "open is what there is"
        return len(self.disk.names)


def test_messages_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any messages of any frame are read, again and again, until it is freed."""
    scene = Scene(monkeypatch)
    frames = {scene.scratch.write(entries(*ids)): ids for ids in ((1, 2, 5), (3,), (4, 9))}
    for frame, ids in [*frames.items(), *frames.items()]:
        assert scene.scratch.read(frame, ids) == [tuple(rest) for _, *rest in entries(*ids)]
        assert scene.scratch.read(frame, ids[-1:]) == [tuple(entries(ids[-1])[0][1:])]


def test_a_file_goes_with_the_last_of_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is there while one of its frames is needed, or while it is being written."""
    scene = Scene(monkeypatch)
    monkeypatch.setattr(scratch, "FILE_BYTES", 100)  # a frame has more than half of it
    frames = [scene.scratch.write(entries(number)) for number in range(6)]
    assert scene.files == 3
    scene.scratch.free(frames[0])
    assert scene.files == 3
    scene.scratch.free(frames[1])
    assert scene.files == 2
    for frame in frames[2:]:
        scene.scratch.free(frame)
    assert scene.files == 1
    scene.scratch.write(entries(7))
    assert (scene.files, scene.scratch.frames) == (1, 1)
    scene.scratch.close()
    assert scene.files == 0


def test_what_an_earlier_process_left_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in it is of use after a restart; other files are nobody's business."""
    scene = Scene(monkeypatch)
    scene.scratch.write(entries(1))
    scene.disk.open("paging/note", create=True)
    assert list(Scene(monkeypatch, scene.disk.after_kill()).disk.names) == ["paging/note"]


def test_a_failed_write_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames before can be read, and the next write works, whichever call failed."""
    for call in (1, 2):
        scene = Scene(monkeypatch)
        frame = scene.scratch.write(entries(1))
        scene.disk.faults[scene.disk.calls + call] = "enospc"
        with pytest.raises(OSError, match="error"):
            scene.scratch.write(entries(2))
        again = scene.scratch.write(entries(3))
        assert scene.scratch.read(frame, [1])[0].content == b"content 1"
        assert scene.scratch.read(again, [3])[0].content == b"content 3"
        assert scene.failures == []


@pytest.mark.parametrize("how", ["error", "cut", "garbage"])
def test_what_cannot_be_read_back_ends_the_broker(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Messages were lost: that is told, with the name of the file, and never passed over."""
    scene = Scene(monkeypatch)
    frame = scene.scratch.write(entries(1, 2))
    (file,) = scene.disk.names.values()
    if how == "error":
        scene.disk.faults[scene.disk.calls + 1] = "eio"
    elif how == "cut":
        file.truncate(50)
    else:
        file.write(0, b"\xff" * 40)
    with pytest.raises(LogFailed, match=r"00001.*cannot be read"):
        scene.scratch.read(frame, [1])
    assert len(scene.failures) == 1


def test_a_file_that_cannot_be_removed_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is removed at the next start; whoever reads messages back does not notice."""
    scene = Scene(monkeypatch)
    frame, _ = scene.scratch.write(entries(1)), scene.scratch.write(entries(2))
    scene.disk.faults[scene.disk.calls + 1] = "eio"
    scene.scratch.free(frame)
    assert scene.scratch.frames == 1
