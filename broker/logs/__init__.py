"""The log for people: where lines go, how they look, which are kept for the live tail.

Owns: the outputs (console, file), their levels and formats, and ``RECENT``. The durable log of
messages is ``broker.wal``; it has nothing to do with this one.

Everything uses the standard library's ``logging``: a logger called ``leveret.connection`` is the
category ``connection``. ``configure`` is called once, before anything else logs; ``set_levels``
again whenever the settings of levels change.

Invariants:
* One record is one line, whatever a client put in a name; only tracebacks have more.
* Nothing a client can do at will is logged in full per message: lines are for connections, errors
  and changes; and of those that a peer can cause, so many are written (``limiter``).
* ``RECENT`` holds what the outputs were given, whatever their format.
"""

import logging
import logging.handlers
import sys
from pathlib import Path

from broker.config import Config, ConfigError
from broker.logs.formats import JsonFormatter, LineFormatter, UntimedFormatter
from broker.logs.levels import LEVELS, NOTICE
from broker.logs.limiter import Limiter
from broker.logs.recent import Line, Recent
from broker.logs.rotation import RotatingFile
from broker.logs.syslog import Syslog

__all__ = [
    "LEVELS",
    "LIMITER",
    "NOTICE",
    "RECENT",
    "Line",
    "add_exchange",
    "configure",
    "set_levels",
]

RECENT = Recent()
"""The last lines, for whoever wants to show them."""
LIMITER = Limiter()
"""Holds back what is too much; somebody has to call its ``report`` now and then."""
_LOGGERS = "leveret."
_CONSOLE, _FILE, _EXCHANGE, _SYSLOG = "console", "file", "exchange", "syslog"


def configure(config: Config) -> None:
    """Send the log where the settings say; calling it again replaces the outputs."""
    handlers: list[logging.Handler] = [RECENT]
    if config.log_console:
        console = logging.StreamHandler(
            sys.stderr if config.log_console_stdio == "stderr" else sys.stdout
        )
        console.name = _CONSOLE
        console.setFormatter(
            _formatter(
                config.log_console_formatter,
                config.log_console_time_format,
                config.log_console_level_format,
            )
        )
        handlers.append(console)
    if config.log_file is not None:
        file = _open_file(config, config.log_file)
        file.name = _FILE
        file.setFormatter(
            _formatter(
                config.log_file_formatter,
                config.log_file_time_format,
                config.log_file_level_format,
            )
        )
        handlers.append(file)
    if config.log_syslog:
        handlers.append(_open_syslog(config))
    for handler in handlers:
        handler.addFilter(LIMITER)  # which is there once, however often that is done
    logging.basicConfig(handlers=handlers, force=True)
    set_levels(config)


def add_exchange(handler: logging.Handler, config: Config) -> None:
    """Have another output, made when there is a broker: the log exchange."""
    handler.name = _EXCHANGE
    handler.setFormatter(
        _formatter(
            config.log_exchange_formatter,
            config.log_exchange_time_format,
            config.log_exchange_level_format,
        )
    )
    handler.addFilter(LIMITER)
    logging.root.addHandler(handler)
    set_levels(config)


def set_levels(config: Config) -> None:
    """Give outputs and categories the levels of these settings; the outputs stay open."""
    LIMITER.lines_max = config.log_lines_max
    common = LEVELS[config.log_category_levels.get("default", config.log_level)]
    # An output without a level of its own must let a category through that asks for more.
    inherited = min([common, *(LEVELS[level] for level in config.log_category_levels.values())])
    chosen = {
        _CONSOLE: config.log_console_level,
        _FILE: config.log_file_level,
        _EXCHANGE: config.log_exchange_level if config.log_exchange else None,
        _SYSLOG: config.log_syslog_level if config.log_syslog else None,
    }
    outputs = [handler for handler in logging.root.handlers if handler.name in chosen]
    for output in outputs:
        level = chosen[output.name or ""]
        output.setLevel(LEVELS[level] if level else inherited)
    RECENT.setLevel(min((output.level for output in outputs), default=inherited))
    logging.root.setLevel(min([common, *(LEVELS[level] for level in chosen.values() if level)]))
    loggers = {name for name in logging.root.manager.loggerDict if name.startswith(_LOGGERS)}
    for name in loggers | {_LOGGERS + category for category in config.log_category_levels}:
        level = config.log_category_levels.get(name.removeprefix(_LOGGERS))
        logging.getLogger(name).setLevel(LEVELS[level] if level else logging.NOTSET)


def _formatter(format_name: str, time_format: str, level_format: str) -> logging.Formatter:
    kind = JsonFormatter if format_name == "json" else LineFormatter
    return kind(time_format, level_format)


def _open_file(config: Config, name: str) -> logging.Handler:
    place = Path(config.log_dir or ".", name)
    size, date = config.log_file_rotation_bytes, config.log_file_rotation_date
    try:
        if size is None and date is None:
            # Watched, so that logrotate can move the file away without a signal to us.
            return logging.handlers.WatchedFileHandler(place, encoding="utf-8")
        count, compress = config.log_file_rotation_count, config.log_file_rotation_compress
        return RotatingFile(place, size, date, count, compress=compress)
    except OSError as error:
        reason = f"log.file {place} cannot be opened ({error.strerror}); check log.dir"
        raise ConfigError([reason]) from None


def _open_syslog(config: Config) -> logging.Handler:
    host = config.log_syslog_ip or config.log_syslog_host
    try:
        syslog = Syslog(
            host,
            config.log_syslog_port,
            config.log_syslog_facility,
            config.log_syslog_identity,
            config.log_syslog_protocol,
        )
    except OSError as error:
        reason = f"log.syslog.host {host} is not known ({error.strerror})"
        raise ConfigError([reason]) from None
    syslog.name = _SYSLOG
    kind = JsonFormatter if config.log_syslog_formatter == "json" else UntimedFormatter
    syslog.setFormatter(kind(config.log_syslog_time_format, config.log_syslog_level_format))
    return syslog
