"""What all commands share: the options they take, and the session they are called with.

Owns: `Session`, the decorator `command`, and reading secrets from a person or a pipe.

Options may stand before the command's name or behind it, as with rabbitmqctl; the later one counts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import click

from broker.admin import target
from broker.admin.api import Api, absent_is
from broker.admin.examples import EXAMPLES
from broker.admin.failure import EX_DATAERR, EX_UNAVAILABLE, Failure, NoVhost
from broker.admin.output import FORMATS, Output
from broker.admin.values import Voice

TIMEOUT_S = 60.0
TIMEOUT_MAX_S = 2.0**31 // 1000  # what a socket takes, 24 days
TARGET_OPTIONS = ("url", "data_dir", "username", "password_file", "ca_file")
_Function = TypeVar("_Function", bound=Callable[..., None])


@dataclass
class Session:
    """One run of a program: what was asked for, and the way to the broker and to the terminal."""

    program: str
    voice: Voice
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def vhost(self) -> str:
        """The virtual host the command is about."""
        vhost: str = self.options.get("vhost", "/")
        return vhost

    @property
    def timeout_s(self) -> float:
        """How long a command may wait; 0 is as long as can be, as is infinity in Erlang."""
        chosen = float(self.options.get("timeout", TIMEOUT_S))
        return min(chosen, TIMEOUT_MAX_S) if chosen > 0 else TIMEOUT_MAX_S

    @property
    def dry_run(self) -> bool:
        """Tell whether a command is only to say what it would do."""
        return bool(self.options.get("dry_run"))

    def timeout_or_s(self, usual_s: float) -> float:
        """How long a command that usually waits another time may wait."""
        return self.timeout_s if "timeout" in self.options else usual_s

    @cached_property
    def out(self) -> Output:
        """Where answers go."""
        silent = self.options.get("silent", False)
        return Output(
            self.voice,
            self.options.get("format", "table"),
            quiet=silent or self.options.get("quiet", False),
            headers=not (silent or self.options.get("no_headers", False)),
            node=lambda: self.node,
        )

    @cached_property
    def target(self) -> target.Target:
        """The broker that was named."""
        ask = self._ask if _somebody_is_there() else None
        options = {name: self.options.get(name) for name in TARGET_OPTIONS}
        return target.find(options, self.options.get("node"), os.environ, ask)

    @cached_property
    def api(self) -> Api:
        """The broker's management API."""
        api = Api(self.target, self.timeout_s, only_reads=self.dry_run)
        expected = self.target.expected_node
        if expected is not None:
            node = _node(api)
            # As with rabbitmqctl, a name without a host is that of a node on this machine.
            if expected not in (node, node.partition("@")[0]):
                raise Failure(f"{self.target} is node {node}, not {expected}")
        return api

    @cached_property
    def node(self) -> str:
        """The broker's own name, as `rabbit@host`."""
        return _node(self.api)

    def absent(self, what: str, as_there: str, exit_code: int = EX_UNAVAILABLE) -> Failure:
        """Say that something does not exist: in words, or as rabbitmqctl does."""
        is_ours = self.voice is Voice.LEVERET
        return Failure(f"there is no {what}" if is_ours else as_there, exit_code)

    def check_vhost(self) -> None:
        """Fail if the virtual host does not exist."""
        with absent_is(NoVhost(self.vhost)):
            self.api.get("vhosts", self.vhost)

    def new_secret(self, argument: str | None, what: str) -> str:
        """Come by a password to set or to check: a person types it, a script pipes it.

        Only the stand-in for rabbitmqctl takes it from the arguments, where scripts put it.
        """
        if argument is not None:
            if self.voice is Voice.LEVERET:
                raise Failure(
                    "others can read the arguments of a program: leave the password out to be "
                    "asked for it, or pipe it in",
                    EX_DATAERR,
                )
            return argument
        if _somebody_is_there():
            return self._ask(what, True)
        typed = sys.stdin.readline().rstrip("\r\n") if sys.stdin else ""
        if not typed:
            raise Failure("Password is not provided via argument or stdin", EX_DATAERR)
        return typed

    @staticmethod
    def _ask(what: str, secret: bool) -> str:
        answer: str = click.prompt(what, hide_input=secret, err=True)
        return answer


def _somebody_is_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()  # None: started with a closed descriptor


def _node(api: Api) -> str:
    return str(api.get("overview", columns="node")["node"])


def command(function: _Function) -> click.Command:
    """Make a command of a function that takes the session first; `click.argument` goes inside."""
    made = click.command(cls=_Command, context_settings=CONTEXT)(click.pass_obj(function))
    made.params += common_options()
    return made


class _Command(click.Command):
    """A command whose help lists the common options apart, and ends with an example."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        list_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write an example."""
        if example := EXAMPLES.get(ctx.info_name or ""):
            with formatter.section("Example"):
                formatter.write(f"  {ctx.find_root().info_name} {example}\n")


CONTEXT = {"help_option_names": ["-h", "-?", "--help"]}
_COMMON = "common_"


def list_options(
    command: click.Command, context: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write the options of a command and, under a head of their own, those of every command."""
    sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Options of every command": []}
    for parameter in command.get_params(context):
        if not isinstance(parameter, click.Option):
            continue  # named in the usage, explained in the text
        if line := parameter.get_help_record(context):
            common = (parameter.name or "").startswith(_COMMON)
            sections["Options of every command" if common else "Options"].append(line)
    for title, lines in sections.items():
        if lines:
            with formatter.section(title):
                formatter.write_dl(lines)


def common_options() -> list[click.Option]:
    """Give the options of every command; a program has the same before the command's name."""

    def option(key: str, *names: str, **how: Any) -> click.Option:
        def keep(context: click.Context, _option: click.Parameter, value: Any) -> None:
            session = context.find_object(Session)
            if value is not None and session is not None:
                session.options[key] = value

        if how.pop("flag", False):
            how |= {"is_flag": True, "flag_value": True}
        # A name that no command gives its own parameters.
        given = (f"{_COMMON}{key}", *names)
        return click.Option(given, default=None, expose_value=False, callback=keep, **how)

    return [
        option("vhost", "-p", "--vhost", metavar="VHOST", help="Virtual host, by default /."),
        option(
            "format",
            "--formatter",
            type=click.Choice(FORMATS),
            help="How to show the answer, by default as a table.",
        ),
        option("quiet", "-q", "--quiet", flag=True, help="Say nothing but the answer."),
        option("silent", "-s", "--silent", flag=True, help="The same, and no column names."),
        option("no_headers", "--no-table-headers", flag=True, help="No column names."),
        option(
            "timeout",
            "-t",
            "--timeout",
            type=float,
            metavar="S",
            help="Seconds to wait, by default 60.",
        ),
        option(
            "node",
            "-n",
            "--node",
            metavar="NAME",
            help="Broker by its table in admin.toml, or node.",
        ),
        option(
            "data_dir",
            "--data-dir",
            metavar="DIR",
            help="Ask the broker on this machine that uses DIR.",
        ),
        option(
            "url", "--url", metavar="URL", help=f"Management API, such as {target.DEFAULT_URL}."
        ),
        option("username", "-U", "--username", metavar="NAME", help="User of the management API."),
        option(
            "password_file",
            "--password-file",
            metavar="FILE",
            help="File whose first line is the password.",
        ),
        option("ca_file", "--ca-file", metavar="FILE", help="Certificates to trust, in PEM."),
        option("dry_run", "--dry-run", flag=True, help="Change nothing."),
        # rabbitmqctl has these, and scripts give them.
        option("longnames", "-l", "--longnames", flag=True, hidden=True),
        option("printer", "--printer", type=click.Choice(["stdio"]), hidden=True),
        option("erlang_cookie", "--erlang-cookie", hidden=True),
    ]
