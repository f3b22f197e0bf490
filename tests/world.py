"""A whole broker in memory: real sessions, tick and log, but no sockets, threads, disk or time.

Octets go into a session, its output comes back as octets. Nothing happens by itself: `run` works
off what was asked of the event loop until it is quiet.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from random import Random
from typing import Any

from broker.amqp.access import Identity
from broker.amqp.session import Session
from broker.core.broker import Broker
from broker.core.message import Message
from broker.core.queue import Queue
from broker.pager import Pager
from broker.reclaim import CopyForward
from broker.restore import Restore
from broker.tick import Tick
from broker.turns import TURN_S, Turns
from broker.wal import Log, Scratch
from protocol.offer import Offer
from protocol.tables import table
from tests.faults import MemoryDisk
from tests.frames import PROTOCOL_HEADER, connection_open, start_ok, tune_ok

DIRECTORY = "log"
SEGMENT_BYTES = 4000
TURNS_MAX = 10_000


class MemoryTransport(asyncio.Transport):
    """Keeps what is written, and holds back what arrives while reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        """Keep it."""
        assert not self.closed, "written to a closed socket"
        self.written += data

    def get_write_buffer_size(self) -> int:
        """The peer reads everything at once."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """No limits here."""

    def pause_reading(self) -> None:
        """See `Client.feed`."""
        self.reading = False

    def resume_reading(self) -> None:
        """See `Client.feed`."""
        self.reading = True

    def is_closing(self) -> bool:
        """Whether the socket is gone."""
        return self.closed

    def close(self) -> None:
        """Close it."""
        self.closed = True

    def abort(self) -> None:
        """Close it."""
        self.closed = True


class Timer:
    """A timer that never rings: time stands still."""

    def cancel(self) -> None:
        """Nothing to stop."""


class Client:
    """The far end of a session's socket."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.transport = MemoryTransport()
        self.session = Session(world)
        self.session.connection_made(self.transport)
        self._waiting = b""

    def feed(self, octets: bytes) -> None:
        """Send octets; they are read when the broker reads."""
        self._waiting += octets
        if self.transport.reading and not self.transport.closed and self._waiting:
            octets, self._waiting = self._waiting, b""
            self.session.data_received(octets)

    def said(self) -> bytes:
        """What the broker wrote since the last call."""
        octets = bytes(self.transport.written)
        self.transport.written.clear()
        return octets

    def vanish(self) -> None:
        """The connection is lost, without a word."""
        self.transport.closed = True
        self.session.connection_lost(None)


class NoTimeouts:
    """Nobody looks for overdue deliveries but the tests."""

    def expect(self, timeout_ms: int) -> None:
        """Nothing is looked for."""


class NoAlarms:
    """A process with memory and disk enough."""

    reasons: tuple[str, ...] = ()
    text = ""


class World:
    """The process around the sessions, see `broker.amqp.host.Host`."""

    def __init__(
        self,
        *,
        fast_path: bool = True,
        slow_disk: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
        paged: bool = False,
        shares_turns: bool = False,
    ) -> None:
        self.fast_path = fast_path
        self.shares_turns = shares_turns  # as if a client with light traffic were there always
        self.slow_disk = slow_disk  # its work is done in a later turn of the loop
        self.segment_bytes = segment_bytes
        self.in_memory_max_bytes = 0 if paged else 1 << 30
        self.handshake_timeout_s = 10.0
        self.default_consumer_prefetch = 0
        self.alarms = NoAlarms()
        self.timeouts = NoTimeouts()
        self.socket_options = ()
        self.offer = Offer(table({}), initial_frame_max=4096)
        self.disk = MemoryDisk()
        self._random = Random(1)  # for the log's salts
        self.clients: list[Client] = []
        self.sessions: set[Session] = set()
        self._boot()

    def _boot(self) -> None:
        self._due: deque[Callable[..., None]] = deque()
        self.reports: list[str] = []
        self.broker = Broker()
        restore = Restore(self.broker)
        self.log = Log.open(
            DIRECTORY,
            replay=restore.replay,
            snapshot=self.broker.snapshot,
            on_durable=lambda _: self.tick.wake(),
            on_failure=_fail,
            call_in_loop=lambda call, *arguments: call(*arguments),
            disk=self.disk,
            clock=lambda: 0.0,
            random=self._random.randbytes,
            report=self.reports.append,
            segment_bytes=self.segment_bytes,
        )
        self.log._worker.join()  # no thread: from here on disk work is done at once, or
        if self.slow_disk:
            self.log._worker.run = self._work_later  # type: ignore[method-assign]
        restore.finish(self.log)
        self.copy_forward = CopyForward(self.broker, self.log, self.unacked)
        self.broker.declare_vhost("/")
        self.broker.scratch = Scratch(MemoryDisk(), "paging", _fail)
        self.pager = Pager(self.broker, self.in_memory_max_bytes, clock=lambda: 0.0)
        self.tick: Any = Tick(self.broker, self.log, self._due.append, self.call_later, self.pager)
        # By the real clock it would depend on this machine how much happens in a turn.
        self.tick.turns = Turns(clock=partial(next, count(0.0, TURN_S)))
        if self.shares_turns:
            self.tick.turns.light_read(1 << 62)
        self.tick.turns.light_read = lambda now_ms: None
        self.broker.wake = self.tick.wake

    def _work_later(self, work: Any, done: Any, *, large: bool = False) -> None:
        worker: Any = self.log._worker
        worker._current = work

        def job() -> None:
            error = None
            try:
                work()
            except Exception as failure:
                error = failure
            worker._current = None
            done(error)

        self._due.append(job)

    def connect(self) -> Client:
        """A client that is logged in, with no channel open."""
        client = Client(self)
        self.clients.append(client)
        client.feed(PROTOCOL_HEADER)
        client.feed(start_ok())
        client.feed(tune_ok())
        client.feed(connection_open())
        self.run()
        client.said()
        return client

    def run(self) -> None:
        """Work off everything that is due, until the broker is quiet."""
        for _ in range(TURNS_MAX):
            if not self._due:
                break
            self._due.popleft()()
            for client in self.clients:
                client.feed(b"")
        else:
            raise AssertionError("the broker never becomes quiet")

    def reclaim(self) -> None:
        """What the server does now and then: copy live messages out of an old segment."""
        while self.copy_forward.step(self.tick.settle):
            pass
        self.run()

    def unacked(self) -> Iterator[tuple[Queue, Message]]:
        """The deliveries that channels hold."""
        for session in self.sessions:
            for channel in session.channels.values():
                for message, holder in channel.held():
                    yield holder.queue, message

    def restart(self, disk: MemoryDisk | None = None) -> None:
        """Kill the process and start another one, on the same disk or on what became of it."""
        for client in self.clients:
            client.transport.closed = True
        self.clients.clear()
        self.sessions.clear()
        self.disk = disk if disk is not None else self.disk.after_kill()
        self._boot()

    def authenticate(self, session: Session, mechanism: str, response: bytes) -> Identity:
        """Everybody is guest, who may do everything."""
        return Identity("guest", lambda question: True)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Time stands still."""
        return Timer()

    def connected(self, session: Session) -> None:
        """A socket was accepted."""
        self.sessions.add(session)

    def disconnected(self, session: Session) -> None:
        """A socket is gone."""
        self.sessions.discard(session)


def _fail(failure: Exception) -> None:
    raise failure
