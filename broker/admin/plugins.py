"""What rabbitmq-plugins does: tell which of RabbitMQ's plugins are part of the broker.

They are on, always: enabling one of them succeeds and changes nothing, enabling another fails with
the reason. Nothing of this asks a broker, as with `--offline`: images enable plugins before one
runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from broker import __version__, plugins
from broker.admin.command import Session, command
from broker.admin.failure import EX_SOFTWARE, EX_USAGE, Failure, WrongArgument
from broker.admin.values import compact


def _place() -> click.Option:
    """Take `--online` and `--offline`, between which there is no difference here."""
    return click.Option(["--online/--offline"], hidden=True, expose_value=False)


@command
@click.argument("pattern", required=False, default=".*")
@click.option("-m", "--minimal", is_flag=True, help="Names only.")
@click.option("-v", "--verbose", is_flag=True, help="With descriptions.")
@click.option("-E", "--enabled", is_flag=True, help="Those that are on.")
@click.option("-e", "--implicitly-enabled", is_flag=True, help="The same.")
def list_plugins(
    session: Session,
    pattern: str,
    minimal: bool,
    verbose: bool,
    enabled: bool,
    implicitly_enabled: bool,
) -> None:
    """List RabbitMQ's plugins: [E*] is part of the broker and on, [  ] is not there."""
    session.out.heading(f'Listing plugins with pattern "{pattern}" ...')
    try:
        fits = re.compile(pattern).search
    except re.error as error:
        raise WrongArgument(f"{pattern} is not a regular expression: {error}") from None
    every = plugins.BUILT_IN if enabled or implicitly_enabled else _known()
    names = [name for name in sorted(every) if fits(name)]
    if session.out.format == "json":
        kind = "minimal" if minimal else "verbose" if verbose else "normal"
        click.echo(compact({"format": kind, "plugins": [_facts(name) for name in names]}))
        return
    if minimal:
        session.out.lines(names)
        return
    session.out.note(" Configured: E = explicitly enabled; e = implicitly enabled")
    session.out.note(" | Status: * = running on this machine")
    session.out.note(" |/")
    width = max(map(len, names), default=0)
    for name in names:
        is_on = name in plugins.BUILT_IN
        mark = "[E*]" if is_on else "[  ]"
        if verbose:
            meaning = plugins.BUILT_IN.get(name) or f"not there: {plugins.ABSENT[name]}"
            session.out.lines([f"{mark} {name}", f"     Description: \t{meaning}"])
        else:
            session.out.lines([f"{mark} {name:{width}} {__version__ if is_on else ''}".rstrip()])


@command
@click.argument("names", metavar="PLUGIN...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that are part of the broker.")
def enable(session: Session, names: Sequence[str], every: bool) -> None:
    """Succeed if the PLUGINs are part of the broker and so on, or say why not."""
    if not names and not every:
        raise WrongArgument("not enough arguments.", EX_USAGE)
    chosen = sorted(plugins.BUILT_IN) if every else list(names)
    what = "ALL plugins" if every else "plugins"
    session.out.note(f"Enabling {what} on this machine:")
    _configured(session, chosen)


@command
@click.argument("names", metavar="[PLUGIN]...", nargs=-1)
def set_plugins(session: Session, names: Sequence[str]) -> None:
    """The same as enable; what is part of the broker and not named stays on."""
    session.out.note("Enabling plugins on this machine:")
    _configured(session, list(names))


@command
@click.argument("names", metavar="PLUGIN...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All.")
def disable(session: Session, names: Sequence[str], every: bool) -> None:
    """Change nothing: what is part of the broker stays on.

    That is said, and no failure: tools disable what they do not know.
    """
    if not names and not every:
        raise WrongArgument("not enough arguments.", EX_USAGE)
    session.out.note("Disabling plugins on this machine:")
    chosen = sorted(plugins.BUILT_IN) if every else list(names)
    if session.out.format != "json":
        session.out.lines(chosen)
    session.out.done("Plugin configuration unchanged.")
    if stay := [name for name in chosen if name in plugins.BUILT_IN]:
        click.echo(f"part of Leveret, so still on: {', '.join(stay)}", err=True)


@command
@click.argument("names", metavar="PLUGIN...", nargs=-1, required=True)
def is_enabled(session: Session, names: Sequence[str]) -> None:
    """Fail if one of the PLUGINs is not on."""
    listed = ", ".join(names)
    one, many = f"plugin {listed} is", f"plugins {listed} are"
    session.out.heading(f"Asking if {one if len(names) == 1 else many} enabled...")
    if missing := [name for name in names if name not in plugins.BUILT_IN]:
        text = f"{_subject(missing)} not enabled. {'; '.join(map(_why, missing))}"
        raise Failure(text, detail={"result": "error", "message": text})
    words = f"{_subject(names)} enabled"
    session.out.answer(words, {"result": "ok", "message": words})


@command
def directories(session: Session) -> None:
    """Say where plugins are: nowhere, for they are part of the broker."""
    words = "Plugins are part of the broker: there are no archives, and no file of those enabled."
    session.out.answer(words, {"result": "ok", "message": words})


COMMANDS = {
    "list": list_plugins,
    "enable": enable,
    "disable": disable,
    "set": set_plugins,
    "is_enabled": is_enabled,
    "directories": directories,
}
for _command in COMMANDS.values():
    _command.params.append(_place())


def _configured(session: Session, names: Sequence[str]) -> None:
    if missing := [name for name in names if name not in plugins.BUILT_IN]:
        raise Failure("; ".join(map(_why, missing)), EX_SOFTWARE)
    if session.out.format == "json":
        session.out.done()
        return
    session.out.lines(names)
    session.out.lines(["The following plugins have been configured:"])
    session.out.lines([f"  {name}" for name in sorted(plugins.BUILT_IN)])
    session.out.lines(["Applying plugin configuration...", "Plugin configuration unchanged."])


def _why(name: str) -> str:
    return f"{name}: {plugins.ABSENT.get(name, 'there is no such plugin')}"


def _subject(names: Sequence[str]) -> str:
    listed = ", ".join(names)
    return f"Plugin {listed} is" if len(names) == 1 else f"Plugins {listed} are"


def _known() -> set[str]:
    return {*plugins.BUILT_IN, *plugins.ABSENT}


def _facts(name: str) -> dict[str, object]:
    is_on = name in plugins.BUILT_IN
    return {
        "name": name,
        "version": __version__ if is_on else None,
        "enabled": "enabled" if is_on else "not_enabled",
        "running": is_on,
        "running_version": __version__ if is_on else None,
    }
