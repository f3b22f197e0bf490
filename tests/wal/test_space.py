"""Which segments may go, and which pin too much."""

import pytest

from broker.wal.space import Space


def space(*live: int, octets: int = 100) -> Space:
    """Full segments of ten references; batches 1-9, 10-19, 20-29...; this many are live in each."""
    made = Space(segment_bytes=100)
    for index, references in enumerate(live):
        first = 10 * index or 1
        made.begin(f"{first}", first, 0)
        made.add(10 * index + 9, octets, octets, 10)
        if references:
            made.retain(first, references)
    return made


def free(made: Space, durable: int = 1000) -> list[str]:
    """Names of the segments that may go."""
    return [segment.name for segment in made.reclaimable(durable)]


def test_only_dead_segments_at_the_head_go() -> None:
    """A live reference keeps its segment and all behind it; the last one stays in any case."""
    assert free(space(0, 0, 1, 0, 0)) == ["1", "10"]
    assert free(space(1, 0, 0)) == []
    assert free(space(0, 0)) == ["1"]
    assert free(space(0)) == []


def test_a_segment_waits_for_the_batch_that_freed_it() -> None:
    """Messages go only when it is durable that they are settled."""
    made = space(2, 0)
    made.release([1, 9], 15)
    assert free(made, durable=14) == []
    assert free(made, durable=15) == ["1"]


def test_release_finds_the_segment_of_each_batch() -> None:
    """References are counted where their batch is; those of segments long gone are ignored."""
    made = space(1, 2, 1)
    made.release([9, 10, 19, 25], 29)
    assert free(made) == ["1", "10"]
    made.forget(1)
    made.release([9], 29)
    assert free(made) == ["10"]


def test_retain_needs_a_segment() -> None:
    """A reference to a batch that is in no segment is a bug of the owner."""
    made = space(1, 1)
    made.forget(1)
    with pytest.raises(AssertionError):
        made.retain(9, 1)


@pytest.mark.parametrize(
    ("live", "is_stale"),
    [
        ((1, 10, 1, 0, 0), True),  # 12 of 50
        ((6, 10, 4, 0, 0), False),  # just half of it, but for one segment
        ((6, 10, 3, 0, 0), True),
        ((4, 6, 0), False),
        ((1, 0), True),  # a small log
        ((0, 1, 0, 0, 0), False),  # the head is about to go
        ((10, 0, 0, 0, 0), True),  # a full head may pin much, too
    ],
)
def test_stale_head(live: tuple[int, ...], *, is_stale: bool) -> None:
    """The head is to be copied when less than half of a log is live, but for a segment."""
    assert space(*live).is_head_stale() == is_stale


def test_the_last_segment_is_never_stale() -> None:
    """A huge single segment cannot be copied into itself."""
    assert not space(1, octets=1000).is_head_stale()
