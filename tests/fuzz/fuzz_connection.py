"""Any octets in any chunks give documented errors only, bounded memory and whole frames of answer.

The first octet of an input says how the rest is taken: bit 0, cut into chunks of the size in the
second octet or not at all; bit 1, by a connection that is open or by one that awaits the protocol
header; bit 2, as it is or as the payloads of frames that are framed right, so that what lies
behind the framing is reached.

    python -m tests.fuzz.fuzz_connection --seeds DIRECTORY     write inputs to start from
    python -m tests.fuzz.fuzz_connection DIRECTORY [libFuzzer options]

An open connection is run with the fast path and without, in chunks and in one piece: all must do
the same.
"""

import struct
import sys
import zlib
from pathlib import Path

import atheris
from pamqp import commands

with atheris.instrument_imports(include=["protocol"]):
    from protocol.connection import Connection
    from protocol.constants import CLOSED
    from protocol.offer import Offer
from tests.frames import (
    PROTOCOL_HEADER,
    ack,
    channel_open,
    connection_open,
    message,
    method,
    publish,
    raw_frame,
    split,
    start_ok,
    tune_ok,
)
from tests.peer import Peer
from tests.property.wires import CHANNEL_MAX, FRAME_MAX, Product
from tests.reference.wire import Application

CHUNKED, CLOSED_YET, FRAMED = 1, 2, 4
BODY_MAX = 10_000
OFFER = Offer({}, frame_max=FRAME_MAX, channel_max=CHANNEL_MAX, message_size_max=BODY_MAX)


def framed(octets: bytes) -> bytes:
    """Frames from anything: kind, channel, length of the payload, payload, and so on."""
    frames, at = [], 0
    while at + 4 <= len(octets):
        kind, channel, size = struct.unpack_from(">BBH", octets, at)
        kind = kind if kind < 4 or kind == 8 else kind % 4
        size %= 600
        frames.append(raw_frame(kind, channel % 4, octets[at + 4 : at + 4 + size]))
        at += 4 + size
    return b"".join(frames)


def check(connection: Connection, parts: list[bytes]) -> None:
    """What holds after any octets: what is kept is bounded, what was written is whole frames."""
    assert len(connection._rest) < FRAME_MAX + 8 or connection.state == CLOSED
    assert len(connection.channels) <= CHANNEL_MAX
    for channel in connection.channels.values():
        assert sum(map(len, channel.body)) <= BODY_MAX + FRAME_MAX
    written = b"".join(parts)
    split(b"" if written == PROTOCOL_HEADER else written)


def handshake(chunks: list[bytes]) -> object:
    """A connection from its first octet on; what it said and how it ended."""
    peer = Peer(OFFER)
    for chunk in chunks:
        peer.feed(chunk)
        if peer.dropped is None:
            check(peer.connection, peer.out)
    return peer.events, peer.out, peer.dropped is None


def traffic(chunks: list[bytes], *, fast: bool) -> object:
    """An open connection; what it called, what it said and how it ended."""
    product = Product(Application(), fast)
    for chunk in chunks:
        product.feed(chunk)
        if not product.ended:
            check(product.connection, [product.out])
    return product.application.journal, product.out, product.ended


def run(data: bytes) -> None:
    """One input."""
    if len(data) < 2:
        return
    how, size, octets = data[0], data[1] or 256, data[2:]
    if how & FRAMED:
        octets = framed(octets)
    chunks = [octets]
    if how & CHUNKED:
        chunks = [octets[at : at + size] for at in range(0, len(octets), size)]
    if how & CLOSED_YET:
        assert handshake(chunks) == handshake([octets])
    else:
        expected = traffic([octets], fast=False)
        assert traffic(chunks, fast=True) == expected
        assert traffic(chunks, fast=False) == expected
        assert traffic([octets], fast=True) == expected


def write_seeds(directory: Path) -> None:
    """Streams in order, each whole, in chunks, and in the form that is framed here."""
    directory.mkdir(parents=True, exist_ok=True)
    properties = {"delivery_mode": 2, "headers": {"a": 1, "t": {"u": [True]}}, "priority": 5}
    unit = publish(1, "x", "a") + message(1, b"m", expiration="60000", **properties)
    declare = commands.Queue.Declare(queue="q", arguments={"x-max-length": 5})
    streams = [
        channel_open(1) + unit * 3 + ack(1, 1) + ack(1, 3, multiple=True) + unit,
        channel_open(1) + unit + method(1, commands.Queue.Bind(0, "q", "x", "a")) + unit,
        channel_open(1) + method(1, commands.Tx.Select()) + unit * 2 + ack(1, 21),
        channel_open(1) + method(1, declare) + method(1, commands.Channel.Close(200, "", 0, 0)),
        publish(1, "missing", "a") + message(1, b"") + method(1, commands.Channel.CloseOk()),
    ]
    greeting = PROTOCOL_HEADER + start_ok() + tune_ok(CHANNEL_MAX, FRAME_MAX) + connection_open()
    seeds = [bytes((CLOSED_YET, 0)) + greeting, bytes((CLOSED_YET | CHUNKED, 7)) + greeting]
    for stream in streams:
        plain = b"".join(
            struct.pack(">BBH", kind, channel, len(payload)) + payload
            for kind, channel, payload in split(stream)
        )
        seeds += [bytes((0, 0)) + stream, bytes((CHUNKED, 50)) + stream, bytes((FRAMED, 0)) + plain]
    for seed in seeds:
        (directory / f"{zlib.crc32(seed):08x}").write_bytes(seed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seeds"]:
        write_seeds(Path(sys.argv[2]))
    else:
        atheris.Setup(sys.argv, run)
        atheris.Fuzz()
