"""Messages that were paged out and that the log does not keep; they do not outlive the process.

A frame is a batch payload (`broker.wal.record`) in a file of its directory; frames are appended,
read back at random, and a file goes when all its frames were freed. Nothing is synced. What an
earlier process left is removed at the start.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate

from broker.wal.disk import Disk
from broker.wal.errors import LogFailed
from broker.wal.record import Batch, Gathering, MalformedBatch, Stored, decode

FILE_BYTES = 64 << 20
_SUFFIX = ".scratch"

Entry = tuple[int, bytes, int, int, bytes]  # id, address, published_ms, detail, content


@dataclass(slots=True)
class _File:
    name: str
    fd: int
    octets: int = 0
    frames: int = 0  # not freed yet


class _Frame:
    """A frame that was read, and where in it each message is."""

    __slots__ = ("_addresses", "_batch", "_octets", "_offsets", "number")

    def __init__(self, number: int, octets: bytes, batch: Batch) -> None:
        self.number = number
        self._octets = octets
        self._batch = batch
        self._offsets = list(accumulate(batch.content_length, initial=batch.head_octets))
        self._addresses = [address for address, _ in batch.routes]

    def stored(self, message_id: int) -> Stored:
        """One of its messages."""
        batch, offsets = self._batch, self._offsets
        row = bisect_left(batch.publish_id, message_id)
        return Stored(
            self._addresses[batch.publish_route[row]],
            batch.publish_ms[row],
            batch.publish_detail[row],
            self._octets[offsets[row] : offsets[row + 1]],
        )


class Scratch:
    """See the module. Frames are numbered from 1.

    Writing may raise ``OSError``. Messages that cannot be read back are lost: ``LogFailed``, after
    ``on_failure``.
    """

    def __init__(self, disk: Disk, directory: str, on_failure: Callable[[LogFailed], None]) -> None:
        self.on_failure = on_failure
        self.disk = disk
        self.directory = directory
        self._next_frame = 1
        self._places: dict[int, tuple[_File, int, int]] = {}  # file, offset, length
        self._last: _File | None = None
        self._read_last: _Frame | None = None
        disk.make_directory(directory)
        for name in disk.list_directory(directory):
            if name.endswith(_SUFFIX):
                disk.unlink(os.path.join(directory, name))

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self._places)

    def write(self, entries: list[Entry]) -> int:
        """Keep messages; the number of their frame."""
        gathering = Gathering()
        for message_id, address, published_ms, detail, content in entries:
            row = gathering.routes.setdefault((address, ()), len(gathering.routes))
            gathering.publish_route.append(row)
            gathering.publish_id.append(message_id)
            gathering.publish_ms.append(published_ms)
            gathering.publish_detail.append(detail)
            gathering.contents.append(content)
        octets = gathering.encode()
        file = self._file()
        self.disk.save(file.fd, octets, file.octets)
        number = self._next_frame
        self._next_frame += 1
        self._places[number] = file, file.octets, len(octets)
        file.octets += len(octets)
        file.frames += 1
        return number

    def _file(self) -> _File:
        if self._last is None or self._last.octets >= FILE_BYTES:
            full, self._last = self._last, None
            if full is not None:
                self._drop_if_free(full)
            name = f"{self._next_frame:020d}{_SUFFIX}"
            fd = self.disk.open(os.path.join(self.directory, name), create=True)
            self._last = _File(name, fd)
        return self._last

    def read(self, frame: int, message_ids: Sequence[int]) -> list[Stored]:
        """Messages of a frame, by ascending ids."""
        if self._read_last is None or self._read_last.number != frame:
            self._read_last = self._read(frame)
        return list(map(self._read_last.stored, message_ids))

    def _read(self, frame: int) -> _Frame:
        file, offset, length = self._places[frame]
        try:
            octets = self.disk.read(file.fd, length, offset)
            if len(octets) == length:
                return _Frame(frame, octets, decode(frame, False, octets, length))
            reason = "it is cut short"
        except (OSError, MalformedBatch) as error:
            reason = str(error)
        failure = LogFailed(f"transient messages in {file.name} cannot be read: {reason}")
        self.on_failure(failure)
        raise failure

    def free(self, frame: int) -> None:
        """A frame is not needed any more."""
        file, _, _ = self._places.pop(frame)
        if self._read_last is not None and self._read_last.number == frame:
            self._read_last = None
        file.frames -= 1
        if file is not self._last:
            self._drop_if_free(file)

    def _drop_if_free(self, file: _File) -> None:
        if file.frames == 0:
            self._remove(file)

    def _remove(self, file: _File) -> None:
        with suppress(OSError):  # the next start removes what is left
            self.disk.close(file.fd)
            self.disk.unlink(os.path.join(self.directory, file.name))

    def close(self) -> None:
        """Let go of everything."""
        files = {id(file): file for file, _, _ in self._places.values()}
        if self._last is not None:
            files[id(self._last)] = self._last
        for file in files.values():
            self._remove(file)
        self._places.clear()
        self._last = self._read_last = None
