"""One client's socket: octets to ``protocol.Connection``, events to channels, output back.

Invariants:

* Everything for the client is appended to ``out`` and leaves in ``flush``, one write a tick.
* Nothing leaves before the log batch ``hold_until`` is durable, so that a declare-ok or
  commit-ok never promises what a crash could take back.
* ``routes.generation`` is compared with the vhost's before each scan, and nothing else runs
  during one (fast path invariant F2).
* ``writable`` is false while the socket does not drain or this tick's output is large:
  consumers then have no capacity. What stops reading is a set of reasons, see ``reading``.
* When the connection ends, for whatever reason, ``_release`` runs once.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from broker.amqp import methods, publish
from broker.amqp.blocking import Blocking
from broker.amqp.channel import Channel
from broker.amqp.heartbeat import Heartbeat
from broker.amqp.names import address_text
from broker.amqp.reading import CONGESTION, TICK, WRITING, Reading
from broker.amqp.routes import Routes
from broker.core.vhost_settings import check_connection_limit
from protocol.connection import CLOSING, RUNNING, Connection
from protocol.constants import FRAME_METHOD
from protocol.content import frame
from protocol.errors import AmqpError, Drop, InternalError, NotAllowed, SoftError
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
from protocol.fastpath import Ack, scan
from protocol.methods import encode

if TYPE_CHECKING:
    from broker.amqp.host import Host, Origin, Timer
    from broker.core.vhost import Vhost
    from protocol.methods import Method

LINGER_S = 30.0  # how long a closed connection may keep its socket, as RabbitMQ's CLOSING_TIMEOUT
REFUSED_LINGER_S = 3.0  # the same for a client that was not let in
OUT_BYTES_MAX = 1 << 20  # output of one tick, and the socket buffer's high mark
BACKLOG_BYTES_MAX = 1 << 24  # unread output at which the peer is not read any more
LARGE_READ_BYTES = 1 << 16  # a read this large probably has more behind it: others first
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger for 0 s: close with RST

_log = logging.getLogger("leveret.connection")


class Session(asyncio.Protocol):
    """See the module."""

    vhost: Vhost

    def __init__(self, host: Host, origin: Origin | None = None) -> None:
        self.host = host
        self.origin = origin
        self.broker = host.broker
        self.tick = host.tick
        self.out: list[bytes] = []
        self.connection = Connection(host.offer, self.out)
        self.channels: dict[int, Channel] = {}
        self.routes = Routes()
        self.targets = self.routes.targets
        self.acks: dict[int, Ack] = {}
        self.user = self.name = ""
        self.blocking = Blocking(self)
        self.opened = False  # connection.open was granted; from then on there is a vhost
        self.hold_until = 0
        self.writable = True
        self.starved = False  # a consumer was refused capacity because of ``writable``
        self._draining = True  # the socket takes what we write
        self._out_bytes = 0
        self._notices: list[bytes] = []  # what follows the answer to the current method
        self._listed = False  # stands in Tick.writers
        self._unfinished = False  # what was read is not acted on yet
        self._gone = False  # nothing more is read
        self._released = False
        self.reads = self.writes = 0  # how often octets came and left
        self.read_bytes = self.written_bytes = 0
        self.timers: dict[str, Timer] = {}

    # -- the socket --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept; the client has a limited time to log in."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.reading = Reading(self.transport)
        self.transport.set_write_buffer_limits(high=OUT_BYTES_MAX, low=OUT_BYTES_MAX // 4)
        info = transport.get_extra_info
        peer, here = self.origin or (info("peername"), info("sockname"))
        self.peer_host: str = peer[0] if peer else ""
        self.name = f"{address_text(peer)} -> {address_text(here)}"
        self.timers["handshake"] = self.host.call_later(
            self.host.handshake_timeout_s, self._handshake_timeout
        )
        for option in self.host.socket_options:
            info("socket").setsockopt(*option)
        self.host.connected(self)

    def data_received(self, data: bytes) -> None:
        """Act on everything that ``data`` completes."""
        if self._gone:
            return
        self.reads += 1
        self.read_bytes += len(data)
        self.tick.read_clock()
        self._process(data)
        if len(data) >= LARGE_READ_BYTES:
            self.reading.pause(TICK)
            self.tick.throttled.append(self)
            self.tick.wake()
        self.tick.pressure.check(self)

    def _process(self, data: bytes) -> None:
        connection = self.connection
        try:
            for event in connection.receive(data):
                self._act(event)
                if self._out_bytes > BACKLOG_BYTES_MAX:
                    # The rest is acted on when these answers have been written.
                    self._unfinished = True
                    self.reading.pause(WRITING)
                    break
        except Drop as drop:
            self._drop(drop)
        except Exception:
            _log.exception("%s: internal error on the fast path", self.name)
            self.abort()
        if connection.state >= CLOSING:
            self._release()
            self._linger()
        if self.out:
            self.touch()

    def eof_received(self) -> None:
        """The peer sends no more: the socket closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._gone = True
        for timer in self.timers.values():
            timer.cancel()
        self._release()
        self.out.clear()
        self.host.disconnected(self)

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""
        self._draining = self.writable = False

    def resume_writing(self) -> None:
        """The socket drains again."""
        self._draining = True
        if not self._unfinished:
            self.reading.resume(WRITING)
        self._make_writable()

    def _make_writable(self) -> None:
        self.writable = self._draining
        if self.writable and self.starved:
            self.starved = False
            for channel in self.channels.values():
                channel.wake()
        if self.writable and self._unfinished and not self._gone:
            self._unfinished = False
            self.reading.resume(WRITING)
            self._process(b"")

    def hold_back(self) -> None:
        """A queue this session publishes to is congested: read no more for now."""
        self.reading.pause(CONGESTION)

    def read_on(self) -> None:
        """The congestion is over."""
        self.reading.resume(CONGESTION)

    def unthrottle(self) -> None:
        """See ``host.Writes``."""
        self.reading.resume(TICK)

    # -- output ------------------------------------------------------------------------

    def touch(self) -> None:
        """There is output: have it written at the end of the tick."""
        if not self._listed:
            self._listed = True
            self.tick.writers.append(self)
            self.tick.wake()

    def delivered(self, size: int) -> None:
        """``size`` octets of content were appended to ``out``."""
        self._out_bytes += size
        if self._out_bytes > OUT_BYTES_MAX:
            self.writable = False
        self.touch()

    def notify(self, channel: int, cls: type[Method], **arguments: Any) -> None:
        """Send a method that follows the answer to whatever is being handled."""
        self._notices.append(frame(FRAME_METHOD, channel, encode(cls, **arguments)))
        self.touch()

    def hold(self) -> None:
        """Write nothing before what the log gathers now is durable."""
        self.hold_until = self.broker.log.gathering

    def flush(self) -> None:
        """See ``host.Writes``; the tick calls it when ``hold_until`` is durable."""
        self._listed = False
        out = self.out
        out += self._notices
        self._notices.clear()
        if out:
            octets = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            self._out_bytes = 0
            self.writes += 1
            self.written_bytes += len(octets)
            if not self.transport.is_closing():
                self.transport.write(octets)
                if self.transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
                    self.reading.pause(WRITING)
        if not self.writable and self._draining:
            self._make_writable()

    # -- events ------------------------------------------------------------------------

    def _act(self, event: Event) -> None:
        try:
            _EVENTS[type(event)](self, event)
        except AmqpError as error:
            self._refuse(error)
        except Drop:
            raise
        except Exception:
            _log.exception("%s: internal error while handling %s", self.name, type(event).__name__)
            self._refuse(InternalError(about_method=False))
        if self._notices:
            self.out += self._notices
            self._notices.clear()

    def _refuse(self, error: AmqpError) -> None:
        number = self.connection.channel
        reason = error.reply_text.decode(errors="replace")
        _log.error("%s: channel %d: %s", self.name, number, reason)
        self.connection.close_for(error)
        if isinstance(error, SoftError):
            self._close_channel(number)

    def _login(self, event: LoginReceived) -> None:
        self.user = self.host.authenticate(event.mechanism, event.response, self.peer_host)
        self.connection.tune()

    def _tuned(self, _: Tuned) -> None:
        if self.connection.heartbeat_s:
            Heartbeat(self, self.connection.heartbeat_s)

    def _open(self, event: OpenReceived) -> None:
        vhost = self.broker.vhosts.get(event.vhost)
        if vhost is None:
            raise NotAllowed(f"vhost {event.vhost} not found")
        check_connection_limit(vhost, self.user)
        vhost.connections += 1
        self.broker.churn.connection_created += 1
        self.vhost = vhost
        self.opened = True
        self.connection.open_ok()
        if self.host.fast_path:
            self.connection.scan = self._scan
        self.timers.pop("handshake").cancel()
        _log.info("%s: user '%s' opened vhost '%s'", self.name, self.user, vhost.name)

    def _open_channel(self, event: ChannelOpened) -> None:
        channel = Channel(self, event.channel)
        self.channels[event.channel] = channel
        if self.host.fast_path:
            self.acks[event.channel] = channel.ack

    def _method(self, event: MethodReceived) -> None:
        methods.handle(self.channels[event.channel], event.method)
        if self.broker.changed_batch > self.broker.log.durable:
            self.hold_until = self.broker.changed_batch

    def _publish(self, event: PublishReceived) -> None:
        self.routes.at(self.vhost.generation)
        publish.publish(self.channels[event.channel], event)

    def _closed(self, event: Closed) -> None:
        """Once our close is confirmed, the socket goes; after its own close, the peer ends it."""
        if event.confirmed:
            self.timers["linger"] = self.host.call_later(0, self.abort)

    def _scan(self, buffer: bytes, position: int) -> int:
        routes = self.routes.at(self.vhost.generation)
        payload_max = min(self.connection.frame_max, self.host.offer.message_size_max)
        return scan(buffer, position, routes, self.acks, payload_max)

    def forget_routes(self) -> None:
        """Something that cached routes depend on has changed."""
        self.routes.forget(self.vhost.generation)

    # -- endings -----------------------------------------------------------------------

    def _close_channel(self, number: int) -> None:
        channel = self.channels.pop(number, None)
        if channel is not None:
            self.acks.pop(number, None)
            self.forget_routes()
            channel.close()

    def _release(self) -> None:
        """The connection is over: give back what its channels hold, drop its own queues."""
        if self._released:
            return
        self._released = True
        self.blocking.released()
        for number in list(self.channels):
            self._close_channel(number)
        if self.opened:
            self.vhost.connections -= 1
            self.broker.churn.connection_closed += 1
            self.vhost.drop_exclusive(self)
            _log.info("%s: closed", self.name)

    def close_channel_for(self, number: int, error: AmqpError) -> None:
        """Close a channel from the server's side."""
        _log.warning("%s: channel %d: %s", self.name, number, error.text)
        self.connection.close_channel(number, error)
        self._close_channel(number)
        self.touch()

    def close_for(self, error: AmqpError) -> None:
        """Close the connection from the server's side, for instance at shutdown."""
        if self.connection.state == RUNNING:
            self.connection.close(error)
            self._release()
            self.touch()
            self._linger()
        elif self.connection.state < RUNNING:
            self.abort()

    def _linger(self) -> None:
        if "linger" not in self.timers:
            linger_s = LINGER_S if self.opened else REFUSED_LINGER_S
            self.timers["linger"] = self.host.call_later(linger_s, self.abort)

    def _drop(self, drop: Drop) -> None:
        _log.error("%s: dropped: %s", self.name, drop)
        self._gone = True
        self.reading.pause(WRITING)
        self._release()
        self.touch()
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
        _log.error("%s: %s", self.name, reason)
        self.abort()

    def _handshake_timeout(self) -> None:
        if self.connection.state < RUNNING:
            self.give_up(f"no login within {self.host.handshake_timeout_s:g} s")


_EVENTS: dict[type[Any], Callable[[Session, Any], None]] = {
    LoginReceived: Session._login,
    Tuned: Session._tuned,
    OpenReceived: Session._open,
    SecretReceived: lambda session, event: None,  # no mechanism here has secrets that expire
    ChannelOpened: Session._open_channel,
    ChannelClosed: lambda session, event: session._close_channel(event.channel),
    MethodReceived: Session._method,
    PublishReceived: Session._publish,
    Closed: Session._closed,
}
