"""Streams of frames for property tests, and the product's connection before an application."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from pamqp import commands

from protocol import content
from protocol.connection import WORK_MAX
from protocol.errors import AmqpError, Drop, NotFound, PreconditionFailed
from protocol.events import (
    ChannelClosed,
    ChannelOpened,
    Closed,
    Event,
    MethodReceived,
    PublishReceived,
)
from protocol.fastpath import scan
from protocol.methods import ids_of
from tests.frames import (
    ack,
    body,
    channel_open,
    header,
    header_payload,
    method,
    publish,
    raw_frame,
    split,
)
from tests.peer import OFFER, opened
from tests.reference.wire import GRAMMAR, Application, CloseChannel

FRAME_MAX = 4096
CHANNEL_MAX = 3

channels = st.sampled_from([1, 1, 2])
bodies = st.sampled_from([b"m", b"m", b"hello", b"\xce\x01\x00\x01", b"", b"x" * 4096, b"x" * 5000])
properties = st.fixed_dictionaries(
    {},
    optional={
        "delivery_mode": st.sampled_from([1, 2, 2, 2]),
        "priority": st.integers(0, 255),
        "expiration": st.sampled_from(["0", "100", "00100", "99999999999"]),
        "message_id": st.sampled_from(["", "id"]),
        "headers": st.sampled_from([{}, {"a": 1}, {"t": {"u": 1}}, {"a": "CC"}, {"CC": ["k"]}]),
        "app_id": st.just("app"),
    },
)


@st.composite
def publishes(draw: st.DrawFn) -> list[bytes]:
    """basic.publish with its content, as the frames it is made of."""
    channel = draw(channels)
    exchange = draw(st.sampled_from(["x", "x", ""]))
    frames = [
        publish(channel, exchange, draw(st.sampled_from("ab")), mandatory=draw(st.booleans()))
    ]
    whole = draw(bodies)
    frames.append(header(channel, len(whole), **draw(properties)))
    cut = draw(st.integers(0, len(whole)))
    pieces = [whole] if draw(st.integers(0, 5)) else [whole[:cut], whole[cut:]]
    if whole:
        frames += [body(channel, piece) for piece in pieces]
    return frames


@st.composite
def methods(draw: st.DrawFn) -> list[bytes]:
    """Methods without content that are in order, some of which close a channel and reopen it."""
    channel = draw(channels)
    again = [method(channel, commands.Channel.CloseOk()), channel_open(channel)]
    return draw(
        st.sampled_from(
            [
                [ack(channel, draw(st.integers(1, 20)))],
                [ack(channel, draw(st.integers(1, 20)), multiple=True)],
                [ack(channel, 0, multiple=True)],
                [method(channel, commands.Basic.Qos(0, 5, False))],
                [method(channel, commands.Queue.Bind(0, "q", "x", "a", False, {}))],
                [method(channel, commands.Queue.Unbind(0, "q", "x", "a", {}))],
                [method(channel, commands.Tx.Select())],
                [raw_frame(8, 0, b"")],
                [ack(channel, 21), *again],
                [publish(channel, "missing"), header(channel, 0), *again],
                [method(channel, commands.Channel.Close(200, "bye", 0, 0)), again[1]],
            ]
        )
    )


@st.composite
def oddities(draw: st.DrawFn) -> list[bytes]:
    """Frames that are mostly out of order."""
    channel = draw(channels)
    frames = [
        ack(channel, draw(st.integers(0, 22))),
        channel_open(draw(st.integers(1, 4))),
        method(channel, commands.Channel.CloseOk()),
        method(0, commands.Connection.Close(200, "bye", 0, 0)),
        method(0, commands.Connection.CloseOk()),
        method(channel, commands.Basic.Deliver("t", 1, False, "", "q")),
        method(channel, commands.Connection.CloseOk()),
        method(3, commands.Basic.Qos(0, 5, False)),
        raw_frame(1, channel, b"\x00\x3c\x00\x63"),
        raw_frame(1, channel, b"\x00\x3c\x00\x28\x00\x00\x02\xff\xfe\x00\x00"),
    ]
    headers = [
        raw_frame(2, channel, header_payload(1, b"\x05ab", flags=0x8000)),
        raw_frame(2, channel, header_payload(1, flags=0x0002)),
        raw_frame(2, channel, header_payload(1, b"\x03", flags=0x1000)),
        raw_frame(2, channel, header_payload(1, class_id=50)),
        raw_frame(2, channel, header_payload(1, b"\x05guest", flags=0x0010)),
    ]
    units = [[frame] for frame in frames]
    units += [[publish(channel, "x", "a"), header, body(channel, b"m")] for header in headers]
    return draw(st.sampled_from(units))


@st.composite
def streams(draw: st.DrawFn, faults_max: int = 2) -> bytes:
    """Frames in a plausible order, with a few faults, perhaps cut short at the end."""
    frames = [channel_open(1), channel_open(2)]
    units = [[publish(1, "x", "a"), header(1, 1, **draw(properties)), body(1, b"m")]]
    units += draw(st.lists(publishes(), max_size=3))
    units += draw(st.lists(methods(), max_size=4))
    units += draw(st.lists(oddities(), max_size=1))
    # Few units, often the first: the same publish again is what the fast path is for.
    for _ in range(draw(st.integers(1, 25))):
        frames += units[max(0, draw(st.integers(-len(units), len(units) - 1)))]
    for _ in range(draw(st.integers(0, faults_max))):
        damage(draw, frames)
    octets = b"".join(frames)
    return octets[: len(octets) - draw(st.sampled_from([0, 0, 1, 9, 25, 40]))]


def damage(draw: st.DrawFn, frames: list[bytes]) -> None:
    """Change one frame so that it may break a rule, but is still framed."""
    at = draw(st.integers(2, len(frames)))
    if at == len(frames):
        return
    kind, channel, _ = struct.unpack_from(">BHI", frames[at])
    payload = frames[at][7:-1]
    amount = draw(st.integers(1, 8))
    fault = draw(st.integers(0, 8))
    if fault == 0:
        frames[at] = raw_frame(kind, channel, payload, end=amount)
    elif fault == 1:
        frames[at] = raw_frame(draw(st.sampled_from([1, 2, 3, 4, 8])), channel, payload)
    elif fault == 2:
        frames[at] = raw_frame(kind, draw(st.integers(0, 4)), payload)
    elif fault == 3:
        frames[at] = raw_frame(kind, channel, payload[: max(0, len(payload) - amount)])
    elif fault == 4:
        frames[at] = raw_frame(kind, channel, payload + b"\x00" * amount)
    elif fault in (5, 6):
        del frames[at]
    elif fault == 7 and payload:
        changed = bytearray(payload)
        changed[-draw(st.integers(1, min(3, len(payload))))] = amount
        frames[at] = raw_frame(kind, channel, bytes(changed))
    else:
        frames.insert(at, frames[at])


@st.composite
def chunks(draw: st.DrawFn, octets: bytes) -> list[bytes]:
    """The octets as they might arrive: whole, one by one, or in random pieces."""
    how = draw(st.sampled_from(["whole", "whole", "pieces", "octets"]))
    if how == "whole":
        return [octets]
    if how == "octets" and len(octets) < 3000:
        return [octets[at : at + 1] for at in range(len(octets))]
    pieces, at = [], 0
    while at < len(octets):
        size = draw(st.sampled_from([1, 8, 21, 50, 150, 300, 5000]))
        pieces.append(octets[at : at + size])
        at += size
    return pieces


@dataclass
class Product:
    """The product's connection in front of the application, with the fast path or without."""

    application: Application
    fast: bool
    work: int = WORK_MAX  # what one call of ``receive`` may do
    ended: str = ""
    scanned: int = 0
    routes: dict[bytes, Callable[..., None]] = field(default_factory=dict)
    acks: dict[int, Callable[[int, bool], bool]] = field(default_factory=dict)
    generation: int = 0

    def __post_init__(self) -> None:
        peer = opened(offer=OFFER, frame_max=FRAME_MAX, channel_max=CHANNEL_MAX)
        self.connection = peer.connection
        self._parts = peer.out
        if self.fast:
            self.connection.scan = self._scan

    @property
    def out(self) -> bytes:
        """Everything it wrote."""
        return b"".join(self._parts)

    def feed(self, octets: bytes) -> None:
        """Take octets, as a session would."""
        if self.ended:
            return
        try:
            for event in self.connection.receive(octets, self.work):
                self._act(event)
            while self.connection.behind:
                for event in self.connection.receive(b"", max(1, self.work)):
                    self._act(event)
        except Drop:
            self.ended = "dropped"

    def _scan(self, buffer: bytes, position: int) -> int:
        if self.generation != self.application.generation:
            self._forget()
        if self.connection.work_left <= 0:
            return position
        after = scan(buffer, position, self.routes, self.acks, FRAME_MAX, len(buffer))
        self.scanned += after - position
        return after

    def _forget(self) -> None:
        self.routes.clear()
        self.generation = self.application.generation

    def _act(self, event: Event) -> None:
        try:
            self._execute(event)
        except CloseChannel as refusal:
            error = NotFound if refusal.code == 404 else PreconditionFailed
            self._refuse(error(refusal.text))
        except AmqpError as error:
            self._refuse(error)

    def _refuse(self, error: AmqpError) -> None:
        self.acks.pop(self.connection.channel, None)
        self._forget()
        self.connection.close_for(error)

    def _execute(self, event: Event) -> None:
        application = self.application
        if isinstance(event, ChannelOpened):
            self.connection.channel_open_ok(event.channel)
            application.open(event.channel)
            self.acks[event.channel] = lambda tag, multiple: self._ack(event.channel, tag, multiple)
        elif isinstance(event, ChannelClosed):
            self.acks.pop(event.channel, None)
            self._forget()
        elif isinstance(event, PublishReceived):
            self._publish(event)
        elif isinstance(event, MethodReceived):
            self._method(event)
        else:
            assert isinstance(event, Closed)
            self.ended = "closed"

    def _ack(self, channel: int, tag: int, multiple: bool) -> bool:
        try:
            self.application.ack(channel, tag, multiple)
        except CloseChannel:
            return False
        return True

    def _method(self, event: MethodReceived) -> None:
        name, _ = GRAMMAR.get(ids_of(event.method), (event.method.name, ""))
        if name == "basic.ack":
            ack: Any = event.method
            self.application.ack(event.channel, ack.delivery_tag, ack.multiple)
            return
        self.application.execute(event.channel, name)
        if name == "tx.select":
            self.acks.pop(event.channel, None)
            self._forget()

    def _publish(self, event: PublishReceived) -> None:
        if self.generation != self.application.generation:
            self._forget()
        facts = checked(event.content)
        flags = event.mandatory | event.immediate << 1
        address = (event.channel, event.exchange, event.routing_key, flags)
        self.application.publish(*address, unframed(event.content, event.channel, facts))
        if event.channel not in self.application.transactional:
            self.routes[event.frame] = self._route(address, self.application.generation)

    def _route(self, address: tuple[int, str, str, int], generation: int) -> Callable[..., None]:
        def publish(octets: bytes, size: int, *facts: Any) -> None:
            found = unframed(octets, address[0], facts)
            assert size == len(found[-1])
            self.application.note_publish(*address, found, generation)

        return publish


def checked(octets: bytes) -> tuple[bool, int, int]:
    """What a broker reads from a content's properties, or the refusal."""
    found = content.decode_properties(content.header_payload(octets))
    mode, expiration = found.get("delivery_mode"), found.get("expiration")
    if mode not in (None, 1, 2):
        raise CloseChannel(406, f"invalid delivery mode {mode}")
    if expiration is not None and not expiration.isdigit():
        raise CloseChannel(406, f"invalid expiration {expiration.decode(errors='replace')}")
    return mode == 2, found.get("priority", 0), int(expiration or -1)


def unframed(octets: bytes, channel: int, facts: Any) -> tuple[Any, ...]:
    """A framed content as the reference notes it, with a look at its framing."""
    (kind, header_channel, payload), *rest = split(octets)
    assert (kind, header_channel) == (2, channel)
    assert len(rest) <= 1
    for body_kind, body_channel, piece in rest:
        assert (body_kind, body_channel) == (3, channel)
        assert piece
    return (*facts, payload, rest[0][2] if rest else b"")
