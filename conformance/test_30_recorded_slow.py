"""The recorded scenarios in which the server lets seconds pass before it closes."""

from __future__ import annotations

import pytest

from conformance.conftest import Target
from conformance.replay import Replay, scenarios
from conformance.test_00_recorded import judge

SLOW = [one for one, scenario in scenarios().items() if "closed_after_s" in scenario]


@pytest.mark.parametrize("scenario_id", SLOW)
def test_recorded_slow(
    scenario_id: str, broker: Target, replay: Replay, request: pytest.FixtureRequest
) -> None:
    """The server closes as recorded, and after the time recorded."""
    judge(scenario_id, broker, replay, request)
