"""The application: what every answer has in common, and where the requests go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from broker.management.pages import add_pages

if TYPE_CHECKING:
    from broker.server import Server

SERVER: web.AppKey[Server] = web.AppKey("server")


def application(server: Server) -> web.Application:
    """The management API of a broker."""
    app = web.Application()
    app[SERVER] = server
    add_pages(app)
    return app
