"""Histories of counters: rates and samples."""

import pytest

from broker.management.series import History, Track, Window


def test_a_rate_is_the_growth_between_the_last_two_samples() -> None:
    """Growth is per second; a single sample has no rate."""
    track = Track()
    track.add(10_000, (5, 0))
    assert track.rate(0) == 0.0
    track.add(12_000, (25, 0))
    assert (track.rate(0), track.rate(1)) == (10.0, 0.0)
    track.add(17_000, (25, 0))
    assert track.rate(0) == 0.0


def test_idle_means_that_nothing_changed() -> None:
    """An object is idle from the first sample that equals the one before."""
    track = Track()
    for at_ms, row, idle in ((1, (1,), False), (2, (2,), False), (3, (2,), True)):
        track.add(at_ms, row)
        assert track.idle is idle
    assert track.changed_ms == 2


@pytest.mark.parametrize("changes", [range(0, 60, 5), (0, 5, 50), (0,)])
def test_the_value_at_a_time_is_the_last_one_before(changes: range | tuple[int, ...]) -> None:
    """Rows that change nothing are not kept, and yet known at every time."""
    history = History(((5_000, 100),))
    for second in range(0, 60, 5):
        value = max(change for change in changes if change <= second)
        history.add(second * 1000, (value,))
    times = [second * 1000 for second in range(60)]
    expected = [max(change for change in changes if change <= s) for s in range(60)]
    assert history.at(times, 0) == expected


def test_before_the_first_sample_there_is_nothing() -> None:
    """What had not been made yet had counted nothing."""
    history = History(((5_000, 100),))
    history.add(10_000, (7,))
    assert history.at([0, 9_999, 10_000], 0) == [0, 0, 7]


def test_a_long_look_back_uses_coarser_rows() -> None:
    """What the finest rows do not reach any more, coarser ones still know."""
    history = History(((1_000, 10), (10_000, 10)))
    for second in range(101):
        history.add(second * 1000, (second,))
    assert history.at([100_000, 95_000], 0) == [100, 95]
    assert history.at([100_000, 50_000, 20_000], 0) == [100, 50, 20]


def test_samples_are_as_many_as_asked_for() -> None:
    """Samples come newest first, at whole steps, with their average and its growth."""
    track = Track()
    track.history = History(((5_000, 100),))
    for second in range(0, 31, 5):
        track.add(second * 1000, (second * 10,))
    details = track.details(0, Window(20_000, 10_000))
    assert details["samples"] == [
        {"sample": 300, "timestamp": 30_000},
        {"sample": 200, "timestamp": 20_000},
        {"sample": 100, "timestamp": 10_000},
    ]
    assert (details["avg"], details["avg_rate"], details["rate"]) == (200.0, 10.0, 10.0)


def test_no_interval_is_without_its_sample() -> None:
    """Samples a little early or late are one of each interval: nothing seems to pause."""
    track = Track()
    track.history = History(((5_000, 100),))
    for number in range(100):
        track.add(100_000 + number * 5_000 + (-1) ** number * 60, (number,), 5_000)
    samples = track.details(0, Window(400_000, 5_000))["samples"]
    values = [sample["sample"] for sample in samples]
    assert [newer - older for older, newer in zip(values[1:], values, strict=False)] == [1] * 80
