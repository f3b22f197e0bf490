"""Real brokers that cannot start: one line that says why and what to do, and nothing is changed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.brokers import BrokerError, Leveret
from conformance.wire import Connection


def refusal(data_dir: Path) -> str:
    """The line with which a broker on this directory ends."""
    broker = Leveret(data_dir)
    try:
        with pytest.raises(BrokerError) as caught:
            broker.start()
    finally:
        broker.close()
    assert "exit code 74" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    (line,) = [line for line in str(caught.value).splitlines() if "cannot start" in line]
    return line


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A data directory on a file system that is read-only by now."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes rights that are not here")
    with Leveret(place / "data"):
        pass
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    yield place / "data"
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_two_brokers_on_one_directory(tmp_path: Path) -> None:
    """The second is told which directory it is and what to do; the first notices nothing."""
    data_dir = tmp_path / "data"
    with Leveret(data_dir) as first, Connection(first.url) as connection:
        channel = connection.channel(1)
        channel.declare("q", durable=True)
        before = sorted(path.name for path in (data_dir / "log").iterdir())
        line = refusal(data_dir)
        assert f"{data_dir}/log is in use by another broker" in line
        assert "stop that broker" in line
        assert "leveret.data_dir" in line
        assert sorted(path.name for path in (data_dir / "log").iterdir()) == before
        channel.fill("q", "m", delivery_mode=2)
        assert channel.drain("q") == ["m"]


def test_a_read_only_file_system(read_only: Path) -> None:
    """The kernel made it so for a reason, which is in its log."""
    line = refusal(read_only)
    assert str(read_only) in line
    assert "why the file system is read-only" in line


def test_a_file_in_place_of_the_log(tmp_path: Path) -> None:
    """A directory that cannot be made is named."""
    (tmp_path / "log").write_text("a file")
    line = refusal(tmp_path)
    assert f"{tmp_path}/log" in line
    assert "leveret.data_dir" in line
