"""Faults x operations: each ends with all that was confirmed, or with a word on what to do.

A cell is an operation of the broker, a kind of call to the disk that it makes, and a way in which
such a call fails. It is run once for each such call. Which calls an operation makes is not listed
here: it is seen in a run without faults.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache

import pytest
from pamqp import commands

from broker.advice import advice
from broker.wal import LogFailed
from tests.amqp.dialogue import declare
from tests.disk.scene import DELAY_MS, PLAIN, TRANSACTING, Scene, futures
from tests.faults import INDEX, Buffer, MemoryDisk, PowerCut
from tests.frames import method
from tests.pages import tiny_pages

Arm = Callable[[MemoryDisk], None]
Operation = Callable[[Scene, Arm], None]

OPERATIONS: dict[str, Operation] = {}


def operation(function: Operation) -> Operation:
    """Register an operation under its name."""
    OPERATIONS[function.__name__] = function
    return function


@operation
def start_empty(scene: Scene, arm: Arm) -> None:
    """The first start on a new directory, and the first message."""
    scene.published.clear()
    scene.confirmed.clear()
    scene.queues.clear()
    disk = MemoryDisk()
    arm(disk)
    scene.world.restart(disk)
    scene.open()
    scene.say(scene.publish("q"))


@operation
def start_with_backlog(scene: Scene, arm: Arm) -> None:
    """A start after a kill, with messages in several segments."""
    disk = scene.world.disk.after_kill()
    arm(disk)
    scene.world.restart(disk)
    scene.open()
    scene.say(scene.publish("q"))


@operation
def start_with_torn_tail(scene: Scene, arm: Arm) -> None:
    """A start after a write was cut short: its remains are put aside."""
    disk = scene.world.disk.after_kill()
    last = disk.names[max(name for name in disk.names if name.endswith(".log"))]
    last.write(len(last.current.rstrip(b"\0")) + 3, b"torn" * 20)
    last.sync()
    arm(disk)
    scene.world.restart(disk)


@operation
def publish_and_confirm(scene: Scene, arm: Arm) -> None:
    """One message, then a fan-out."""
    arm(scene.world.disk)
    scene.say(scene.publish("q"))
    scene.say(scene.publish("q", "other", exchange="fan"))


@operation
def acknowledge(scene: Scene, arm: Arm) -> None:
    """A queue is drained with acks."""
    arm(scene.world.disk)
    scene.settle("q", commands.Basic.Ack)


@operation
def dead_letter(scene: Scene, arm: Arm) -> None:
    """Messages are rejected, and dead-lettered."""
    arm(scene.world.disk)
    scene.hold("work", commands.Basic.Reject, requeue=False)


@operation
def requeue(scene: Scene, arm: Arm) -> None:
    """Messages come back to a queue that counts."""
    arm(scene.world.disk)
    scene.hold("limited", commands.Basic.Nack, requeue=True)


@operation
def deliver_delayed(scene: Scene, arm: Arm) -> None:
    """Delayed messages come of age, and another one is delayed."""
    arm(scene.world.disk)
    scene.say(scene.publish("late", exchange="delay", headers={"x-delay": DELAY_MS}))
    scene.world.wait(DELAY_MS / 1000)
    scene.settle("late", commands.Basic.Ack)


@operation
def commit_transaction(scene: Scene, arm: Arm) -> None:
    """A transaction over two queues."""
    arm(scene.world.disk)
    scene.groups.append(set())
    homes = ("q", "other", "q")
    (answer,) = scene.say(
        *(scene.publish(home, channel=TRANSACTING) for home in homes),
        method(TRANSACTING, commands.Tx.Commit()),
    )
    assert answer.name == "Tx.CommitOk"
    scene.confirmed |= scene.groups[-1]


@operation
def change_topology(scene: Scene, arm: Arm) -> None:
    """A queue is declared and bound, another deleted."""
    scene.change("old", declare("old", durable=True), exists=True)
    arm(scene.world.disk)
    scene.change("fresh", declare("fresh", durable=True), exists=True)
    scene.say(method(PLAIN, commands.Queue.Bind(queue="fresh", exchange="amq.topic")))
    scene.change("old", commands.Queue.Delete(queue="old"), exists=False)


@operation
def roll(scene: Scene, arm: Arm) -> None:
    """A segment gets full and the next one begins."""
    arm(scene.world.disk)
    before = scene.world.log.segments
    while scene.world.log.segments == before:
        scene.say(scene.publish("q", size=400))


@operation
def free_segments(scene: Scene, arm: Arm) -> None:
    """Everything is acked, so old segments go, and are used again."""
    arm(scene.world.disk)
    scene.world.wait(DELAY_MS / 1000)
    for name in ("q", "other", "work", "limited", "late"):
        scene.settle(name, commands.Basic.Ack)
    for _ in range(15):
        scene.say(scene.publish("q", size=400))


@operation
def copy_forward(scene: Scene, arm: Arm) -> None:
    """Old messages pin a log that is mostly dead, and are copied to its end."""
    arm(scene.world.disk)
    scene.settle("q", commands.Basic.Ack)
    head = scene.world.log._space.segments[0].name
    for _ in range(60):
        scene.world.reclaim()
        if scene.world.log._space.segments[0].name != head:
            return
        scene.say(scene.publish("q", size=400))
        scene.settle("q", commands.Basic.Ack)
    raise AssertionError("the head never went")


@operation
def close(scene: Scene, arm: Arm) -> None:
    """An orderly end, with something still to be written."""
    arm(scene.world.disk)
    scene.client.feed(scene.publish("q"))
    scene.world.log.close()


FAULTS = {
    "write": ("eio", "enospc", "short", "cut", "erofs"),
    "open": ("eio", "emfile", "cut"),
    "rename": ("eio", "erofs", "cut"),
    "unlink": ("eio", "erofs", "cut"),
    "truncate": ("eio", "cut"),
    "sync": ("eio", "cut"),
    "sync_directory": ("eio", "cut"),
    "read": ("eio",),
    "list_directory": ("eio",),
    "lock": ("eio",),
    "size": ("eio",),
    "open of an index": ("eio", "cut"),
    "save of an index": ("eio", "enospc", "cut"),
    "read of an index": ("eio",),
    "unlink of an index": ("eio", "cut"),
}


End = tuple[Scene, MemoryDisk, int, LogFailed | None]


def run(name: str, *, slow: bool, fault: tuple[int, str] | None) -> End:
    """Do an operation with the n-th of its calls failing; the disk, its calls before, the end."""
    scene = Scene(slow=slow)
    scene.fill()
    armed: list[tuple[MemoryDisk, int]] = []

    def arm(disk: MemoryDisk) -> None:
        armed.append((disk, disk.calls))
        if fault is not None:
            disk.faults[disk.calls + fault[0] + 1] = fault[1]

    end: LogFailed | None = None
    try:
        OPERATIONS[name](scene, arm)
    except LogFailed as failure:
        end = failure
    except PowerCut:
        assert armed[0][0].dead
    failure = scene.world.log._failure
    if failure is not None and failure.__cause__ is not None:  # else it was only closed
        end = failure
    return scene, *armed[0], end


@cache
def calls(name: str, *, slow: bool) -> list[str]:
    """The calls that an operation makes, in order."""
    with tiny_pages():
        _, disk, before, end = run(name, slow=slow, fault=None)
    assert end is None
    return disk.trace[before:]


CELLS = [
    (name, kind, fault, "slow" if slow else "quick")
    for name in OPERATIONS
    for slow in (False, True)
    for kind, faults in FAULTS.items()
    for fault in faults
    if kind in calls(name, slow=slow)
]


def test_the_matrix_is_large() -> None:
    """Every operation touches the disk, and there are cells enough to mean something."""
    assert {name for name, *_ in CELLS} == OPERATIONS.keys()
    assert len({(name, kind, fault) for name, kind, fault, _ in CELLS}) >= 100


@pytest.fixture(autouse=True)
def small_pages() -> Iterator[None]:
    """Where messages are paged out, a few of them show what millions do."""
    with tiny_pages():
        yield


@pytest.mark.parametrize(("name", "kind", "fault", "pace"), CELLS)
def test_cell(name: str, kind: str, fault: str, pace: str) -> None:
    """Whichever call of the operation fails, nothing that was confirmed is lost."""
    slow = pace == "slow"
    made = calls(name, slow=slow)
    numbers = [number for number, call in enumerate(made) if call == kind]
    for number in numbers[:: max(1, len(numbers) // 2)]:
        scene, disk, _, end = run(name, slow=slow, fault=(number, fault))
        if end is None and not disk.dead:
            # An index can be done without, and so can reading ahead.
            is_free = kind.endswith(INDEX) or (slow and kind in ("open", "read"))
            assert is_free or fault == "short", "a call failed, and the broker went on"
            scene.audit(disk.after_kill())
            continue
        if end is not None:
            assert len(advice(end)) > 20
            confirmed = set(scene.confirmed)
            with suppress(LogFailed):
                scene.say(scene.publish("q"))
            assert scene.confirmed == confirmed, "confirmed after the log failed"
        for future in futures(disk, only_power_cuts=disk.dead):
            scene.audit(future)


@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
def test_a_crash_before_any_write_loses_nothing_confirmed(
    monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """At each write all that was not synced is dropped: confirmed is a subset of recovered."""
    scene = Scene(slow=slow)
    images: list[tuple[Scene, MemoryDisk]] = []
    real = MemoryDisk.write

    def write(disk: MemoryDisk, fd: int, parts: Sequence[Buffer], offset: int) -> int:
        images.append((scene.frozen(), disk.after_total_loss()))
        written = real(disk, fd, parts, offset)
        images.append((scene.frozen(), disk.after_total_loss()))
        return written

    monkeypatch.setattr(MemoryDisk, "write", write)
    scene.fill()
    for name, work in OPERATIONS.items():
        if name not in ("start_empty", "start_with_torn_tail", "close"):
            work(scene, lambda disk: None)
    monkeypatch.undo()
    assert len(images) > 100
    for ledger, image in images:
        ledger.audit(image)
