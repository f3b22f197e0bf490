"""What a session owes its client: collected in ``frames``, written once a tick.

Invariants:

* Everything for the client is appended to ``frames`` and leaves in ``flush``.
* Nothing leaves before the log batch ``hold_until`` is durable, so that a declare-ok or
  commit-ok never promises what a crash could take back.
* ``writable`` is false while the socket does not drain or this tick's output is large:
  consumers then have no capacity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from broker.amqp.reading import WRITING, Reading
from protocol.constants import FRAME_METHOD
from protocol.content import frame
from protocol.methods import encode

if TYPE_CHECKING:
    from broker.amqp.host import Tick
    from protocol.methods import Method

TICK_BYTES_MAX = 1 << 20  # output of one tick, and the socket buffer's high mark
BACKLOG_BYTES_MAX = 1 << 24  # unread output at which the peer is not read any more


class Output:
    """The output of one session; ``drained`` is called when it becomes writable again."""

    def __init__(self, tick: Tick, drained: Callable[[], None]) -> None:
        self.frames: list[bytes] = []
        self.hold_until = 0
        self.writable = True
        self.starved = False  # a consumer was refused capacity because of ``writable``
        self.writes = 0  # how often octets were written
        self.written_bytes = 0
        self._tick = tick
        self._drained = drained
        self._draining = True  # the socket takes what we write
        self._content_bytes = 0  # of deliveries in ``frames``
        self._notices: list[bytes] = []  # what follows the answer to the current method
        self._listed = False  # stands in Tick.writers

    def connect(self, transport: asyncio.Transport, reading: Reading) -> None:
        """The socket is there."""
        self._transport, self._reading = transport, reading
        transport.set_write_buffer_limits(high=TICK_BYTES_MAX, low=TICK_BYTES_MAX // 4)

    def touch(self) -> None:
        """There is output: have it written at the end of the tick."""
        if not self._listed:
            self._listed = True
            self._tick.writers.append(self)
            self._tick.wake()

    def delivered(self, size: int) -> None:
        """``size`` octets of content were appended to ``frames``."""
        self._content_bytes += size
        if self._content_bytes > TICK_BYTES_MAX:
            self.writable = False
        self.touch()

    def notify(self, channel: int, cls: type[Method], **arguments: Any) -> None:
        """Send a method that follows the answer to whatever is being handled."""
        self._notices.append(frame(FRAME_METHOD, channel, encode(cls, **arguments)))
        self.touch()

    def answered(self) -> None:
        """A method was handled: what had to follow its answer follows."""
        if self._notices:
            self.frames += self._notices
            self._notices.clear()

    @property
    def is_overfull(self) -> bool:
        """Whether the answers to one read are so large that the rest of it has to wait."""
        return self._content_bytes > BACKLOG_BYTES_MAX

    def flush(self) -> None:
        """See ``host.Writes``; the tick calls it when ``hold_until`` is durable."""
        self._listed = False
        self.answered()
        frames = self.frames
        if frames:
            octets = frames[0] if len(frames) == 1 else b"".join(frames)
            frames.clear()
            self._content_bytes = 0
            self.writes += 1
            self.written_bytes += len(octets)
            if not self._transport.is_closing():
                self._transport.write(octets)
                if self._transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
                    self._reading.pause(WRITING)
        if not self.writable and self._draining:
            self._make_writable()

    def pause(self) -> None:
        """The peer reads slower than we write."""
        self._draining = self.writable = False

    def resume(self) -> None:
        """The socket drains again."""
        self._draining = True
        self._reading.resume(WRITING)
        self._make_writable()

    def _make_writable(self) -> None:
        self.writable = True
        self._drained()
