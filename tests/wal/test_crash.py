"""Power cuts, kills and failing calls at any moment: what was confirmed is there afterwards."""

from random import Random

import pytest

from broker.wal import segment
from tests.faults import MemoryDisk, PowerCut
from tests.wal.owner import Owner

LIVES = 4
OPERATIONS = 60


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grow files in steps that fit the small segments of these tests."""
    monkeypatch.setattr(segment, "EXTEND_BYTES", 1024)


def act(owner: Owner, random: Random) -> None:
    """Do one random thing a broker does."""
    queues = list(owner.queues)
    full = [queue for queue in queues if owner.queues[queue]]
    kind = random.random()
    if not queues or (kind < 0.03 and len(queues) < 4):
        owner.declare()
    elif kind < 0.05:
        owner.delete(random.choice(queues))
    elif kind < 0.35:
        targets = random.sample(queues, random.randint(1, len(queues)))
        owner.publish(targets, random.randbytes(random.choice((0, 10, 200, 700))))
    elif kind < 0.6 and full:
        queue = random.choice(full)
        messages = list(owner.queues[queue])
        owner.settle(queue, random.sample(messages, random.randint(1, len(messages))))
    elif kind < 0.65 and full:
        queue = random.choice(full)
        owner.count(queue, random.choice(list(owner.queues[queue])))
    elif kind < 0.68:
        head = owner.log.stale_head() or random.randrange(owner.log.gathering)
        owner.copy_forward(head)
    else:
        owner.commit()


def check(owner: Owner, before: Owner) -> None:
    """The new life knows all that the old one confirmed, and nothing that never was."""
    assert owner.recovered >= before.log.durable
    # Snapshots have numbers of their own, and change nothing.
    durable = max(number for number in before.history if number <= before.log.durable)
    states = [state for number, state in before.history.items() if number >= durable]
    assert owner.queues in states


@pytest.mark.parametrize("seed", range(1500))
def test_power_cuts_lose_nothing_confirmed(seed: int) -> None:
    """Through several power cuts, each in the middle of any call, no confirmed batch is lost."""
    random = Random(seed)
    disk = MemoryDisk()
    before: Owner | None = None
    for _ in range(LIVES):
        disk.faults = {random.choice((random.randrange(1, 60), random.randrange(1, 400))): "cut"}
        try:
            owner = Owner(disk, random=random.randbytes)
        except PowerCut:
            disk = disk.after_power_cut(random)
            continue
        if before is not None:
            check(owner, before)
        before = owner
        try:
            for _ in range(OPERATIONS):
                act(owner, random)
            if random.random() < 0.5:
                owner.history[owner.log.gathering] = owner.state()
                owner.log.close()
        except PowerCut:
            pass
        # A reader that never wrote decides nothing new, so a life may end without its own cut.
        disk = disk.after_power_cut(random) if random.random() < 0.8 else disk.after_kill()
    disk.faults = {}
    if before is not None:
        check(Owner(disk), before)
