"""What a command that failed writes to standard error, in the voice of its program.

Owns: the words around a failure. They are rabbitmqctl's in the voice of rabbitmqctl, as tools that
drive it look for them; what the arguments were is left out, for passwords are among them.
"""

from __future__ import annotations

import click

from broker.admin.command import Session
from broker.admin.failure import EX_DATAERR, EX_USAGE, Failure, NoVhost, WrongArgument
from broker.admin.values import Voice, compact, printable


def tell(session: Session, failure: Failure) -> None:
    """Write why a command could not do what it was asked."""
    if session.options.get("format") == "json" and failure.detail is not None:
        click.echo(compact(failure.detail), err=True)
        return
    text = "\n".join(map(printable, str(failure).split("\n")))
    if session.voice is Voice.LEVERET:
        text = f"{session.program}: {text}"
    elif isinstance(failure, WrongArgument):
        text = _invalid(f"Bad argument: {text}" if failure.exit_code == EX_DATAERR else text)
    elif not isinstance(failure, NoVhost):
        text = f"Error:\n{text}"
    click.echo(text, err=True)


def tell_usage(session: Session, error: click.UsageError) -> int:
    """Write what is wrong with a command line, and how it should be; the exit code."""
    text = error.format_message()
    is_unknown = error.ctx is None or error.ctx.parent is None  # not a command's
    if session.voice is Voice.LEVERET:
        text = f"{session.program}: {text}"
    elif not is_unknown:
        text = _invalid(_reason(error, text))
    click.echo(text, err=True)
    if error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
    return EX_DATAERR if _is_bad_argument(error) else EX_USAGE


def _invalid(reason: str) -> str:
    return f"Error (argument validation): {reason}"


def _reason(error: click.UsageError, text: str) -> str:
    if isinstance(error, click.MissingParameter):
        return f"not enough arguments.\n{text}"
    if _is_bad_argument(error):
        return f"Bad argument: {text}"
    if isinstance(error, click.NoSuchOption):
        return f"Invalid options for this command:\n{error.option_name} : "
    if text.startswith("Got unexpected extra argument"):
        return "too many arguments."
    return text


def _is_bad_argument(error: click.UsageError) -> bool:
    """Tell whether an argument is there and cannot be read."""
    if not isinstance(error, click.BadParameter) or isinstance(error, click.MissingParameter):
        return False
    return isinstance(error.param, click.Argument)
