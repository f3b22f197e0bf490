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
from broker.admin.api import Api
from broker.admin.failure import EX_DATAERR, Failure
from broker.admin.output import FORMATS, Output
from broker.admin.values import Voice

TIMEOUT_S = 60.0
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
        """How long a command may wait; without end if 0 or less was asked for, as in Erlang."""
        chosen = float(self.options.get("timeout", TIMEOUT_S))
        return chosen if chosen > 0 else float(2**31)

    @cached_property
    def out(self) -> Output:
        """Where answers go."""
        silent = self.options.get("silent", False)
        return Output(
            self.voice,
            self.options.get("format", "table"),
            quiet=silent or self.options.get("quiet", False),
            headers=not (silent or self.options.get("no_headers", False)),
        )

    @cached_property
    def target(self) -> target.Target:
        """The broker that was named."""
        ask = self._ask if sys.stdin.isatty() else None
        options = {name: self.options.get(name) for name in TARGET_OPTIONS}
        return target.find(options, self.options.get("node"), os.environ, ask)

    @cached_property
    def api(self) -> Api:
        """The broker's management API."""
        api = Api(self.target, self.timeout_s)
        expected = self.target.expected_node
        if expected is not None and expected != (node := _node(api)):
            raise Failure(f"{self.target} is node {node}, not {expected}")
        return api

    @cached_property
    def node(self) -> str:
        """The broker's own name, as `rabbit@host`."""
        return self.target.expected_node or _node(self.api)

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
        if sys.stdin.isatty():
            return self._ask(what, True)
        typed = sys.stdin.readline().rstrip("\r\n")
        if not typed:
            raise Failure("Password is not provided via argument or stdin", EX_DATAERR)
        return typed

    @staticmethod
    def _ask(what: str, secret: bool) -> str:
        answer: str = click.prompt(what, hide_input=secret, err=True)
        return answer


def _node(api: Api) -> str:
    return str(api.get("overview", columns="node")["node"])


def command(function: _Function) -> click.Command:
    """Make a command of a function that takes the session first; `click.argument` goes inside."""
    made = click.command(context_settings=CONTEXT)(click.pass_obj(function))
    made.params += common_options()
    return made


CONTEXT = {"help_option_names": ["-h", "-?", "--help"]}


def common_options() -> list[click.Option]:
    """Give the options of every command; a program has the same before the command's name."""

    def keep(context: click.Context, option: click.Parameter, value: Any) -> None:
        if value is not None and option.name is not None:
            context.find_object(Session).options[option.name] = value  # type: ignore[union-attr]

    def option(*names: str, **how: Any) -> click.Option:
        if how.pop("flag", False):
            how |= {"is_flag": True, "flag_value": True}
        return click.Option(names, default=None, expose_value=False, callback=keep, **how)

    return [
        option("-p", "--vhost", metavar="VHOST", help="Virtual host, by default /."),
        option(
            "--formatter",
            "format",
            type=click.Choice(FORMATS),
            help="How to show the answer, by default as a table.",
        ),
        option("-q", "--quiet", flag=True, help="Say nothing but the answer."),
        option("-s", "--silent", flag=True, help="The same, and no column names."),
        option("--no-table-headers", "no_headers", flag=True, help="No column names."),
        option("-t", "--timeout", type=float, metavar="S", help="Seconds to wait, by default 60."),
        option("-n", "--node", metavar="NAME", help="Broker by its table in admin.toml, or node."),
        option("--data-dir", metavar="DIR", help="Ask the broker on this machine that uses DIR."),
        option("--url", metavar="URL", help=f"Management API, such as {target.DEFAULT_URL}."),
        option("-U", "--username", metavar="NAME", help="User of the management API."),
        option("--password-file", metavar="FILE", help="File whose first line is the password."),
        option("--ca-file", metavar="FILE", help="Certificates to trust, in PEM."),
        option("-l", "--longnames", flag=True, hidden=True),
    ]
