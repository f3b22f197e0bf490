"""rabbitmq-plugins' stand-in: what is built in can be enabled, the rest says why not."""

from __future__ import annotations

import json

import pytest

from broker import plugins
from tests.admin.conftest import Run, StandIn


@pytest.fixture
def ran_plugins(stand_in: StandIn) -> Run:
    """Run the stand-in; no broker runs."""
    return stand_in("rabbitmq-plugins")


def test_enabling_what_is_built_in(ran_plugins: Run) -> None:
    """It succeeds, as images and scripts expect, with or without a broker."""
    for how in ((), ("--offline",), ("--online",)):
        ran = ran_plugins("enable", *how, "rabbitmq_management", "rabbitmq_prometheus")
        assert (ran.code, ran.err) == (0, "")
        assert "  rabbitmq_management" in ran.out.splitlines()
    assert ran_plugins("is_enabled", "rabbitmq_management").code == 0
    assert ran_plugins("enable", "--all").code == 0


def test_enabling_what_is_not_there(ran_plugins: Run) -> None:
    """It fails in one line with the reason, and an unknown name is said to be one."""
    ran = ran_plugins("enable", "rabbitmq_mqtt", "rabbitmq_management")
    assert (ran.code, ran.err) == (
        70,
        f"Error:\nrabbitmq_mqtt: {plugins.ABSENT['rabbitmq_mqtt']}\n",
    )
    ran = ran_plugins("enable", "rabbitmq_nonsense")
    assert (ran.code, "there is no such plugin" in ran.err) == (70, True)
    assert ran_plugins("enable").code == 64
    ran = ran_plugins("-q", "is_enabled", "rabbitmq_mqtt")
    assert (ran.code, ran.out, "rabbitmq_mqtt is not enabled" in ran.err) == (69, "", True)


def test_disabling_is_said_to_change_nothing(ran_plugins: Run) -> None:
    """What is built in stays on; tools that disable what they do not know go on."""
    ran = ran_plugins("disable", "rabbitmq_prometheus")
    assert (ran.code, "still on: rabbitmq_prometheus" in ran.err) == (0, True)
    assert ran_plugins("is_enabled", "rabbitmq_prometheus").code == 0


def test_listing(ran_plugins: Run) -> None:
    """Names alone, marked, or as JSON; a pattern chooses."""
    names = ran_plugins("list", "-E", "-m", "-q").out.splitlines()
    assert names == sorted(plugins.BUILT_IN)
    legend = ran_plugins("list", "^none$").out.splitlines()
    assert [line[:3] for line in legend] == ["Lis", " Co", " | ", " |/"]
    lines = ran_plugins("list", "-s", "^rabbitmq_m").out.splitlines()
    assert [line.split()[0] for line in lines] == ["[E*]", "[E*]", "[E*]", "["]
    shown = json.loads(ran_plugins("list", "--formatter", "json", "mqtt").out)["plugins"]
    assert [one["running"] for one in shown] == [False, False, False]
    assert ran_plugins("list", "[").code == 65
