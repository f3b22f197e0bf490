"""A client that speaks frames: what a test sends and what it expects, in order, nothing hidden.

Owns the socket, the handshake and the verbs of a test: ``send``, ``publish``, ``expect``,
``call`` (send and expect its -ok), ``expect_content``, ``expect_channel_close``,
``expect_silence``, ``expect_tcp_close``. Nothing is answered on its own except where a verb
says so; heartbeats of the server are counted and skipped.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from conformance.channel import TIMEOUT, Channel, Content, check
from conformance.codec import (
    FRAME_END,
    METHOD,
    PROTOCOL_HEADER,
    Event,
    Frame,
    Method,
    Other,
    decode,
    encode_method,
    frame,
)

__all__ = ["CAPABILITIES", "Channel", "Connection", "Content", "Silence", "TcpClosed", "Url"]

CAPABILITIES = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}
CLIENT_PROPERTIES: dict[str, Any] = {"product": "conformance", "capabilities": CAPABILITIES}


class TcpClosed(AssertionError):
    """The server closed the socket; ``how`` is RST or FIN."""

    def __init__(self, how: str) -> None:
        super().__init__(f"the server closed TCP ({how})")
        self.how = how


class Silence(AssertionError):
    """Nothing came within the time allowed."""


@dataclass
class Url:
    """The parts of an amqp:// address."""

    host: str
    port: int
    user: str
    password: str
    vhost: str

    @classmethod
    def parse(cls, url: str) -> Url:
        parts = urlsplit(url)
        vhost = unquote(parts.path[1:]) if len(parts.path) > 1 else "/"
        return cls(
            parts.hostname or "127.0.0.1",
            parts.port or 5672,
            unquote(parts.username or "guest"),
            unquote(parts.password or "guest"),
            vhost,
        )


class Connection:
    """One TCP connection. ``stage`` says how far the handshake goes before the test takes over.

    ``preamble`` goes out first, then TLS begins if ``tls`` is given, naming ``host``.
    """

    STAGES = ("tcp", "header", "start", "tune", "tuned", "open")

    def __init__(
        self,
        url: str,
        *,
        stage: str = "open",
        user: str | None = None,
        password: str | None = None,
        vhost: str | None = None,
        channel_max: int | None = None,
        frame_max: int | None = None,
        heartbeat: int = 0,
        client_properties: dict[str, Any] | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "localhost",
        preamble: bytes = b"",
    ) -> None:
        self.url = Url.parse(url)
        self.user = self.url.user if user is None else user
        self.password = self.url.password if password is None else password
        self.vhost = self.url.vhost if vhost is None else vhost
        self.tune: dict[str, Any] = {"heartbeat": heartbeat}
        if channel_max is not None:
            self.tune["channel_max"] = channel_max
        if frame_max is not None:
            self.tune["frame_max"] = frame_max
        self.client_properties = (
            CLIENT_PROPERTIES if client_properties is None else client_properties
        )
        self.server: dict[str, Any] = {}
        self.frame_max = 131072
        self.heartbeats = 0
        self.closed_by_server = False
        self.closing = False
        self.handshake_stage = "tcp"
        self._buffer = bytearray()
        self._inbox: deque[Event] = deque()
        self._closed: TcpClosed | None = None
        self.sock = socket.create_connection((self.url.host, self.url.port), timeout=TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock.sendall(preamble)
            if tls is not None:
                self.sock = tls.wrap_socket(self.sock, server_hostname=host)
            self.handshake_to(stage)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def tcp_closed(self) -> bool:
        """The server's end of TCP was seen, or this side has closed it."""
        return self._closed is not None or self.sock.fileno() < 0

    # -- handshake

    def handshake_to(self, stage: str) -> None:
        """Go on with an ordinary handshake up to ``stage``."""
        start = self.STAGES.index(self.handshake_stage) + 1
        for step in self.STAGES[start : self.STAGES.index(stage) + 1]:
            getattr(self, f"_to_{step}")()
            self.handshake_stage = step

    def _to_header(self) -> None:
        self.send_raw(PROTOCOL_HEADER)

    def _to_start(self) -> None:
        self.server = self.expect("connection.start").args

    def _to_tune(self) -> None:
        self.send_start_ok()
        tuned = self.expect("connection.tune").args
        self.tune = tuned | self.tune

    def send_start_ok(self, **args: Any) -> None:
        """connection.start-ok with PLAIN credentials unless told otherwise."""
        given = {
            "client_properties": self.client_properties,
            "mechanism": "PLAIN",
            "response": f"\0{self.user}\0{self.password}",
            "locale": "en_US",
        }
        self.send("connection.start-ok", **(given | args))

    def _to_tuned(self) -> None:
        self.send("connection.tune-ok", **self.tune)
        self.frame_max = self.tune["frame_max"] or 131072

    def _to_open(self) -> None:
        self.send("connection.open", virtual_host=self.vhost)
        self.expect("connection.open-ok")

    # -- sending

    def send_raw(self, octets: bytes) -> None:
        """Put octets on the wire as they are. If the server has closed, the next read tells."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(octets)

    def send_frame(self, frame_type: int, channel: int, payload: bytes, **options: Any) -> None:
        """Send one frame of any type."""
        self.send_raw(frame(frame_type, channel, payload, **options))

    def send(self, name: str, /, channel: int = 0, **args: Any) -> None:
        """Send one method."""
        if name in ("connection.close", "connection.close-ok"):
            self.closing = True
        self.send_frame(METHOD, channel, encode_method(name, args))

    def channel(self, number: int = 1) -> Channel:
        """Open a channel."""
        opened = Channel(self, number)
        opened.call("channel.open")
        return opened

    # -- receiving

    def read_event(self, timeout: float = TIMEOUT) -> Event:
        """The next frame from the socket, whatever its channel. Heartbeats come too."""
        if self._closed:
            raise self._closed
        deadline = time.monotonic() + timeout
        while (got := self._cut_frame()) is None:
            self._receive(deadline)
        event = decode(got)
        if isinstance(event, Method) and event.name == "connection.close":
            self.closed_by_server = True
        return event

    def read_octets(self, count: int, timeout: float = TIMEOUT) -> bytes:
        """Octets outside of frames, such as the protocol header of a refusal."""
        deadline = time.monotonic() + timeout
        while len(self._buffer) < count:
            self._receive(deadline)
        octets = bytes(self._buffer[:count])
        del self._buffer[:count]
        return octets

    def _receive(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Silence("nothing came")
        self.sock.settimeout(left)
        try:
            octets = self.sock.recv(262144)
        except TimeoutError:
            raise Silence("nothing came") from None
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            self._closed = TcpClosed("RST")
            raise self._closed from None
        finally:
            self.sock.settimeout(TIMEOUT)
        if not octets:
            self._closed = TcpClosed("FIN")
            raise self._closed
        self._buffer += octets

    def _cut_frame(self) -> Frame | None:
        if len(self._buffer) < 8:
            return None
        kind, channel, size = struct.unpack_from(">BHI", self._buffer)
        if len(self._buffer) < size + 8:
            return None
        payload = bytes(self._buffer[7 : 7 + size])
        assert self._buffer[7 + size] == FRAME_END, f"bad frame end {self._buffer[7 + size]:#x}"
        del self._buffer[: size + 8]
        return Frame(kind, channel, payload)

    def _next(self, channel: int | None, timeout: float) -> Event:
        """The next frame of a channel; frames of other channels wait for their own reader."""
        deadline = time.monotonic() + timeout
        for n, event in enumerate(self._inbox):
            if channel is None or event.channel == channel:
                del self._inbox[n]
                return event
        while True:
            event = self.read_event(max(deadline - time.monotonic(), 0.001))
            if isinstance(event, Other) and event.type == 8:
                self.heartbeats += 1
            elif channel is None or event.channel == channel:
                return event
            elif isinstance(event, Method) and event.name == "connection.close":
                raise AssertionError(f"the server closed the connection: {event.args}")
            else:
                self._inbox.append(event)

    def next(self, channel: int | None = 0, timeout: float = TIMEOUT) -> Event:
        """The next frame of ``channel`` (of any when None)."""
        return self._next(channel, timeout)

    def expect(self, name: str, /, timeout: float = TIMEOUT, **args: Any) -> Method:
        """The next frame of channel 0 is this method, with these arguments."""
        return check(self._next(0, timeout), name, args)

    def expect_connection_close(
        self, code: int, text: str, class_id: int = 0, method_id: int = 0, *, answer: bool = True
    ) -> None:
        """The server closes the connection so; answer with close-ok unless told not to."""
        self.expect(
            "connection.close",
            reply_code=code,
            reply_text=text,
            class_id=class_id,
            method_id=method_id,
        )
        if answer:
            self.send("connection.close-ok")
            self.expect_tcp_close()

    def expect_silence(self, seconds: float = 0.1) -> None:
        """Nothing but heartbeats comes, on any channel, for so long."""
        try:
            event = self._next(None, seconds)
        except Silence:
            return
        raise AssertionError(f"expected silence, got {event}")

    def expect_tcp_close(self, kind: str | None = None, timeout: float = TIMEOUT) -> float:
        """The server closes TCP (as RST or FIN if given). Returns the seconds it took."""
        began = time.monotonic()
        try:
            event = self._next(None, timeout)
        except TcpClosed as closed:
            how = closed.how
        else:
            raise AssertionError(f"expected the server to close TCP, got {event}")
        assert kind in (None, how), f"expected {kind}, got {how}"
        return time.monotonic() - began

    def close(self) -> None:
        """Close in good order where possible: exclusive queues are gone when this returns."""
        try:
            if self.handshake_stage == "open" and not (
                self.closing or self.closed_by_server or self.tcp_closed
            ):
                self.send("connection.close", reply_code=200, reply_text="bye")
                while True:
                    event = self.read_event(2.0)
                    if isinstance(event, Method) and event.name == "connection.close-ok":
                        break
                    if isinstance(event, Method) and event.name == "connection.close":
                        self.send("connection.close-ok")
        except (AssertionError, OSError):
            pass
        finally:
            self.sock.close()

    def drop(self) -> None:
        """Close the socket without a word."""
        self.sock.close()
