"""`leveret log`: what it says of sound, torn and damaged logs, and that it changes nothing."""

import fcntl
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker.logtool import log
from broker.logtool.account import Account
from broker.logtool.scan import scan
from broker.wal import CorruptLog
from broker.wal import frame as segment
from tests.broker.histories import QUEUES, History
from tests.faults import MemoryDisk
from tests.wal.owner import DIRECTORY
from tests.wal.test_recovery import Written, outcome


def run(*arguments: str | Path) -> Result:
    """Run `leveret log` as from a shell."""
    return CliRunner().invoke(log, [str(each) for each in arguments])


def save(disk: MemoryDisk, place: Path) -> Path:
    """Put a disk's files in a data directory; their place."""
    directory = place / "log"
    directory.mkdir(parents=True)
    for name, file in disk.names.items():
        (directory / name.rpartition("/")[2]).write_bytes(file.current)
    return directory


def eventful(seed: int = 1, steps: int = 150) -> History:
    """A broker to which all kinds of things happened."""
    history, random = History(), Random(seed)
    for _ in range(steps):
        names = random.sample(list(QUEUES), random.randint(1, 3))
        match random.choice(["publish", "publish", "publish", "get", "settle", "delete"]):
            case "publish":
                history.publish(names, persistent=random.random() < 0.8, size=random.randrange(90))
            case "get":
                history.get(names[0])
            case "settle":
                history.settle(random.randrange(9), random.choice(["ack", "reject", "requeue"]))
            case "delete" if random.random() < 0.2 and not history.held:
                history.delete(names[0])
                history.declare(names[0])
        history.reclaim()
    return history


@pytest.fixture(scope="module")
def history() -> History:
    """One of those."""
    return eventful()


@pytest.fixture
def directory(history: History, tmp_path: Path) -> Path:
    """Its log, after a kill."""
    return save(history.world.disk, tmp_path / "data")


def records(result: Result) -> list[dict[str, Any]]:
    """The lines of a dump."""
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("seed", range(5))
def test_what_lives_is_what_a_start_recovers(seed: int) -> None:
    """The tool and the broker read the same messages out of the same log."""
    history = eventful(seed)
    account = Account()
    for part in scan(Path("log"), disk=history.world.disk):
        account.add(part)
    account.finish()
    history.restart()
    found = {queue.id: {each.id for each in queue.stored()} for queue in history.queues.values()}
    held = {queue_id: set(account.live.get(queue_id, ())) for queue_id in found}
    assert held == found
    assert account.live.keys() <= found.keys()
    assert not account.damages
    assert account.torn is None


def test_inspect(history: History, directory: Path) -> None:
    """Each segment has a line, and each queue one with its messages."""
    result = run("inspect", directory.parent)
    assert result.exit_code == 0, result.output
    for path in directory.glob("*.log"):
        assert result.stdout.count(path.name) == 1
    for name, queue in history.queues.items():
        logged = [m for m in queue.stored() if m.batch]
        logged += [m for holder, m in history.held if holder is queue and m.batch]
        assert [str(len(logged)), "/", name] in [x.split() for x in result.stdout.splitlines()]


@pytest.mark.parametrize("command", ["inspect", "verify", "dump"])
@pytest.mark.parametrize("at", ["data", "log"])
def test_nothing_is_changed(command: str, at: str, directory: Path) -> None:
    """Before and after the files are the same, wherever the command is pointed at."""
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert run(command, directory if at == "log" else directory.parent).exit_code == 0
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_verify_a_sound_log(directory: Path) -> None:
    """It says so, and counts what was read."""
    result = run("verify", directory)
    assert result.exit_code == 0
    assert result.stdout.endswith("the log is sound\n")


def test_a_torn_tail_is_sound(directory: Path) -> None:
    """What the next start cuts off was never confirmed, so it is a note."""
    last = max(directory.glob("*.log"))
    (directory / f"{last.name}.99.broken").write_bytes(b"?")
    octets = last.read_bytes()
    last.write_bytes(octets.rstrip(b"\0") + b"torn")
    result = run("verify", directory)
    assert result.exit_code == 0
    assert f"{last.name}, offset " in result.stdout
    assert "never confirmed" in result.stdout
    assert "99.broken" in result.stdout


def test_damage_is_named_and_read_past(history: History, directory: Path) -> None:
    """A damaged batch costs its own messages; the dump has those before and behind it."""
    everything = [r["id"] for r in records(run("dump", directory, "--messages-only"))]
    victim = sorted(directory.glob("*.log"))[1]
    octets = bytearray(victim.read_bytes())
    octets[len(octets.rstrip(b"\0")) // 2] ^= 1
    victim.write_bytes(octets)
    for command in ("verify", "inspect"):
        result = run(command, directory)
        assert result.exit_code == 65
        assert f"DAMAGED {victim.name}, offset " in result.stdout
        assert "sound" not in result.stdout
    result = run("dump", directory, "--messages-only")
    assert result.exit_code == 65
    assert "DAMAGED" in result.stderr
    left = [record["id"] for record in records(result)]
    assert left[0] == everything[0]
    assert left[-1] == everything[-1]
    assert 0 < len(everything) - len(left) < 10


def test_lost_changes_are_known_from_the_next_segment(directory: Path) -> None:
    """Each segment restates the topology, so a queue whose declaration is lost has its name."""
    first = min(directory.glob("*.log"))
    octets = bytearray(first.read_bytes())
    octets[octets.index(b"queue.declare")] ^= 1
    first.write_bytes(octets)
    result = run("inspect", directory)
    assert result.exit_code == 65
    assert set(QUEUES) <= set(result.stdout.split())


def test_damage_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """For any flipped octet: damage is reported where the broker refuses, and only there."""
    monkeypatch.setattr("broker.wal.segment.EXTEND_BYTES", 500)
    written = Written(batches=8)
    for name in written.names:
        octets = written.octets(name)
        for at in range(len(octets)):
            damaged = bytearray(octets)
            damaged[at] ^= 0x10
            disk = written.with_file(name, bytes(damaged))
            account = Account()
            parts = list(scan(Path(DIRECTORY), disk=disk))
            account.damages = [part for part in parts if type(part).__name__ == "Damage"]
            result = outcome(disk)
            if isinstance(result, CorruptLog):
                (first, *_) = account.damages
                assert (first.file, first.offset) == (result.file, result.offset)
            else:
                assert not account.damages, at


def test_a_lost_segment(directory: Path) -> None:
    """What is missing is named by the batch after which it is missing; the rest is read."""
    first, second, third, *_ = sorted(directory.glob("*.log"))
    second.unlink()
    result = run("verify", directory)
    assert result.exit_code == 65
    assert f"DAMAGED {first.name}" in result.stdout
    assert str(int(third.stem)) in result.stdout
    assert "DAMAGED" not in result.stdout.partition("\n")[2].replace("DAMAGED", "", 1)


@pytest.mark.parametrize("at", [0, -1])
def test_a_segment_lost_at_an_end(directory: Path, at: int) -> None:
    """What begins or ends the log is known too, so that it can be missed."""
    lost = sorted(directory.glob("*.log"))[at]
    lost.unlink()
    result = run("verify", directory)
    assert result.exit_code == 65
    assert f"DAMAGED {lost.name}" in result.stdout
    assert "missing" in result.stdout


def test_a_newer_version(directory: Path) -> None:
    """A format of another version is not read at all, and the version is named."""
    first = min(directory.glob("*.log"))
    fields = segment.HEADER.pack(segment.MAGIC, segment.VERSION + 1, 1, 1, 0, 0)[:-4]
    crc = segment.zlib.crc32(fields).to_bytes(4, "little")
    first.write_bytes(fields + crc)
    result = run("verify", directory)
    assert result.exit_code == 74
    assert f"version {segment.VERSION + 1}" in result.stderr


def test_a_running_broker(directory: Path) -> None:
    """While a broker holds the directory it is left alone."""
    with (directory / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run("verify", directory)
    assert result.exit_code == 75
    assert str(directory) in result.stderr
    assert "copy the directory" in result.stderr
    assert run("verify", directory).exit_code == 0


def test_no_log(tmp_path: Path) -> None:
    """An empty directory is no log, rather than a sound one."""
    result = run("verify", tmp_path)
    assert result.exit_code == 1
    assert "no log" in result.stderr


def test_dump_everything(history: History, directory: Path) -> None:
    """Operations, messages and settles come in the order of the log, by queue names."""
    found = records(run("dump", directory))
    assert [record["batch"] for record in found] == sorted(record["batch"] for record in found)
    assert {record["type"] for record in found} == {"operation", "message", "count", "settle"}
    declared = [r for r in found if r["type"] == "operation" and r["op"] == "queue.declare"]
    assert {record["name"] for record in declared} >= set(QUEUES)


def test_dump_what_lives_in_a_queue(history: History, directory: Path) -> None:
    """--live and --queue together give what a start would put in that queue, body and all."""
    for name in QUEUES:
        result = run("dump", directory, "--live", "--queue", name)
        found = sorted(records(result), key=lambda record: record["id"])
        bodies = [record["payload"].encode() for record in found]
        lost = set() if "x-queue-type" in QUEUES[name] else history.transient
        assert bodies == [body for body in history.expected[name] if body not in lost]
        assert all(q["name"] == name for r in found for q in r["queues"])


def test_dump_of_a_queue_that_is_not_there(directory: Path) -> None:
    """A misspelt name is an error, not an empty dump."""
    result = run("dump", directory, "--queue", "plane")
    assert result.exit_code == 1
    assert "no queue 'plane'" in result.stderr
