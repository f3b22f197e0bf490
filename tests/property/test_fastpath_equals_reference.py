"""The fast path is invisible: whatever arrives, however it is cut, the slow twin does the same."""

from hypothesis import event, given, settings
from hypothesis import strategies as st

from protocol.connection import WORK_MAX, WORK_SHARED
from tests.frames import ack, channel_open, message, publish
from tests.property.wires import (
    CHANNEL_MAX,
    FRAME_MAX,
    Product,
    chunks,
    streams,
)
from tests.reference.wire import Application, ReferenceConnection


def reference(octets: bytes) -> tuple[object, ...]:
    """What the slow twin makes of the octets: calls, replies and the end."""
    application = Application()
    connection = ReferenceConnection(application, FRAME_MAX, CHANNEL_MAX)
    connection.feed(octets)
    return application.journal, connection.out, connection.ended


def product(
    pieces: list[bytes], *, fast: bool, work: int = WORK_MAX
) -> tuple[tuple[object, ...], int]:
    """What the product makes of them, and how many octets the fast path consumed."""
    connection = Product(Application(), fast, work)
    for piece in pieces:
        connection.feed(piece)
    return (connection.application.journal, connection.out, connection.ended), connection.scanned


def test_the_fast_path_is_in_use() -> None:
    """The stand-in for a session does leave routes to the fast path, or the rest proves little."""
    unit = publish(1, "x", "a") + message(1)
    later = unit + ack(1, 2) + unit
    _, scanned = product([channel_open(1) + ack(1, 1) + unit + later], fast=True)
    assert scanned == len(ack(1, 1) + later)


@settings(max_examples=400)
@given(st.data())
def test_any_stream_in_any_chunks(data: st.DataObject) -> None:
    """F1 to F5: valid, damaged and cut streams give the same calls, replies and end as the twin's,
    in any chunks, with the fast path and without, acted on at once or a little at a time.

    Topology changes between publishes are among the methods: a route kept beyond one (F2) would
    be noted with an old generation.
    """
    octets = data.draw(streams())
    pieces = data.draw(chunks(octets))
    work = data.draw(st.sampled_from([WORK_MAX, WORK_SHARED, 0]))
    expected = reference(octets)
    with_scan, scanned = product(pieces, fast=True, work=work)
    assert with_scan == expected
    assert product(pieces, fast=False, work=work)[0] == expected
    event(f"ended: {expected[2] or 'open'}")
    event("fast path used" if scanned else "fast path not used")


@settings(max_examples=200)
@given(st.data())
def test_octets_flipped_anywhere(data: st.DataObject) -> None:
    """F4: after any octets were changed, in frame heads too, with and without the fast path the
    product still does the same, in one piece or in many."""
    octets = bytearray(data.draw(streams(faults_max=0)))
    for _ in range(data.draw(st.integers(0, 4)) if octets else 0):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at] = data.draw(st.integers(0, 255))
    pieces = data.draw(chunks(bytes(octets)))
    assert product(pieces, fast=True)[0] == product([bytes(octets)], fast=False)[0]


@settings(max_examples=100)
@given(st.data())
def test_scan_work_is_bounded_by_the_buffer(data: st.DataObject) -> None:
    """F5, F7: scan consumes no more than it is given, keeps nothing, and repeated at the same
    place does the same."""
    octets = data.draw(streams())
    connection = Product(Application(), fast=True)
    connection.feed(octets)
    if connection.ended or connection.connection.scan is None:
        return
    for start in (0, len(octets) // 2, len(octets)):
        before = len(connection.application.journal)
        after = connection.connection.scan(octets, start)
        assert start <= after <= len(octets)
        assert len(connection.application.journal) - before <= (after - start) // 21
