"""Requests that a page of another site made the browser send.

There is no cookie. But a browser that once asked for name and password, for somebody who opened an
address of the API, sends them along with whatever a form of any site submits to here. What needs
more than a form (another method, a body of JSON) browsers ask about first, see ``headers``.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web

from broker.management.errors import ApiError


def refuse_other_sites(request: web.Request, trusted: Collection[str]) -> None:
    """Refuse what a form of another site could have sent, if the browser says it was one.

    ``trusted`` are origins that may do what the page may, or ``*``: all of them.
    """
    if request.method != "POST" or request.content_type == "application/json":
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if origin in trusted or "*" in trusted:
        return
    if site is not None:
        ours = site in ("same-origin", "none")
    else:  # an old browser, or a page that is not served over TLS
        ours = origin is None or urlsplit(origin).netloc == request.host
    if not ours:
        raise ApiError(403, "forbidden", "a page of another site may not make this request")
