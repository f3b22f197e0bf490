"""Lists: which objects, in which order, which page of them and which of their columns.

RabbitMQ's query parameters: ``name`` (a part of the name, or with ``use_regex`` a regular
expression; case does not matter), ``sort``, ``sort_reverse``, ``page``, ``page_size``, ``columns``.

A list is made of ``Item``s, with what is known at once. Only those of the page are described in
full, unless the order depends on more.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

from broker.core.pattern import InvalidPattern, Pattern
from broker.management import answers
from broker.management.errors import ApiError, bad_request

if TYPE_CHECKING:
    from broker.management.call import Call

PAGE_SIZE = 100
PAGE_SIZE_MAX = 500
FILTER_S = 2.0  # how long filtering may take, in time of the CPU
SORT_SLICE = 1000  # how many are sorted at a time

Row = dict[str, Any]
Run = list[tuple[Any, "Item"]]  # keys and items, in order


class Item(NamedTuple):
    """One object of a list; ``key`` is its place in the usual order."""

    key: tuple[Any, ...]
    name: str
    thing: Any


async def reply(
    call: Call,
    items: Iterable[Item],
    row: Callable[[Any], Row],
    quick: Mapping[str, Callable[[Any], Any]] | None = None,
) -> web.StreamResponse:
    """The list that the query asks for.

    ``row`` describes a thing in full; ``quick`` reads columns of it to sort by without that.
    """
    page = _page(call)
    found = await _gathered(items)
    total = len(found)
    if page is not None:  # without a page RabbitMQ ignores the name
        found = await _filtered(call, found)
    count = len(found)
    runs = await _sorted(call, found, row, quick or {})
    found.clear()
    try:
        return await _write(call, runs, row, page, (total, count))
    finally:
        await _free(runs)


async def _write(
    call: Call,
    runs: list[Run],
    row: Callable[[Any], Row],
    page: tuple[int, int] | None,
    counts: tuple[int, int],
) -> web.StreamResponse:
    """Write the list, or a page of it; ``counts``: of all items, and of those that were wanted."""
    reverse = call.flag("sort_reverse")
    ordered = (entry[1] for entry in heapq.merge(*runs, key=_key, reverse=reverse))
    columns = Columns(call.query.get("columns"))
    if page is None:
        return await answers.stream(call.request, None, (columns.of(row(i.thing)) for i in ordered))
    number, size = page
    total, count = counts
    pages = -(-count // size)
    if number > max(pages, 1):
        raise ApiError(
            400,
            "page_out_of_range",
            f"Page out of range, page: {number} page size: {size}, len: {count}",
        )
    shown = list(islice(ordered, (number - 1) * size, number * size))
    head = {
        "filtered_count": count,
        "item_count": len(shown),
        "page": number,
        "page_count": pages,
        "page_size": size,
        "total_count": total,
    }
    return await answers.stream(call.request, head, (columns.of(row(item.thing)) for item in shown))


async def _gathered(items: Iterable[Item]) -> list[Item]:
    slices = answers.Slices()
    found = []
    for item in items:
        found.append(item)
        if slices.over:
            await slices.rest()
    return found


async def reply_rows(call: Call, rows: Iterable[Row]) -> web.StreamResponse:
    """The list that the query asks for, of rows that are in their usual order already."""
    items = (Item((place,), str(row.get("name", "")), row) for place, row in enumerate(rows))
    return await reply(call, items, dict)


def _page(call: Call) -> tuple[int, int] | None:
    """Number and size of the page that the query asks for; None for all."""
    if "page" not in call.query:
        return None
    try:
        number = int(call.query["page"])
        given = call.query.get("page_size")
        size = None if given is None else int(given)
    except ValueError:
        raise bad_request("Pagination parameters are invalid") from None
    if number < 1 or (size is not None and not 1 <= size <= PAGE_SIZE_MAX):
        shown = "undefined" if size is None else size
        raise ApiError(
            400,
            "invalid_pagination_parameters",
            f"Invalid pagination parameters: page number {number}, page size {shown}",
        )
    return number, size or PAGE_SIZE


async def _filtered(call: Call, items: list[Item]) -> list[Item]:
    wanted = call.query.get("name", "")
    if not wanted:
        return items
    matches = _matcher(wanted, is_regex=call.flag("use_regex"))
    slices = answers.Slices()
    found = []
    for item in items:
        if matches(item.name):
            found.append(item)
        if slices.over:
            if slices.used_s > FILTER_S:
                raise bad_request(f"the expression takes more than {FILTER_S:g} s for all names")
            await slices.rest()
    return found


def _matcher(wanted: str, *, is_regex: bool) -> Callable[[str], bool]:
    if not is_regex:
        folded = wanted.lower()
        return lambda name: folded in name.lower()
    try:
        return Pattern(f"(?i){wanted}").matches
    except InvalidPattern:
        raise bad_request("Pagination parameters are invalid") from None


async def _sorted(
    call: Call,
    items: list[Item],
    row: Callable[[Any], Row],
    quick: Mapping[str, Callable[[Any], Any]],
) -> list[Run]:
    """The items in parts that are in order, because a sort cannot be interrupted."""
    column = call.query.get("sort")
    reverse = call.flag("sort_reverse")
    slices = answers.Slices()
    path = column.split(".") if column else []
    read = quick.get(column or "")
    runs: list[Run] = []
    for start in range(0, len(items), SORT_SLICE):
        run: Run = []
        for item in items[start : start + SORT_SLICE]:
            if not path:
                run.append((item.key, item))
            else:
                value = read(item.thing) if read is not None else _value(row(item.thing), path)
                run.append(((_rank(value), item.key), item))
            if slices.over:
                await slices.rest()
        run.sort(key=_key, reverse=reverse)
        runs.append(run)
    return runs


async def _free(runs: list[Run]) -> None:
    """Forget items part by part: freeing 100,000 at once takes as long as making them."""
    slices = answers.Slices()
    while runs:
        runs.pop()
        if slices.over:
            await slices.rest()


def _key(entry: tuple[Any, Item]) -> Any:
    return entry[0]


def _rank(value: Any) -> tuple[int, Any]:
    """A key for values of any type: numbers, then texts, then what has neither."""
    if isinstance(value, (int, float)):
        return 0, value
    if isinstance(value, str):
        return 1, value
    return (2, str(value)) if value is not None else (-1, 0)


def _value(row: Any, path: Sequence[str]) -> Any:
    for part in path:
        if not isinstance(row, Mapping):
            return None
        row = row.get(part)
    return row


class Columns:
    """The columns that a query names, such as name,message_stats.publish; all if none."""

    def __init__(self, given: str | None) -> None:
        self._paths = [path.split(".") for path in given.split(",")] if given else []

    def of(self, row: Any) -> Any:
        """A row, or a list of rows, with these columns only."""
        if not self._paths:
            return row
        if isinstance(row, list):
            return [self.of(one) for one in row]
        return _picked(row, self._paths)


def _picked(row: Mapping[str, Any], paths: Sequence[Sequence[str]]) -> Row:
    picked: Row = {}
    for name, value in row.items():
        inner = [path[1:] for path in paths if path[0] == name]
        if not inner:
            continue
        if any(not rest for rest in inner):
            picked[name] = value
        elif isinstance(value, Mapping):
            picked[name] = _picked(value, inner)
        elif isinstance(value, Iterator):
            picked[name] = (None if one is None else _picked(one, inner) for one in value)
        elif isinstance(value, list):
            picked[name] = [_picked(one, inner) for one in value if isinstance(one, Mapping)]
    return picked
