"""The account of a soak: what clients saw, what is in the queues afterwards, and whether it fits.

A *copy* is a message in one queue; a message that was rejected stays the same copy in the queue of
dead letters. After each restart a client looks at everything, and ``Judge`` compares:

* a persistent copy whose confirm had come and whose ack had not been sent is there, once;
* nothing is there that was not published since, or there at the look before; nothing transient,
  nothing rolled back; of a transaction that was not confirmed all or nothing;
* a copy that anybody had been given before is marked as redelivered, and none was given again
  that was neither requeued nor there before the start;
* copies of one publisher stand in their order in each queue, and no consumer was ever given a new
  one behind a newer one; a queue of dead letters and one of delayed messages have no such order;
* dead letters are copies that a consumer rejected, and they do not go back;
* queues whose declaration or deletion had been answered exist or do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

Copy = str
"""``home:publisher:number``; numbers of one publisher grow over all rounds."""

DEAD, REJECTING, LATE, PRIORITY = "dead", "reject", "late", "priority"
"""Queues with rules of their own; the first holds what consumers of the second reject."""

PRIORITIES = 3
Found = dict[str, list[tuple[Copy, bool]]]
"""By queue, in order: what is there, and whether it is marked as redelivered."""


def copy_of(queue: str, text: str) -> Copy:
    """The copy that a body (``queues:publisher:number|padding``) is in this queue."""
    homes, publisher, number = text.partition("|")[0].split(":")
    home = REJECTING if queue == DEAD else queue
    assert home in homes.split(","), f"{text[:60]} is in {queue}"
    return f"{home}:{publisher}:{number}"


def number_of(copy: Copy) -> int:
    """Its publisher's number."""
    return int(copy.rpartition(":")[2])


def lane(queue: str, copy: Copy) -> tuple[str, str, int]:
    """Copies with the same lane keep their order."""
    _, publisher, number = copy.split(":")
    return queue, publisher, int(number) % PRIORITIES if queue == PRIORITY else 0


@dataclass
class Account:
    """What clients saw. Each client writes to one of its own; they are added up when it ended."""

    published: set[Copy] = field(default_factory=set)
    confirmed: set[Copy] = field(default_factory=set)
    fleeting: set[Copy] = field(default_factory=set)  # transient, or rolled back
    groups: list[set[Copy]] = field(default_factory=list)  # each the copies of one transaction
    delivered: list[tuple[str, Copy, bool]] = field(default_factory=list)  # queue, copy, mark
    ack_sent: set[Copy] = field(default_factory=set)
    rejected: set[Copy] = field(default_factory=set)
    requeued: set[Copy] = field(default_factory=set)
    queues: dict[str, bool] = field(default_factory=dict)  # name -> whether it must exist

    def add(self, other: Account) -> None:
        """Add what another client saw."""
        self.published |= other.published
        self.confirmed |= other.confirmed
        self.fleeting |= other.fleeting
        self.groups += other.groups
        self.delivered += other.delivered
        self.ack_sent |= other.ack_sent
        self.rejected |= other.rejected
        self.requeued |= other.requeued
        self.queues |= other.queues


@dataclass
class Totals:
    """How much all rounds came to."""

    published: int = 0
    confirmed: int = 0
    delivered: int = 0
    rejected: int = 0
    transactions: int = 0

    def add(self, account: Account) -> None:
        """Count a round."""
        self.published += len(account.published)
        self.confirmed += len(account.confirmed)
        self.delivered += len(account.delivered)
        self.rejected += len(account.rejected)
        self.transactions += len(account.groups)


class Judge:
    """The account of all rounds so far."""

    def __init__(self) -> None:
        self.there: dict[Copy, str] = {}  # at the last look: copy -> queue
        self.given: set[tuple[str, Copy]] = set()  # of what was there
        self.totals = Totals()

    def round(self, accounts: list[Account], found: Found) -> None:
        """Compare what this round's clients saw with what is in the queues after the restart."""
        new = Account()
        for account in accounts:
            _judge_order((queue, copy) for queue, copy, mark in account.delivered if not mark)
            new.add(account)
        self._judge_deliveries(new)
        self._judge_presence(new, found)
        for queue, copies in found.items():
            _judge_order((queue, copy) for copy, _ in copies)
            for copy, mark in copies:
                # What left its delay just before the kill may be delayed once more: then it is new.
                is_new = not mark and queue != LATE
                assert not is_new or (queue, copy) not in self.given, (
                    f"{copy} in {queue} is not marked"
                )
        self._judge_dead(new, found)
        self.there = {copy: queue for queue, copies in found.items() for copy, _ in copies}
        self.given = {(queue, copy) for copy, queue in self.there.items()}  # by the look
        self.totals.add(new)

    def _judge_deliveries(self, new: Account) -> None:
        known = self.there.keys() | new.published
        # Clients' accounts have no common clock; but a copy's first delivery is the unmarked one.
        for queue, copy, mark in sorted(new.delivered, key=lambda delivery: delivery[2]):
            assert copy in known, f"{copy} was delivered from nowhere"
            if not mark:
                assert (queue, copy) not in self.given, f"{copy} again, not redelivered"
            elif self.there.get(copy) != queue:
                assert copy in new.requeued, f"{copy} again, though nobody gave it back"
            self.given.add((queue, copy))

    def _judge_presence(self, new: Account, found: Found) -> None:
        times = Counter(copy for copies in found.values() for copy, _ in copies)
        present = set(times)
        twice = {copy for copy in present if times[copy] > 1}
        assert not twice, f"twice: {_some(twice)}"
        owed = (self.there.keys() | new.confirmed) - new.ack_sent
        assert owed <= present, f"confirmed and lost: {_some(owed - present)}"
        known = self.there.keys() | new.published
        assert present <= known, f"from nowhere: {_some(present - known)}"
        fleeting = present & new.fleeting
        assert not fleeting, f"transient or rolled back, and there: {_some(fleeting)}"
        for group in new.groups:
            kept = (group - new.ack_sent) & present
            assert not kept or group - new.ack_sent == kept, f"half a transaction: {_some(kept)}"

    def _judge_dead(self, new: Account, found: Found) -> None:
        for copy, _ in found.get(DEAD, ()):
            was_dead = self.there.get(copy) == DEAD
            assert was_dead or copy in new.rejected, f"{copy} is a dead letter, not rejected"
        for copy, _ in found.get(REJECTING, ()):
            assert self.there.get(copy) != DEAD, f"{copy} was a dead letter, and is back"


def _judge_order(seats: Iterable[tuple[str, Copy]]) -> None:
    last: dict[tuple[str, str, int], int] = {}
    for queue, copy in seats:
        if queue in (DEAD, LATE):
            continue
        whose, number = lane(queue, copy), number_of(copy)
        assert last.get(whose, -1) < number, f"{copy} stands behind number {last[whose]}"
        last[whose] = number


def _some(copies: Iterable[Copy]) -> str:
    listed = sorted(copies, key=number_of)
    return f"{len(listed)}, such as {listed[:3]}"
