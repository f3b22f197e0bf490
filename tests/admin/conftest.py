"""Programs run in this process against an API of the test's making."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker import cli
from broker.admin import programs
from tests.admin.api import FakeApi


@dataclass
class Ran:
    """What a program wrote, and its exit code."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]
StandIn = Callable[[str], Run]


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor files of whoever runs the tests say which broker to ask."""
    for name in ("URL", "DATA_DIR", "USERNAME", "PASSWORD", "TOKEN", "ADMIN_CONFIG"):
        monkeypatch.delenv(f"LEVERET_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApi]:
    """An API on the socket of the data directory that commands look into first."""
    directory = tmp_path / "data"
    directory.mkdir()
    made = FakeApi(directory)
    yield made
    made.close()


@pytest.fixture
def leveret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `leveret`, with `stdin` as its standard input."""
    return _runner(cli.main, capsys, monkeypatch)


@pytest.fixture
def ctl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the stand-in for rabbitmqctl."""
    return _runner(lambda words: programs.stand_in("rabbitmqctl", words), capsys, monkeypatch)


@pytest.fixture
def stand_in(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Run the stand-in for one of RabbitMQ's programs."""

    def of(original: str) -> Run:
        return _runner(lambda words: programs.stand_in(original, words), capsys, monkeypatch)

    return of


def _runner(
    main: Callable[[list[str]], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    def run(*words: str, stdin: str = "") -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main(list(words))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
