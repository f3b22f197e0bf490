"""The room kept for the log: taken when there is some, given up once for a call that needs it."""

import errno
import os
from pathlib import Path

import pytest

from broker.reserve import NAME, Reserve
from broker.wal import REAL_DISK, DirectoryInUse, Disk

OCTETS = 1 << 16


class Made:
    """A reserve in a directory, and how often it said that it is spent."""

    def __init__(self, directory: Path, octets: int = OCTETS) -> None:
        self.spent = 0
        self.file = directory / NAME
        self.reserve = Reserve(octets, self._count)
        self.lock = self.reserve.lock(str(directory / "lock"))

    def _count(self) -> None:
        self.spent += 1


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """One with plenty of room around it."""
    made = Made(tmp_path)
    made.reserve.take(1 << 30)
    return made


def failing(monkeypatch: pytest.MonkeyPatch, number: int, times: int = 1) -> list[str]:
    """Have the next calls of the real disk fail; the names of those that were made."""
    calls: list[str] = []

    def wrap(name: str) -> None:
        real = getattr(Disk, name)

        def call(self: Disk, *arguments: object, **options: object) -> object:
            calls.append(name)
            if len(calls) <= times:
                raise OSError(number, os.strerror(number))
            return real(self, *arguments, **options)

        monkeypatch.setattr(Disk, name, call)

    for name in ("write", "open", "rename", "sync", "sync_directory"):
        wrap(name)
    return calls


def test_room_is_allocated(made: Made) -> None:
    """What is taken is taken: blocks, not only a size."""
    status = made.file.stat()
    assert status.st_size == OCTETS
    assert status.st_blocks * 512 >= OCTETS
    assert not made.reserve.spent


def test_a_full_disk_costs_the_reserve(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call that finds no space is done again, whole, and the owner is told."""
    fd = made.reserve.open(str(tmp_path / "file"), create=True)
    calls = failing(monkeypatch, errno.ENOSPC)
    assert made.reserve.write(fd, [b"ab", b"c"], 0) == 3
    assert (tmp_path / "file").read_bytes() == b"abc"
    assert calls == ["write", "write"]
    assert (made.spent, made.reserve.spent, made.file.stat().st_blocks) == (1, True, 0)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_names_need_room_too(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A file can be created, and given its name, on a disk that was full."""
    failing(monkeypatch, number)
    made.reserve.close(made.reserve.open(str(tmp_path / "new"), create=True))
    made.reserve.take(1 << 30)
    failing(monkeypatch, number)
    made.reserve.rename(str(tmp_path / "new"), str(tmp_path / "named"))
    assert (tmp_path / "named").exists()
    assert made.spent == 2


def test_the_second_time_it_is_final(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing left to give up the error is the caller's."""
    fd = made.reserve.open(str(tmp_path / "file"), create=True)
    failing(monkeypatch, errno.ENOSPC, times=2)
    with pytest.raises(OSError, match="No space"):
        made.reserve.write(fd, [b"a"], 0)
    failing(monkeypatch, errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        made.reserve.write(fd, [b"a"], 0)
    assert made.spent == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
def test_other_errors_are_not_tried_again(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """After an error of the disk nothing is repeated: what it holds is unknown."""
    fd = made.reserve.open(str(tmp_path / "file"), create=True)
    calls = failing(monkeypatch, number)
    with pytest.raises(OSError, match=os.strerror(number)):
        made.reserve.write(fd, [b"a"], 0)
    assert calls == ["write"]
    assert made.spent == 0


def test_a_sync_is_never_repeated(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second sync would "succeed", whatever the first one lost."""
    fd = made.reserve.open(str(tmp_path / "file"), create=True)
    calls = failing(monkeypatch, errno.ENOSPC, times=2)
    with pytest.raises(OSError, match="No space"):
        made.reserve.sync(fd)
    with pytest.raises(OSError, match="No space"):
        made.reserve.sync_directory(str(tmp_path))
    assert calls == ["sync", "sync_directory"]
    assert made.spent == 0


def test_it_is_taken_again_when_there_is_room(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spent reserve stays spent until so much is free that it can be taken."""
    failing(monkeypatch, errno.ENOSPC)
    made.reserve.close(made.reserve.open(str(tmp_path / "file"), create=True))
    made.reserve.take(OCTETS - 1)
    assert made.reserve.spent
    made.reserve.take(OCTETS)
    assert not made.reserve.spent
    assert made.file.stat().st_size == OCTETS


@pytest.mark.parametrize("octets", [0, OCTETS // 2, 2 * OCTETS])
def test_it_outlives_the_process(made: Made, tmp_path: Path, octets: int) -> None:
    """The next process finds the room, and adapts it to its settings."""
    REAL_DISK.close(made.lock)
    again = Made(tmp_path, octets)
    again.reserve.take(max(0, octets - OCTETS))
    assert made.file.stat().st_size == octets


def test_only_the_holder_of_the_lock_touches_it(made: Made, tmp_path: Path) -> None:
    """A second broker on the directory is refused before it changes anything."""
    with pytest.raises(DirectoryInUse):
        Made(tmp_path, 0)
    assert made.file.stat().st_size == OCTETS


def test_without_a_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With none configured a full disk is an error at once."""
    made = Made(tmp_path, 0)
    made.reserve.take(1 << 30)
    failing(monkeypatch, errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        made.reserve.open(str(tmp_path / "file"), create=True)
    assert made.spent == 0
