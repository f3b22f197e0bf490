"""The records of a log as JSON, one line each, for people and scripts that have to save messages.

``type`` is operation, message, count or settle. A message's names, properties and payload are
called as in RabbitMQ's management API.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from broker.logtool.account import Account
from broker.logtool.scan import Found, Part
from protocol.content import body_of, decode_properties, header_payload
from protocol.tables import Field, decode_table, plain


class Filter:
    """Which messages are wanted. ``queue_ids`` are those of the queues that were asked for."""

    def __init__(
        self, account: Account, *, queue: str | None, vhost: str | None, live: bool
    ) -> None:
        self.account = account
        self.live = live
        self.names = account.queues()
        self.vhost = vhost
        self.is_narrow = queue is not None or vhost is not None
        self.queue_ids = {
            queue_id
            for queue_id, (its_vhost, name) in self.names.items()
            if queue in (None, name) and vhost in (None, its_vhost)
        }

    def queues(
        self, queue_ids: tuple[int, ...], message_id: int, batch: int
    ) -> list[dict[str, Any]] | None:
        """Those of a message's queues that are wanted; None if it is not."""
        live = self.account.live
        chosen = [
            queue_id
            for queue_id in queue_ids
            if (not self.is_narrow or queue_id in self.queue_ids)
            and (not self.live or live.get(queue_id, {}).get(message_id) == batch)
        ]
        if not chosen and (self.is_narrow or self.live):
            return None
        return [self.queue(queue_id) for queue_id in chosen]

    def queue(self, queue_id: int) -> dict[str, Any]:
        """A queue by name, if the log's end still knows it."""
        vhost, name = self.names.get(queue_id, (None, None))
        return {"id": queue_id, "vhost": vhost, "name": name}

    def wants(self, queue_id: int) -> bool:
        """Whether what happened to this queue is wanted."""
        return not self.is_narrow or queue_id in self.queue_ids


def lines(part: Part, wanted: Filter, *, messages_only: bool) -> Iterator[str]:
    """The records of one batch."""
    if not isinstance(part, Found):
        return
    for record in _records(part, wanted, messages_only=messages_only):
        yield json.dumps({"batch": part.batch.number} | record, default=_octets)


def _records(part: Found, wanted: Filter, *, messages_only: bool) -> Iterator[dict[str, Any]]:
    batch = part.batch
    if not messages_only and not wanted.live:
        for octets in batch.operations:
            operation = plain(Field("F", decode_table(octets)[0]))
            if wanted.vhost in (None, operation.get("vhost", operation.get("name"))):
                yield {"type": "operation", "snapshot": batch.is_snapshot, **_shown(operation)}
    contents = batch.contents(part.payload)
    for row, message_id, published_ms, content in zip(
        batch.publish_route, batch.publish_id, batch.publish_ms, contents, strict=True
    ):
        address, queue_ids = batch.routes[row]
        queues = wanted.queues(queue_ids, message_id, batch.number)
        if queues is not None:
            head = {"type": "message", "id": message_id, "published_ms": published_ms}
            yield head | {"queues": queues} | _message(address, content)
    if messages_only or wanted.live:
        return
    for queue_id, message_id, times in batch.counts:
        if wanted.wants(queue_id):
            yield {"type": "count", "queue": wanted.queue(queue_id), "id": message_id, "n": times}
    for queue_id, message_ids in batch.settles:
        if wanted.wants(queue_id):
            yield {"type": "settle", "queue": wanted.queue(queue_id), "ids": list(message_ids)}


def _message(address: bytes, content: bytes) -> dict[str, Any]:
    header, body = header_payload(content), body_of(content)
    properties = decode_properties(header)
    if "headers" in properties:
        properties["headers"] = plain(Field("F", properties["headers"]))
    try:
        payload, encoding = body.decode(), "string"
    except UnicodeDecodeError:
        payload, encoding = b64encode(body).decode(), "base64"
    key_at = 1 + address[0]
    return {
        "exchange": address[1:key_at],
        "routing_key": address[key_at + 1 :],
        "properties": properties,
        "payload_bytes": len(body),
        "payload_encoding": encoding,
        "payload": payload,
    }


def _shown(operation: dict[str, Any]) -> dict[str, Any]:
    """An operation without what must not be read by whoever reads the dump."""
    return {
        name: "(not shown)" if "password" in name else value for name, value in operation.items()
    }


def _octets(value: object) -> str:
    assert isinstance(value, bytes)
    return value.decode("utf-8", "backslashreplace")
