"""Traces and the files they write: the paths of RabbitMQ's plugin rabbitmq_tracing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.amqp.names import generated
from broker.management import answers, queues
from broker.management.errors import bad_request, not_found
from broker.management.listing import reply_rows
from broker.management.tracing import FORMATS, Settings, Trace
from protocol.errors import AmqpError

if TYPE_CHECKING:
    from broker.management.call import Call

NAME_MAX = 200

_log = logging.getLogger("leveret.management")


def _row(call: Call, key: tuple[str, str], trace: Trace) -> dict[str, Any]:
    vhost, name = key
    settings = trace.settings
    shown = {
        "queue": queues.row(call, trace.queue),
        "vhost": vhost,
        "name": name,
        "format": settings.format,
        "max_payload_bytes": settings.max_payload_bytes,
        "pattern": settings.pattern,
    }
    if settings.max_payload_bytes is None:
        del shown["max_payload_bytes"]
    return shown


def _rows(call: Call) -> Iterator[dict[str, Any]]:
    vhost = call.path("vhost") if call.has("vhost") else None
    for key, trace in sorted(call.state.traces.running.items()):
        if vhost in (None, key[0]):
            yield _row(call, key, trace)


def _check_node(call: Call) -> None:
    """Some paths name the node as well; there is one."""
    if call.has("node") and call.path("node") != call.state.node:
        raise not_found()


async def get_all(call: Call) -> web.StreamResponse:
    """GET /api/traces and /api/traces/{vhost}."""
    _check_node(call)
    return await reply_rows(call, _rows(call))


def _trace(call: Call) -> Trace:
    _check_node(call)
    trace = call.state.traces.running.get((call.path("vhost"), call.path("name")))
    if trace is None:
        raise not_found()
    return trace


async def get(call: Call) -> web.StreamResponse:
    """GET /api/traces/{vhost}/{name}."""
    return answers.answer(_row(call, (call.path("vhost"), call.path("name")), _trace(call)))


async def put(call: Call) -> web.StreamResponse:
    """PUT: begin a trace."""
    _check_node(call)
    vhost, name, traces = call.vhost, call.path("name"), call.state.traces
    settings = await _settings(call)
    if "/" in name or "\0" in name or len(name.encode("utf-8", "replace")) > NAME_MAX:
        raise bad_request(f"the name of a trace is that of its file: no slash, {NAME_MAX} octets")
    if (vhost.name, name) in traces.running:
        raise bad_request(f"trace '{name}' in vhost '{vhost.name}' runs already: delete it first")
    try:
        with call.acting():
            traces.start(vhost, name, settings, generated("amq.gen-"))
    except OSError as error:
        _log.error("trace '%s' does not start: %s", name, error)
        raise bad_request(f"{traces.directory}: {error.strerror}") from None
    except AmqpError as error:
        raise bad_request(error.text) from None
    call.record("trace.start", vhost=vhost.name, name=name, pattern=settings.pattern)
    return answers.empty(201)


async def _settings(call: Call) -> Settings:
    body = await call.read()
    call.need("format", "pattern")
    most = body.get("max_payload_bytes")
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 0):
        raise bad_request("max_payload_bytes not integer")
    if body["format"] not in FORMATS:
        raise bad_request("format not json or text")
    pattern = call.text("pattern")
    call.check_new_name("pattern", pattern)
    return Settings(body["format"], pattern, most)


async def delete(call: Call) -> web.StreamResponse:
    """DELETE: end a trace; its file stays."""
    _trace(call)
    vhost, name = call.vhost, call.path("name")
    await call.state.traces.stop(vhost, name)
    call.record("trace.stop", vhost=vhost.name, name=name)
    return answers.empty(204)


# -- files -----------------------------------------------------------------------------


async def get_files(call: Call) -> web.StreamResponse:
    """GET /api/trace-files."""
    _check_node(call)
    found = call.state.traces.files()
    return await reply_rows(call, ({"name": n, "size": s.st_size} for n, s in found.items()))


def _file(call: Call) -> str:
    """The path of the file that the request names; what is not in the list is not there."""
    _check_node(call)
    name = call.path("file")
    if name not in call.state.traces.files():
        raise not_found()
    return str(call.state.traces.directory / name)


async def get_file(call: Call) -> web.StreamResponse:
    """GET /api/trace-files/{file}."""
    return web.FileResponse(_file(call), headers={**answers.HEADERS, "Content-Type": "text/plain"})


async def delete_file(call: Call) -> web.StreamResponse:
    """DELETE; a trace that still writes to it goes on, and what it writes is lost."""
    (call.state.traces.directory / _file(call)).unlink(missing_ok=True)
    return answers.empty(204)
