"""Publishing and getting messages over HTTP."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.core.counters import Tally
from broker.core.deadletter import carbon_copies
from broker.core.permissions import EXCHANGE, QUEUE, READ, WRITE, ResourceAccess, TopicAccess
from broker.core.route import publish_once
from broker.management import answers, shapes
from broker.management.call import as_integer, as_table
from broker.management.errors import ApiError, bad_request
from protocol.content import (
    body_of,
    decode_properties,
    encode_header,
    frame_content,
    header_payload,
)
from protocol.errors import AmqpError
from protocol.methods import shortstr

if TYPE_CHECKING:
    from broker.core.message import Message
    from broker.core.queue import Queue
    from broker.management.call import Call

OCTET_PROPERTIES = ("delivery_mode", "priority")
TEXT_PROPERTIES = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)
_ACKMODES = {  # whether the message comes back, and whether it was rejected
    "ack_requeue_true": (True, False),
    "ack_requeue_false": (False, False),
    "reject_requeue_true": (True, True),
    "reject_requeue_false": (False, True),
}
GET_MAX = 10_000


class HttpPublisher:
    """Whoever publishes over HTTP: is answered when the message is stored; see ``core.route``."""

    fresh = False

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.awaited_batch = 0

    def first_publish(self) -> None:
        """Never called: ``fresh`` is never set."""


async def publish(call: Call) -> web.StreamResponse:
    """POST /api/exchanges/{vhost}/{exchange}/publish."""
    body = await call.read()
    call.need("properties", "routing_key", "payload", "payload_encoding")
    vhost, name = call.vhost, call.exchange_name
    key = str(body["routing_key"])
    payload = _payload(body["payload"], body["payload_encoding"])
    properties = as_properties(body["properties"])
    exchange = vhost.exchanges.get(name)
    if exchange is None:
        text = f"no exchange '{name}' in vhost '{vhost.name}'"
        raise bad_request(f"404 NOT_FOUND - {text}")
    await call.caller.require(ResourceAccess(vhost.name, EXCHANGE, name or "amq.default", WRITE))
    if exchange.internal:
        raise bad_request(
            "403 ACCESS_REFUSED - cannot publish to internal exchange "
            f"'{name}' in vhost '{vhost.name}'"
        )
    if exchange.type == "topic":
        await call.caller.require(TopicAccess(vhost.name, name, WRITE, key))
    _check(call, properties, payload)
    headers = properties.get("headers", {})
    copies = carbon_copies(headers, "CC") + carbon_copies(headers, "BCC")
    if "BCC" in headers:
        properties["headers"] = {name: item for name, item in headers.items() if name != "BCC"}
    call.server.tick.read_clock()
    content = frame_content(1, encode_header(len(payload), properties), payload)
    queues = vhost.route(exchange, key, content, copies)
    facts = (
        properties.get("delivery_mode") == 2,
        properties.get("priority", 0),
        int(properties.get("expiration", -1)),
    )
    publisher = HttpPublisher()
    address = shortstr(name) + shortstr(key)
    refused = publish_once(call.broker, publisher, address, content, len(payload), facts, queues)
    call.broker.body_sizes.add(publisher.sizes)
    Tally(exchange).count(queues, 1, int(facts[0]))
    if publisher.awaited_batch:
        await call.durable()
    routed = any(queue.counts_as_route for queue in queues) and not refused
    return answers.answer({"routed": routed})


def _payload(payload: Any, encoding: Any) -> bytes:
    if not isinstance(payload, str):
        raise bad_request("payload must be a text")
    if encoding == "string":
        return payload.encode("utf-8", "surrogatepass")
    if encoding != "base64":
        raise bad_request(["unsupported_encoding", encoding])
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error:
        raise bad_request(["not_base64", payload]) from None


def as_properties(given: Any) -> dict[str, Any]:
    """Properties that came as JSON; an unknown one is ignored."""
    if not given:
        return {}
    if not isinstance(given, dict):
        raise bad_request("properties must be an object")
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in OCTET_PROPERTIES:
            if not _is_integer(value) or not 0 <= value <= 255:
                raise bad_request(["not_int", name])
            found[name] = value
        elif name == "timestamp":
            if not _is_integer(value) or not 0 <= value < 1 << 64:
                raise bad_request(["not_int", name])
            found[name] = value
        elif name in TEXT_PROPERTIES:
            if not isinstance(value, str) or len(value.encode("utf-8", "replace")) > 255:
                raise bad_request(["not_string", name])
            found[name] = value.encode("utf-8", "replace")
        elif name == "headers":
            found[name] = as_table(value)
    return found


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(call: Call, properties: dict[str, Any], payload: bytes) -> None:
    limit = call.server.config.max_message_bytes
    if len(payload) > limit:
        raise bad_request(
            f"406 PRECONDITION_FAILED - message size {len(payload)} is larger than "
            f"configured max size {limit}"
        )
    if "expiration" in properties and not properties["expiration"].isdigit():
        shown = properties["expiration"].decode(errors="replace")
        raise bad_request(f"406 PRECONDITION_FAILED - invalid expiration '{shown}'")
    user_id = properties.get("user_id")
    if user_id is not None and user_id.decode() != call.caller.name:
        raise bad_request(
            f"406 PRECONDITION_FAILED - user_id property set to '{user_id.decode()}' "
            f"but authenticated user was '{call.caller.name}'"
        )
    if properties.get("delivery_mode", 1) not in (1, 2):
        mode = properties["delivery_mode"]
        raise bad_request(f"unexpected delivery_mode {mode}")


# -- get -------------------------------------------------------------------------------


async def get(call: Call) -> web.StreamResponse:
    """POST /api/queues/{vhost}/{queue}/get."""
    body = await call.read()
    call.need("count", "ackmode", "encoding")
    vhost, name = call.vhost, call.path("queue")
    count, truncate = as_integer(body["count"]), body.get("truncate")
    ackmode, encoding = body["ackmode"], body["encoding"]
    if ackmode not in _ACKMODES:
        raise bad_request(["unsupported_ackmode", ackmode])
    if encoding not in ("auto", "base64"):
        raise bad_request(["unsupported_encoding", encoding])
    limit = None if truncate is None else as_integer(truncate)
    queue = vhost.queues.get(name)
    if queue is None:
        raise ApiError(404, "not_found", f"NOT_FOUND - no queue '{name}' in vhost '{vhost.name}'")
    await call.caller.require(ResourceAccess(vhost.name, QUEUE, name, READ))
    try:
        vhost.queue(name, None)
    except AmqpError as error:
        raise bad_request(f"405 RESOURCE_LOCKED - {error.text}") from None
    call.server.tick.read_clock()
    queue.used()
    return answers.answer(_take(queue, min(count, GET_MAX), ackmode, encoding, limit))


def _take(
    queue: Queue, count: int, ackmode: str, encoding: str, limit: int | None
) -> list[dict[str, Any]]:
    """Get messages, describe them, then give them back or drop them as asked."""
    requeue, rejected = _ACKMODES[ackmode]
    taken: list[Message] = []
    shown = []
    while len(taken) < count:
        found = queue.get(no_ack=False)
        if found is None:
            break
        message, redelivered = found
        taken.append(message)
        shown.append(
            describe(message, encoding, limit)
            | {"redelivered": redelivered, "message_count": len(queue)}
        )
    if requeue:
        queue.requeue(taken, failed=rejected)
    elif rejected:
        queue.reject(taken)
    else:
        queue.ack(taken)
    return shown


def describe(message: Message, encoding: str, limit: int | None) -> dict[str, Any]:
    """A message as JSON."""
    body = body_of(message.content)
    payload, used = _encoded(body if limit is None else body[:limit], encoding)
    return {
        "payload_bytes": len(body),
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "properties": of_properties(message.content),
        "payload": payload,
        "payload_encoding": used,
    }


def _encoded(body: bytes, encoding: str) -> tuple[str, str]:
    if encoding == "auto":
        try:
            return body.decode(), "string"
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), "base64"


def of_properties(content: bytes) -> Any:
    """Properties as JSON; without any it is a list, as in RabbitMQ."""
    shown: dict[str, Any] = {}
    for name, value in decode_properties(header_payload(content)).items():
        if isinstance(value, bytes):
            shown[name] = value.decode("utf-8", "replace")
        else:
            shown[name] = shapes.of_table(value) if name == "headers" else value
    return shown or []
