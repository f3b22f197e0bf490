"""Settings: those in force, and what can be changed while the broker runs."""

from __future__ import annotations

import re

import click

from broker.admin.api import absent_is
from broker.admin.command import Session, command
from broker.admin.failure import EX_USAGE, Failure, WrongArgument

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "none")
_SIZE = re.compile(r"[0-9]+ ?[kmgt]?i?b?", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@command
@click.argument("fraction", metavar="FRACTION|absolute")
@click.argument("value", metavar="[SIZE]", required=False)
def set_vm_memory_high_watermark(session: Session, fraction: str, value: str | None) -> None:
    """Block publishers above a share of memory (0.4) or a size (absolute 2GB).

    It has effect at once and until the broker ends; vm_memory_high_watermark.relative and .absolute
    in its file last.
    """
    relative, absolute = "vm_memory_high_watermark.relative", "vm_memory_high_watermark.absolute"
    doing = f"Setting memory threshold on {session.node} to"
    if fraction == "absolute":
        size = _size(value)
        _change(session, f"{doing} {size} bytes ...", {absolute: size})
        return
    _nothing_more(value)
    _number(fraction)
    if not 0.0 <= float(fraction) <= 1.0:
        raise WrongArgument("The threshold should be a fraction between 0.0 and 1.0")
    _change(session, f"{doing} {fraction} ...", {relative: fraction, absolute: None})


@command
@click.argument("limit", metavar="SIZE|mem_relative")
@click.argument("fraction", metavar="[FRACTION]", required=False)
def set_disk_free_limit(session: Session, limit: str, fraction: str | None) -> None:
    """Block publishers below a free disk space: a size, or a multiple of memory.

    It has effect at once and until the broker ends; disk_free_limit.absolute and .relative in its
    file last.
    """
    relative, absolute = "disk_free_limit.relative", "disk_free_limit.absolute"
    doing = f"Setting disk free limit on {session.node} to"
    if limit == "mem_relative":
        if fraction is None:
            raise WrongArgument("not enough arguments.", EX_USAGE)
        _number(fraction)
        words = f"{doing} {fraction} times the total RAM ..."
        _change(session, words, {relative: fraction})
        return
    _nothing_more(fraction)
    size = _size(limit)
    _change(session, f"{doing} {size} bytes ...", {absolute: size, relative: None})


@command
@click.argument("level")
@click.argument("category", required=False)
def set_log_level(session: Session, level: str, category: str | None) -> None:
    """Log from LEVEL on: debug, info, notice, warning, error, critical or none.

    It has effect at once and until the broker ends, on every output; with CATEGORY (connection,
    queue, ...) only for lines of that category. Categories with a level of their own keep it.
    """
    if level not in LOG_LEVELS:
        known = ", ".join(LOG_LEVELS)
        raise Failure(f"level {level} is not supported. Try one of {known}")
    if category is None:
        own = dict.fromkeys(("log.console.level", "log.file.level"))
        _change(session, f'Setting log level to "{level}" ...', {"log.level": level, **own})
        return
    words = f'Setting log level of category {category} to "{level}" ...'
    _change(session, words, {f"log.{category}.level": level})


@command
def environment(session: Session) -> None:
    """Show the settings in force; secrets are left out."""
    session.out.heading(f"Application environment of node {session.node} ...")
    with absent_is(Failure("this broker's API does not give out its settings")):
        settings = session.api.get("settings")
    lines = (f"{key} = {value}".rstrip() for key, value in settings.items())
    session.out.answer("\n".join(lines), settings)


@command
@click.argument("key")
@click.argument("value", required=False)
def change_setting(session: Session, key: str, value: str | None) -> None:
    """Change a setting that may change while the broker runs.

    Without VALUE it has its default. It has effect until the broker ends. `leveret
    settings` tells which these are.
    """
    what = "its default" if value is None else f'"{value}"'
    _change(session, f"Changing setting {key} to {what} ...", {key: value})


def _change(session: Session, words: str, changes: dict[str, str | None]) -> None:
    """Change settings; None is the default."""
    session.out.note(words)
    with absent_is(Failure("this broker's API cannot change its settings")):
        session.api.put("settings", body=changes)
    session.out.done()


def _nothing_more(value: str | None) -> None:
    if value is not None:
        raise WrongArgument("too many arguments.", EX_USAGE)


def _number(text: str) -> None:
    if not _NUMBER.fullmatch(text):
        raise WrongArgument(f"{text} is not a number such as 0.4")


def _size(text: str | None) -> str:
    if text is None:
        raise WrongArgument("not enough arguments.", EX_USAGE)
    if _NUMBER.match(text) and "." in text:
        raise WrongArgument("The threshold should be an integer.")
    if not _SIZE.fullmatch(text):
        raise WrongArgument("Invalid units. Sizes are such as 50000000, 64MiB or 2GB")
    return text
