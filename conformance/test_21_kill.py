"""kill -9 under load: what was confirmed is there, once, in order; see kill_loop.py."""

from __future__ import annotations

import os

import pytest

from conformance import kill_loop
from conformance.brokers import Broker
from conformance.kill_loop import Account

QUEUE = kill_loop.QUEUES[0]
GONE = f"{QUEUE}:1:0"
KILLS = int(os.environ.get("CONFORMANCE_KILLS", "3"))


@pytest.mark.timeout(60 + 20 * KILLS)
def test_kill_under_load(restartable: Broker) -> None:
    """Nothing confirmed is lost, nothing is doubled unmarked, order holds, kill after kill."""
    total = kill_loop.run(restartable, KILLS, seed=int.from_bytes(os.urandom(4), "big"))
    assert len(total.confirmed) > 100 * KILLS, "there was hardly any load"


A, B, C = (f"{QUEUE}:0:{n}" for n in range(3))


@pytest.mark.parametrize(
    ("complaint", "found"),
    [
        ("confirmed and lost", [(A, True), (C, True)]),
        ("twice", [(A, True), (B, True), (B, True), (C, True)]),
        ("came back", [(GONE, True), (A, True), (B, True), (C, True)]),
        ("from nowhere", [(A, True), (B, True), (C, True), (f"{QUEUE}:0:9", True)]),
        ("stands behind", [(B, True), (A, True), (C, True)]),
        ("is not marked", [(A, False), (B, True), (C, True)]),
    ],
)
def test_the_account_notices(complaint: str, found: list[tuple[str, bool]]) -> None:
    """Each fault that the loop looks for is one it finds."""
    first = Account(published={GONE}, confirmed={GONE}, ack_sent={GONE})
    second = Account(published={A, B, C}, confirmed={A, B, C}, delivered=[(A, False)])
    nothing = {queue: [] for queue in kill_loop.QUEUES}
    judge = kill_loop.Judge()
    judge.round([first], nothing)
    with pytest.raises(AssertionError, match=complaint):
        judge.round([second], nothing | {QUEUE: found})
    judge = kill_loop.Judge()
    judge.round([first], nothing)
    judge.round([second], nothing | {QUEUE: [(A, True), (B, False), (C, True)]})


@pytest.mark.parametrize(
    ("complaint", "delivered"),
    [("again, not redelivered", [(A, True), (A, False)]), ("came after", [(B, False), (A, False)])],
)
def test_the_account_notices_deliveries(complaint: str, delivered: list[tuple[str, bool]]) -> None:
    """So are faults in what consumers were given."""
    account = Account(published={A, B}, confirmed={A, B}, delivered=delivered)
    with pytest.raises(AssertionError, match=complaint):
        kill_loop.Judge().round([account], {queue: [] for queue in kill_loop.QUEUES})
