"""Publishing and getting messages over HTTP."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.amqp import firehose
from broker.amqp.publish import check_properties
from broker.core.counters import Tally
from broker.core.permissions import EXCHANGE, QUEUE, READ, WRITE, ResourceAccess, TopicAccess
from broker.core.route import publish_once
from broker.core.validation import is_whole
from broker.management import answers, shapes
from broker.management.call import as_integer, as_table
from broker.management.errors import ApiError, bad_request, refused
from protocol.constants import SHORTSTR_MAX
from protocol.content import (
    PROPERTIES,
    body_of,
    decode_properties,
    encode_header,
    frame_content,
    header_payload,
)
from protocol.errors import AmqpError, PreconditionFailed
from protocol.methods import shortstr

if TYPE_CHECKING:
    from broker.core.message import Message
    from broker.core.queue import Queue
    from broker.management.call import Call
    from protocol.tables import Table

_KINDS = {name: kind for name, _, kind in PROPERTIES}
_INTEGER_MAX = {"octet": 0xFF, "longlong": (1 << 64) - 1}
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
    call.need("routing_key", "properties", "payload", "payload_encoding")
    vhost, name, key = call.vhost, call.exchange_name, call.text("routing_key")
    call.check_new_name("routing_key", key)
    payload = _payload(body["payload"], body["payload_encoding"])
    properties = as_properties(body["properties"])
    exchange = vhost.exchanges.get(name)
    if exchange is None:
        text = f"no exchange '{name}' in vhost '{vhost.name}'"
        raise bad_request(f"404 NOT_FOUND - {text}")
    access = ResourceAccess(vhost.name, EXCHANGE, name or "amq.default", WRITE)
    await call.caller.require(access, error=_refused)
    if exchange.internal:
        raise bad_request(
            "403 ACCESS_REFUSED - cannot publish to internal exchange "
            f"'{name}' in vhost '{vhost.name}'"
        )
    if exchange.type == "topic":
        await call.caller.require(TopicAccess(vhost.name, name, WRITE, key), error=_refused)
    copies = _check(call, properties, payload)
    if "BCC" in properties.get("headers", ()):
        headers: Table = properties["headers"]
        properties["headers"] = {name: item for name, item in headers.items() if name != "BCC"}
    call.server.tick.read_clock()
    content = frame_content(1, encode_header(len(payload), properties), payload)
    queues = vhost.route(exchange, key, content, copies)
    if vhost.tracing:
        firehose.published(_origin(call), name, key, content, queues)
    facts = (
        properties.get("delivery_mode") == 2,
        properties.get("priority", 0),
        int(properties.get("expiration", -1)),
    )
    publisher = HttpPublisher()
    address = shortstr(name) + shortstr(key)
    is_refused = publish_once(call.broker, publisher, address, content, len(payload), facts, queues)
    call.broker.body_sizes.add(publisher.sizes)
    Tally(exchange).count(queues, 1, int(facts[0]))
    if publisher.awaited_batch:
        await call.durable()
    routed = any(queue.counts_as_route for queue in queues) and not is_refused
    return answers.answer({"routed": routed})


def _refused(text: str) -> ApiError:
    """What RabbitMQ says who may not publish: as of a message that AMQP refuses."""
    return bad_request(f"403 {text}")


def _origin(call: Call) -> firehose.Origin:
    """Where a message comes from that is published, or goes that is got, over HTTP."""
    return firehose.Origin(call.vhost, "http", 1, call.caller.name)


def _payload(payload: Any, encoding: Any) -> bytes:
    if not isinstance(payload, str):
        raise bad_request("payload_not_string")
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
    return {name: _property(name, given[name]) for name in given if name in _KINDS}


def _property(name: str, value: Any) -> Any:
    kind = _KINDS[name]
    if kind == "table":
        return as_table(value)
    if kind == "shortstr":
        octets = value.encode("utf-8", "replace") if isinstance(value, str) else None
        if octets is None or len(octets) > SHORTSTR_MAX:
            raise bad_request(["not_string", name])
        return octets
    if not is_whole(value) or not 0 <= value <= _INTEGER_MAX[kind]:
        raise bad_request(["not_int", name])
    return value


def _check(call: Call, properties: dict[str, Any], payload: bytes) -> list[str]:
    """Refuse what AMQP refuses; the routing keys that CC and BCC add."""
    limit = call.server.config.max_message_bytes
    try:
        if len(payload) > limit:
            raise PreconditionFailed(
                f"message size {len(payload)} is larger than configured max size {limit}"
            )
        return check_properties(properties, call.caller.identity)
    except PreconditionFailed as error:
        raise bad_request(f"406 PRECONDITION_FAILED - {error.text}") from None


# -- get -------------------------------------------------------------------------------


async def get(call: Call) -> web.StreamResponse:
    """POST /api/queues/{vhost}/{queue}/get."""
    body = await call.read()
    call.need("ackmode", "count", "encoding")
    vhost, name = call.vhost, call.path("queue")
    count, truncate = as_integer(body["count"]), body.get("truncate")
    ackmode, encoding = body["ackmode"], body["encoding"]
    if ackmode not in _ACKMODES:
        raise bad_request(["unsupported_ackmode", ackmode])
    if encoding not in ("auto", "base64"):
        raise bad_request("Unsupported encoding. Please use auto or base64.")
    limit = None if truncate is None else as_integer(truncate)
    queue = vhost.queues.get(name)
    if queue is None:
        raise ApiError(404, "not_found", f"NOT_FOUND - no queue '{name}' in vhost '{vhost.name}'")
    await call.caller.require(ResourceAccess(vhost.name, QUEUE, name, READ), error=refused)
    try:
        vhost.queue(name, None)
    except AmqpError as error:
        raise bad_request(f"405 RESOURCE_LOCKED - {error.text}") from None
    call.server.tick.read_clock()
    queue.used()
    shown, taken = _take(queue, min(count, GET_MAX), ackmode, encoding, limit)
    if vhost.tracing:
        for message, redelivered in taken:
            firehose.delivered(_origin(call), queue, [message], redelivered)
    return answers.answer(shown)


def _take(
    queue: Queue, count: int, ackmode: str, encoding: str, limit: int | None
) -> tuple[list[dict[str, Any]], list[tuple[Message, bool]]]:
    """Get messages, describe them, then give them back or drop them as asked."""
    requeue, rejected = _ACKMODES[ackmode]
    taken: list[tuple[Message, bool]] = []
    shown = []
    while len(taken) < count:
        found = queue.get(no_ack=False)
        if found is None:
            break
        message, redelivered = found
        taken.append(found)
        shown.append(
            describe(message, encoding, limit)
            | {"redelivered": redelivered, "message_count": len(queue)}
        )
    messages = [message for message, _ in taken]
    if requeue:
        queue.requeue(messages, failed=rejected)
    elif rejected:
        queue.reject(messages)
    else:
        queue.ack(messages)
    return shown, taken


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
