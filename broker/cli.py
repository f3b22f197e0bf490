"""The command line: `leveret [serve]` runs the broker, other commands inspect it.

Owns: arguments, and exit codes of errors found before the broker runs.

Invariants:
* The broker logs to standard output, as RabbitMQ does; errors that prevent a start go to standard
  error, one line per fault.
* Exit code 78 (EX_CONFIG) means that the operator has to change a setting before trying again; the
  systemd unit does not restart on it.

argparse rather than click or typer: a command is one entry in `_COMMANDS` either way, and a broker
that has to start everywhere is better off without the dependency.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from broker import __version__, logs
from broker.config import ConfigError, load, reference

EX_CONFIG = 78
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


def _serve(options: argparse.Namespace) -> int:
    overrides = list(options.set)
    if options.data_dir is not None:
        overrides.append(f"leveret.data_dir={options.data_dir}")
    try:
        config, warnings = load(options.config, overrides, os.environ)
        logs.configure(config)
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
