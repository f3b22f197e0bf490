"""The command line: commands, exit codes, and logging that can be read line by line."""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from broker import __version__, cli, server
from broker.config import Config, ConfigError, reference

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[(\w+)\] (\w+): (.*)")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations the broker was started with, in place of running it."""
    configs: list[Config] = []

    def run(config: Config) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr(server, "run", run)
    return configs


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    """Give the log back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], root.level = handlers, level
    for name in ("connection", "queue"):
        logging.getLogger(f"leveret.{name}").setLevel(logging.NOTSET)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints Leveret's own version."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"leveret {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["serve", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--help names the commands, serve --help every setting."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 0
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
def test_wrong_usage_is_exit_code_2(arguments: list[str], served: list[Config]) -> None:
    """What the command line does not understand stops it."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert served == []


# -- logging --------------------------------------------------------------------------------------


def test_one_record_is_one_line(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """A line feed in a name that a client chose cannot forge a second line."""
    cli.configure_logging(config)
    logging.getLogger("leveret.queue").info("declared %s", "a\r\n2026 [error] forged")
    (line,) = capsys.readouterr().out.splitlines()
    found = LINE.fullmatch(line)
    assert found is not None
    assert found.groups() == ("info", "queue", r"declared a\r\n2026 [error] forged")


def test_levels(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """Categories may be stricter or more talkative than the rest."""
    levels = MappingProxyType({"connection": "debug", "queue": "error"})
    cli.configure_logging(replace(config, log_category_levels=levels))
    for category in ("connection", "queue", "broker"):
        logger = logging.getLogger(f"leveret.{category}")
        for level in ("debug", "info", "error"):
            logger.log(cli.LEVELS[level], "said")
    logging.getLogger("leveret.broker").log(cli.NOTICE, "noticed")
    matches = [LINE.fullmatch(line) for line in capsys.readouterr().out.splitlines()]
    said = [(found[2], found[1]) for found in matches if found]
    assert said == [
        ("connection", "debug"),
        ("connection", "info"),
        ("connection", "error"),
        ("queue", "error"),
        ("broker", "info"),
        ("broker", "error"),
        ("broker", "notice"),
    ]


def test_log_file(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log goes to a file of its own level, and on to a new one after rotation."""
    cli.configure_logging(
        replace(
            config,
            log_console=False,
            log_dir=str(tmp_path),
            log_file="leveret.log",
            log_file_level="warning",
        )
    )
    logger = logging.getLogger("leveret.broker")
    logger.info("not this")
    logger.warning("first")
    (tmp_path / "leveret.log").rename(tmp_path / "leveret.log.1")
    logger.warning("second")
    assert (tmp_path / "leveret.log.1").read_text().endswith("[warning] broker: first\n")
    assert (tmp_path / "leveret.log").read_text().endswith("[warning] broker: second\n")
    assert capsys.readouterr().out == ""


def test_log_file_that_cannot_be_opened(config: Config, tmp_path: Path) -> None:
    """A log file in a missing directory is a fault of the settings."""
    missing = replace(config, log_dir=str(tmp_path / "missing"), log_file="leveret.log")
    with pytest.raises(ConfigError) as caught:
        cli.configure_logging(missing)
    assert "log.file" in caught.value.faults[0]
    assert "No such file or directory" in caught.value.faults[0]


def test_no_output_at_all(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """With every output off nothing is printed, errors neither."""
    cli.configure_logging(replace(config, log_console=False))
    logging.getLogger("leveret.broker").error("nobody hears this")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
