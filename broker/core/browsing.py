"""Looking at what a queue holds ready, and taking chosen messages out of it: for operators.

Looking changes nothing: no delivery is counted, nothing becomes redelivered, everything keeps its
place. What is taken out leaves by ``Queue``'s one exit, so the log hears of it once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from broker.core.deadletter import carbon_copies
from broker.core.route import publish_for_nobody
from protocol.content import headers_of, with_properties
from protocol.methods import shortstr
from protocol.tables import plain

if TYPE_CHECKING:
    from broker.core.exchange import Exchange
    from broker.core.message import Message
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost
    from protocol.tables import Table

Target = tuple[bytes, bytes, list["Queue"]]  # address, content, queues


def take_out(queue: Queue, ids: Sequence[int]) -> int:
    """Ready messages of these ascending ids end here, not dead-lettered; how many there were."""
    messages = queue.backlog.take_out(ids)
    if queue.retention is not None:
        queue.retention.expiry.take(messages)
    queue.forget(messages)
    return len(messages)


def move(
    queue: Queue, ids: Sequence[int], target: Callable[[Message], Target | None]
) -> tuple[int, int]:
    """Publish ready messages elsewhere and take them out: how many went, and how many could not.

    What has no target, or a target that is full, stays. The copy and the end of the original are in
    one batch of the log.
    """
    moved: list[int] = []
    stuck = 0
    for message in sorted(queue.backlog.find(ids), key=lambda message: message.id):
        found = target(message)
        if found is None or any(one.rejects(message.size) for one in found[2]):
            stuck += 1
            continue
        address, content, queues = found
        publish_for_nobody(queue.broker, address, content, message.size, queues)
        moved.append(message.id)
    take_out(queue, moved)
    return len(moved), stuck


def to_queue(target: Queue) -> Callable[[Message], Target | None]:
    """Straight to a queue, as by the default exchange."""
    address = shortstr("") + shortstr(target.name)
    return lambda message: (address, message.content, [target])


def to_exchange(
    vhost: Vhost, exchange: Exchange, key: str | None
) -> Callable[[Message], Target | None]:
    """Through an exchange, with a routing key or each message's own."""

    def target(message: Message) -> Target | None:
        routing_key = message.routing_key if key is None else key
        copies = carbon_copies(headers_of(message.content))
        queues = vhost.route(exchange, routing_key, message.content, copies)
        address = shortstr(exchange.name) + shortstr(routing_key)
        return (address, message.content, queues) if queues else None

    return target


def back(vhost: Vhost, message: Message) -> Target | None:
    """Back to the queue where it died first, without the headers of its deaths."""
    headers = headers_of(message.content)
    deaths = headers.get("x-death")
    if deaths is None or deaths.tag != "A" or not deaths.value or deaths.value[-1].tag != "F":
        return None
    first: Table = deaths.value[-1].value
    name = _text(headers, "x-first-death-queue") or _text(first, "queue")
    queue = vhost.queues.get(name)
    if queue is None:
        return None
    keys = first.get("routing-keys")
    key = plain(keys.value[0]) if keys is not None and keys.tag == "A" and keys.value else name
    address = shortstr(_text(first, "exchange")) + shortstr(key)
    kept = {name: value for name, value in headers.items() if not _is_of_death(name)}
    changes = {"headers": kept or None}
    expiration = first.get("original-expiration")
    if expiration is not None and expiration.tag == "S":
        changes["expiration"] = expiration.value
    return address, with_properties(message.content, changes), [queue]


def _is_of_death(name: str) -> bool:
    return name in ("x-death", "x-delivery-count") or name.startswith(
        ("x-first-death-", "x-last-death-")
    )


def _text(table: Table, name: str) -> str:
    value = table.get(name)
    return plain(value) if value is not None and value.tag == "S" else ""
