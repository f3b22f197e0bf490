"""How an answer is shown: tables, CSV and JSON, and what is said around them.

Owns: `Output` and the formats. Standard output has the answer, standard error only failures.

Invariants:
* With JSON and CSV nothing but the answer is written, so that it can be read by a program.
* In the voice of rabbitmqctl what is said before an answer ("Listing users ...") goes to standard
  output too, as there; `--quiet` leaves it out, `--silent` also the line with the columns' names.
* An empty table has no head in the voice of rabbitmqctl, as there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from broker.admin.values import Kind, Voice, compact, document, printable, text

FORMATS = ("table", "tsv", "csv", "json", "pretty_table")


@dataclass
class Output:
    """Where commands put what they found."""

    voice: Voice
    format: str = "table"
    quiet: bool = False
    headers: bool = True
    node: Callable[[], str] = str
    """Gives the name of the broker, which rabbitmqctl's JSON has."""

    @property
    def machine_readable(self) -> bool:
        """Tell whether a program reads this, to whom nothing else may be said."""
        return self.format in ("json", "csv")

    def heading(self, words: str) -> None:
        """Say what is being listed; a person who asked leveret for it knows."""
        if self.voice is Voice.RABBITMQ:
            self.note(words)

    def note(self, words: str) -> None:
        """Say what is being done."""
        if not self.quiet and not self.machine_readable:
            click.echo(printable(words))

    def done(self, words: str = "") -> None:
        """Confirm an action that has no other answer."""
        if self.format == "json":
            done = {"message": words} if words else {}
            if self.voice is Voice.RABBITMQ:
                done["node"] = self.node()
            # rabbitmqctl has another name for it beside a message.
            key = "status" if words and self.voice is Voice.RABBITMQ else "result"
            click.echo(compact(done | {key: "ok"}))
        elif words:
            self.note(words)

    def lines(self, lines: Iterable[str]) -> None:
        """Show an answer line by line."""
        for line in lines:
            click.echo(printable(line))

    def answer(self, words: str, value: Any) -> None:
        """Show an answer that is no table: in words, or as JSON."""
        if self.format == "json":
            click.echo(compact(value))
        else:
            self.lines(words.split("\n"))

    def sections(self, sections: Mapping[str, str], value: Any) -> None:
        """Show an answer in parts, each under its title, or as JSON."""
        if self.format == "json":
            click.echo(compact(value))
            return
        for number, (title, words) in enumerate(sections.items()):
            click.echo(("\n" if number else "") + click.style(title, bold=True) + "\n")
            self.lines(words.split("\n"))

    def table(self, columns: Mapping[str, Kind], rows: Iterable[Sequence[Any]]) -> None:
        """Show rows of values that the API gave."""
        if self.format == "json":
            click.echo(_json_rows(columns, rows, self.voice))
            return
        cells = [
            [
                text(value, kind, self.voice)
                for value, kind in zip(row, columns.values(), strict=True)
            ]
            for row in rows
        ]
        shown = self.headers and (bool(cells) or self.voice is Voice.LEVERET)
        head = [list(columns)] if shown else []
        if self.format == "csv":
            click.echo(_csv(head + cells), nl=False)
        elif self.format == "pretty_table" or (
            self.format == "table" and self.voice is Voice.LEVERET
        ):
            click.echo(_drawn(head, cells, "simple_grid" if self.format != "table" else "plain"))
        else:
            for line in head + cells:
                click.echo("\t".join(line))


def _json_rows(columns: Mapping[str, Kind], rows: Iterable[Sequence[Any]], voice: Voice) -> str:
    """Write an array with an object in each line, as rabbitmqctl does."""
    objects = (
        compact(
            {
                name: document(value, kind, voice)
                for (name, kind), value in zip(columns.items(), row, strict=True)
            }
        )
        for row in rows
    )
    inner = "\n,".join(objects)
    return f"[\n{inner}\n]" if inner else "[\n]"


def _csv(lines: Sequence[Sequence[str]]) -> str:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)
    return written.getvalue()


def _drawn(head: Sequence[Sequence[str]], cells: Sequence[Sequence[str]], style: str) -> str:
    # Imported late: a health check draws no table.
    from tabulate import tabulate

    headers = head[0] if head else ()
    return tabulate(cells, headers, tablefmt=style, disable_numparse=True)
