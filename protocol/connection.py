"""One connection's state machine: octets in, events out, answers into ``out``.

Owns framing, which channels are open, the assembly of content and both close handshakes; the
methods of channel 0 are in ``handshake``. It does not know what any other method does.
``receive`` is lazy: the caller acts on each event before the next frame is parsed, so a
queue.bind between two publishes is seen by the second, and an error raised by the caller belongs
to the frame just yielded.

Invariants:

* Every frame that leaves is appended to ``out``, so answers and deliveries keep one order.
* ``close_for`` is the only place that turns an error into a close method.
* Before tune-ok an error is answered by silence and a dropped socket (``Drop``), afterwards by
  connection.close: this is what RabbitMQ does, and what clients tell a wrong password by.
* A channel the server closed discards everything but close and close-ok (spec 4.6 "channel
  exceptions"); a connection the server closed does the same.
* ``scan`` runs only between frames, in state RUNNING, while no channel is inside a content.
"""

from collections.abc import Callable, Iterator
from struct import Struct

from pamqp import commands

from protocol import events, methods
from protocol.channel import METHOD, ChannelState
from protocol.constants import (
    ACCEPTED_HEADERS,
    CLOSED,
    CLOSING,
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    FRAME_OVERHEAD,
    HEADER,
    OPENING,
    PROTOCOL_HEADER,
    RUNNING,
    STARTING,
    STATE_NAMES,
    TUNING,
)
from protocol.content import FRAME_HEAD, frame
from protocol.errors import (
    AmqpError,
    ChannelMisuse,
    CommandInvalid,
    Drop,
    FrameError,
    LoginRefused,
    NotAllowed,
    SoftError,
    UnexpectedFrame,
)
from protocol.events import Event
from protocol.handshake import METHODS
from protocol.methods import all_octets, erlang_binary, frame_error
from protocol.offer import Offer
from protocol.tables import Field, Table

REFUSAL_DELAY_S = 3.0  # RabbitMQ's ?SILENT_CLOSE_DELAY

# What one call of ``receive`` may do, in octets that ``scan`` consumes: when nobody else waits, and
# when others do. The latter is at most a quarter of a millisecond.
WORK_MAX, WORK_SHARED = 1 << 20, 1 << 14
FRAME_WORK, OCTET_WORK = WORK_MAX // 64, 8  # what decoding takes of it
QUEUE_WORK = 256  # what a message takes for each of its queues, if it is decoded

# Class and method.
_CONNECTION_CLOSE, _CONNECTION_CLOSE_OK = (10, 50), (10, 51)
_CHANNEL_OPEN, _CHANNEL_CLOSE, _CHANNEL_CLOSE_OK = (20, 10), (20, 40), (20, 41)
_BASIC_PUBLISH = (60, 40)
_PUBLISH_ID = 0x003C0028
_method_id_at = Struct(">I").unpack_from


class Connection:
    """See the module. One instance a socket; ``out`` collects what is to be written."""

    def __init__(self, offer: Offer, out: list[bytes]) -> None:
        self.offer = offer
        self.out = out
        self.state = HEADER
        self.frame_max = offer.initial_frame_max
        self.channel_max = offer.channel_max
        self.heartbeat_s = 0
        self.client_properties: Table = {}
        self.capabilities: frozenset[str] = frozenset()
        self.channels: dict[int, ChannelState] = {}
        self.scan: Callable[[bytes, int], int] | None = None
        self.behind = False  # frames are left over that came; ``receive`` goes on with them
        self.work_left = 0  # of what this call of ``receive`` may do; ``scan`` takes of it, too
        self.channel = 0  # of the frame being handled
        self._ids = (0, 0)  # class and method of the frame being handled
        self._contents_open = 0
        self._rest = b""  # from ``_position`` on these octets were not acted on yet
        self._position = 0

    # -- octets in ---------------------------------------------------------------------

    def receive(self, data: bytes, work: int = WORK_MAX) -> Iterator[Event]:
        """Yield what ``data`` completes. Raises ``Drop`` when the socket is to go.

        Ends after about as much ``work``; ``behind`` says that it is to be called again.
        """
        buffer, position = self._rest, self._position
        if data:
            buffer, position = buffer[position:] + data if buffer else data, 0
        self.behind = False
        self.work_left = work
        try:
            if self.state == HEADER:
                position = self._protocol_header(buffer)
            while self.state != HEADER and self.state != CLOSED:
                if self.scan is not None and not self._contents_open:
                    position = self.scan(buffer, position)
                step = self._frame_extent(buffer, position)
                if step is None:
                    break
                if self.work_left <= 0:
                    self.behind = True
                    break
                kind, channel, after = step
                position, start = after, position
                self.work_left -= FRAME_WORK + (kind != FRAME_BODY) * OCTET_WORK * (after - start)
                try:
                    yield from self._frame(kind, channel, buffer[start:after])
                except AmqpError as error:
                    self.close_for(error)
        finally:
            self._keep(buffer, position)

    def _keep(self, buffer: bytes, position: int) -> None:
        """What is left for the next ``receive``; not copied if that comes without data."""
        if self.state == CLOSED:
            self._rest, self._position = b"", 0
        elif self.behind:
            self._rest, self._position = buffer, position
        else:
            self._rest, self._position = buffer[position:], 0

    def _protocol_header(self, buffer: bytes) -> int:
        if len(buffer) < len(PROTOCOL_HEADER) and PROTOCOL_HEADER[:4].startswith(buffer[:4]):
            return 0
        version = ACCEPTED_HEADERS.get(buffer[:8])
        if version is None:
            self.out.append(PROTOCOL_HEADER)
            raise Drop(f"protocol header {erlang_binary(buffer[:8])} is not AMQP 0-9-1")
        self.state = STARTING
        properties = self.offer.server_properties
        if version != (0, 9):  # a client of AMQP 0-8 is offered no extensions
            properties = properties | {"capabilities": Field("F", {})}
        self.send(
            0,
            commands.Connection.Start,
            version_major=version[0],
            version_minor=version[1],
            server_properties=properties,
            mechanisms=self.offer.mechanisms,
            locales="en_US",
        )
        return 8

    def _frame_extent(self, buffer: bytes, position: int) -> tuple[int, int, int] | None:
        """Type, channel and end position of the next whole frame, or None."""
        if position + FRAME_HEAD.size > len(buffer):
            return None
        kind, channel, size = FRAME_HEAD.unpack_from(buffer, position)
        if size > self.frame_max:
            self.close_for(
                FrameError(
                    f"type {kind}, all octets = <<>>: "
                    f"{{frame_too_large,{size},{self.frame_max - FRAME_OVERHEAD}}}",
                    about_method=False,
                ),
                unparsable=True,
            )
            return None
        after = position + FRAME_OVERHEAD + size
        return (kind, channel, after) if after <= len(buffer) else None

    def _frame(self, kind: int, channel: int, raw: bytes) -> Iterator[Event]:
        self.channel, self._ids = channel, (0, 0)
        payload = raw[FRAME_HEAD.size : -1]
        if raw[-1] != FRAME_END:
            raise frame_error(kind, payload, f": {{invalid_frame_end_marker,{raw[-1]}}}")
        if kind == FRAME_METHOD and len(payload) >= 4:
            self._ids = methods.method_ids(payload)
        elif kind not in (FRAME_HEADER, FRAME_BODY) and (kind != FRAME_HEARTBEAT or payload):
            raise frame_error(kind, payload, ": unknown_frame")
        if self.state == CLOSING:
            yield from self._while_closing(kind, payload)
        elif kind == FRAME_HEARTBEAT:
            if channel:
                raise UnexpectedFrame(all_octets(kind, payload), about_method=False)
        elif channel == 0:
            if kind != FRAME_METHOD:
                raise UnexpectedFrame(all_octets(kind, payload), about_method=False)
            yield from self._connection_method(payload)
        elif self.state != RUNNING:
            raise UnexpectedFrame(all_octets(kind, payload), about_method=False)
        else:
            yield from self._channel_frame(kind, channel, payload, raw)

    # -- channel 0 ---------------------------------------------------------------------

    def _connection_method(self, payload: bytes) -> Iterator[Event]:
        method = methods.decode(payload)
        handler = METHODS.get((self.state, method.index))
        if handler is None:
            raise ChannelMisuse(
                f"unexpected method in connection state {STATE_NAMES[self.state]}",
            )
        yield from handler(self, method)

    def tune(self) -> None:
        """Accept the login and propose limits."""
        self.state = TUNING
        self.send(
            0,
            commands.Connection.Tune,
            channel_max=self.offer.channel_max,
            frame_max=self.offer.frame_max,
            heartbeat=self.offer.heartbeat_s,
        )

    def open_ok(self) -> None:
        """Accept connection.open."""
        self.state = RUNNING
        self.send(0, commands.Connection.OpenOk)

    def update_secret_ok(self) -> None:
        """Accept connection.update-secret."""
        self.send(0, commands.Connection.UpdateSecretOk)

    def _while_closing(self, kind: int, payload: bytes) -> Iterator[Event]:
        if kind == FRAME_METHOD and self.channel == 0:
            if self._ids == _CONNECTION_CLOSE_OK:
                self.state = CLOSED
                yield events.Closed(confirmed=True)
            elif self._ids == _CONNECTION_CLOSE:
                self.send(0, commands.Connection.CloseOk)

    # -- channels ----------------------------------------------------------------------

    def _channel_frame(self, kind: int, number: int, payload: bytes, raw: bytes) -> Iterator[Event]:
        channel = self.channels.get(number)
        if channel is None:
            if kind != FRAME_METHOD:
                raise UnexpectedFrame(
                    "expected method frame, got non method frame instead", about_method=False
                )
            self._check_channel_open(payload)
            self.channels[number] = ChannelState()
            yield events.ChannelOpened(number)
        elif channel.closing:
            yield from self._on_closing_channel(number, channel, kind)
        elif channel.expects == METHOD:
            if kind != FRAME_METHOD:
                raise UnexpectedFrame(
                    "expected method frame, got non method frame instead", about_method=False
                )
            if _method_id_at(payload)[0] == _PUBLISH_ID:
                channel.begin(raw)
                self._contents_open += 1
            else:
                yield from self._channel_method(number, payload)
        else:
            self._ids = _BASIC_PUBLISH
            publish = channel.content_frame(number, kind, payload, self.offer.message_size_max)
            if publish is not None:
                self._contents_open -= 1
                yield publish

    def _check_channel_open(self, payload: bytes) -> None:
        method = methods.decode(payload)
        if len(self.channels) >= self.channel_max:
            raise NotAllowed(
                f"number of channels opened ({len(self.channels)}) has reached the negotiated "
                f"channel_max ({self.channel_max})",
                about_method=False,
            )
        if not isinstance(method, commands.Channel.Open):
            raise ChannelMisuse("expected 'channel.open'")

    def channel_open_ok(self, number: int) -> None:
        """Accept channel.open."""
        self.send(number, commands.Channel.OpenOk)

    def _on_closing_channel(self, number: int, channel: ChannelState, kind: int) -> Iterator[Event]:
        if kind != FRAME_METHOD:
            return
        if self._ids == _CHANNEL_CLOSE_OK:
            del self.channels[number]
        elif self._ids == _CHANNEL_CLOSE:
            self.send(number, commands.Channel.CloseOk)
        elif self._ids == _CHANNEL_OPEN:
            raise ChannelMisuse("second 'channel.open' seen")
        yield from ()

    def _channel_method(self, number: int, payload: bytes) -> Iterator[Event]:
        method = methods.decode(payload)
        if isinstance(method, commands.Channel.Close):
            # The event first: what the broker still has to say on the channel precedes close-ok.
            yield events.ChannelClosed(number)
            if self.channels.pop(number, None) is not None:
                self.send(number, commands.Channel.CloseOk)
        elif isinstance(method, commands.Channel.Open):
            raise ChannelMisuse("second 'channel.open' seen")
        elif method.index in methods.NOT_FOR_SERVERS:
            raise CommandInvalid("unimplemented method")
        else:
            yield events.MethodReceived(number, method)

    # -- answers and closes ------------------------------------------------------------

    def send(self, channel: int, cls: type[methods.Method], **arguments: object) -> None:
        """Append one method frame to ``out``."""
        payload = methods.encode(cls, **arguments)  # type: ignore[arg-type]
        self.out.append(frame(FRAME_METHOD, channel, payload))

    def close_for(self, error: AmqpError, *, unparsable: bool = False) -> None:
        """Close the channel or the connection for an error in the frame being handled.

        Raises ``Drop`` where RabbitMQ says nothing: before tune-ok, and for a refused login of
        a client without the capability ``authentication_failure_close``. ``unparsable``: what
        follows in the stream cannot be framed, so nothing more is read.
        """
        if self.state == CLOSING or self.state == CLOSED:
            if unparsable:
                raise Drop(error.text)
            return
        ids = self._ids if error.about_method else (0, 0)
        if isinstance(error, SoftError) and self.channel in self.channels:
            self.close_channel(self.channel, error, ids)
            return
        if self.state < OPENING and not (
            isinstance(error, LoginRefused) and "authentication_failure_close" in self.capabilities
        ):
            raise Drop(error.text, REFUSAL_DELAY_S)
        self.close(error, ids)
        if unparsable:
            raise Drop(error.text, REFUSAL_DELAY_S)

    def close_channel(self, number: int, error: AmqpError, ids: tuple[int, int] = (0, 0)) -> None:
        """Send channel.close and discard what still comes on the channel until close-ok."""
        channel = self.channels[number]
        if channel.expects != METHOD:
            self._contents_open -= 1
        channel.reset()
        channel.closing = True
        self.send(
            number,
            commands.Channel.Close,
            reply_code=error.code,
            reply_text=error.reply_text,
            class_id=ids[0],
            method_id=ids[1],
        )

    def close(self, error: AmqpError, ids: tuple[int, int] = (0, 0)) -> None:
        """Send connection.close and discard what still comes until close-ok."""
        if self.state >= CLOSING:
            return
        self.state, self.scan = CLOSING, None
        self.send(
            0,
            commands.Connection.Close,
            reply_code=error.code,
            reply_text=error.reply_text,
            class_id=ids[0],
            method_id=ids[1],
        )
