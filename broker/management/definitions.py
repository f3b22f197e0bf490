"""Definitions out and in: GET and POST /api/definitions, of everything or of one vhost."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.definitions import (
    DefinitionError,
    import_all,
    import_vhost,
    sections_of_all,
    sections_of_vhost,
)
from broker.management import answers
from broker.management.errors import ApiError, bad_request

if TYPE_CHECKING:
    from broker.management.call import Call


NOT_JSON = "failed_to_parse_json"


async def get(call: Call) -> web.StreamResponse:
    """GET /api/definitions and /api/definitions/{vhost}; ``download`` names the file."""
    version = call.server.config.version
    sections = (
        sections_of_vhost(call.vhost, version)
        if call.has("vhost")
        else sections_of_all(call.broker, version)
    )
    headers = {}
    name = call.query.get("download")
    if name:
        quoted = json.dumps(name.encode("ascii", "replace").decode()[:100])
        headers["Content-Disposition"] = f"attachment; filename={quoted}"
    return await answers.stream_object(call.request, sections, headers)


async def post(call: Call) -> web.StreamResponse:
    """POST to the same paths: all of it, or nothing if something is wrong."""
    document = await _document(call)
    vhost = call.vhost_to_change() if call.has("vhost") else None
    try:
        if vhost is not None:
            await _take(call, import_vhost(vhost, document))
        else:
            await _take(call, import_all(call.broker, document, secrets.token_bytes))
    except DefinitionError as error:
        raise bad_request(str(error)) from None
    await call.durable()
    return answers.empty(204)


async def _take(call: Call, steps: Iterator[None]) -> None:
    slices = answers.Slices()
    more = True
    while more:
        with call.acting():
            more = any(slices.over for _ in steps)
        if more:
            await slices.rest()


async def _document(call: Call) -> Any:
    """The definitions in the body: JSON, or a form with a file, as pages send it."""
    kind = call.request.content_type
    if kind == "application/json":
        document = await call.read_json(NOT_JSON)
    elif kind == "multipart/form-data":
        part = (await call.received(call.request.post())).get("file")
        document = _parsed(part.file.read() if isinstance(part, web.FileField) else part)
    else:
        raise ApiError(415)
    if not isinstance(document, dict):
        raise bad_request(NOT_JSON)
    return document


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise bad_request(NOT_JSON) from None
