"""kill -9 under load: what was confirmed is there, once, in order; see soak.py."""

from __future__ import annotations

import os

import pytest

from conformance import soak
from conformance.brokers import Broker
from conformance.conftest import Target
from conformance.soak_account import DEAD, REJECTING, Account, Copy, Found, Judge
from conformance.soak_load import MIXED, PLAIN

KILLS = int(os.environ.get("CONFORMANCE_KILLS", "3"))


@pytest.mark.timeout(60 + 20 * KILLS)
def test_kill_under_load(restartable: Broker, target: Target) -> None:
    """Nothing confirmed is lost, nothing is doubled unmarked, order holds, kill after kill."""
    load = MIXED if target.is_leveret else PLAIN
    totals = soak.run(restartable, KILLS, load, seed=int.from_bytes(os.urandom(4), "big"))
    assert totals.confirmed > 100 * KILLS, "there was hardly any load"


QUEUE = "plain0"
A, B, C, GONE, LATER = (f"{QUEUE}:0:{n}" for n in (0, 1, 2, 3, 4))
NOTHING: Found = {}
BEFORE = Account(published={GONE}, confirmed={GONE}, ack_sent={GONE})


def judged(account: Account, found: Found) -> Judge:
    """The judge, after a first round that left nothing and this one."""
    judge = Judge()
    judge.round([BEFORE], NOTHING)
    judge.round([account], found)
    return judge


@pytest.mark.parametrize(
    ("complaint", "found"),
    [
        ("confirmed and lost", [(A, True), (C, True)]),
        ("twice", [(A, True), (B, True), (B, True), (C, True)]),
        ("from nowhere", [(GONE, True), (A, True), (B, True), (C, True)]),
        ("from nowhere", [(A, True), (B, True), (C, True), (f"{QUEUE}:0:9", True)]),
        ("stands behind", [(B, True), (A, True), (C, True)]),
        ("is not marked", [(A, False), (B, True), (C, True)]),
        ("rolled back, and there", [(A, True), (B, True), (C, True), (LATER, True)]),
    ],
)
def test_the_account_notices(complaint: str, found: list[tuple[Copy, bool]]) -> None:
    """Each fault that the soak looks for is one it finds."""
    account = Account(
        published={A, B, C, LATER},
        confirmed={A, B, C},
        fleeting={LATER},
        delivered=[(QUEUE, A, False)],
    )
    judged(account, {QUEUE: [(A, True), (B, False), (C, True)]})
    with pytest.raises(AssertionError, match=complaint):
        judged(account, {QUEUE: found})


@pytest.mark.parametrize(
    ("complaint", "delivered"),
    [
        ("stands behind", [(B, False), (A, False)]),
        ("nobody gave it back", [(A, False), (A, True)]),
        ("delivered from nowhere", [(C, False)]),
    ],
)
def test_the_account_notices_deliveries(complaint: str, delivered: list[tuple[Copy, bool]]) -> None:
    """So are faults in what consumers were given."""
    account = Account(
        published={A, B},
        confirmed={A, B},
        delivered=[(QUEUE, copy, mark) for copy, mark in delivered],
    )
    with pytest.raises(AssertionError, match=complaint):
        judged(account, {QUEUE: [(A, True), (B, True)]})


def test_the_account_notices_a_missing_mark() -> None:
    """What a client was given in an earlier round must be marked in the next."""
    judge = judged(Account(published={A}), {QUEUE: [(A, True)]})
    with pytest.raises(AssertionError, match="again, not redelivered"):
        judge.round([Account(delivered=[(QUEUE, A, False)])], {QUEUE: [(A, True)]})


@pytest.mark.parametrize(
    ("found", "is_whole"), [([], True), ([A], False), ([A, C], True), ([A, B, C], True)]
)
def test_the_account_notices_half_a_transaction(found: list[Copy], is_whole: bool) -> None:
    """What was not acked of a transaction is there altogether, or not at all."""
    account = Account(published={A, B, C}, groups=[{A, B, C}], ack_sent={B})
    there: Found = {QUEUE: [(copy, True) for copy in found]}
    if is_whole:
        judged(account, there)
    else:
        with pytest.raises(AssertionError, match="half a transaction"):
            judged(account, there)


def test_the_account_notices_dead_letters() -> None:
    """A dead letter was rejected, and once one it stays one."""
    copy = f"{REJECTING}:0:1"
    account = Account(published={copy}, confirmed={copy})
    with pytest.raises(AssertionError, match="not rejected"):
        judged(account, {DEAD: [(copy, True)]})
    judge = judged(
        Account(published={copy}, confirmed={copy}, rejected={copy}), {DEAD: [(copy, True)]}
    )
    with pytest.raises(AssertionError, match="is back"):
        judge.round([], {REJECTING: [(copy, True)]})
