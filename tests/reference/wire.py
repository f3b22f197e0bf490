"""A server's side of an open connection, one frame at a time: the slow twin of `protocol`.

It decodes with `struct` and pamqp, encodes with pamqp, keeps every octet until a frame is whole,
looks at one frame only, and has no fast path. It knows the methods in `GRAMMAR`; the streams that
are compared contain no others. What the broker would do is the `Application`'s, which is the
same object for the product, so that a difference can only come from the wire.
"""

import struct
from typing import Any

from pamqp import commands, decode, frame

GRAMMAR: dict[tuple[int, int], tuple[str, str]] = {
    # class and method id: name, argument types (s short string, t table, o H I Q integers, b bits)
    (10, 50): ("connection.close", "HsHH"),
    (10, 51): ("connection.close-ok", ""),
    (20, 10): ("channel.open", "s"),
    (20, 40): ("channel.close", "HsHH"),
    (20, 41): ("channel.close-ok", ""),
    (50, 20): ("queue.bind", "Hsssbt"),
    (50, 50): ("queue.unbind", "Hssst"),
    (60, 10): ("basic.qos", "IHb"),
    (60, 40): ("basic.publish", "Hssb"),
    (60, 60): ("basic.deliver", "sQbss"),
    (60, 80): ("basic.ack", "Qb"),
    (90, 10): ("tx.select", ""),
}


class CloseChannel(Exception):
    """The application refuses: 40x with a text, for one channel."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class CloseConnection(Exception):
    """The peer broke a rule: a code, a text, and whether the method is named."""

    def __init__(self, code: int, text: str, *, about_method: bool = True) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.about_method = about_method


class DropSocket(Exception):
    """Nothing more is said."""


class Application:
    """What both twins call. It accepts some things and refuses others, and keeps a journal.

    Exchange `missing` does not exist. Of acks it knows the tags 1 to 20 of each channel, once.
    Each queue.bind and unbind is a change of topology: publishes are noted with their count, so
    that a route kept for too long shows. basic.qos does nothing.
    """

    def __init__(self) -> None:
        self.journal: list[tuple[Any, ...]] = []
        self.generation = 0
        self.transactional: set[int] = set()
        self.unacked: dict[int, set[int]] = {}

    def open(self, channel: int) -> None:
        """A channel begins."""
        self.unacked[channel] = set(range(1, 21))
        self.transactional.discard(channel)

    def publish(self, channel: int, exchange: str, key: str, flags: int, message: Any) -> None:
        """A message, whole."""
        if exchange == "missing":
            raise CloseChannel(404, "no exchange 'missing'")
        self.note_publish(channel, exchange, key, flags, message, self.generation)

    def note_publish(self, *publish: Any) -> None:
        """Put a publish in the journal, in tx mode as that."""
        tx = publish[0] in self.transactional
        self.journal.append(("tx publish" if tx else "publish", *publish))

    def ack(self, channel: int, tag: int, multiple: bool) -> None:
        """An ack; unknown tags are refused."""
        unacked = self.unacked[channel]
        taken = {number for number in unacked if number <= tag or tag == 0} if multiple else {tag}
        if not (tag in unacked or (multiple and tag == 0)):
            raise CloseChannel(406, f"unknown delivery tag {tag}")
        unacked -= taken
        self.journal.append(("ack", channel, sorted(taken)))

    def execute(self, channel: int, name: str) -> None:
        """Any other method."""
        if name in ("queue.bind", "queue.unbind"):
            self.generation += 1
        if name == "tx.select":
            self.transactional.add(channel)
        self.journal.append(("method", channel, name))


def read_arguments(payload: bytes, grammar: str, strict: str = "strict") -> list[Any]:
    """A method's arguments; ValueError if the payload has not exactly these."""
    found: list[Any] = []
    rest = payload[4:]
    for kind in grammar:
        if kind == "s":
            if not rest or len(rest) < 1 + rest[0]:
                raise ValueError("short string")
            found.append(rest[1 : 1 + rest[0]].decode("utf-8", strict))
            rest = rest[1 + rest[0] :]
        elif kind == "t":
            if len(rest) < 4 or len(rest) < 4 + int.from_bytes(rest[:4], "big"):
                raise ValueError("table")
            size, value = decode.field_table(rest)
            found.append(value)
            rest = rest[size:]
        else:
            size = struct.calcsize(f">{kind.replace('b', 'B')}")
            if len(rest) < size:
                raise ValueError("integer")
            found.append(int.from_bytes(rest[:size], "big"))
            rest = rest[size:]
    if rest:
        raise ValueError("surplus")
    return found


def shown(octets: bytes) -> str:
    """Octets as an Erlang binary."""
    if octets and octets.isascii() and octets.decode().isprintable():
        return f'<<"{octets.decode()}">>'
    return f"<<{','.join(str(octet) for octet in octets)}>>"


def whole(kind: int, payload: bytes) -> str:
    """A frame in an error text."""
    return f"type {kind}, all octets = {shown(payload)}"


def read_properties(payload: bytes) -> tuple[bool, int, int]:
    """Persistent, priority and expiration of a content header, with pamqp; 541 if it fails."""
    try:
        properties = commands.Basic.Properties()
        flags = int.from_bytes(payload[12:14], "big")
        if flags & 1:
            raise ValueError("more flags")
        properties.unmarshal(flags & ~3, payload[14:])
        # pamqp takes what is cut short; but what it writes back then differs.
        if properties.marshal() != struct.pack(">H", flags & ~2) + payload[14:]:
            raise ValueError("cut short, or more than there should be")
    except Exception:
        raise CloseConnection(541, "", about_method=False) from None
    mode, expiration = properties.delivery_mode, properties.expiration
    if mode not in (None, 1, 2):
        raise CloseChannel(406, f"invalid delivery mode {mode}")
    if expiration is not None and not expiration.isdecimal():
        raise CloseChannel(406, f"invalid expiration {expiration}")
    return mode == 2, properties.priority or 0, int(expiration or -1)


class ReferenceConnection:
    """An open connection with no channel open. `out` is what it wrote, `ended` how it ended."""

    def __init__(self, application: Application, frame_max: int, channel_max: int) -> None:
        self.application = application
        self.frame_max = frame_max
        self.channel_max = channel_max
        self.out = b""
        self.ended = ""
        self._octets = b""
        self._closing = False
        self._channels: dict[int, str] = {}  # open, closing
        self._contents: dict[int, dict[str, Any]] = {}
        self._ids = (0, 0)

    def feed(self, octets: bytes) -> None:
        """Take octets; act on each frame that is whole."""
        self._octets += octets
        while not self.ended and len(self._octets) >= 7:
            kind, channel, size = struct.unpack(">BHI", self._octets[:7])
            if size > self.frame_max:
                reason = f": {{frame_too_large,{size},{self.frame_max - 8}}}"
                self._end(CloseConnection(501, whole(kind, b"") + reason, about_method=False))
                self.ended = "dropped"
            if self.ended or len(self._octets) < 8 + size:
                break
            frame_octets, self._octets = self._octets[: 8 + size], self._octets[8 + size :]
            try:
                self._frame(kind, channel, frame_octets[7:-1], frame_octets[-1])
            except DropSocket:
                self.ended = "dropped"
            except CloseChannel as refusal:
                self._contents.pop(channel, None)
                self._channels[channel] = "closing"
                names = {404: "NOT_FOUND", 406: "PRECONDITION_FAILED"}
                text = f"{names[refusal.code]} - {refusal.text}"
                self._say(channel, commands.Channel.Close(refusal.code, text, *self._ids))
            except CloseConnection as refusal:
                self._end(refusal)

    def _say(self, channel: int, command: Any) -> None:
        self.out += frame.marshal(command, channel)

    def _end(self, refusal: CloseConnection) -> None:
        if self._closing:
            return
        self._closing = True
        name = {501: "FRAME_ERROR", 503: "COMMAND_INVALID", 504: "CHANNEL_ERROR"} | {
            505: "UNEXPECTED_FRAME",
            530: "NOT_ALLOWED",
            541: "INTERNAL_ERROR",
        }
        text = name[refusal.code] + (f" - {refusal.text}" if refusal.text else "")
        encoded = text.encode()
        if len(encoded) > 255:
            text = encoded[:252].decode(errors="ignore") + "..."
        ids = self._ids if refusal.about_method else (0, 0)
        self._say(0, commands.Connection.Close(refusal.code, text, *ids))

    def _frame(self, kind: int, channel: int, payload: bytes, end: int) -> None:
        self._ids = (0, 0)
        if end != 0xCE:
            reason = f": {{invalid_frame_end_marker,{end}}}"
            raise CloseConnection(501, whole(kind, payload) + reason, about_method=False)
        too_short = kind == 1 and len(payload) < 4
        if too_short or kind not in (1, 2, 3, 8) or (kind == 8 and payload):
            raise CloseConnection(501, whole(kind, payload) + ": unknown_frame", about_method=False)
        if kind == 1:
            self._ids = struct.unpack(">HH", payload[:4])
        if self._closing:
            self._while_closing(kind, channel)
        elif kind == 8 or channel == 0:
            self._connection_frame(kind, channel, payload)
        else:
            self._channel_frame(kind, channel, payload)

    def _while_closing(self, kind: int, channel: int) -> None:
        if kind == 1 and channel == 0 and self._ids == (10, 51):
            self.ended = "closed"
        elif kind == 1 and channel == 0 and self._ids == (10, 50):
            self._say(0, commands.Connection.CloseOk())

    def _method(self, payload: bytes) -> tuple[str, list[Any]]:
        if self._ids not in GRAMMAR:
            raise DropSocket
        name, grammar = GRAMMAR[self._ids]
        try:
            # Names in a publish, and only there, need not be UTF-8.
            strict = "surrogateescape" if name == "basic.publish" else "strict"
            return name, read_arguments(payload, grammar, strict)
        except UnicodeDecodeError:
            raise CloseConnection(501, "Malformed UTF-8 in shortstr", about_method=False) from None
        except ValueError:
            raise CloseConnection(501, f"cannot decode {shown(payload[4:])}") from None

    def _connection_frame(self, kind: int, channel: int, payload: bytes) -> None:
        if kind == 8 and channel == 0:
            return
        if kind != 1:
            raise CloseConnection(505, whole(kind, payload), about_method=False)
        name, _ = self._method(payload)
        if name != "connection.close":
            raise CloseConnection(504, "unexpected method in connection state running")
        self._say(0, commands.Connection.CloseOk())
        self.ended = "closed"

    def _channel_frame(self, kind: int, channel: int, payload: bytes) -> None:
        state = self._channels.get(channel)
        if state == "closing":
            self._on_closing_channel(kind, channel)
        elif channel in self._contents:
            self._content_frame(kind, channel, payload)
        elif kind != 1:
            text = "expected method frame, got non method frame instead"
            raise CloseConnection(505, text, about_method=False)
        else:
            name, arguments = self._method(payload)
            if state is None:
                self._open(channel, name)
            else:
                self._channel_method(channel, name, arguments)

    def _on_closing_channel(self, kind: int, channel: int) -> None:
        if kind == 1 and self._ids == (20, 41):
            del self._channels[channel]
        elif kind == 1 and self._ids == (20, 40):
            self._say(channel, commands.Channel.CloseOk())
        elif kind == 1 and self._ids == (20, 10):
            raise CloseConnection(504, "second 'channel.open' seen")

    def _open(self, channel: int, name: str) -> None:
        if len(self._channels) >= self.channel_max:
            text = f"number of channels opened ({len(self._channels)}) has reached the negotiated "
            text += f"channel_max ({self.channel_max})"
            raise CloseConnection(530, text, about_method=False)
        if name != "channel.open":
            raise CloseConnection(504, "expected 'channel.open'")
        self._channels[channel] = "open"
        self.application.open(channel)
        # By hand: pamqp insists on a channel id of "0", which RabbitMQ leaves empty.
        self.out += struct.pack(">BHIHHIB", 1, channel, 8, 20, 11, 0, 0xCE)

    def _channel_method(self, channel: int, name: str, arguments: list[Any]) -> None:
        if name == "channel.close":
            del self._channels[channel]
            self._say(channel, commands.Channel.CloseOk())
        elif name == "channel.open":
            raise CloseConnection(504, "second 'channel.open' seen")
        elif name in ("channel.close-ok", "basic.deliver") or name.startswith("connection."):
            raise CloseConnection(503, "unimplemented method")
        elif name == "basic.publish":
            address = [*arguments[1:3], arguments[3] & 3]  # of the flags, two have a meaning
            self._contents[channel] = {"publish": address, "header": None, "body": b""}
        elif name == "basic.ack":
            self.application.ack(channel, arguments[0], bool(arguments[1] & 1))
        else:
            self.application.execute(channel, name)

    def _content_frame(self, kind: int, channel: int, payload: bytes) -> None:
        self._ids = (60, 40)
        content = self._contents[channel]
        if content["header"] is None:
            if kind != 2:
                text = "expected content header for class 60, got non content header frame instead"
                raise CloseConnection(505, text)
            if len(payload) < 14:
                reason = whole(kind, payload) + ": unknown_frame"
                raise CloseConnection(501, reason, about_method=False)
            if (class_id := int.from_bytes(payload[:2], "big")) != 60:
                text = f"expected content header for class 60, got one for class {class_id} instead"
                raise CloseConnection(505, text)
            content["header"] = payload
            content["size"] = int.from_bytes(payload[4:12], "big")
        elif kind != 3:
            text = "expected content body, got non content body frame instead"
            raise CloseConnection(505, text)
        else:
            content["body"] += payload
        if len(content["body"]) == content["size"]:
            del self._contents[channel]
            facts = read_properties(content["header"])
            message = (*facts, content["header"], content["body"])
            self.application.publish(channel, *content["publish"], message)
