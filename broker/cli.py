"""The command line: `leveret [serve]` runs the broker, other commands administer it.

Owns: the commands that run here (the others are `broker.admin`'s), exit codes of errors found
before the broker runs, and the logging setup.

Invariants:
* The broker logs to standard output, as RabbitMQ does; errors that prevent a start go to standard
  error, one line per fault.
* Exit code 78 (EX_CONFIG) means that the operator has to change a setting before trying again; the
  systemd unit does not restart on it.
* One log record is one line, whatever a client put in a name; only tracebacks have more.
"""

import logging
import logging.handlers
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from broker.admin import programs
from broker.admin.command import CONTEXT
from broker.admin.values import Voice
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
    # The broker is what the program is for, so the command may be left out before its options.
    if not arguments or arguments[0].partition("=")[0] in _SERVE_OPTIONS:
        arguments.insert(0, "serve")
    meaning = "Leveret, a durable AMQP 0-9-1 broker that RabbitMQ clients use unchanged."
    program = programs.Program("leveret", meaning, serve=_serve, settings=_settings)
    return programs.run(program, Voice.LEVERET, arguments)


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


class _ServeCommand(click.Command):
    """A command whose help ends with every setting, as they are laid out there."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"\nsettings and their defaults:\n{reference.help_text()}")


@click.command("serve", cls=_ServeCommand, context_settings=CONTEXT)
@click.option(
    "--config", metavar="FILE", help="rabbitmq.conf, or a directory of *.conf in name order"
)
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="override one setting; may be repeated",
)
@click.option("--data-dir", metavar="DIR", help="same as --set leveret.data_dir=DIR")
def _serve(config: str | None, overrides: Sequence[str], data_dir: str | None) -> int:
    """Run the broker (the default)."""
    if data_dir is not None:
        overrides = [*overrides, f"leveret.data_dir={data_dir}"]
    try:
        settings, warnings = load(config, overrides, os.environ)
        configure_logging(settings)
    except ConfigError as error:
        for fault in error.faults:
            print(f"leveret: {fault}", file=sys.stderr)
        return EX_CONFIG
    for warning in warnings:
        _log.warning("%s", warning)
    # Imported late: --help and a wrong setting answer without loading the broker.
    from broker import server

    return server.run(settings)


_SERVE_OPTIONS = {name for option in _serve.params for name in option.opts}


@click.command("settings", context_settings=CONTEXT)
def _settings() -> None:
    """Print every setting with its default and meaning."""
    print(reference.conf_text(), end="")
