"""The command line: `leveret [serve]` runs the broker, other commands inspect it.

Owns: arguments, exit codes of errors found before the broker runs, and the logging setup.

Invariants:
* The broker logs to standard output, as RabbitMQ does; errors that prevent a start go to standard
  error, one line per fault.
* Exit code 78 (EX_CONFIG) means that the operator has to change a setting before trying again; the
  systemd unit does not restart on it.
* One log record is one line, whatever a client put in a name; only tracebacks have more.

argparse rather than click or typer: a command is one entry in `_COMMANDS` either way, and a broker
that has to start everywhere is better off without the dependency.
"""

import argparse
import logging
import logging.handlers
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from broker import __version__
from broker.config import Config, ConfigError, load, reference

EX_CONFIG = 78
NOTICE = 25
LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": NOTICE,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}
"""RabbitMQ's names of levels; a logger of category X is called `leveret.X`."""

_log = logging.getLogger("leveret.config")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # The broker is what the program is for, so its name may be left out.
    if not arguments or arguments[0] not in (*_COMMANDS, "-h", "--help", "--version"):
        arguments.insert(0, "serve")
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = _COMMANDS[options.command][0]
    return run(options)


def configure_logging(config: Config) -> None:
    """Send the log where the settings say; calling it again replaces the outputs."""
    common = LEVELS[config.log_category_levels.get("default", config.log_level)]
    # An output without a level of its own must let a category through that asks for more.
    inherited = min([common, *(LEVELS[level] for level in config.log_category_levels.values())])
    handlers: list[logging.Handler] = []
    if config.log_console:
        handlers.append(
            _output(logging.StreamHandler(sys.stdout), config.log_console_level, inherited)
        )
    if config.log_file is not None:
        place = Path(config.log_dir or ".", config.log_file)
        try:
            # Watched, so that logrotate can move the file away without a signal to us.
            file = logging.handlers.WatchedFileHandler(place, encoding="utf-8")
        except OSError as error:
            reason = f"log.file {place} cannot be opened ({error.strerror}); check log.dir"
            raise ConfigError([reason]) from None
        handlers.append(_output(file, config.log_file_level, inherited))
    logging.addLevelName(NOTICE, "NOTICE")
    chosen = [config.log_console_level, config.log_file_level]
    lowest = min([common, *(LEVELS[level] for level in chosen if level)])
    logging.basicConfig(level=lowest, handlers=handlers, force=True)
    if not handlers:
        logging.getLogger().addHandler(logging.NullHandler())
    for category, level in config.log_category_levels.items():
        logging.getLogger(f"leveret.{category}").setLevel(LEVELS[level])


class LineFormatter(logging.Formatter):
    """Writes `2026-11-21 07:00:00.123 [info] connection: text`."""

    default_time_format = "%Y-%m-%d %H:%M:%S"
    default_msec_format = "%s.%03d"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Write one record as one line."""
        category = record.name.removeprefix("leveret.").removeprefix("broker.")
        text = record.message.replace("\r", "\\r").replace("\n", "\\n")
        text = text.encode("utf-8", "backslashreplace").decode()
        return f"{self.formatTime(record)} [{record.levelname.lower()}] {category}: {text}"

    def usesTime(self) -> bool:  # noqa: N802
        """Answer for the base class, which cannot see a time in our format."""
        return False


def _output(handler: logging.Handler, level: str | None, inherited: int) -> logging.Handler:
    handler.setFormatter(LineFormatter())
    handler.setLevel(LEVELS[level] if level else inherited)
    return handler


def _serve(options: argparse.Namespace) -> int:
    overrides = list(options.set)
    if options.data_dir is not None:
        overrides.append(f"leveret.data_dir={options.data_dir}")
    try:
        config, warnings = load(options.config, overrides, os.environ)
        configure_logging(config)
        for warning in warnings:
            _log.warning("%s", warning)
        # Imported late: --help and a wrong setting answer without loading the broker.
        from broker import server

        return server.run(config)
    except ConfigError as error:
        for fault in error.faults:
            print(f"leveret: {fault}", file=sys.stderr)
        return EX_CONFIG


def _settings(_options: argparse.Namespace) -> int:
    print(reference.conf_text(), end="")
    return 0


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"settings and their defaults:\n{reference.help_text()}"
    parser.add_argument(
        "--config", metavar="FILE", help="rabbitmq.conf, or a directory of *.conf in name order"
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting; may be repeated",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="same as --set leveret.data_dir=DIR")


def _no_arguments(_parser: argparse.ArgumentParser) -> None:
    pass


_Run = Callable[[argparse.Namespace], int]
_Arguments = Callable[[argparse.ArgumentParser], None]
_COMMANDS: dict[str, tuple[_Run, _Arguments, str]] = {
    "serve": (_serve, _serve_arguments, "run the broker (the default)"),
    "settings": (_settings, _no_arguments, "print every setting with its default and meaning"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="leveret",
        description="Leveret, a durable AMQP 0-9-1 broker that RabbitMQ clients use unchanged.",
        epilog="`leveret serve --help` lists options and settings.",
    )
    parser.add_argument("--version", action="version", version=f"leveret {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, add_arguments, meaning) in _COMMANDS.items():
        add_arguments(commands.add_parser(name, help=meaning, description=meaning.capitalize()))
    return parser
