"""systemd's notification socket: what is said to it, and that nothing depends on it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import notify


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A service manager's socket, and the environment that names it."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(5)
        yield listening, {"NOTIFY_SOCKET": path}


def test_ready(manager: tuple[socket.socket, dict[str, str]]) -> None:
    """Readiness is told with a status in one line."""
    listening, environ = manager
    assert notify.ready("AMQP on *:5672\nREADY=0", environ)
    assert listening.recv(1000) == b"READY=1\nSTATUS=AMQP on *:5672 READY=0"


def test_stopping(manager: tuple[socket.socket, dict[str, str]]) -> None:
    """The begin of shutdown is told."""
    listening, environ = manager
    assert notify.stopping("", environ)
    assert listening.recv(1000) == b"STOPPING=1\nSTATUS="


def test_abstract_socket() -> None:
    """A name with @ is an abstract socket, as containers use it."""
    name = f"leveret-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(5)
        assert notify.ready("", {"NOTIFY_SOCKET": f"@{name}"})
        assert listening.recv(1000).startswith(b"READY=1")


@pytest.mark.parametrize(
    "environ",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/no/such"}],
)
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    """Outside systemd, or when it is gone, the broker does not care."""
    assert not notify.ready("up", environ)
    assert not notify.stopping("down", environ)
