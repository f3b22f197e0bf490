"""The log for people: outputs, levels, formats, rotation, and the lines kept in memory."""

import datetime
import gzip
import json
import logging
import os
import re
import socket
import threading
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from broker import logs
from broker.config import Config, ConfigError, load
from broker.config.schedule import Schedule
from broker.logs import RECENT, Line
from broker.logs.formats import TIMES, level_text

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d \[(\w+)\] (\w+): (.*)")


def configured(*settings: str) -> Config:
    """What a file with these lines means."""
    return load(None, settings, {})[0]


def test_one_record_is_one_line(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """A line feed in a name that a client chose cannot forge a second line."""
    logs.configure(config)
    logging.getLogger("leveret.queue").info("declared %s", "a\r\n2026 [error] forged")
    (line,) = capsys.readouterr().out.splitlines()
    found = LINE.fullmatch(line)
    assert found is not None
    assert found.groups() == ("info", "queue", r"declared a\r\n2026 [error] forged")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u2028b", r"a\u2028b"),
        ("\udcff", r"\udcff"),
        ("häschen 兔", "häschen 兔"),
    ],
)
def test_control_characters(
    config: Config, capsys: pytest.CaptureFixture[str], text: str, shown: str
) -> None:
    """What a terminal or a reader of lines would act on is escaped; letters are not."""
    logs.configure(config)
    logging.getLogger("leveret.queue").info("%s", text)
    assert capsys.readouterr().out.removesuffix("\n").endswith(f"queue: {shown}")


def test_levels(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """Categories may be stricter or more talkative than the rest."""
    levels = MappingProxyType({"connection": "debug", "queue": "error"})
    logs.configure(replace(config, log_category_levels=levels))
    for category in ("connection", "queue", "broker"):
        logger = logging.getLogger(f"leveret.{category}")
        for level in ("debug", "info", "error"):
            logger.log(logs.LEVELS[level], "said")
    logging.getLogger("leveret.broker").log(logs.NOTICE, "noticed")
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


def test_levels_change_while_outputs_stay(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """New levels hold for outputs that are open and for categories that had one of their own."""
    to_file = replace(config, log_dir=str(tmp_path), log_file="l", log_file_level="error")
    logs.configure(replace(to_file, log_category_levels={"queue": "none"}))
    logs.set_levels(replace(to_file, log_level="warning", log_file_level=None))
    for level in (logging.INFO, logging.WARNING):
        logging.getLogger("leveret.queue").log(level, "said")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("[warning] queue: said")
    assert (tmp_path / "l").read_text() == f"{line}\n"


def test_log_file(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log goes to a file of its own level, and on to a new one after another's rotation."""
    logs.configure(
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
        logs.configure(missing)
    assert "log.file" in caught.value.faults[0]
    assert "No such file or directory" in caught.value.faults[0]


def test_no_output_at_all(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """With every output off nothing is printed, errors neither."""
    logs.configure(replace(config, log_console=False))
    logging.getLogger("leveret.broker").error("nobody hears this")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """log.console.stdio chooses the standard output."""
    logs.configure(configured("log.console.stdio=stderr"))
    logging.getLogger("leveret.broker").info("here")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("broker: here\n")


# -- formats --------------------------------------------------------------------------------------


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With log.console.formatter = json each record is one JSON object on one line."""
    logs.configure(configured("log.console.formatter=json"))
    try:
        raise RuntimeError("a\nb")
    except RuntimeError:
        logging.getLogger("leveret.connection").exception("name %s", "x\ny\udcff")
    (line,) = capsys.readouterr().out.splitlines()
    fields = json.loads(line)
    assert datetime.datetime.fromisoformat(fields.pop("time")).tzinfo is not None
    assert "RuntimeError: a\nb" in fields.pop("traceback")
    assert fields == {
        "level": "error",
        "category": "connection",
        "msg": "name x\ny\\udcff",
        "pid": os.getpid(),
    }


def test_each_output_has_its_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Console and file are formatted apart."""
    logs.configure(
        configured(
            f"log.dir={tmp_path}",
            "log.file=leveret.log",
            "log.file.formatter=json",
            "log.file.formatter.time_format=epoch_secs",
            "log.console.formatter.level_format=uc4",
        )
    )
    logging.getLogger("leveret.broker").warning("said")
    fields = json.loads((tmp_path / "leveret.log").read_text())
    assert type(fields["time"]) is int
    assert (fields["level"], fields["msg"]) == ("warning", "said")
    assert "[WARN] broker: said" in capsys.readouterr().out


def test_time_formats() -> None:
    """The five ways RabbitMQ can write a time."""
    seconds = 1_795_244_423.123456
    local = datetime.datetime.fromtimestamp(seconds).astimezone()
    assert {name: show(seconds) for name, show in TIMES.items()} == {
        "rfc3339_space": local.isoformat(" ", "microseconds"),
        "rfc3339_T": local.isoformat("T", "microseconds"),
        "epoch_usecs": 1_795_244_423_123_456,
        "epoch_secs": 1_795_244_423,
        "lager_default": local.replace(tzinfo=None).isoformat(" ", "milliseconds"),
    }


def test_level_formats() -> None:
    """Levels can be cut to one width, without becoming ambiguous."""
    for level_format, width in (("lc3", 3), ("uc4", 4)):
        shown = {level_text(name, level_format) for name in logs.LEVELS}
        assert len(shown) == len(logs.LEVELS)
        assert {len(word) for word in shown} == {width}
    assert level_text("warning", "uc") == "WARNING"


# -- syslog ---------------------------------------------------------------------------------------

HEADS = {
    "rfc3164": r"<29>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ leveret\[\d+\]: ",
    "rfc5424": r"<29>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00 \S+ leveret \d+ queue - ",
}


@pytest.mark.parametrize("protocol", list(HEADS))
def test_syslog(protocol: str) -> None:
    """A line is one datagram in the form asked for, with its severity, and still one line."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        port = server.getsockname()[1]
        logs.configure(
            configured(
                "log.syslog=true",
                f"log.syslog.port={port}",
                f"log.syslog.protocol={protocol}",
                "log.syslog.level=notice",
            )
        )
        logging.getLogger("leveret.queue").info("not severe enough")
        logging.getLogger("leveret.queue").log(logs.NOTICE, "declared %s", "a\nb")
        text = server.recv(10_000).decode()
    head = re.match(HEADS[protocol], text)
    assert head is not None
    assert text[head.end() :] == "[notice] queue: declared a\\nb"


def test_a_syslog_server_that_is_not_known() -> None:
    """A name that nobody knows is a fault of the settings."""
    with pytest.raises(ConfigError, match=r"log\.syslog\.host nowhere\.invalid is not known"):
        logs.configure(configured("log.syslog=true", "log.syslog.host=nowhere.invalid"))


# -- rotation -------------------------------------------------------------------------------------


def test_rotation_by_size(tmp_path: Path) -> None:
    """A file that would grow beyond the size is finished, and only so many are kept."""
    logs.configure(
        configured(
            f"log.dir={tmp_path}",
            "log.file=leveret.log",
            "log.file.rotation.size=200",
            "log.file.rotation.count=2",
            "log.console=false",
        )
    )
    for number in range(20):
        logging.getLogger("leveret.broker").info("line %d %s", number, "x" * 50)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["leveret.log", "leveret.log.1", "leveret.log.2"]
    assert all(path.stat().st_size <= 200 for path in tmp_path.iterdir())
    assert "line 19" in (tmp_path / "leveret.log").read_text()


def test_finished_files_are_compressed(tmp_path: Path) -> None:
    """A finished file is compressed and keeps its lines; so is one that was left plain."""
    place = tmp_path / "leveret.log"
    place.with_suffix(".log.1").write_text("left by a crash\n")
    logs.configure(
        configured(
            f"log.dir={tmp_path}",
            "log.file=leveret.log",
            "log.file.rotation.size=200",
            "log.file.rotation.count=2",
            "log.file.rotation.compress=true",
        )
    )
    for number in range(3):
        logging.getLogger("leveret.queue").info("line %d %s", number, 150 * "x")
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["leveret.log", "leveret.log.1.gz", "leveret.log.2.gz"]
    for number, name in ((2, "leveret.log.1.gz"), (1, "leveret.log.2.gz")):
        assert f"line {number - 1} " in gzip.decompress((tmp_path / name).read_bytes()).decode()


def test_rotation_by_date(tmp_path: Path) -> None:
    """What an earlier run wrote before the last rotation time becomes a finished file."""
    old = tmp_path / "leveret.log"
    old.write_text("yesterday\n")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    logs.configure(
        configured(
            f"log.dir={tmp_path}",
            "log.file=leveret.log",
            "log.file.rotation.date=$H00",
            "log.console=false",
        )
    )
    logger = logging.getLogger("leveret.broker")
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, "said", (), None)
    logger.handle(record)
    assert (tmp_path / "leveret.log.1").read_text() == "yesterday\n"
    again = logger.makeRecord(logger.name, logging.INFO, "", 0, "an hour later", (), None)
    again.created += 3600
    logger.handle(again)
    assert "said" in (tmp_path / "leveret.log.1").read_text()
    assert "an hour later" in (tmp_path / "leveret.log").read_text()


@pytest.mark.parametrize(
    ("text", "following"),
    [
        ("$H00", "2026-11-21 15:00"),
        ("$H45", "2026-11-21 14:45"),
        ("$D0", "2026-11-22 00:00"),
        ("$D23", "2026-11-21 23:00"),
        ("$D14H31", "2026-11-21 14:31"),
        ("$D14", "2026-11-22 14:00"),
        ("$W0D5", "2026-11-22 05:00"),
        ("$W6D0", "2026-11-28 00:00"),
        ("$M1D0", "2026-12-01 00:00"),
        ("$M21D13", "2026-12-21 13:00"),
        ("$M31D0", "2026-12-31 00:00"),
    ],
)
def test_schedule(text: str, following: str) -> None:
    """Rotation times as newsyslog writes them; this is asked on a Saturday at 14:30."""
    moment = datetime.datetime(2026, 11, 21, 14, 30)
    found = Schedule.parse(text).next_after(moment)
    assert found.isoformat(" ", "minutes") == following
    assert str(Schedule.parse(text)) == text


@pytest.mark.parametrize("text", ["D0", "$", "$D24", "$W7D0", "$M0D0", "$M32D0", "$D0W1", "$H60"])
def test_schedule_that_is_none(text: str) -> None:
    """A time that cannot be is refused, with an example of one that can."""
    with pytest.raises(ConfigError, match=r"log.file.rotation.date must be a time such as \$D0"):
        configured(f"log.file.rotation.date={text}")


# -- the live tail --------------------------------------------------------------------------------


def test_recent_lines(config: Config) -> None:
    """The last lines can be asked for by number and level, as they were written."""
    logs.configure(replace(config, log_console=False))
    before = RECENT.last
    logger = logging.getLogger("leveret.queue")
    logger.info("first\nline")
    logger.debug("not logged")
    logger.warning("second")
    lines = RECENT.after(before)
    assert [(line.seq, line.level, line.category, line.message) for line in lines] == [
        (before + 1, "info", "queue", r"first\nline"),
        (before + 2, "warning", "queue", "second"),
    ]
    assert RECENT.after(before, "warning") == lines[1:]
    assert RECENT.after(before + 2) == []
    assert RECENT.last == before + 2


def test_recent_lines_follow_the_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    """What no output is talkative enough for is not kept either."""
    logs.configure(configured("log.console.level=error"))
    before = RECENT.last
    logging.getLogger("leveret.queue").warning("too quiet")
    assert RECENT.after(before) == []
    assert capsys.readouterr().out == ""


def test_recent_lines_are_bounded(config: Config) -> None:
    """Only so many lines are kept, the newest."""
    logs.configure(replace(config, log_console=False))
    before = RECENT.last
    for number in range(1500):
        logging.getLogger("leveret.queue").info("%d", number)
    lines = RECENT.after(before)
    assert [line.message for line in lines] == [str(number) for number in range(500, 1500)]


def test_subscribers(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """Subscribers get each line at once until they leave; one that fails stops nobody."""
    logs.configure(config)
    got: list[Line] = []

    def fail(_: Line) -> None:
        raise ValueError("broken subscriber")

    leave_failing = RECENT.subscribe(fail)
    leave = RECENT.subscribe(got.append)
    logging.getLogger("leveret.queue").info("heard")
    leave()
    leave_failing()
    leave()
    logging.getLogger("leveret.queue").info("not heard")
    assert [line.message for line in got] == ["heard"]
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "broken subscriber" in captured.err
