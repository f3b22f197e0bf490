"""What a command that failed writes to standard error, in the voice of its program.

Owns: the words around a failure. They are rabbitmqctl's in the voice of rabbitmqctl, as tools that
drive it look for them; what the arguments were is left out, for passwords are among them.
"""

from __future__ import annotations

import click

from broker.admin.command import Session
from broker.admin.failure import EX_DATAERR, Failure, WrongArgument
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
    else:
        text = f"Error:\n{text}"
    click.echo(text, err=True)


def tell_usage(session: Session, error: click.UsageError) -> None:
    """Write what is wrong with a command line, and how it should be."""
    text = error.format_message()
    if session.voice is Voice.RABBITMQ and error.ctx is not None and error.ctx.parent is not None:
        text = _invalid(_reason(error, text))
    else:
        text = f"{session.program}: {text}"
    click.echo(text, err=True)
    if error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)


def _invalid(reason: str) -> str:
    return f"Error (argument validation): {reason}"


def _reason(error: click.UsageError, text: str) -> str:
    if isinstance(error, click.MissingParameter):
        return f"not enough arguments.\n{text}"
    if isinstance(error, click.NoSuchOption):
        return f"Invalid options for this command:\n{error.option_name} : "
    if text.startswith("Got unexpected extra argument"):
        return "too many arguments."
    return text
