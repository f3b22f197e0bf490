"""`leveret log`: looks into the log of a broker that does not run, and changes nothing.

Exit codes: 0 the log is sound (a torn tail included: the next start cuts it off), 65 (EX_DATAERR)
it is damaged, 74 (EX_IOERR) it cannot be read, 75 (EX_TEMPFAIL) a broker is using it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from broker.logtool import dumping
from broker.logtool.account import Account, leftovers
from broker.logtool.scan import Damage, Part, TornTail, held, log_directory, scan
from broker.wal import DirectoryInUse, UnknownVersion
from broker.wal.frame import segment_names

EX_DATAERR, EX_IOERR, EX_TEMPFAIL = 65, 74, 75

_directory = click.argument(
    "directory", type=click.Path(exists=True, file_okay=False, path_type=Path)
)


@click.group()
def log() -> None:
    """Look into the log of a broker that does not run, or into a copy of one.

    DIRECTORY is a data directory (leveret.data_dir) or the log directory in it.
    """


@log.command()
@_directory
def inspect(directory: Path) -> None:
    """Show what each segment holds, and how much of it lives in which queue."""
    with _opened(directory) as place:
        account = _account(place, "reading")
    click.echo(
        f"{'segment':24} {'batches':>8} {'changes':>8} {'messages':>10} {'live':>10} "
        f"{'octets':>12} {'live octets':>12}  published"
    )
    for each in account.segments:
        click.echo(
            f"{each.name:24} {each.batches:8} {each.operations:8} {each.messages:10} "
            f"{each.live:10} {each.octets:12} {each.live_octets:12}  "
            f"{_span(each.oldest_ms, each.newest_ms)}"
        )
    live = sum(each.live for each in account.segments)
    octets = sum(each.octets for each in account.segments)
    click.echo(f"{len(account.segments)} segments, {octets} octets, {live} messages in queues\n")
    click.echo(f"{'messages':>10}  {'vhost':16} queue")
    for queue_id, (vhost, name) in account.queues().items():
        click.echo(f"{len(account.live.get(queue_id, ())):10}  {vhost:16} {name}")
    _conclude(account)


@log.command()
@_directory
def verify(directory: Path) -> None:
    """Check every octet: all checksums, and that each batch continues the one before."""
    with _opened(directory) as place:
        account = _account(place, "verifying")
        for each in leftovers(place):
            click.echo(f"note: {each.name} keeps what an earlier start cut off as torn")
    batches = sum(each.batches for each in account.segments)
    messages = sum(each.messages for each in account.segments)
    click.echo(f"{len(account.segments)} segments: {batches} batches, {messages} messages read")
    _conclude(account)
    click.echo("the log is sound")


@log.command()
@_directory
@click.option("--queue", help="Only messages of the queue of this name.")
@click.option("--vhost", help="Only this vhost.")
@click.option("--live", is_flag=True, help="Only messages that a start would recover.")
@click.option("--messages-only", is_flag=True, help="No changes of topology, counts or settles.")
def dump(
    directory: Path, queue: str | None, vhost: str | None, live: bool, messages_only: bool
) -> None:
    """Write what the log holds as JSON, one line a record; past damage, if there is any.

    A body is text, or base64 if "payload_encoding" says so.
    """
    with _opened(directory) as place:
        # Names and fates of messages are known at the end of the log only.
        account = _account(place, "reading")
        wanted = dumping.Filter(account, queue=queue, vhost=vhost, live=live)
        if queue is not None and not wanted.queue_ids:
            raise click.ClickException(f"there is no queue {queue!r} in this log")
        for part in _with_progress(place, "dumping"):
            for line in dumping.lines(part, wanted, messages_only=messages_only):
                click.echo(line)
    _conclude(account, err=True)


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """The log directory, with brokers kept out; errors become a line and an exit code."""
    directory = log_directory(path)
    try:
        with held(directory):
            if not segment_names([each.name for each in directory.iterdir()]):
                raise click.ClickException(f"there is no log in {directory}")
            yield directory
    except DirectoryInUse as error:
        click.echo(f"Error: {error}; stop it first, or copy the directory and read that", err=True)
        sys.exit(EX_TEMPFAIL)
    except (UnknownVersion, OSError) as error:
        click.echo(f"Error: cannot read {directory}: {error}", err=True)
        sys.exit(EX_IOERR)


def _with_progress(directory: Path, what: str) -> Iterator[Part]:
    octets = sum(each.stat().st_size for each in directory.glob("*.log"))
    with click.progressbar(
        length=octets, label=what, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        yield from scan(directory, bar.update)


def _account(directory: Path, what: str) -> Account:
    account = Account()
    for part in _with_progress(directory, what):
        account.add(part)
    account.finish()
    return account


def _conclude(account: Account, *, err: bool = False) -> None:
    """Say what is wrong, and end with an exit code if something is."""
    for place in (*account.damages, account.torn):
        match place:
            case Damage(file, offset, reason):
                click.echo(f"DAMAGED {file}, offset {offset}: {reason}", err=err)
            case TornTail(file, offset):
                click.echo(
                    f"note: {file}, offset {offset}: a batch was not written to its end; it was "
                    "never confirmed, and the next start cuts it off",
                    err=err,
                )
    if account.damages:
        sys.exit(EX_DATAERR)


def _span(oldest_ms: int | None, newest_ms: int | None) -> str:
    if oldest_ms is None or newest_ms is None:
        return "-"
    return f"{_date(oldest_ms)} to {_date(newest_ms)}"


def _date(ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
