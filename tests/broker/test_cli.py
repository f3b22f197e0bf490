"""The command line: commands, exit codes, and what a start that fails says."""

import os
import re
from pathlib import Path

import pytest

from broker import __version__, cli, server
from broker.config import Config, reference

LINE = re.compile(r"\S+ \S+ \[(\w+)\] (\w+): (.*)")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations the broker was started with, in place of running it."""
    configs: list[Config] = []

    def run(config: Config) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr(server, "run", run)
    return configs


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints Leveret's own version."""
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"leveret {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["serve", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--help names the commands, serve --help every setting."""
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    if arguments[0] == "serve":
        assert "--config FILE" in text
        assert reference.help_text() in text
    else:
        assert "serve" in text
        assert "settings" in text


def test_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """`leveret settings` prints the reference file."""
    assert cli.main(["settings"]) == 0
    assert capsys.readouterr().out == reference.conf_text()


@pytest.mark.parametrize("arguments", [[], ["serve"]])
def test_serve_is_the_default(arguments: list[str], served: list[Config], tmp_path: Path) -> None:
    """The broker is what runs if no command is named."""
    data_dir = str(tmp_path)
    assert cli.main([*arguments, "--data-dir", data_dir, "--set", "heartbeat=7"]) == 0
    (config,) = served
    assert (config.data_dir, config.heartbeat_s) == (data_dir, 7)


def test_data_dir_is_a_setting_like_others(served: list[Config]) -> None:
    """--data-dir is short for --set, and the later word."""
    cli.main(["--set", "leveret.data_dir=a", "--data-dir", "b"])
    assert served[0].data_dir == "b"


def test_wrong_settings_are_exit_code_78(
    served: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    """Faults go to standard error, a line each, and nothing is started."""
    assert cli.main(["--set", "heartbeat=x", "--set", "frame_max=y"]) == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("leveret: --set ") for line in lines)
    assert served == []


def test_pid_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is there while the broker runs, and one that cannot be written prevents the start."""
    place = tmp_path / "run" / "pid"
    seen: list[str] = []
    monkeypatch.setattr(server, "run", lambda _: seen.append(place.read_text()) or 0)
    assert cli.main(["--set", f"leveret.pid_file={place}"]) == 0
    assert seen == [f"{os.getpid()}\n"]
    assert not place.exists()
    (tmp_path / "file").touch()
    assert cli.main(["--set", f"leveret.pid_file={tmp_path}/file/pid"]) == 78
    assert "leveret.pid_file" in capsys.readouterr().err
    assert len(seen) == 1


def test_warnings_are_logged(served: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    """Ignored settings are a warning in the log, and the broker starts."""
    assert cli.main(["--set", "nonsense=x"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = LINE.fullmatch(line)
    assert found is not None
    assert (found[1], found[2]) == ("warning", "config")
    assert found[3].startswith("unknown settings were ignored: nonsense")
    assert len(served) == 1


@pytest.mark.parametrize(
    "arguments", [["serve", "--nonsense"], ["--nonsense"], ["serve", "extra"], ["nonsense"]]
)
def test_wrong_usage_is_exit_code_64(arguments: list[str], served: list[Config]) -> None:
    """What the command line does not understand stops it."""
    assert cli.main(arguments) == 64
    assert served == []
