"""The settings in force, changes of them while the broker runs, and the environment.

RabbitMQ has no such paths.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.config import ConfigError, reference
from broker.management import answers
from broker.management.errors import bad_request

if TYPE_CHECKING:
    from broker.management.call import Call

_OURS = ("RABBITMQ_", "LEVERET_")
_SECRETS = ("PASS", "COOKIE", "SECRET", "TOKEN", "KEY")


async def get(call: Call) -> web.StreamResponse:
    """GET /api/settings: by key, as an operator would write them; secrets are left out."""
    return answers.answer(reference.in_force(call.server.config))


async def get_as_text(call: Call) -> web.StreamResponse:
    """GET /api/config/effective: the same, a line for each."""
    settings = reference.in_force(call.server.config)
    text = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return web.Response(text=text, headers=answers.HEADERS)


async def put(call: Call) -> web.StreamResponse:
    """PUT /api/settings: change those in the body until the broker ends; null is the default."""
    body = await call.read()
    changes = {key: _text(key, value) for key, value in body.items()}
    try:
        with call.acting():
            call.server.change_settings(changes)
    except ConfigError as error:
        raise bad_request("; ".join(error.faults)) from None
    return answers.empty(204)


async def get_environment(call: Call) -> web.StreamResponse:
    """GET /api/environment: variables that are meant for the broker; secrets are left out."""
    found = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}
    hidden = {name: reference.SECRET_SHOWN for name in found if any(w in name for w in _SECRETS)}
    return answers.answer(dict(sorted((found | hidden).items())))


def _text(key: str, value: Any) -> str | None:
    """Write a value as in the file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise bad_request(f"{key} must be a text, a number, true, false or null")
