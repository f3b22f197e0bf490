"""The Web UI's files, as they are in ``ui/``: every one is answered from memory.

Invariants:
* Only what was in the folder at start is ever answered, whatever path is asked for.
* Every answer forbids scripts, styles and frames from anywhere else, and inline ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

_FOLDER = Path(__file__).parent / "ui"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # asked for again each time, and mostly answered with 304
}


def add_pages(app: web.Application, prefix: str = "") -> None:
    """Let ``/`` and the paths of all files be answered; nobody needs to be logged in for them.

    The files name each other by relative paths, so a prefix needs nothing but its slash.
    """
    if prefix:
        app.router.add_get(prefix, _to_slash)
    # Browsers ask for it beside what names no icon, such as an answer of the API.
    app.router.add_get(f"{prefix}/favicon.ico", _page(_FOLDER / "icon.svg"))
    for path in sorted(_FOLDER.rglob("*")):
        if path.suffix in _TYPES:
            name = path.relative_to(_FOLDER).as_posix()
            app.router.add_get(f"{prefix}/{'' if name == 'index.html' else name}", _page(path))


async def _to_slash(request: web.Request) -> web.Response:
    raise web.HTTPFound(f"{request.path}/", headers=_HEADERS)


def _page(path: Path) -> Callable[[web.Request], Awaitable[web.Response]]:
    body = path.read_bytes()
    tag = hashlib.sha256(body).hexdigest()[:16]

    async def answer(request: web.Request) -> web.Response:
        known = {etag.value for etag in request.if_none_match or ()}
        if tag in known:
            response = web.Response(status=304, headers=_HEADERS)
        else:
            response = web.Response(
                body=body, content_type=_TYPES[path.suffix], charset="utf-8", headers=_HEADERS
            )
        response.etag = tag
        return response

    return answer
