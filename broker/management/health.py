"""Health checks: 200 and ``{"status": "ok"}``, or 503 and what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.core.permissions import CONFIGURE, QUEUE, READ, WRITE, ResourceAccess
from broker.core.route import publish_for_nobody
from broker.management import answers, certificates
from broker.management.errors import ApiError, bad_request, refused
from protocol.content import encode_header, frame_content
from protocol.methods import shortstr

if TYPE_CHECKING:
    from broker.management.call import Call

OK = {"status": "ok"}
ALIVENESS_QUEUE = "aliveness-test"
_DAYS = {"days": 1, "weeks": 7, "months": 30, "years": 365}
_PROTOCOLS = {"amqp091": "amqp", "amqp0-9-1": "amqp", "amqp": "amqp", "amqps": "amqp/ssl"}


def _failed(reason: str, **more: Any) -> web.Response:
    return answers.answer({"status": "failed", "reason": reason, **more}, status=503)


def _alarms(call: Call) -> list[dict[str, str]]:
    alarms, node = call.server.alarms, call.state.node
    found = [("memory", alarms.memory_alarm), ("disk", alarms.disk_alarm)]
    return [{"node": node, "resource": resource} for resource, raised in found if raised]


async def alarms(call: Call) -> web.StreamResponse:
    """GET /api/health/checks/alarms."""
    found = _alarms(call)
    if found:
        return _failed("There are alarms in effect in the cluster", alarms=found)
    return answers.answer(OK)


async def local_alarms(call: Call) -> web.StreamResponse:
    """GET /api/health/checks/local-alarms."""
    found = _alarms(call)
    if found:
        return _failed("There are alarms in effect on the node", alarms=found)
    return answers.answer(OK)


async def certificate_expiration(call: Call) -> web.StreamResponse:
    """GET /api/health/checks/certificate-expiration/{within}/{unit}."""
    unit, within = call.path("unit"), call.path("within")
    if unit not in _DAYS:
        units = ", ".join(_DAYS)
        raise bad_request(f"Time unit not recognised. Supported units: {units}.")
    if not within.isdigit() or not within.isascii():
        raise bad_request("Invalid expiration value.")
    found = certificates.expiring(call.state, int(within[:9]) * _DAYS[unit])
    if found:
        return _failed("Certificates expiring", expired=found)
    return answers.answer(OK)


async def port_listener(call: Call) -> web.StreamResponse:
    """GET /api/health/checks/port-listener/{port}."""
    text = call.path("port")
    if not text.isdigit() or not text.isascii():
        raise bad_request("Invalid port")
    ports = [place.port for place in call.state.listening()]
    if int(text) not in ports:
        return _failed("No active listener", missing=int(text), ports=ports)
    return answers.answer({**OK, "port": int(text)})


async def protocol_listener(call: Call) -> web.StreamResponse:
    """GET /api/health/checks/protocol-listener/{protocol}."""
    wanted = call.path("protocol")
    protocols = [place.protocol for place in call.state.listening()]
    if _PROTOCOLS.get(wanted, wanted) not in protocols:
        return _failed("No active listener", missing=wanted, protocols=protocols)
    return answers.answer({**OK, "protocol": wanted})


async def ok(call: Call) -> web.StreamResponse:
    """Checks that one node that answers always passes."""
    return answers.answer(OK)


async def in_service(call: Call) -> web.StreamResponse:
    """GET .../is-in-service, .../ready-to-serve-clients: unless in maintenance."""
    if call.server.maintenance.suspended:
        return _failed("the rabbit node is not currently available to serve")
    return answers.answer(OK)


async def single_node(call: Call) -> web.StreamResponse:
    """GET .../node-is-quorum-critical, .../node-is-mirror-sync-critical."""
    return answers.answer({**OK, "reason": "single node cluster"})


async def below_connection_limit(call: Call) -> web.StreamResponse:
    """GET /api/health/checks/below-node-connection-limit."""
    limit, used = call.server.config.connection_max, len(call.server.sessions)
    shown = {"current": used, "limit": "infinity" if limit is None else limit}
    if limit is not None and used >= limit:
        return _failed("node connection limit is reached", **shown)
    return answers.answer({**OK, **shown})


async def node(call: Call) -> web.StreamResponse:
    """GET /api/healthchecks/node: deprecated, and still asked for."""
    if call.has("node") and call.path("node") != call.state.node:
        raise ApiError(503, "failed", "nodedown")
    found = _alarms(call)
    if found:
        name = call.state.node
        listed = ",".join(f"{{resource_limit,{alarm['resource']},{name}}}" for alarm in found)
        return _failed(f"resource alarm(s) in effect:[{listed}]")
    return answers.answer(OK)


async def aliveness(call: Call) -> web.StreamResponse:
    """GET /api/aliveness-test/{vhost}: a message through a queue, which stays behind."""
    vhost, name = call.vhost, ALIVENESS_QUEUE
    access = (ResourceAccess(vhost.name, QUEUE, name, kind) for kind in (CONFIGURE, WRITE, READ))
    await call.caller.require(*access, error=refused)
    queue = call.change(
        lambda: vhost.declare_queue(
            name, durable=False, exclusive=False, auto_delete=False, arguments={}, owner=call
        )
    )
    body = b"test_message"
    content = frame_content(1, encode_header(len(body), {}), body)
    publish_for_nobody(call.broker, shortstr("") + shortstr(name), content, len(body), [queue])
    if queue.get(no_ack=True) is None:
        return _failed("the message was taken by a consumer")
    return answers.answer(OK)
