"""The command line: `leveret [serve]` runs the broker, other commands administer it.

Owns: the commands that run here (the others are `broker.admin`'s and `broker.logtool`'s), and exit
codes of errors found before the broker runs.

Invariants:
* The broker logs to standard output, as RabbitMQ does; errors that prevent a start go to standard
  error, one line per fault.
* Exit code 78 (EX_CONFIG) means that the operator has to change a setting before trying again; the
  systemd unit does not restart on it.
"""

import logging
import os
import sys
from collections.abc import Sequence

import click

from broker import logs
from broker.admin import programs
from broker.admin.command import CONTEXT
from broker.admin.values import Voice
from broker.config import ConfigError, load, reference
from broker.pid_file import pid_file

EX_CONFIG = 78
_log = logging.getLogger("leveret.config")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # The broker is what the program is for, so the command may be left out before its options.
    if not arguments or arguments[0].partition("=")[0] in _SERVE_OPTIONS:
        arguments.insert(0, "serve")
    meaning = "Leveret, a durable AMQP 0-9-1 broker that RabbitMQ clients use unchanged."
    program = programs.Program(
        programs.LEVERET,
        meaning,
        [*programs.ADMINISTRATION],
        serve=_serve,
        settings=_settings,
        log="broker.logtool",
    )
    return programs.run(program, Voice.LEVERET, arguments)


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
        logs.configure(settings)
        for warning in warnings:
            _log.warning("%s", warning)
        # Imported late: --help and a wrong setting answer without loading the broker.
        from broker import server

        with pid_file(settings.pid_file):
            return server.run(settings)
    except ConfigError as error:
        for fault in error.faults:
            print(f"leveret: {fault}", file=sys.stderr)
        return EX_CONFIG


_SERVE_OPTIONS = {name for option in _serve.params for name in option.opts}


@click.command("settings", context_settings=CONTEXT)
def _settings() -> None:
    """Print every setting with its default and meaning."""
    print(reference.conf_text(), end="")
