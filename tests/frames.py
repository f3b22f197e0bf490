"""Frames as a client writes them, made by pamqp or by hand: never by the product's own encoder."""

import struct
from collections.abc import Iterable
from typing import Any

from pamqp import commands, frame
from pamqp.header import ProtocolHeader

PROTOCOL_HEADER = ProtocolHeader().marshal()
USUAL_CAPABILITIES = {
    "publisher_confirms": True,
    "consumer_cancel_notify": True,
    "authentication_failure_close": True,
}


def raw_frame(kind: int, channel: int, payload: bytes, end: int = 0xCE) -> bytes:
    """One frame of any kind, valid or not."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes((end,))


def method(channel: int, command: Any) -> bytes:
    """A method frame as pamqp writes it."""
    octets: bytes = frame.marshal(command, channel)
    return octets


def method_payload(command: Any) -> bytes:
    """The payload of a method frame as pamqp writes it."""
    return method(0, command)[7:-1]


def publish(
    channel: int = 1,
    exchange: str = "",
    routing_key: str = "q",
    *,
    mandatory: bool = False,
    immediate: bool = False,
) -> bytes:
    """A basic.publish frame."""
    return method(channel, commands.Basic.Publish(0, exchange, routing_key, mandatory, immediate))


def header_payload(size: int, properties: bytes = b"", flags: int = 0, class_id: int = 60) -> bytes:
    """The payload of a content header frame."""
    return struct.pack(">HHQH", class_id, 0, size, flags) + properties


def header(channel: int, size: int, **properties: Any) -> bytes:
    """A content header frame with properties as pamqp writes them."""
    flags_and_values: bytes = commands.Basic.Properties(**properties).marshal()
    payload = struct.pack(">HHQ", 60, 0, size) + flags_and_values
    return raw_frame(2, channel, payload)


def body(channel: int, octets: bytes) -> bytes:
    """A content body frame."""
    return raw_frame(3, channel, octets)


def message(channel: int = 1, octets: bytes = b"m", **properties: Any) -> bytes:
    """The content of a message in one body frame, or in none if it is empty."""
    return header(channel, len(octets), **properties) + (body(channel, octets) if octets else b"")


def ack(channel: int, tag: int, *, multiple: bool = False) -> bytes:
    """A basic.ack frame."""
    return method(channel, commands.Basic.Ack(tag, multiple))


def start_ok(capabilities: dict[str, bool] | None = None) -> bytes:
    """connection.start-ok of guest, with the capabilities given or the usual ones."""
    usual = USUAL_CAPABILITIES if capabilities is None else capabilities
    return method(
        0,
        commands.Connection.StartOk(
            {"capabilities": dict(usual)}, "PLAIN", "\0guest\0guest", "en_US"
        ),
    )


def tune_ok(channel_max: int = 2047, frame_max: int = 131072, heartbeat: int = 0) -> bytes:
    """connection.tune-ok."""
    return method(0, commands.Connection.TuneOk(channel_max, frame_max, heartbeat))


def connection_open(vhost: str = "/") -> bytes:
    """connection.open."""
    return method(0, commands.Connection.Open(vhost))


def channel_open(channel: int = 1) -> bytes:
    """channel.open."""
    return method(channel, commands.Channel.Open())


def split(octets: bytes) -> list[tuple[int, int, bytes]]:
    """Take whole frames apart into type, channel and payload; an incomplete one fails."""
    frames, position = [], 0
    while position < len(octets):
        kind, channel, size = struct.unpack_from(">BHI", octets, position)
        payload = octets[position + 7 : position + 7 + size]
        assert len(payload) == size, "incomplete frame"
        assert octets[position + 7 + size] == 0xCE, "no end octet"
        frames.append((kind, channel, payload))
        position += 8 + size
    return frames


def methods_in(parts: Iterable[bytes]) -> list[tuple[int, str]]:
    """The channel and name of each method frame the server wrote, as pamqp reads them."""
    return [(channel, command.name) for channel, command in commands_in(parts)]


def commands_in(parts: Iterable[bytes]) -> list[tuple[int, Any]]:
    """Each method frame the server wrote, as (channel, pamqp command)."""
    found = []
    for kind, channel, payload in split(b"".join(parts)):
        if kind == 1:
            _, _, command = frame.unmarshal(raw_frame(kind, channel, payload))
            found.append((channel, command))
    return found
