"""The real disk does what the log relies on. What needs a crash to show is in ``test_crash``."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from broker.wal import REAL_DISK, DirectoryInUse, Disk


def test_write_read_truncate(tmp_path: Path) -> None:
    """Octets are where they were written; a read past the end is short."""
    fd = REAL_DISK.open(str(tmp_path / "file"), create=True)
    assert REAL_DISK.write(fd, [b"ab", memoryview(b"cd")], 3) == 4
    assert REAL_DISK.size(fd) == 7
    assert REAL_DISK.read(fd, 100, 2) == b"\0abcd"
    REAL_DISK.truncate(fd, 4)
    REAL_DISK.sync(fd)
    REAL_DISK.drop_cache(fd)
    assert REAL_DISK.read(fd, 100, 0) == b"\0\0\0a"
    REAL_DISK.close(fd)


def test_create_empties_a_file(tmp_path: Path) -> None:
    """A draft that was left over is begun anew, and nobody else may read it."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.close(REAL_DISK.open(str(path)))
    assert path.read_bytes() == b"old"
    path.unlink()
    os.close(REAL_DISK.open(str(path), create=True))
    assert path.stat().st_mode & 0o077 == 0
    path.write_bytes(b"old")
    os.close(REAL_DISK.open(str(path), create=True))
    assert path.read_bytes() == b""


def test_names(tmp_path: Path) -> None:
    """Directories are made with those above; names are listed, changed and removed."""
    directory = str(tmp_path / "a" / "b")
    REAL_DISK.make_directory(directory)
    REAL_DISK.make_directory(directory)
    os.close(REAL_DISK.open(f"{directory}/x", create=True))
    REAL_DISK.rename(f"{directory}/x", f"{directory}/y")
    REAL_DISK.sync_directory(directory)
    assert REAL_DISK.list_directory(directory) == ["y"]
    REAL_DISK.unlink(f"{directory}/y")
    assert REAL_DISK.list_directory(directory) == []


def test_lock(tmp_path: Path) -> None:
    """A second holder is refused until the first lets go."""
    path = str(tmp_path / "lock")
    first = REAL_DISK.lock(path)
    with pytest.raises(DirectoryInUse, match=f"^{tmp_path} is in use"):
        REAL_DISK.lock(path)
    REAL_DISK.close(first)
    REAL_DISK.close(REAL_DISK.lock(path))


@pytest.mark.parametrize("flags", ["none", "refused"])
def test_a_write_without_the_flag_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str
) -> None:
    """Where writing and syncing are not one call, they are two."""
    synced: list[int] = []
    real = os.pwritev

    def refuse(fd: int, parts: Sequence[bytes], offset: int, *flags: int) -> int:
        if flags:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(fd, parts, offset)

    monkeypatch.setattr(os, "pwritev", refuse)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    disk = Disk()
    disk._write_flags = 0 if flags == "none" else disk._write_flags
    fd = disk.open(str(tmp_path / "file"), create=True)
    assert disk.write(fd, [b"abc"], 0) == 3
    assert disk.write(fd, [b"def"], 3) == 3
    assert synced == [fd, fd]
    disk.close(fd)


def test_other_write_errors_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a missing feature is worked around; a failed write is never tried again."""
    calls: list[int] = []

    def fail(*args: object) -> int:
        calls.append(1)
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "pwritev", fail)
    fd = REAL_DISK.open(str(tmp_path / "file"), create=True)
    with pytest.raises(OSError, match="input/output"):
        Disk().write(fd, [b"abc"], 0)
    assert len(calls) == 1
    REAL_DISK.close(fd)
