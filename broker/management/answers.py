"""Answers: objects to JSON octets, long lists in slices, gzip for those who ask for it.

Invariant: encoding a list gives other work its turn after every slice, so that a list of 50,000
queues delays no delivery by more than a slice; nor do many lists at the same time, since those who
rest go on one by one.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

SLICE_S = 0.001  # how long work for the API may keep the loop at a time
GZIP_MIN_BYTES = 1000
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Vary": "accept, accept-encoding, origin",
    "X-Content-Type-Options": "nosniff",
}


class Slices:
    """Counts the time a long piece of work has kept the loop: ``if slices.over: await ...``."""

    def __init__(self) -> None:
        self._until = perf_counter() + SLICE_S
        self.used_s = 0.0  # in slices that are over

    @property
    def over(self) -> bool:
        """Whether it is the others' turn."""
        return perf_counter() >= self._until

    async def rest(self) -> None:
        """Let the others work."""
        self.used_s += SLICE_S
        await rest()
        self._until = perf_counter() + SLICE_S


async def rest() -> None:
    """Rest from long work. Of all who do, one goes on in each turn of the loop."""
    loop = asyncio.get_running_loop()
    waiting = _resting.setdefault(loop, deque())
    turn = loop.create_future()
    waiting.append(turn)
    if len(waiting) == 1:
        loop.call_soon(_wake_next, loop, waiting)
    await turn


def _wake_next(loop: asyncio.AbstractEventLoop, waiting: Waiting) -> None:
    turn = waiting.popleft()
    if waiting:
        loop.call_soon(_wake_next, loop, waiting)
    if not turn.done():  # who waited may have been cancelled
        turn.set_result(None)


Waiting = deque[asyncio.Future[None]]
_resting: WeakKeyDictionary[asyncio.AbstractEventLoop, Waiting] = WeakKeyDictionary()


def encode(value: Any) -> bytes:
    """JSON; what is no Unicode in a name is replaced."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def empty(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status, headers={**HEADERS, **(headers or {})})


def answer(value: Any, status: int = 200) -> web.Response:
    """A short answer."""
    octets = encode(value)
    response = web.Response(
        status=status, headers=HEADERS, body=octets, content_type="application/json"
    )
    if len(octets) > GZIP_MIN_BYTES:
        response.enable_compression()  # if the client accepts it
    return response


async def stream(
    request: web.Request, head: Mapping[str, Any] | None, rows: Iterable[Any]
) -> web.StreamResponse:
    """A list, or an object with the list as its ``items``, row by row as they are made."""
    if head is None:
        return await _streamed(request, _of_list(rows))
    return await stream_object(request, chain(head.items(), [("items", iter(rows))]))


async def stream_object(
    request: web.Request,
    fields: Iterable[tuple[str, Any]],
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """An object, field by field; a value that is an iterator is a list, made row by row.

    A row that is None is left out: whoever looks through much for little says so now and then.
    """
    return await _streamed(request, _of_object(fields), headers)


def _of_list(rows: Iterable[Any]) -> Iterator[bytes]:
    yield b"["
    separator = b""
    for row in rows:
        if row is None:
            yield b""
        else:
            yield separator + encode(row)
            separator = b","
    yield b"]"


def _of_object(fields: Iterable[tuple[str, Any]]) -> Iterator[bytes]:
    separator = b"{"
    for name, value in fields:
        yield separator + encode(name) + b":"
        if isinstance(value, Iterator):
            yield from _of_list(value)
        else:
            yield encode(value)
        separator = b","
    yield b"}"


async def _streamed(
    request: web.Request, parts: Iterable[bytes], headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Write octets as they are made, a slice at a time."""
    sent = {**HEADERS, "Content-Type": "application/json", **(headers or {})}
    response = web.StreamResponse(headers=sent)
    squeeze = None
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        squeeze = zlib.compressobj(1, wbits=31)
        response.headers["Content-Encoding"] = "gzip"
    await response.prepare(request)
    slices = Slices()
    made: list[bytes] = []
    for part in parts:
        made.append(part)
        if slices.over:
            await _write(response, made, squeeze)
            made.clear()
            await slices.rest()
    await _write(response, made, squeeze)
    if squeeze is not None:
        await response.write(squeeze.flush())
    await response.write_eof()
    return response


async def _write(response: web.StreamResponse, parts: list[bytes], squeeze: Any) -> None:
    octets = b"".join(parts)
    if squeeze is not None:
        octets = squeeze.compress(octets)
    if octets:
        await response.write(octets)
