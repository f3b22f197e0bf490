"""The fast path by itself: each test names the invariant of `protocol.fastpath` it holds."""

from typing import Any

import pytest
from pamqp import commands, frame

from protocol.fastpath import deliver_template, pack_tag, scan
from tests.frames import ack, body, header, header_payload, message, method, publish, raw_frame

Call = tuple[bytes, int, bool, int, int]
PUBLISH = publish(1, "x", "k")
MESSAGE = message(1, b"hello", delivery_mode=2, priority=3)
UNIT = PUBLISH + MESSAGE


class Recorder:
    """What scan called, with one route for PUBLISH on channel 1."""

    def __init__(self) -> None:
        self.published: list[Call] = []
        self.acked: list[tuple[int, bool]] = []
        self.accepts_ack = True
        self.routes: dict[bytes, Any] = {PUBLISH: self.publish}
        self.acks: dict[int, Any] = {1: self.ack}

    def publish(self, *call: Any) -> None:
        """Stand in for Route.publish."""
        self.published.append(call)  # type: ignore[arg-type]

    def ack(self, tag: int, multiple: bool) -> bool:
        """Stand in for Channel.ack."""
        if self.accepts_ack:
            self.acked.append((tag, multiple))
        return self.accepts_ack

    def scan(self, buffer: bytes, position: int = 0, frame_max: int = 131072) -> int:
        """Scan with this recorder's routes."""
        return scan(buffer, position, self.routes, self.acks, frame_max, len(buffer))


def test_publishes_and_acks_are_consumed() -> None:
    """F3: whole publishes with a route, and acks, are consumed in order with what they say."""
    recorder = Recorder()
    buffer = UNIT + ack(1, 7) + PUBLISH + message(1, b"x") + ack(1, 9, multiple=True)
    assert recorder.scan(buffer) == len(buffer)
    assert recorder.published == [(MESSAGE, 5, True, 3, -1), (message(1, b"x"), 1, False, 0, -1)]
    assert recorder.acked == [(7, False), (9, True)]


def test_scan_starts_where_it_is_told() -> None:
    """F5: scan depends on nothing but its arguments: the same octets anywhere mean the same."""
    recorder = Recorder()
    assert recorder.scan(b"junk" + UNIT, 4) == 4 + len(UNIT)
    assert recorder.scan(UNIT) == len(UNIT)
    assert recorder.published[0] == recorder.published[1]


@pytest.mark.parametrize("octets", [b"", UNIT[:1]])
def test_nothing_whole_is_nothing_done(octets: bytes) -> None:
    """F3: with no whole unit at hand, scan stays where it is."""
    recorder = Recorder()
    assert recorder.scan(octets) == 0
    assert recorder.published == []


@pytest.mark.parametrize("missing", range(1, len(UNIT) + 1))
def test_partial_units_are_left(missing: int) -> None:
    """F3: a unit cut at any octet is left untouched, behind those that were whole."""
    recorder = Recorder()
    buffer = ack(1, 5) + UNIT + UNIT
    expected = len(ack(1, 5)) + len(UNIT)
    assert recorder.scan(buffer[: len(buffer) - missing]) == expected
    assert len(recorder.published) == 1


@pytest.mark.parametrize("missing", range(1, 22))
def test_partial_acks_are_left(missing: int) -> None:
    """F3: an ack cut at any octet is left untouched."""
    recorder = Recorder()
    assert recorder.scan(ack(1, 5)[:-missing]) == 0
    assert recorder.acked == []


LEFT = {
    "a publish without a route": publish(1, "x", "other") + MESSAGE,
    "the same publish on another channel": publish(2, "x", "k") + message(2),
    "an empty body": PUBLISH + message(1, b""),
    "an empty body and a frame of none": PUBLISH + message(1, b"") + body(1, b"") + UNIT,
    "a body in two frames": PUBLISH + header(1, 10) + body(1, b"hello") + body(1, b"world"),
    "a body longer than announced": PUBLISH + header(1, 4) + body(1, b"hello"),
    "a body shorter than announced": PUBLISH + header(1, 6) + body(1, b"hello"),
    "a header of another channel": PUBLISH + header(2, 5) + body(1, b"hello"),
    "a body of another channel": PUBLISH + header(1, 5) + body(2, b"hello"),
    "a heartbeat in between": PUBLISH + raw_frame(8, 0, b"") + MESSAGE,
    "a header of another class": PUBLISH
    + raw_frame(2, 1, header_payload(5, class_id=50))
    + body(1, b"hello"),
    "a header with a wrong end": PUBLISH
    + raw_frame(2, 1, header_payload(5), end=0)
    + body(1, b"hello"),
    "a body with a wrong end": PUBLISH + header(1, 5) + raw_frame(3, 1, b"hello", end=0),
    "a header too short": PUBLISH + raw_frame(2, 1, b"\x00\x3c\x00\x00") + body(1, b"hello") * 3,
    "a body frame in place of the header": PUBLISH + body(1, b"hello" * 9) + body(1, b"hello"),
    "a header in place of the body": PUBLISH + header(1, 14) + header(1, 14),
    "truncated properties": PUBLISH
    + raw_frame(2, 1, header_payload(1, b"\x05ab", flags=0x8000))
    + body(1, b"x"),
    "surplus properties": PUBLISH
    + raw_frame(2, 1, header_payload(1, b"\x02ab?", flags=0x8000))
    + body(1, b"x"),
    "properties without flags": PUBLISH + raw_frame(2, 1, header_payload(1, b"?")) + body(1, b"x"),
    "a user id": PUBLISH + message(1, user_id="guest"),
    "CC headers": PUBLISH + message(1, headers={"CC": ["a"]}),
    "an odd expiration": PUBLISH + message(1, expiration="soon"),
    "an odd delivery mode": PUBLISH
    + raw_frame(2, 1, header_payload(1, b"\x03", flags=0x1000))
    + body(1, b"x"),
    "an ack for a channel without acks": ack(2, 5),
    "an ack with undefined flags": ack(1, 5)[:-2] + b"\x02\xce",
    "an ack with a wrong end": ack(1, 5)[:-1] + b"\x00",
    "a longer ack": raw_frame(1, 1, ack(1, 5)[7:-1] + b"\x00"),
    "a nack": method(1, commands.Basic.Nack(5, False, True)),
    "another method": method(1, commands.Basic.Consume(queue="q" * 30)),
    "a body without a publish": body(1, b"hello" * 10),
    "a frame said to be huge": b"\x01\x00\x01\xff\xff\xff\xff" + b"x" * 40,
}


@pytest.mark.parametrize("octets", LEFT.values(), ids=LEFT)
def test_what_is_not_understood_is_left(octets: bytes) -> None:
    """F4: what the fast path does not understand it leaves from its first octet, silently."""
    recorder = Recorder()
    buffer = UNIT + octets + UNIT
    assert recorder.scan(buffer) == len(UNIT)
    assert len(recorder.published) == 1
    assert recorder.acked == []


def test_refused_ack_is_left() -> None:
    """F4: an ack the channel does not take is left for the slow path to answer."""
    recorder = Recorder()
    recorder.accepts_ack = False
    assert recorder.scan(ack(1, 5)) == 0


@pytest.mark.parametrize("size", [4096, 4097])
def test_frames_over_the_limit_are_left(size: int) -> None:
    """F4: a body frame beyond frame-max is left for the slow path to refuse."""
    recorder = Recorder()
    buffer = PUBLISH + message(1, b"x" * size)
    assert recorder.scan(buffer, frame_max=4096) == (len(buffer) if size == 4096 else 0)
    large_header = PUBLISH + message(1, headers={"h": "x" * size})
    assert recorder.scan(large_header, frame_max=4096) == 0


def test_what_is_passed_on_is_a_copy() -> None:
    """F6: a content is bytes of its own and does not keep the receive buffer alive."""
    recorder = Recorder()
    buffer = UNIT * 2
    recorder.scan(buffer)
    for content, *_ in recorder.published:
        assert type(content) is bytes
        assert content == MESSAGE


def test_forgotten_routes_are_not_used() -> None:
    """F2: once the routes are cleared, the publish that had one is left."""
    recorder = Recorder()
    recorder.routes.clear()
    assert recorder.scan(UNIT) == 0


def test_deliver_template_makes_a_deliver_frame() -> None:
    """A delivery built from its template is what pamqp reads as basic.deliver."""
    prefix, suffix = deliver_template(300, b"tag", b"\x01x\x02\xc3\xa9")
    size, channel, deliver = frame.unmarshal(prefix + pack_tag((1 << 63) - 1, True) + suffix)
    assert (size, channel) == (len(prefix) + 9 + len(suffix), 300)
    assert isinstance(deliver, commands.Basic.Deliver)
    assert (deliver.consumer_tag, deliver.exchange, deliver.routing_key) == ("tag", "x", "é")
    assert (deliver.delivery_tag, deliver.redelivered) == ((1 << 63) - 1, True)
