"""Maintenance of the node: turning clients away and letting them in; RabbitMQ has no such paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from broker.management import answers
from broker.management.errors import ApiError, not_found

if TYPE_CHECKING:
    from broker.management.call import Call


async def post(call: Call) -> web.StreamResponse:
    """POST /api/nodes/{node}/maintenance/{step}: drain, revive, suspend or resume."""
    maintenance = call.server.maintenance
    steps = {
        "drain": maintenance.drain,
        "revive": maintenance.revive,
        "suspend": maintenance.suspend,
        "resume": maintenance.resume,
    }
    step = steps.get(call.path("step"))
    if step is None or call.path("node") != call.state.node:
        raise not_found()
    call.record("maintenance", step=call.path("step"))
    try:
        await step()
    except OSError as error:
        raise ApiError(503, "failed", f"cannot listen again: {error.strerror}") from None
    return answers.empty(204)
