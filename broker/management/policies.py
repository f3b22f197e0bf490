"""Policies, operator policies, parameters and global parameters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.core import policies, runtime_parameters, vhost_settings
from broker.core.validation import InvalidParameter, term
from broker.identity import cluster_id
from broker.management import answers
from broker.management.errors import bad_request, not_found
from broker.management.listing import Item, reply, reply_rows

if TYPE_CHECKING:
    from broker.core.policies import Policy
    from broker.core.vhost import Vhost
    from broker.management.call import Call

KEPT_COMPONENTS = ("shovel", "federation-upstream", "federation-upstream-set")
_log = logging.getLogger("leveret.management")
Handler = Callable[["Call"], Any]


def _row(policy: Policy, vhost: Vhost) -> dict[str, Any]:
    return {
        "vhost": vhost.name,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": dict(policy.definition),
        "priority": policy.priority,
    }


def _of(vhost: Vhost, operator: bool) -> policies.Policies:
    return vhost.operator_policies if operator else vhost.policies


async def _get_all(call: Call, operator: bool) -> web.StreamResponse:
    vhosts = [call.vhost] if call.has("vhost") else await call.visible()
    items = (
        Item((vhost.name, policy.name), policy.name, _row(policy, vhost))
        for vhost in vhosts
        for policy in _of(vhost, operator)
    )
    return await reply(call, items, lambda row: row)


async def _get(call: Call, operator: bool) -> web.StreamResponse:
    policy = _of(call.vhost, operator).get(call.path("policy"))
    if policy is None:
        raise not_found()
    return answers.answer(_row(policy, call.vhost))


async def _put(call: Call, operator: bool) -> web.StreamResponse:
    vhost, name = call.vhost, call.path("policy")
    body = await call.read()
    call.need("pattern", "definition")
    try:
        with call.acting():
            is_new = policies.set_policy(
                vhost,
                name,
                pattern=body["pattern"],
                definition=body["definition"],
                priority=body.get("priority", 0),
                apply_to=body.get("apply-to", "all"),
                operator=operator,
            )
    except InvalidParameter as error:
        raise bad_request(_escaped(str(error)) if not operator else str(error)) from None
    await call.durable()
    return answers.empty(201 if is_new else 204)


def _escaped(text: str) -> str:
    """RabbitMQ writes terms in what it says of policies, but not of parameters, for a page."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


async def _delete(call: Call, operator: bool) -> web.StreamResponse:
    vhost, name = call.vhost, call.path("policy")
    if not call.change(lambda: policies.delete_policy(vhost, name, operator=operator)):
        raise not_found()
    await call.durable()
    return answers.empty(204)


def handlers(*, operator: bool) -> tuple[Handler, Handler, Handler, Handler]:
    """What lists, shows, sets and deletes policies, or operator policies."""

    def bound(handle: Callable[[Call, bool], Any]) -> Handler:
        async def run(call: Call) -> web.StreamResponse:
            response: web.StreamResponse = await handle(call, operator)
            return response

        return run

    return bound(_get_all), bound(_get), bound(_put), bound(_delete)


# -- parameters: what RabbitMQ also keeps as parameters, under their components ---------


def _parameters(call: Call, vhosts: list[Vhost]) -> Iterator[dict[str, Any]]:
    wanted = call.path("component") if call.has("component") else None
    for vhost in vhosts:
        for policy in vhost.operator_policies:
            row = _row(policy, vhost)
            value = {name: row[name] for name in ("pattern", "definition", "priority", "apply-to")}
            if wanted in (None, "operator_policy"):
                yield _parameter(vhost, "operator_policy", policy.name, value)
        if vhost.limits and wanted in (None, "vhost-limits"):
            yield _parameter(vhost, "vhost-limits", "limits", dict(vhost.limits))
        for (component, name), value in sorted(vhost.parameters.items()):
            if wanted in (None, component):
                yield _parameter(vhost, component, name, value)


def _parameter(vhost: Vhost, component: str, name: str, value: Any) -> dict[str, Any]:
    return {"value": value, "vhost": vhost.name, "component": component, "name": name}


async def get_parameters(call: Call) -> web.StreamResponse:
    """GET /api/parameters, of a component, of a component in a vhost."""
    vhosts = [call.vhost] if call.has("vhost") else await call.visible()
    return await reply_rows(call, _parameters(call, vhosts))


async def get_parameter(call: Call) -> web.StreamResponse:
    """GET /api/parameters/{component}/{vhost}/{name}."""
    for row in _parameters(call, [call.vhost]):
        if row["name"] == call.path("name"):
            return answers.answer(row)
    raise not_found()


async def put_parameter(call: Call) -> web.StreamResponse:
    """PUT: limits of a vhost; those of shovels and federation are kept, without effect."""
    vhost, component, name = call.vhost, call.path("component"), call.path("name")
    body = await call.read()
    call.need("value")
    value = body["value"]
    if component in KEPT_COMPONENTS:
        is_new = call.change(
            lambda: runtime_parameters.set_parameter(vhost, component, name, value)
        )
        text = "parameter '%s' of component '%s' in vhost '%s' is kept, and has no effect here"
        _log.warning(text, name, component, vhost.name)
        await call.durable()
        return answers.empty(201 if is_new else 204)
    if component != "vhost-limits":
        raise bad_request(f"Validation failed\n\ncomponent {component} not found\n")
    limits = {} if value == [] else value
    if name != "limits" or not isinstance(limits, dict):
        raise bad_request(_escaped(f"Validation failed\n\nlimits not a list {term(value)}\n"))
    is_new = not vhost.limits
    call.change(lambda: vhost_settings.set_limits(vhost, limits))
    await call.durable()
    return answers.empty(201 if is_new else 204)


async def delete_parameter(call: Call) -> web.StreamResponse:
    """DELETE: one parameter; that of limits lifts them all."""
    vhost, component, name = call.vhost, call.path("component"), call.path("name")
    if (component, name) == ("vhost-limits", "limits") and vhost.limits:
        call.change(lambda: vhost_settings.set_limits(vhost, {}))
    elif not call.change(lambda: runtime_parameters.clear_parameter(vhost, component, name)):
        raise not_found()
    await call.durable()
    return answers.empty(204)


# -- global parameters -----------------------------------------------------------------


async def get_global_parameters(call: Call) -> web.StreamResponse:
    """GET /api/global-parameters."""
    found = {"internal_cluster_id": cluster_id(call.server.config), **call.broker.global_parameters}
    rows = [{"name": name, "value": found[name]} for name in sorted(found)]
    return await reply_rows(call, rows)


async def get_global_parameter(call: Call) -> web.StreamResponse:
    """GET /api/global-parameters/{name}."""
    name = call.path("name")
    if name not in call.broker.global_parameters:
        raise not_found()
    return answers.answer({"value": call.broker.global_parameters[name], "name": name})


async def put_global_parameter(call: Call) -> web.StreamResponse:
    """PUT /api/global-parameters/{name}."""
    body = await call.read()
    call.need("value")
    name = call.path("name")
    with call.acting():
        is_new = runtime_parameters.set_global_parameter(call.broker, name, body["value"])
    await call.durable()
    return answers.empty(201 if is_new else 204)


async def delete_global_parameter(call: Call) -> web.StreamResponse:
    """DELETE /api/global-parameters/{name}."""
    name = call.path("name")
    if not call.change(lambda: runtime_parameters.clear_global_parameter(call.broker, name)):
        raise not_found()
    await call.durable()
    return answers.empty(204)
