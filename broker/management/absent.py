"""What RabbitMQ's plugins have and this broker has not: shovels, federation, streams, replicas.

Lists are empty, so that tools which look at everything find nothing wrong. What would act says that
it cannot. Parameters of shovels and federation are kept without effect (see
``policies.put_parameter``); a shovel with such a parameter is shown, as terminated, and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.core import runtime_parameters
from broker.management import answers, shapes
from broker.management.errors import bad_request, not_found
from broker.management.listing import reply_rows

if TYPE_CHECKING:
    from broker.management.call import Call

SHOVEL = "shovel"
NO_SHOVELS = "there are no shovels here: the parameter is kept, and has no effect"


async def get_nothing(call: Call) -> web.StreamResponse:
    """Lists of what cannot exist here."""
    if call.has("vhost"):
        call.vhost  # noqa: B018 - it has to exist
    return await reply_rows(call, ())


async def refuse_replicas(call: Call) -> web.StreamResponse:
    """Adding and removing replicas of quorum queues."""
    raise bad_request("there is one node: a quorum queue has one replica, on it")


def _shovels(call: Call) -> Iterator[dict[str, Any]]:
    for vhost in [call.vhost] if call.has("vhost") else list(call.broker.vhosts.values()):
        for component, name in sorted(vhost.parameters):
            if component == SHOVEL:
                yield {
                    "node": call.state.node,
                    "timestamp": shapes.timestamp(call.broker.now_ms),
                    "name": name,
                    "vhost": vhost.name,
                    "type": "dynamic",
                    "state": "terminated",
                    "reason": NO_SHOVELS,
                }


async def get_shovels(call: Call) -> web.StreamResponse:
    """GET /api/shovels and /api/shovels/{vhost}."""
    return await reply_rows(call, _shovels(call))


async def get_shovel(call: Call) -> web.StreamResponse:
    """GET /api/shovels/vhost/{vhost}/{name}."""
    for row in _shovels(call):
        if row["name"] == call.path("name"):
            return answers.answer(row)
    raise not_found()


async def delete_shovel(call: Call) -> web.StreamResponse:
    """DELETE: the parameter."""
    vhost, name = call.vhost, call.path("name")
    if not call.change(lambda: runtime_parameters.clear_parameter(vhost, SHOVEL, name)):
        raise not_found()
    await call.durable()
    return answers.empty(204)


async def restart_shovel(call: Call) -> web.StreamResponse:
    """DELETE .../restart."""
    if (SHOVEL, call.path("name")) not in call.vhost.parameters:
        raise not_found()
    raise bad_request(NO_SHOVELS)


async def restart_link(call: Call) -> web.StreamResponse:
    """DELETE /api/federation-links/vhost/{vhost}/{link}/{node}/restart: there is no link."""
    raise not_found()
