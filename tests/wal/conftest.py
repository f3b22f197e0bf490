"""What the tests of the log share."""

import pytest

from broker.wal import log, segment


@pytest.fixture(autouse=True)
def small_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grow files in steps that fit small segments, and work in the loop unless a test is slow."""
    monkeypatch.setattr(segment, "EXTEND_BYTES", 1000)
    monkeypatch.setattr(log, "INLINE_MAX_SEGMENTS", 1000)
