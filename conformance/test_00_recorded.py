"""What RabbitMQ 3.10.8 answered once must be answered again: the recorded scenarios, replayed.

``replay.py`` says what is compared. The scenarios that wait for seconds are judged at the end of
the suite (test_30_recorded_slow.py), when their time has passed beside the other tests.
"""

from __future__ import annotations

import pytest

from conformance.conftest import Target
from conformance.replay import Replay, Skip, pending, scenarios

QUICK = [one for one, scenario in scenarios().items() if "closed_after_s" not in scenario]


@pytest.mark.parametrize("scenario_id", QUICK)
def test_recorded(
    scenario_id: str, broker: Target, replay: Replay, request: pytest.FixtureRequest
) -> None:
    """Every frame, its arguments, its order and the way TCP ends are as recorded."""
    judge(scenario_id, broker, replay, request)


def judge(scenario_id: str, broker: Target, replay: Replay, request: pytest.FixtureRequest) -> None:
    """Fail as the scenario failed; what Leveret has yet to learn is expected to fail."""
    scenario = scenarios()[scenario_id]
    if "skip" in scenario:
        pytest.skip(scenario["skip"])
    reason = pending().get(scenario_id)
    if broker.is_leveret and reason is not None:
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    try:
        replay.result(scenario_id)
    except Skip as why:
        if broker.is_leveret:
            raise AssertionError(str(why)) from why
        pytest.skip(str(why))


def test_pending_names_known_scenarios() -> None:
    """The list of what is still to do names recorded scenarios only, each with a reason."""
    unknown = [one for one in pending() if one not in scenarios()]
    assert not unknown
    assert all(pending().values())
