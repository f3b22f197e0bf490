"""Whether a socket is read depends on a set of reasons, never on their order."""

from hypothesis import given
from hypothesis import strategies as st

from broker.amqp.reading import ALARM, CONGESTION, TICK, WRITING, Reading
from tests.world import MemoryTransport

REASONS = (WRITING, TICK, CONGESTION, ALARM)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(REASONS))))
def test_read_exactly_without_a_reason(steps: list[tuple[bool, int]]) -> None:
    """However reasons come and go, the socket is read if and only if none is left."""
    transport = MemoryTransport()
    reading = Reading(transport)
    reasons: set[int] = set()
    for comes, reason in steps:
        if comes:
            reading.pause(reason)
            reasons.add(reason)
        else:
            reading.resume(reason)
            reasons.discard(reason)
        assert transport.reading == (not reasons)
        assert reading.held_back == bool(reasons - {WRITING})


def test_the_reasons_are_apart() -> None:
    """No reason is part of another."""
    assert sum(REASONS) == 1 | 2 | 4 | 8


def test_a_closing_socket_is_left_alone() -> None:
    """asyncio refuses to pause or resume a socket that closes: it is not asked to."""
    transport = MemoryTransport()
    reading = Reading(transport)
    reading.pause(ALARM)
    transport.close()
    reading.resume(ALARM)
    assert not transport.reading
    transport.reading = True
    reading.pause(ALARM)
    assert transport.reading
