"""One client's socket: octets to ``protocol.Connection``, events to channels, output back.

Invariants:

* Everything for the client goes through ``output``, which see.
* ``routes.generation`` is compared with the vhost's before each scan, and nothing else runs
  during one (fast path invariant F2).
* What stops reading is a set of reasons, see ``reading``. Events are acted on in their order, one
  after the other, also when one has to wait for an answer (``decisions``) or the rest of a read
  for the answers to its beginning to be written.
* When the connection ends, for whatever reason, ``_release`` runs once.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from broker.amqp import journal, methods, opening, publish
from broker.amqp.access import Access
from broker.amqp.blocking import Blocking
from broker.amqp.decisions import Decisions, Undecided
from broker.amqp.names import address_text
from broker.amqp.output import Output
from broker.amqp.reading import CONGESTION, TICK, WRITING, Reading
from broker.amqp.routes import Routes
from broker.amqp.weight import Weight
from protocol.connection import Connection
from protocol.constants import CLOSING, RUNNING
from protocol.errors import AmqpError, Drop, InternalError, SoftError
from protocol.events import (
    ChannelClosed,
    ChannelOpened,
    Closed,
    Event,
    LoginReceived,
    MethodReceived,
    OpenReceived,
    PublishReceived,
    SecretReceived,
    Tuned,
)
from protocol.fastpath import Ack

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.amqp.host import Host, Origin, Timer
    from broker.core.vhost import Vhost

LINGER_S = 30.0  # how long a closed connection may keep its socket, as RabbitMQ's CLOSING_TIMEOUT
REFUSED_LINGER_S = 3.0  # the same for a client that was not let in
LARGE_READ_BYTES = 1 << 16  # a read this large probably has more behind it: others first
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger for 0 s: close with RST


class Session(asyncio.Protocol):
    """See the module."""

    vhost: Vhost

    def __init__(self, host: Host, origin: Origin | None = None) -> None:
        self.host = host
        self.origin = origin
        self.broker, self.tick = host.broker, host.tick
        self.output = Output(host.tick, self._drained)
        self.connection = Connection(host.offer, self.output.frames)
        self.decisions = Decisions(self)
        self.access = Access(self)
        self.channels: dict[int, Channel] = {}
        self.routes = Routes()
        self.targets = self.routes.targets
        self.acks: dict[int, Ack] = {}
        self.user = self.name = self.mechanism = self.event_id = ""
        self.blocking = Blocking(self)
        self.opened = False  # connection.open was granted; from then on there is a vhost
        self.since_ms = 0  # of the model's time, when it was
        self._waits = False  # stands in Turns.waiting
        self._unfinished = False  # what was read waits for room for answers
        self._gone = self._released = False  # nothing more is read; see _release
        self.reads = self.read_bytes = 0  # how often octets came, and how many
        self.timers: dict[str, Timer] = {}

    # -- the socket --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept; the client has a limited time to log in."""
        self.tick.read_clock()
        self.weight = Weight(self.broker.now_ms)
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.reading = Reading(self.transport)
        self.output.connect(self.transport, self.reading)
        info = transport.get_extra_info
        peer, here = self.origin or (info("peername"), info("sockname"))
        self.ends: tuple[Any, Any] = peer, here
        self.peer_host: str = peer[0] if peer else ""
        self.name = f"{address_text(peer)} -> {address_text(here)}"
        self.timers["handshake"] = self.host.call_later(
            self.host.handshake_timeout_s, self._handshake_timeout
        )
        for option in self.host.socket_options:
            info("socket").setsockopt(*option)
        journal.accepted(self)
        self.host.connected(self)

    def data_received(self, data: bytes) -> None:
        """Act on everything that ``data`` completes."""
        if self._gone:
            return
        self.reads += 1
        self.read_bytes += len(data)
        self.tick.read_clock()
        turns, now_ms = self.tick.turns, self.broker.now_ms
        self.weight.weigh(now_ms, self.read_bytes + self.output.written_bytes)
        if self.weight.is_light:
            turns.light_read(now_ms)
        # Who is not light gets nothing but in turn, so that the cost of it is seen there. Small
        # reads are not worth that.
        work = turns.work if self.weight.is_light or len(data) <= turns.work else 0
        self._process(self.connection.receive(data, work))
        if len(data) >= LARGE_READ_BYTES:
            self._throttle()
        self.tick.pressure.check(self)

    def _throttle(self) -> None:
        """Others first: until it is this session's turn nothing is read or acted on."""
        self.reading.pause(TICK)
        if not self._waits:
            self._waits = True
            self.tick.turns.waiting.append(self)
            self.tick.wake()

    def _process(self, events: Iterable[Event]) -> None:
        try:
            for event in events:
                self._act(event)
                if self.output.is_overfull:
                    self._wait_for_room()
                    break
                if self.decisions.waiting:
                    break
        except Drop as drop:
            self._drop(drop)
        except Exception:
            journal.bug(self, "on the fast path")
            self.abort()
        if self.connection.behind:
            self._throttle()
        if self.connection.state >= CLOSING:
            self._release()
            self._linger()
        if self.output.frames:
            self.output.touch()

    def handle_again(self, event: Event) -> None:
        """An event that waited for an answer; then what came behind it."""
        if self._gone:
            return
        self.tick.read_clock()
        rest = self.connection.receive(b"", self.tick.turns.work)
        channel = getattr(event, "channel", None)
        if self.connection.state >= CLOSING or (channel and channel not in self.channels):
            self._process(rest)  # meanwhile we closed what it was meant for
        else:
            self._process(chain((event,), rest))

    def eof_received(self) -> None:
        """The peer sends no more: the socket closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        unexpected, self._gone = not self._gone, True
        for timer in self.timers.values():
            timer.cancel()
        self._release(gone=unexpected)
        self.output.frames.clear()
        self.host.disconnected(self)

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""
        self.output.pause()

    def resume_writing(self) -> None:
        """The socket drains again."""
        self.output.resume()

    def _drained(self) -> None:
        """There is room for output again: for deliveries, and for the rest of a read."""
        if self.output.starved:
            self.output.starved = False
            for channel in self.channels.values():
                channel.wake()
        if self._unfinished and not self._gone:
            self._unfinished = False
            self.reading.resume(WRITING)
            self._go_on()

    def _go_on(self) -> None:
        """Act on what was left of a read."""
        if not (self._gone or self._unfinished or self.decisions.waiting):
            self._process(self.connection.receive(b"", self.tick.turns.work))

    def hold_back(self) -> None:
        """A queue this session publishes to is congested: read no more for now."""
        self.reading.pause(CONGESTION)

    def read_on(self) -> None:
        """The congestion is over."""
        self.reading.resume(CONGESTION)

    def unthrottle(self) -> bool:
        """See ``host.Reads``."""
        self._waits = False
        if self.connection.behind:
            if not self.output.writable:
                self._wait_for_room()
            self._go_on()
        if not self._waits:
            self.reading.resume(TICK)
        return not self._waits

    def _wait_for_room(self) -> None:
        """The rest of what was read waits until the peer has read our answers."""
        self._unfinished = True
        self.reading.pause(WRITING)

    # -- events ------------------------------------------------------------------------

    def _act(self, event: Event) -> None:
        try:
            _EVENTS[type(event)](self, event)
        except Undecided as undecided:
            self.decisions.wait(event, undecided)
        except AmqpError as error:
            self._refuse(error)
        except Drop:
            raise
        except Exception:
            journal.bug(self, f"while handling {type(event).__name__}")
            self._refuse(InternalError(about_method=False))
        self.output.answered()

    def _refuse(self, error: AmqpError) -> None:
        number = self.connection.channel
        journal.refused(self, number, error)
        self.connection.close_for(error)
        if isinstance(error, SoftError):
            self._close_channel(number)

    def _method(self, event: MethodReceived) -> None:
        with self.broker.events.acting(self.user):
            methods.handle(self.channels[event.channel], event.method)
        # What was to be waited for already, such as a commit, may be in a later batch.
        self.output.hold_until = max(self.output.hold_until, self.broker.changed_batch)

    def _publish(self, event: PublishReceived) -> None:
        self.routes.at(self.vhost.generation)
        publish.publish(self.channels[event.channel], event)

    def _closed(self, event: Closed) -> None:
        """Once our close is confirmed, the socket goes; after its own close, the peer ends it."""
        if event.confirmed:
            self.timers["linger"] = self.host.call_later(0, self.abort)

    def forget_routes(self) -> None:
        """Something that cached routes depend on has changed."""
        self.routes.forget(self.vhost.generation)

    # -- endings -----------------------------------------------------------------------

    def _close_channel(self, number: int) -> None:
        channel = self.channels.pop(number, None)
        if channel is not None:
            self.acks.pop(number, None)
            opening.channel_left(self)
            self.forget_routes()
            channel.close()

    def _release(self, *, gone: bool = False) -> None:
        """The connection is over: give back what its channels hold, drop its own queues."""
        if self._released:
            return
        self._released = True
        self.blocking.released()
        self.decisions.released()
        for number in list(self.channels):
            self._close_channel(number)
        if self.opened:
            opening.vhost_left(self, gone=gone)

    def close_channel_for(self, number: int, error: AmqpError) -> None:
        """Close a channel from the server's side."""
        journal.channel_closed(self, number, error)
        self.connection.close_channel(number, error)
        self._close_channel(number)
        self.output.touch()

    def close_for(self, error: AmqpError) -> None:
        """Close the connection from the server's side, for instance at shutdown."""
        if self.connection.state == RUNNING:
            self.connection.close(error)
            self._release()
            self.output.touch()
            self._linger()
        elif self.connection.state < RUNNING:
            self.abort()

    def _linger(self) -> None:
        if "linger" not in self.timers:
            linger_s = LINGER_S if self.opened else REFUSED_LINGER_S
            self.timers["linger"] = self.host.call_later(linger_s, self.abort)

    def _drop(self, drop: Drop) -> None:
        journal.dropped(self, drop)
        self._gone = True
        self.reading.pause(WRITING)
        self._release()
        self.output.touch()
        # Output leaves with the tick, so even "at once" waits for it.
        self.timers["linger"] = self.host.call_later(max(drop.delay_s, 0.02), self.abort)

    def abort(self) -> None:
        """Close the socket at once, with RST as RabbitMQ does."""
        self._gone = True
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    def give_up(self, reason: str) -> None:
        """The peer does not do its part."""
        journal.dropped(self, reason)
        self.abort()

    def _handshake_timeout(self) -> None:
        if self.connection.state < RUNNING:
            self.give_up(f"no login within {self.host.handshake_timeout_s:g} s")


_EVENTS: dict[type[Any], Callable[[Session, Any], None]] = {
    LoginReceived: opening.log_in,
    Tuned: opening.tuned,
    OpenReceived: opening.open_vhost,
    SecretReceived: lambda session, event: session.access.renew(event.secret),
    ChannelOpened: opening.open_channel,
    ChannelClosed: lambda session, event: session._close_channel(event.channel),
    MethodReceived: Session._method,
    PublishReceived: Session._publish,
    Closed: Session._closed,
}
