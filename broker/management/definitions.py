"""Definitions out and in: GET and POST /api/definitions, of everything or of one vhost."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.definitions import (
    DefinitionError,
    export_all,
    export_vhost,
    import_all,
    import_vhost,
)
from broker.management import answers
from broker.management.errors import ApiError, bad_request

if TYPE_CHECKING:
    from broker.management.call import Call


async def get(call: Call) -> web.StreamResponse:
    """GET /api/definitions and /api/definitions/{vhost}; ``download`` names the file."""
    version = call.server.config.version
    if call.has("vhost"):
        document = export_vhost(call.vhost, version)
    else:
        document = export_all(call.broker, version)
    response = answers.answer(document)
    name = call.query.get("download")
    if name:
        quoted = json.dumps(name.encode("ascii", "replace").decode()[:100])
        response.headers["Content-Disposition"] = f"attachment; filename={quoted}"
    return response


async def post(call: Call) -> web.StreamResponse:
    """POST to the same paths: all of it, or nothing if something is wrong."""
    document = await _document(call)
    try:
        with call.acting():
            if call.has("vhost"):
                import_vhost(call.vhost, document)
            else:
                import_all(call.broker, document, secrets.token_bytes)
    except DefinitionError as error:
        raise bad_request(str(error)) from None
    await call.durable()
    return answers.empty(204)


async def _document(call: Call) -> Any:
    """The definitions in the body: JSON, or a form with a file, as pages send it."""
    kind = call.request.content_type
    if kind == "application/json":
        return _parsed(await call.request.text())
    if kind != "multipart/form-data":
        raise ApiError(415)
    part = (await call.request.post()).get("file")
    octets = part.file.read() if isinstance(part, web.FileField) else part
    return _parsed(octets or b"")


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise bad_request("failed_to_parse_json") from None
