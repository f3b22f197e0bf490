"""What a line looks like: plain text or JSON, with the times and levels RabbitMQ can write.

A plain line is ``2026-11-21 07:00:00.123456+00:00 [info] connection: text``. Where RabbitMQ has
an Erlang process number, which means nothing to anybody afterwards, is the category.

Invariant: control characters, line feeds among them, appear escaped: no client can forge a line or
send a command to the terminal somebody reads the log on.
"""

import datetime
import json
import logging
from collections.abc import Callable, Mapping

_ESCAPES = {number: f"\\x{number:02x}" for number in (*range(32), *range(0x7F, 0xA0))} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    0x2028: "\\u2028",  # some readers take these two for ends of lines
    0x2029: "\\u2029",
}


def category(record: logging.LogRecord) -> str:
    """What a record is about."""
    return record.name.removeprefix("leveret.").removeprefix("broker.")


def one_line(text: str) -> str:
    """``text`` as it may stand in a line."""
    return _encodable(text.translate(_ESCAPES))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _rfc3339(separator: str) -> Callable[[float], str]:
    def show(seconds: float) -> str:
        local = datetime.datetime.fromtimestamp(seconds, datetime.UTC).astimezone()
        return local.isoformat(separator, "microseconds")

    return show


def _lager(seconds: float) -> str:
    """As RabbitMQ wrote it before 3.9: local time with milliseconds, no zone."""
    return datetime.datetime.fromtimestamp(seconds).isoformat(" ", "milliseconds")


TIMES: Mapping[str, Callable[[float], str | int]] = {
    "rfc3339_space": _rfc3339(" "),
    "rfc3339_T": _rfc3339("T"),
    "epoch_usecs": lambda seconds: int(seconds * 1_000_000),
    "epoch_secs": int,
    "lager_default": _lager,
}

_SHORTER = {
    "3": {"debug": "dbg", "info": "inf", "notice": "ntc", "warning": "wrn", "error": "err"},
    "4": {"debug": "dbug", "info": "info", "notice": "noti", "warning": "warn", "error": "erro"},
}


def level_text(name: str, level_format: str) -> str:
    """A level's name in lower or upper case (``lc``, ``uc``), perhaps cut to 3 or 4 letters."""
    case, length = level_format[:2], level_format[2:]
    short = _SHORTER[length].get(name, name[: int(length)]) if length else name
    return short.upper() if case == "uc" else short


class _Formatter(logging.Formatter):
    def __init__(self, time_format: str = "rfc3339_space", level_format: str = "lc") -> None:
        super().__init__()
        self._time = TIMES[time_format]
        self._level_format = level_format

    def _level(self, record: logging.LogRecord) -> str:
        return level_text(record.levelname.lower(), self._level_format)


class LineFormatter(_Formatter):
    """Plain text; a traceback follows its line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Write one record as one line."""
        return f"{self._time(record.created)} {self._untimed(record)}"

    def _untimed(self, record: logging.LogRecord) -> str:
        return f"[{self._level(record)}] {category(record)}: {one_line(record.message)}"


class UntimedFormatter(LineFormatter):
    """The same for outputs that have the time elsewhere."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Write one record as one line."""
        return self._untimed(record)


class JsonFormatter(_Formatter):
    """One JSON object a line, a traceback included, with RabbitMQ's names of fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        fields: dict[str, object] = {
            "time": self._time(record.created),
            "level": self._level(record),
            "category": category(record),
            "msg": _encodable(record.getMessage()),
            "pid": record.process,
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)
