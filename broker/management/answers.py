"""Answers: objects to JSON octets, long lists in slices, gzip for those who ask for it.

Invariant: encoding a list gives other work its turn after every slice, so that a list of 50,000
queues delays no delivery by more than a slice.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any

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
        await asyncio.sleep(0)
        self._until = perf_counter() + SLICE_S


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
    response = web.StreamResponse(headers={**HEADERS, "Content-Type": "application/json"})
    squeeze = None
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        squeeze = zlib.compressobj(1, wbits=31)
        response.headers["Content-Encoding"] = "gzip"
    await response.prepare(request)
    before, behind = b"[", b"]"
    if head is not None:
        before, behind = encode(head)[:-1] + b',"items":[', b"]}"
    slices = Slices()
    parts = [before]
    separator = b""
    for row in rows:
        parts += (separator, encode(row))
        separator = b","
        if slices.over:
            await _write(response, parts, squeeze)
            parts = []
            await slices.rest()
    await _write(response, [*parts, behind], squeeze)
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
