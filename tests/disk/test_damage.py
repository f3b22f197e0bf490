"""Damaged logs: a start refuses and says where and what to do, or it has all that was confirmed."""

import zlib
from collections.abc import Callable

import pytest
from pamqp import commands

from broker.advice import advice
from broker.wal import LogFailed, WalError
from broker.wal.frame import FRAME, HEADER, MAGIC, VERSION, parse_frame, segment_names
from tests.disk.scene import Scene
from tests.faults import INDEX, File, MemoryDisk
from tests.world import DIRECTORY


class Files:
    """The segments of a disk, to be damaged."""

    def __init__(self, disk: MemoryDisk) -> None:
        self.disk = disk
        self.names = segment_names(disk.list_directory(DIRECTORY))

    def octets(self, at: int) -> bytearray:
        """What the segment at a place in the log holds."""
        return self.disk.names[self.path(at)].current

    def path(self, at: int) -> str:
        """Its path."""
        return f"{DIRECTORY}/{self.names[at]}"

    def put(self, path: str, octets: bytes) -> None:
        """Replace a file, durably."""
        self.disk.names[path] = self.disk.durable_names[path] = File(bytes(octets))

    def remove(self, at: int) -> None:
        """Lose a segment."""
        del self.disk.names[self.path(at)], self.disk.durable_names[self.path(at)]

    def flip(self, at: int, offset: int) -> None:
        """Flip a bit of a segment."""
        octets = bytearray(self.octets(at))
        octets[offset] ^= 4
        self.put(self.path(at), octets)

    def frames(self, at: int) -> list[int]:
        """Where the frames of a segment begin, and where the last one ends."""
        octets = bytes(self.octets(at))
        salt = HEADER.unpack_from(octets)[3]
        offsets = [HEADER.size]
        while (frame := parse_frame(octets, salt, offsets[-1])) is not None:
            offsets.append(offsets[-1] + FRAME.size + frame.length)
        return offsets


REFUSED: dict[str, Callable[[Files], None]] = {
    "header of the first segment": lambda files: files.flip(0, 9),
    "header of a middle segment": lambda files: files.flip(2, 17),
    "header of the last segment": lambda files: files.flip(-1, 30),
    "batch of an old segment": lambda files: files.flip(1, files.frames(1)[2] + 60),
    "snapshot of an old segment": lambda files: files.flip(1, HEADER.size + FRAME.size + 5),
    "snapshot of the last segment": lambda files: files.flip(-1, HEADER.size + FRAME.size + 5),
    "last batch of an old segment": lambda files: files.flip(1, files.frames(1)[-1] - 1),
    "batch inside the last segment": lambda files: files.flip(-1, files.frames(-1)[1] + 3),
    "a middle segment lost": lambda files: files.remove(1),
    "a middle segment cut short": lambda files: files.put(
        files.path(1), files.octets(1)[: files.frames(1)[-2]]
    ),
    "a middle segment emptied": lambda files: files.put(files.path(1), b""),
    "the last segment emptied": lambda files: files.put(files.path(-1), b""),
    "two segments swapped": lambda files: (
        first := bytes(files.octets(0)),
        files.put(files.path(0), files.octets(1)),
        files.put(files.path(1), first),
    )[-1],
    "a segment twice": lambda files: files.put(f"{DIRECTORY}/{10**6:020d}.log", files.octets(1)),
    "another file in place of a segment": lambda files: files.put(files.path(1), b"letter" * 999),
    "a segment of a newer version": lambda files: files.put(files.path(0), newer()),
}


def newer() -> bytes:
    """A header of a version to come."""
    fields = HEADER.pack(MAGIC, VERSION + 1, 1, 1, 0, 0)[:-4]
    return fields + zlib.crc32(fields).to_bytes(4, "little") + bytes(1000)


@pytest.mark.parametrize("name", REFUSED)
def test_damage_is_refused(name: str) -> None:
    """What no interrupted write can have caused keeps the broker from starting, in words."""
    scene = Scene()
    scene.fill()
    while len(Files(scene.world.disk).frames(-1)) < 5:
        scene.say(scene.publish("q"))
    disk = scene.world.disk.after_kill()
    for path in [path for path in disk.names if path.endswith(".index")]:
        disk.unlink(path)
    REFUSED[name](Files(disk))
    with pytest.raises(WalError) as caught:
        scene.world.restart(disk)
    text = f"{caught.value}; {advice(caught.value)}"
    assert ".log, offset " in text or "version" in text
    assert "leveret.data_dir" in text
    assert "leveret log verify" in text or "newer Leveret" in text


@pytest.mark.parametrize("name", [name for name in REFUSED if "batch of an old" in name])
def test_damage_behind_an_index_ends_the_broker_in_words(name: str) -> None:
    """With an index old batches are not read at the start: whoever reads the damage is told."""
    scene = Scene()
    scene.fill()
    disk = scene.world.disk.after_kill()
    REFUSED[name](Files(disk))

    def read_everything() -> None:
        scene.world.restart(disk)
        for queue in scene.world.broker.vhosts["/"].keepers():
            list(queue.backlog.browse())

    with pytest.raises(WalError) as caught:
        read_everything()
    text = f"{caught.value}; {advice(caught.value)}"
    assert ".log, offset " in text
    assert "leveret log verify" in text


HARMLESS: dict[str, Callable[[Files], None]] = {
    "octets behind the last batch": lambda files: files.flip(-1, files.frames(-1)[-1] + 9),
    "a draft left over": lambda files: files.put(f"{DIRECTORY}/{10**6:020d}.new", b"draft"),
    "spares with anything in them": lambda files: files.put(f"{DIRECTORY}/1.spare", b"spare" * 99),
    "files of others": lambda files: files.put(f"{DIRECTORY}/notes.txt", b"notes"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_damage(name: str) -> None:
    """What was never promised may be damaged: everything confirmed is there."""
    scene = Scene()
    scene.fill()
    disk = scene.world.disk.after_kill()
    HARMLESS[name](Files(disk))
    scene.audit(disk)


def test_the_last_batch_is_cut_off_aloud() -> None:
    """The newest batch of all could be a torn write: it goes, is kept aside, and this is said."""
    scene = Scene()
    scene.fill()
    before = scene.frozen()
    scene.say(scene.publish("q"))
    disk = scene.world.disk.after_kill()
    files = Files(disk)
    files.flip(-1, files.frames(-1)[-1] - 1)
    before.published = scene.published
    before.audit(disk)
    (report,) = scene.world.reports
    assert files.names[-1] in report
    assert ".broken" in report
    assert any(name.endswith(".broken") for name in disk.names)


def test_a_directory_that_cannot_be_read() -> None:
    """An error of the disk at a start is an error in words, and nothing is changed."""
    scene = Scene()
    scene.fill()
    scene.settle("q", commands.Basic.Ack)
    disk = scene.world.disk.after_kill()
    refused = 0
    for call in range(1, 12):
        number = disk.calls + call
        disk.faults = {number: "eio"}
        disk.locks.clear()
        try:
            scene.world.restart(disk)
        except LogFailed as failure:
            refused += "kernel's log" in advice(failure)
        else:
            assert disk.trace[number - 1].endswith(INDEX)
    assert refused > 6
    scene.audit(disk.after_kill())
