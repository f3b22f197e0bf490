"""Memory and disk alarms: when they are raised, and who is told what."""

from dataclasses import replace
from pathlib import Path

import pytest

from broker import alarms
from broker.alarms import DISK, MEMORY, Alarms
from broker.config import Config


class Listener:
    """A session that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def alarm_raised(self) -> None:
        """See `Blocking`."""
        self.told.append("raised")

    def alarm_cleared(self) -> None:
        """See `Blocking`."""
        self.told.append("cleared")


class Machine:
    """What a machine has."""

    resident = 0
    free = 1000


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Measurements that a test sets."""
    machine = Machine()
    monkeypatch.setattr(alarms, "resident_bytes", lambda: machine.resident)
    monkeypatch.setattr(alarms, "free_disk_bytes", lambda _: machine.free)
    return machine


@pytest.fixture
def limited(config: Config) -> Alarms:
    """Alarms above 100 octets of memory and below 50 of disk."""
    return Alarms(
        replace(
            config,
            memory_high_watermark_bytes=100,
            disk_free_limit_bytes=50,
            disk_free_limit_relative=None,
        )
    )


def test_all_is_well(machine: Machine, limited: Alarms) -> None:
    """At the watermarks nothing is raised and nobody told."""
    machine.resident, machine.free = 100, 50
    session = Listener()
    limited.look([session])
    assert (limited.reasons, limited.text, session.told) == ((), "", [])


@pytest.mark.parametrize(
    ("resident", "free", "reasons", "text"),
    [
        (101, 50, (MEMORY,), "low on memory"),
        (100, 49, (DISK,), "low on disk"),
        (101, 49, (MEMORY, DISK), "low on memory & low on disk"),
    ],
)
def test_raised_and_cleared(
    machine: Machine,
    limited: Alarms,
    resident: int,
    free: int,
    reasons: tuple[str, ...],
    text: str,
) -> None:
    """Beyond a watermark sessions are told once; once again when all is well."""
    session = Listener()
    machine.resident, machine.free = resident, free
    for _ in range(3):
        limited.look([session])
        assert (limited.reasons, limited.text) == (reasons, text)
    assert session.told == ["raised"]
    machine.resident, machine.free = 0, 1000
    for _ in range(3):
        limited.look([session])
    assert (limited.reasons, session.told) == ((), ["raised", "cleared"])


def test_cleared_when_no_reason_is_left(machine: Machine, limited: Alarms) -> None:
    """Of two reasons both have to go before sessions may publish."""
    session = Listener()
    machine.resident, machine.free = 200, 0
    limited.look([session])
    machine.free = 1000
    limited.look([session])
    assert limited.reasons == (MEMORY,)
    assert "cleared" not in session.told
    machine.resident = 0
    limited.look([session])
    assert session.told[-1] == "cleared"


def test_watermarks_relative_to_memory(machine: Machine, config: Config) -> None:
    """Relative watermarks are parts of the configured total memory."""
    relative = Alarms(
        replace(
            config,
            total_memory_bytes=1000,
            memory_high_watermark_bytes=None,
            memory_high_watermark_relative=0.4,
            disk_free_limit_relative=2.0,
        )
    )
    machine.resident, machine.free = 400, 2000
    relative.look([])
    assert relative.reasons == ()
    machine.resident, machine.free = 401, 1999
    relative.look([])
    assert relative.reasons == (MEMORY, DISK)


def test_watermarks_that_change(machine: Machine, limited: Alarms, config: Config) -> None:
    """The next look goes by the new watermarks, up or down."""
    machine.resident = 100
    session = Listener()
    for watermark in (99, 100):
        limits = {"memory_high_watermark_bytes": watermark, "disk_free_limit_bytes": 0}
        limited.configure(replace(config, **limits))
        limited.look([session])
    assert session.told == ["raised", "cleared"]


def test_what_is_measured(tmp_path: Path) -> None:
    """This process occupies some memory, and the directory's disk has some room."""
    assert alarms.resident_bytes() > 1 << 20
    assert alarms.free_disk_bytes(str(tmp_path)) > 0


def test_memory_that_cannot_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not tell, a process counts as small: no alarm."""

    def missing(self: Path) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", missing)
    assert alarms.resident_bytes() == 0
    monkeypatch.setattr(Path, "read_text", lambda self: "x")
    assert alarms.resident_bytes() == 0


def test_the_log_says_how_bad_it_is(
    machine: Machine, limited: Alarms, caplog: pytest.LogCaptureFixture
) -> None:
    """A line names what is short, how much there is, and the setting; each alarm has its own."""
    limited.memory_max, limited.disk_free_min = 400 << 20, 50 << 20
    machine.resident, machine.free = 412 << 20, 60 << 20
    limited.look([])
    machine.free = 40 << 20
    limited.look([])
    limited.look([])
    memory, disk = [record.getMessage() for record in caplog.records]
    assert "low on memory, 412 MiB of 400 are used" in memory
    assert "vm_memory_high_watermark" in memory
    assert "low on disk, 40 MiB are free" in disk
    assert "50 are wanted" in disk
    assert "disk_free_limit" in disk
