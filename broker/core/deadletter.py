"""Dead-lettering: what a queue drops is published again to its dead-letter exchange.

The copy's headers tell its history as RabbitMQ 3.x writes it: ``x-death`` has one entry for
each queue and reason, the newest death first, with a count; ``x-first-death-*`` and
``x-last-death-*`` name the ends. An ``x-death`` that a publisher sent along is counted on.
The expiration goes (it is kept in the entry as original-expiration), so that the copy does not
die at once where it arrives.

Invariants:

* The copy and the end of the original are in one log batch: a crash loses or doubles neither.
* A message never comes back to a queue by expiry or overflow alone: such a cycle would not
  end, so the copy is not put there (``_is_cycle``). A rejection in the cycle means that a
  consumer decides, and allows it.
* A missing exchange, or one without a matching binding, drops the message silently; so does a
  full queue with reject-publish, for itself. With at-least-once it waits (``broker.core.letters``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.core.letters import Letters
from broker.core.message import Message, with_blind_copies
from broker.core.route import publish_for_nobody
from protocol.content import decode_properties, header_payload, with_properties
from protocol.methods import shortstr
from protocol.tables import Field, Table, field

if TYPE_CHECKING:
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost

REJECTED, EXPIRED, MAXLEN, DELIVERY_LIMIT = "rejected", "expired", "maxlen", "delivery_limit"


def dead_letter(
    queue: Queue, messages: list[Message], reason: str, *, again: bool = False
) -> list[Message]:
    """Publish copies of messages that end in ``queue``, if it has a dead-letter exchange.

    Those that are over and done with; with at-least-once others wait for somebody to take them.
    ``again``: they waited.
    """
    name = queue.settings.dead_letter_exchange if not queue.deleted else None
    if not again:
        strategy = "at_least_once" if queue.settings.keeps_letters else "at_most_once"
        strategy = strategy if name is not None else "disabled"
        queue.broker.totals.ended(queue, reason, len(messages), strategy)
    vhost = queue.broker.vhosts.get(queue.vhost)
    if vhost is None or name is None:
        return messages
    if not queue.settings.keeps_letters:
        for message in messages:
            _publish(queue, vhost, name, message, reason)
        return messages
    done = []
    for message in messages:
        if _publish(queue, vhost, name, message, reason):
            done.append(message)
            continue
        queue.letters = queue.letters or Letters(queue)
        queue.letters.hold(message, reason)
    queue.broker.totals.letters_taken += len(done)
    return done


def _publish(queue: Queue, vhost: Vhost, name: str, message: Message, reason: str) -> bool:
    """Publish the copy of one message; false if nobody takes it.

    With at-least-once nobody takes it either if one of several queues refuses it.
    """
    exchange = vhost.exchanges.get(name)
    if exchange is None:
        return False
    properties = decode_properties(header_payload(message.content))
    headers: Table = properties.get("headers", {})
    keys = [message.routing_key, *carbon_copies(headers)]
    deaths = _record(headers, queue, reason, message, keys, properties.get("expiration"))
    changed = _headers(headers, deaths, queue, reason, message)
    blind = message.blind_copies
    own_key = queue.settings.dead_letter_routing_key
    if own_key is not None:
        changed.pop("CC", None)
        keys, blind = [own_key], []
    content = with_properties(message.content, {"headers": changed, "expiration": None})
    targets = vhost.route(exchange, keys[0], content, keys[1:] + blind)
    accepting = [target for target in targets if not _is_cycle(target, deaths)]
    if queue.settings.keeps_letters and any(each.rejects(message.size) for each in accepting):
        return False
    address = with_blind_copies(shortstr(name) + shortstr(keys[0]), blind)
    publish_for_nobody(queue.broker, address, content, message.size, accepting)
    return bool(targets)


def carbon_copies(headers: Table, name: str = "CC") -> list[str]:
    """The routing keys that the header CC, or BCC, adds; anything malformed in it adds none."""
    value = headers.get(name)
    if value is None or value.tag != "A":
        return []
    return [item.value.decode(errors="surrogateescape") for item in value.value if item.tag == "S"]


def _record(
    headers: Table,
    queue: Queue,
    reason: str,
    message: Message,
    keys: list[str],
    expiration: bytes | None,
) -> list[Table]:
    """The x-death entries with this death on top."""
    given = headers.get("x-death")
    deaths: list[Table] = []
    known = given is not None and given.tag == "A"
    if given is not None and known:
        deaths = _grouped([entry.value for entry in given.value if entry.tag == "F"])
    for death in deaths:
        if _says(death, "queue", queue.name) and _says(death, "reason", reason):
            deaths.remove(death)
            count = death.get("count", Field("l", 0))
            raised = death | {"count": Field("l", int(count.value) + 1)}
            return [dict(sorted(raised.items())), *deaths]
    entry: Table = {
        "count": Field("l", 1),
        "reason": field(reason),
        "queue": field(queue.name),
        "time": Field("T", queue.broker.now_ms // 1000),
        "exchange": field(message.exchange),
        "routing-keys": Field("A", [field(key) for key in keys]),
    }
    if expiration is not None:
        entry["original-expiration"] = Field("S", expiration)
    # RabbitMQ sorts an entry that joins others, and leaves a first one as it is.
    return [dict(sorted(entry.items())) if known else entry, *deaths]


def _grouped(deaths: list[Table]) -> list[Table]:
    """One entry for each queue and reason: RabbitMQ before 3.5 wrote one for each death, uncounted.

    RabbitMQ before 3.13 also turns the order round, every time; that is not followed.
    """
    if len(deaths) < 2:
        return deaths
    groups: dict[tuple[Any, Any], list[Table]] = {}
    for death in deaths:
        names = (death.get("queue"), death.get("reason"))
        key = tuple(name.value if name is not None and name.tag == "S" else None for name in names)
        groups.setdefault((key[0], key[1]), []).append(death)
    return [{"count": Field("l", len(group))} | group[0] for group in groups.values()]


def _headers(
    headers: Table, deaths: list[Table], queue: Queue, reason: str, message: Message
) -> Table:
    """All headers of the copy, sorted by name as RabbitMQ leaves them."""
    death = {"reason": reason, "queue": queue.name, "exchange": message.exchange}
    changed = headers | {"x-death": Field("A", [Field("F", entry) for entry in deaths])}
    if "x-death" not in headers:
        changed |= {f"x-first-death-{name}": field(value) for name, value in death.items()}
    if queue.returns is not None:
        changed.pop("x-delivery-count", None)
    changed |= {f"x-last-death-{name}": field(value) for name, value in death.items()}
    return dict(sorted(changed.items()))


def _is_cycle(target: Queue, deaths: list[Table]) -> bool:
    """Whether the message already died in ``target``, and no consumer rejected it since."""
    for death in deaths:
        if _says(death, "reason", REJECTED):
            return False
        if _says(death, "queue", target.name):
            return True
    return False


def _says(death: Table, name: str, value: str) -> bool:
    found: Any = death.get(name)
    return found is not None and found.value == value.encode(errors="surrogateescape")
