"""Reads every batch of a log directory without changing it, past damage where there is any.

Recovery stops at the first batch that does not continue the chain. Here that is reported as
``Damage``, and reading goes on with the next sound frame, of the same segment or of a later one.

Invariants: nothing is written; a broker cannot open the directory meanwhile (``held``); where
this reports no damage, recovery finds none.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from broker.wal import Batch, CorruptLog, DirectoryInUse, Disk
from broker.wal.bounds import Bounds, read_bounds
from broker.wal.disk import Buffer
from broker.wal.frame import segment_names
from broker.wal.recovery import Position, SegmentReader


@dataclass(frozen=True, slots=True)
class SegmentBegins:
    """The batches of a segment follow; ``octets`` is the size of its file."""

    name: str
    octets: int


@dataclass(frozen=True, slots=True)
class Found:
    """A sound batch, what it takes in the file, and its payload."""

    batch: Batch
    octets: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where octets are lost that were durable, or a segment is."""

    file: str
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class TornTail:
    """A write that was cut short: never confirmed, and cut off at the next start."""

    file: str
    offset: int


Part = SegmentBegins | Found | Damage | TornTail


class ReadingDisk(Disk):
    """The disk for somebody who must not change anything."""

    def open(self, path: str, *, create: bool = False) -> int:
        """See ``Disk``; never creates."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def write(self, fd: int, parts: Sequence[Buffer], offset: int) -> int:
        """Not here."""
        raise PermissionError("this disk is only read")


def log_directory(path: Path) -> Path:
    """The log of a data directory; a log directory is its own."""
    return path / "log" if (path / "log").is_dir() else path


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Keep brokers out of the directory; ``DirectoryInUse`` if one is in it."""
    try:
        fd = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # a copy
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DirectoryInUse(f"{directory} is in use by a broker") from None
    finally:
        os.close(fd)


def scan(
    directory: Path, advance: Callable[[int], None] = lambda octets: None, disk: Disk | None = None
) -> Iterator[Part]:
    """What is in the log, in order. ``advance`` gets octets as they are done with."""
    disk = disk or ReadingDisk()
    names = segment_names(disk.list_directory(str(directory)))
    position = Position()
    bounds = read_bounds(disk, str(directory))
    try:
        bounds.check_segments(names)
    except CorruptLog as error:
        yield _damage(error)
    for name in names:
        reader = SegmentReader(disk, str(directory), name)
        try:
            yield SegmentBegins(name, disk.size(reader.fd))
            end = bounds if name == names[-1] else None
            yield from _scan_segment(reader, position, advance, end)
        finally:
            disk.close(reader.fd)


def _scan_segment(
    reader: SegmentReader,
    position: Position,
    advance: Callable[[int], None],
    end: Bounds | None,
) -> Iterator[Part]:
    size = reader.disk.size(reader.fd)
    done = 0
    for part in _parts(reader, position, end):
        if isinstance(part, Found):
            advance(part.octets)
            done += part.octets
        yield part
    advance(max(0, size - done))


def _parts(reader: SegmentReader, position: Position, end: Bounds | None) -> Iterator[Part]:
    try:
        reader.enter(position)
    except CorruptLog as error:
        yield _damage(error)
        position.name = ""  # whatever was before, go on with this segment if it has a header
        try:
            reader.enter(position)
        except CorruptLog:
            return
    while True:
        damage: Damage | None = None
        try:
            yield from (
                Found(batch, octets, reader.payload) for batch, octets in reader.batches(position)
            )
        except CorruptLog as error:
            damage = _damage(error)
        later = reader.later_frame(position)
        if later is None:
            break
        at, lost = position.offset, position.number + 1
        position.offset, frame = later
        position.number, position.chain = frame.number - 1, frame.chain
        yield damage or Damage(reader.name, at, f"{_batches(lost, position.number)} damaged")
    if damage is not None:
        yield damage
    elif end is not None:
        yield from _tail(reader, position, end)


def _tail(reader: SegmentReader, position: Position, end: Bounds) -> Iterator[Part]:
    try:
        end.check_end(position.number, reader.name, position.offset)
        if reader.is_torn(position):
            yield TornTail(reader.name, position.offset)
    except CorruptLog as error:
        yield _damage(error)


def _batches(first: int, last: int) -> str:
    return f"batch {first} is" if first == last else f"batches {first} to {last} are"


def _damage(error: CorruptLog) -> Damage:
    return Damage(error.file, error.offset, error.reason)
