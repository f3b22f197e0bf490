"""Power cuts, kills and failing calls at any moment: what was confirmed is there afterwards."""

from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.wal import LogFailed
from tests.faults import MemoryDisk, PowerCut
from tests.wal.owner import Owner

LIVES = 4
STEPS = 60

# What a broker does, and how often.
KINDS = {
    "declare": 2,
    "delete": 1,
    "publish": 30,
    "settle": 25,
    "count": 5,
    "copy": 3,
    "commit": 34,
}


def act(owner: Owner, kind: str, one: int, other: int) -> None:
    """Do one thing; the integers choose among what there is."""
    queues = list(owner.queues)
    full = [queue for queue in queues if owner.queues[queue]]
    if kind == "commit":
        owner.commit()
    elif not queues or (kind == "declare" and len(queues) < 4):
        owner.declare()
    elif kind == "delete":
        owner.delete(queues[one % len(queues)])
    elif kind == "publish":
        targets = [queue for at, queue in enumerate(queues) if one >> at & 1] or queues[:1]
        owner.publish(targets, bytes([other % 256]) * (0, 10, 200, 700)[other % 4])
    elif kind == "copy":
        stale = owner.log.stale_batches(0, 1 << 30)
        owner.copy_forward(stale or one % owner.log.gathering)
    elif full:
        queue = full[one % len(full)]
        messages = list(owner.queues[queue])
        if kind == "count":
            owner.count(queue, messages[other % len(messages)])
        else:
            owner.settle(queue, messages[:: other % 3 + 1])


def act_at_random(owner: Owner, random: Random) -> None:
    """Do one random thing a broker does."""
    (kind,) = random.choices(list(KINDS), list(KINDS.values()))
    act(owner, kind, random.randrange(1 << 16), random.randrange(1 << 16))


def check(owner: Owner, before: Owner) -> None:
    """The new life knows all that the old one confirmed, and nothing that never was."""
    assert owner.recovered >= before.log.durable
    # Snapshots have numbers of their own, and change nothing.
    durable = max(number for number in before.history if number <= before.log.durable)
    states = [state for number, state in before.history.items() if number >= durable]
    assert owner.queues in states


@pytest.mark.parametrize("block", range(30))
def test_power_cuts_lose_nothing_confirmed(block: int) -> None:
    """Through several power cuts, each in the middle of any call, no confirmed batch is lost."""
    for seed in range(block * 50, block * 50 + 50):
        live_and_die(Random(seed))


def live_and_die(random: Random) -> None:
    """Several lives on one disk, each ended by a power cut or a kill."""
    disk = MemoryDisk()
    before: Owner | None = None
    # With one salt for all segments only the chain tells old frames from new.
    salts = random.choice((random.randbytes, lambda n: b"salt"))
    for _ in range(LIVES):
        disk.faults = {random.choice((random.randrange(1, 60), random.randrange(1, 400))): "cut"}
        try:
            owner = Owner(disk, random=salts)
        except PowerCut:
            disk = disk.after_power_cut(random)
            continue
        if before is not None:
            check(owner, before)
        before = owner
        try:
            for _ in range(STEPS):
                act_at_random(owner, random)
            if random.random() < 0.5:
                owner.history[owner.log.gathering] = owner.state()
                owner.log.close()
        except PowerCut:
            pass
        disk = disk.after_power_cut(random) if random.random() < 0.8 else disk.after_kill()
    if before is not None:
        check(Owner(disk), before)


steps = st.lists(
    st.tuples(st.sampled_from(list(KINDS)), st.integers(0, 255), st.integers(0, 255)),
    max_size=100,
)


@given(steps, st.sampled_from((500, 2000, 10**6)))
def test_replay_equals_the_plain_model(
    program: list[tuple[str, int, int]], segment_bytes: int
) -> None:
    """After any run of operations, what is replayed is what plain dicts hold."""
    owner = Owner(MemoryDisk(), segment_bytes=segment_bytes)
    for step in program:
        act(owner, *step)
    owner.commit()
    again = Owner(owner.disk.after_power_cut(Random(1)))
    assert again.queues == owner.queues
    # Neither life holds on to more than its messages need.
    for life in (owner, again):
        for queue in list(life.queues):
            life.delete(queue)
        for _ in range(3):
            life.declare()
            life.commit()
        assert life.log.segments <= 3


@pytest.mark.parametrize("fault", ["eio", "enospc"])
def test_a_failure_at_any_call_confirms_nothing_more(fault: str) -> None:
    """Whichever call fails: said once, final, and the next start finds all that was confirmed."""
    for call in range(1, 1000):
        disk = MemoryDisk({call: fault})
        random = Random(5)
        try:
            owner = Owner(disk, random=random.randbytes)
        except LogFailed:
            disk.faults = {}
            assert Owner(disk).queues == {}
            continue
        with suppress(LogFailed):
            for _ in range(300):
                act_at_random(owner, random)
        if disk.calls < call:
            break
        if owner.failures:
            confirmed = list(owner.durable)
            with pytest.raises(LogFailed):
                owner.log.commit()
            owner.log.close()
            assert owner.durable == confirmed
            assert len(owner.failures) == 1
        check(Owner(disk.after_power_cut(random)), owner)
        check(Owner(disk.after_kill()), owner)
    assert call > 100


def test_a_failed_write_is_not_read_from_memory() -> None:
    """What memory holds after a failed sync is not on disk, and must not be recovered."""
    disk = MemoryDisk()
    owner = Owner(disk)
    queue = owner.declare()
    owner.commit()
    disk.faults = {disk.calls + 1: "eio"}
    owner.publish([queue], b"lost")
    owner.commit()
    assert owner.failures
    assert Owner(disk.after_kill()).queues == {queue: {}}


@pytest.mark.parametrize("padded", [True, False])
def test_a_killed_process_leaves_nothing_half_durable(padded: bool) -> None:
    """What a restart reads it may hand out: it is durable even if the power goes next."""
    disk = MemoryDisk()
    owner = Owner(disk)
    queue = owner.declare()
    owner.commit()
    (file,) = (file for name, file in disk.names.items() if name.endswith(".log"))
    if not padded:
        file.truncate(len(file.current.rstrip(b"\0")))
        file.sync()
    disk.faults = {disk.calls + 1: "cut"}
    message = owner.publish([queue], b"in memory")
    with pytest.raises(PowerCut):
        owner.commit()
    if not padded:
        ((offset, octets),) = file.unsynced
        assert octets is not None
        file.unsynced = [(offset, octets.rstrip(b"\0"))]
        del file.current[len(file.current.rstrip(b"\0")) :]
    again = Owner(disk.after_kill())
    assert list(again.queues[queue]) == [message]
    for seed in range(20):
        assert Owner(again.disk.after_power_cut(Random(seed))).queues == again.queues
