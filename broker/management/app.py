"""The application: what every answer has in common, and where the requests go.

The paths are in ``table``. A request passes here once: who asks is identified, the rule of the path
is checked, the handler runs, and what it raises becomes an answer. A bug in a handler is a 500 for
that request and a traceback in the log, nothing more.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from broker.management import answers
from broker.management.call import Call
from broker.management.caller import NO_CALLER, TRUSTED, identify
from broker.management.errors import ApiError, bad_request, not_found
from broker.management.headers import CommonHeaders
from broker.management.origin import refuse_other_sites
from broker.management.pages import add_pages
from broker.management.route import Path
from broker.management.table import PATHS
from protocol.errors import AmqpError

if TYPE_CHECKING:
    from broker.management.state import State

_NO_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
TOO_LARGE = "it is larger than management.http.max_body_size"
_log = logging.getLogger("leveret.management")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(state: State, *, trusted: bool = False) -> web.Application:
    """The management API of a broker; ``trusted``: who connects is the operator of this machine."""
    config = state.server.config
    app = web.Application(
        client_max_size=config.management_body_max_bytes, middlewares=[_outermost]
    )
    app[TRUSTED] = trusted
    app.on_response_prepare.append(CommonHeaders(config).add)
    prefix = f"/{config.management_path_prefix.strip('/')}".rstrip("/")
    for path in PATHS:
        handler = _handler(state, path)
        for end in ("", "/"):  # clients that join paths leave a slash there
            resource = app.router.add_resource(f"{prefix}/api{path.path}{end}")
            for method in path.handlers:
                resource.add_route(method, handler)
            if "GET" in path.handlers:
                resource.add_route("HEAD", handler)
    app.router.add_get(f"{prefix}/api/index.html", _index)
    if not trusted:
        add_pages(app, prefix)
        for folder in ("api", "cli"):
            app.router.add_get(f"{prefix}/{folder}", _to_index)
        app.router.add_get(f"{prefix}/cli/", _cli)
        app.router.add_get(f"{prefix}/cli/index.html", _cli)
        app.router.add_get(f"{prefix}/cli/rabbitmqadmin", _rabbitmqadmin)
    return app


def _handler(state: State, path: Path) -> _Handler:
    async def run(request: web.Request) -> web.StreamResponse:
        rule = path.rule.of(request.method)
        if (
            "text/html" in request.headers.get("Accept", "")
            and "*/*" not in request.headers["Accept"]
        ):
            raise ApiError(406)
        refuse_other_sites(request, state.server.config.management_cors_origins)
        caller = await identify(request, state) if rule.needs_user else NO_CALLER
        call = Call(request, state, caller)
        await rule.check(call)
        method = "GET" if request.method == "HEAD" else request.method
        return await path.handlers[method](call)

    return run


@web.middleware
async def _outermost(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Turn what is raised into an answer."""
    try:
        _check_path(request.raw_path)
        return await handler(request)
    except ApiError as error:
        if error.body is None:
            return answers.empty(error.status, error.headers)
        response = answers.answer(error.body, error.status)
        response.headers.update(error.headers)
        return response
    except web.HTTPNotFound:
        return answers.answer(not_found().body, 404)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))
        return answers.empty(200 if request.method == "OPTIONS" else 405, {"Allow": allowed})
    except web.HTTPRequestEntityTooLarge:
        text, whose = "refused the body of %s %s: %s", {"source": request.remote or ""}
        _log.warning(text, request.method, request.path, TOO_LARGE, extra=whose)
        return answers.answer(bad_request("Exceeded HTTP request body size limit").body, 400)
    except web.HTTPException:
        raise
    except AmqpError as error:
        return answers.answer({"error": "bad_request", "reason": error.text}, 400)
    except Exception:
        whose = {"source": request.remote or ""}
        _log.exception("internal error in %s %s", request.method, request.path, extra=whose)
        return answers.empty(500)


def _check_path(path: str) -> None:
    """Raise for names that cannot be decoded, instead of taking them as they are written."""
    try:
        unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise bad_request("the path is not UTF-8") from None
    if _NO_ESCAPE.search(path.partition("?")[0]):
        raise bad_request("the path has a % that begins no escape")


async def _index(_: web.Request) -> web.Response:
    """All paths, for people."""
    rows = "".join(
        f"<tr><td>{', '.join(sorted(path.handlers))}</td><td>/api{html.escape(path.path)}</td></tr>"
        for path in PATHS
    )
    text = f"<!DOCTYPE html><title>HTTP API</title><table>{rows}</table>"
    return web.Response(text=text, content_type="text/html", headers=answers.HEADERS)


WHERE = (
    "rabbitmqadmin is a program of RabbitMQ's and not served here. Any version works with this "
    "broker: take it from https://github.com/rabbitmq/rabbitmqadmin-ng or from a RabbitMQ server. "
    "The command leveret does the same: see leveret --help."
)


async def _to_index(request: web.Request) -> web.Response:
    raise web.HTTPFound(f"{request.path}/index.html", headers=answers.HEADERS)


async def _cli(_: web.Request) -> web.Response:
    """Where RabbitMQ offers its command line tool: what to use here."""
    text = f"<!DOCTYPE html><title>Command line</title><p>{html.escape(WHERE)}</p>"
    return web.Response(text=text, content_type="text/html", headers=answers.HEADERS)


async def _rabbitmqadmin(_: web.Request) -> web.Response:
    """For scripts that fetch the tool and run it: a program that fails and says where it is."""
    text = f"#!/usr/bin/env python3\nraise SystemExit({WHERE!r})\n"
    return web.Response(text=text, content_type="text/plain", headers=answers.HEADERS)
