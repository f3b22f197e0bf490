"""A disk in memory that knows what is durable, and can fail or lose power at any call.

It is harsher than a real one, within what POSIX allows:

* a power cut keeps of the writes that were not synced any set of 512-octet sectors;
* a name that was created, renamed or removed since the last sync of its directory may be the old
  or the new one, each on its own;
* a sync that fails leaves the data readable from memory, but the disk never gets it.
"""

import errno
from collections.abc import Callable, Sequence
from random import Random

from broker.wal import DirectoryInUse, Disk

SECTOR = 512
INDEX = " of an index"  # in the names of calls: their failing is of no consequence
MODIFYING = frozenset({"write", "truncate", "rename", "unlink", "sync"})

Buffer = bytes | memoryview


class PowerCut(BaseException):
    """The machine is gone: no code runs after this."""


class File:
    """An inode: what is on disk, what reads see, and the writes in between."""

    def __init__(self, octets: bytes = b"") -> None:
        self.durable = bytearray(octets)
        self.current = bytearray(octets)
        self.unsynced: list[tuple[int, bytes | None]] = []  # offset and octets; None: cut there

    def write(self, offset: int, octets: bytes) -> None:
        """Reach the memory of the machine."""
        _write(self.current, offset, octets)
        self.unsynced.append((offset, octets))

    def truncate(self, length: int) -> None:
        """Cut, in the memory of the machine."""
        _truncate(self.current, length)
        self.unsynced.append((length, None))

    def sync(self) -> None:
        """Reach the disk."""
        for offset, octets in self.unsynced:
            if octets is None:
                _truncate(self.durable, offset)
            else:
                _write(self.durable, offset, octets)
        self.unsynced = []

    def copy(self) -> "File":
        """The same, for another machine to go on with."""
        file = File()
        file.durable, file.current = bytearray(self.durable), bytearray(self.current)
        file.unsynced = list(self.unsynced)
        return file

    def after_power_cut(self, random: Random) -> "File":
        """What the disk may hold afterwards."""
        image = bytearray(self.durable)
        for offset, octets in self.unsynced:
            if octets is None:
                if random.random() < 0.5:
                    _truncate(image, offset)
                continue
            keep = random.choice((0.0, 1.0, random.random()))
            at = 0
            while at < len(octets):
                end = at + SECTOR - (offset + at) % SECTOR
                if random.random() < keep:
                    _write(image, offset + at, octets[at:end])
                at = end
        return File(bytes(image))


class MemoryDisk(Disk):
    """See the module. ``calls`` counts; ``faults`` says which call fails and how.

    A fault is ``eio``, ``enospc``, ``short`` (a write that does half), ``cut`` (power), ``erofs``
    (the file system is read-only from here on) or ``emfile``. A call that cannot fail so fails
    with ``eio``.
    """

    def __init__(self, faults: dict[int, str] | None = None) -> None:
        self.calls = 0
        self.faults = faults or {}
        self.trace: list[str] = []
        self.names: dict[str, File] = {}
        self.durable_names: dict[str, File] = {}
        self.unsynced_names: list[list[tuple[str, File | None]]] = []
        self.descriptors: dict[int, File] = {}
        self.indexes: set[int] = set()  # descriptors of indexes: their calls have other names
        self.locks: dict[int, str] = {}
        self.dead = False
        self.is_read_only = False
        self._next_fd = 3

    def after_power_cut(self, random: Random) -> "MemoryDisk":
        """The disk as the next boot finds it."""
        disk = MemoryDisk()
        names = dict(self.durable_names)
        for change in self.unsynced_names:
            if random.random() < 0.5:
                _rename(names, change)
        files = {file: file.after_power_cut(random) for file in names.values()}
        disk.names = {name: files[file] for name, file in names.items()}
        disk.durable_names = dict(disk.names)
        return disk

    def after_total_loss(self) -> "MemoryDisk":
        """The disk after a power cut that took every octet and name that was not synced."""
        disk = MemoryDisk()
        disk.names = {name: File(bytes(file.durable)) for name, file in self.durable_names.items()}
        disk.durable_names = dict(disk.names)
        return disk

    def after_kill(self) -> "MemoryDisk":
        """The disk as the next process finds it: the machine still remembers everything."""
        disk = MemoryDisk()
        changed = [file for change in self.unsynced_names for _, file in change if file is not None]
        known = {*self.names.values(), *self.durable_names.values(), *changed}
        files: dict[File | None, File | None] = {file: file.copy() for file in known}
        files[None] = None
        disk.names = {name: files[file] for name, file in self.names.items()}
        disk.durable_names = {name: files[file] for name, file in self.durable_names.items()}
        disk.unsynced_names = [
            [(name, files[file]) for name, file in change] for change in self.unsynced_names
        ]
        return disk

    def copy(self) -> "MemoryDisk":
        """An equal disk, all of it durable."""
        disk = MemoryDisk()
        disk.names = {name: File(bytes(file.current)) for name, file in self.names.items()}
        disk.durable_names = dict(disk.names)
        return disk

    def _call(self, name: str, interrupted: Callable[[], None] | None = None) -> str | None:
        """Count a call; fail it if it is its turn. ``interrupted`` is what power cuts in half."""
        if self.dead:
            raise PowerCut
        self.calls += 1
        self.trace.append(name)
        fault = self.faults.get(self.calls)
        if fault == "cut":
            self.dead = True
            if interrupted is not None:
                interrupted()
            raise PowerCut
        if fault == "erofs" or (self.is_read_only and name in MODIFYING):
            self.is_read_only = True
            raise OSError(errno.EROFS, "read-only file system")
        if fault == "emfile":
            raise OSError(errno.EMFILE, "too many open files")
        if fault is not None and name != "write":
            raise OSError(errno.EIO, "input/output error")
        return fault

    def make_directory(self, path: str) -> None:
        """See ``Disk``; directories are there always."""

    def list_directory(self, path: str) -> list[str]:
        """See ``Disk``."""
        self._call("list_directory")
        return [name.removeprefix(path + "/") for name in self.names]

    def lock(self, path: str) -> int:
        """See ``Disk``."""
        self._call("lock")
        if path in self.locks.values():
            raise DirectoryInUse(path)
        fd = self._descriptor(File())
        self.locks[fd] = path
        return fd

    def _descriptor(self, file: File) -> int:
        self._next_fd += 1
        self.descriptors[self._next_fd] = file
        return self._next_fd

    def open(self, path: str, *, create: bool = False) -> int:
        """See ``Disk``."""
        self._call("open" + _kind(path))
        if path not in self.names:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "no such file", path)
            self._change([(path, File())])
        file = self.names[path]
        if create and file.current:
            file.truncate(0)
        fd = self._descriptor(file)
        if _kind(path):
            self.indexes.add(fd)
        return fd

    def _change(self, change: list[tuple[str, File | None]]) -> None:
        _rename(self.names, change)
        self.unsynced_names.append(change)

    def close(self, fd: int) -> None:
        """See ``Disk``."""
        del self.descriptors[fd]
        self.indexes.discard(fd)
        self.locks.pop(fd, None)

    def _kind_of(self, fd: int) -> str:
        return INDEX if fd in self.indexes else ""

    def size(self, fd: int) -> int:
        """See ``Disk``."""
        self._call("size" + self._kind_of(fd))
        return len(self.descriptors[fd].current)

    def read(self, fd: int, length: int, offset: int) -> bytes:
        """See ``Disk``."""
        self._call("read" + self._kind_of(fd))
        return bytes(self.descriptors[fd].current[offset : offset + length])

    def write(self, fd: int, parts: Sequence[Buffer], offset: int) -> int:
        """See ``Disk``."""
        file = self.descriptors[fd]
        octets = b"".join(parts)
        fault = self._call("write", lambda: file.write(offset, octets))
        if fault in ("enospc", "short") and len(octets) > 1:
            octets = octets[: len(octets) // 2]
            if fault == "enospc":
                self.faults[self.calls + 1] = "full"
        elif fault == "full":
            raise OSError(errno.ENOSPC, "no space left on device")
        file.write(offset, octets)
        if fault == "eio":
            self._fail_sync(file)
        file.sync()
        return len(octets)

    def _fail_sync(self, file: File) -> None:
        file.unsynced = []
        raise OSError(errno.EIO, "input/output error")

    def save(self, fd: int, octets: Buffer, offset: int) -> None:
        """See ``Disk``."""
        file = self.descriptors[fd]
        fault = self._call("save" + self._kind_of(fd), lambda: file.write(offset, bytes(octets)))
        assert fault is None, "any fault but a power cut was raised"
        file.write(offset, bytes(octets))

    def expect_read(self, fd: int, length: int, offset: int) -> None:
        """See ``Disk``; nothing is quicker than memory."""

    def sync(self, fd: int) -> None:
        """See ``Disk``."""
        self._call("sync")
        self.descriptors[fd].sync()

    def truncate(self, fd: int, length: int) -> None:
        """See ``Disk``."""
        file = self.descriptors[fd]
        self._call("truncate", lambda: file.truncate(length))
        file.truncate(length)

    def drop_cache(self, fd: int) -> None:
        """See ``Disk``."""
        self._call("drop_cache")
        file = self.descriptors[fd]
        if not file.unsynced:
            file.current = bytearray(file.durable)

    def rename(self, old: str, new: str) -> None:
        """See ``Disk``."""
        change = [(old, None), (new, self.names[old])]
        self._call("rename", lambda: self._change(change))
        self._change(change)

    def unlink(self, path: str) -> None:
        """See ``Disk``."""
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        self._call("unlink" + _kind(path), lambda: self._change([(path, None)]))
        self._change([(path, None)])

    def sync_directory(self, path: str) -> None:
        """See ``Disk``."""
        self._call("sync_directory")
        self.durable_names = dict(self.names)
        self.unsynced_names = []


def _kind(path: str) -> str:
    return INDEX if path.endswith(".index") else ""


def _write(octets: bytearray, offset: int, piece: bytes) -> None:
    if len(octets) < offset:
        octets.extend(bytes(offset - len(octets)))
    octets[offset : offset + len(piece)] = piece


def _truncate(octets: bytearray, length: int) -> None:
    if len(octets) < length:
        octets.extend(bytes(length - len(octets)))
    del octets[length:]


def _rename(names: dict[str, File], change: list[tuple[str, File | None]]) -> None:
    for name, file in change:
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file
