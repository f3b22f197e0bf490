"""The broker's time: as steady as the machine's, and the system's in the long run."""

import logging
from random import Random

import pytest

from broker.clock import CATCH_UP, Clock

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND


class Machine:
    """Two clocks; only one of them can be set."""

    def __init__(self) -> None:
        self.system = START
        self.monotonic = 5 * SECOND
        self.clock = Clock(lambda: self.system, lambda: self.monotonic)

    def wait(self, seconds: float) -> int:
        """Let time pass, and look at the clock."""
        self.system += int(seconds * SECOND)
        self.monotonic += int(seconds * SECOND)
        return self.clock.now_ms()

    def set(self, seconds: float) -> None:
        """Set the system's clock forward or back."""
        self.system += int(seconds * SECOND)


def test_it_is_the_systems_time() -> None:
    """Undisturbed, both are the same."""
    machine = Machine()
    for _ in range(100):
        assert machine.wait(0.37) == machine.system // 1_000_000


@pytest.mark.parametrize("jump", [3600, -3600, 1e9, -1e9])
def test_a_jump_is_followed_slowly(jump: float) -> None:
    """After the clock was set, a second here is still a second, more or less a tenth."""
    machine = Machine()
    before = machine.wait(1)
    machine.set(jump)
    for _ in range(10):
        after = machine.wait(1)
        assert after - before == pytest.approx(1100 if jump > 0 else 900, abs=2)
        before = after


@pytest.mark.parametrize("jump", [60, -60])
def test_in_the_end_they_agree(jump: float) -> None:
    """A minute of difference is made up for in ten."""
    machine = Machine()
    machine.set(jump)
    for _ in range(CATCH_UP * 60):
        machine.wait(1)
    assert machine.wait(1) == machine.system // 1_000_000


def test_it_never_goes_back() -> None:
    """Whatever is done to the system's clock."""
    machine, random = Machine(), Random(3)
    last = 0
    for _ in range(1000):
        machine.set(random.choice([0, 0, 1, -1, 5000, -5000]))
        now = machine.wait(random.choice([0, 0.0000001, 0.001, 10]))
        assert now >= last
        last = now


def test_a_jump_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """The operator reads that the clock was set and what the broker does; and when it is over."""
    machine = Machine()
    with caplog.at_level(logging.INFO, "leveret.clock"):
        machine.set(60)
        for _ in range(2 * CATCH_UP * 60):
            machine.wait(1)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "set by +60 s" in caplog.text
