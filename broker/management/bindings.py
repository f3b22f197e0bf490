"""Bindings: lists, those between two ends, making and removing one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

from aiohttp import web

from broker.core.exchange import Binding, Exchange
from broker.core.permissions import EXCHANGE, QUEUE, READ, WRITE, ResourceAccess, TopicAccess
from broker.core.queue import Queue
from broker.management import answers, shapes
from broker.management.call import exchange_name
from broker.management.errors import ApiError, not_found, refused
from broker.management.listing import Item, reply

if TYPE_CHECKING:
    from broker.core.vhost import Vhost
    from broker.management.call import Call


Thing = tuple["Vhost", "Queue | Binding"]  # a queue means its binding to the default exchange


def _items(vhosts: list[Vhost]) -> Iterator[Item]:
    """Those of the default exchange too, which is bound to each queue."""
    for vhost in vhosts:
        for queue in list(vhost.queues.values()):
            yield Item((vhost.name, "", "queue", queue.name), "", (vhost, queue))
        for exchange in list(vhost.exchanges.values()):
            for binding in list(exchange.bindings.values()):
                is_exchange, destination, routing_key, arguments = binding.identity
                kind = "exchange" if is_exchange else "queue"
                key = (vhost.name, exchange.name, kind, destination, routing_key, arguments)
                yield Item(key, exchange.name, (vhost, binding))


def _row(thing: Thing) -> dict[str, Any]:
    vhost, one = thing
    if isinstance(one, Queue):
        return shapes.default_binding(vhost.name, one.name)
    return shapes.of_binding(one, vhost.name)


async def get_all(call: Call) -> web.StreamResponse:
    """GET /api/bindings and /api/bindings/{vhost}."""
    vhosts = [call.vhost] if call.has("vhost") else await call.visible()
    return await reply(call, _items(vhosts), _row)


class Ends:
    """The two ends that a path names."""

    def __init__(self, call: Call) -> None:
        self.vhost = call.vhost
        self.source_name = exchange_name(call.path("source"))
        self.is_queue = call.has("queue")
        self.name = call.path("queue") if self.is_queue else exchange_name(call.path("destination"))
        self.source = self.vhost.exchanges.get(self.source_name)
        self.destination: Queue | Exchange | None = (
            self.vhost.queues.get(self.name)
            if self.is_queue
            else self.vhost.exchanges.get(self.name)
        )

    def bindings(self) -> list[Binding]:
        """The bindings between them."""
        if self.source is None or self.destination is None:
            return []
        return [one for one in self.destination.incoming if one.source is self.source]

    def binding(self, key: str) -> Binding:
        """The one of that properties_key."""
        wanted = _parts(key)
        for binding in self.bindings():
            if _parts(shapes.properties_key(binding)) == wanted:
                return binding
        raise not_found()

    @property
    def default(self) -> dict[str, Any] | None:
        """The binding of a queue to the default exchange, if that is what the ends are."""
        if self.source_name == "" and self.is_queue and self.destination is not None:
            return shapes.default_binding(self.vhost.name, self.name)
        return None

    async def require(self, call: Call, key: str | None = None) -> None:
        """Raise unless the caller may bind them, with this routing key."""
        kind = QUEUE if self.is_queue else EXCHANGE
        vhost = self.vhost.name
        await call.caller.require(
            ResourceAccess(vhost, kind, self.name, WRITE),
            ResourceAccess(vhost, EXCHANGE, self.source_name, READ),
        )
        if key is not None and self.source is not None and self.source.type == "topic":
            await call.caller.require(TopicAccess(vhost, self.source_name, READ, key))


def _parts(properties_key: str) -> list[str]:
    """Routing key and digest of the arguments, however the client has quoted them."""
    return [unquote_plus(part) for part in properties_key.split("~")]


async def get_between(call: Call) -> web.StreamResponse:
    """GET .../e/{source}/q/{queue} and .../e/{source}/e/{destination}."""
    ends = Ends(call)
    found = [shapes.of_binding(binding, ends.vhost.name) for binding in ends.bindings()]
    found.sort(key=lambda row: (row["routing_key"], row["properties_key"]))
    if ends.default is not None:
        found.insert(0, ends.default)
    return answers.answer(found)


async def post(call: Call) -> web.StreamResponse:
    """POST to the same path: bind; the answer says where the binding is to be found."""
    await call.read()
    vhost = call.vhost_to_change()
    ends = Ends(call)
    if "" in (ends.source_name, ends.name):
        raise refused()
    call.body.setdefault("routing_key", "")
    key, arguments = call.text("routing_key"), call.arguments()
    call.check_new_name("routing_key", key)
    await ends.require(call, key)
    if ends.destination is None:
        kind = "queue" if ends.is_queue else "exchange"
        raise ApiError(404, "not_found", f"no {kind} '{ends.name}' in vhost '{vhost.name}'")
    source, destination = vhost.exchange, ends.destination

    def bind() -> Binding:
        vhost.bind(ends.source_name, destination, key, arguments)
        return Binding(source(ends.source_name), destination, key, arguments)

    binding = call.change(bind)
    await call.durable()
    properties_key = quote(shapes.properties_key(binding), safe="~")
    place = f"{quote(ends.name, safe='')}/{properties_key}"
    return answers.empty(201, {"Location": place})


async def get(call: Call) -> web.StreamResponse:
    """GET .../{properties_key}."""
    ends, key = Ends(call), call.path("key")
    if ends.default is not None and _parts(ends.default["properties_key"]) == _parts(key):
        return answers.answer(ends.default)
    return answers.answer(shapes.of_binding(ends.binding(key), ends.vhost.name))


async def delete(call: Call) -> web.StreamResponse:
    """DELETE .../{properties_key}."""
    ends = Ends(call)
    if ends.source_name == "":
        raise refused()
    binding = ends.binding(call.path("key"))
    await ends.require(call)
    vhost = ends.vhost
    call.change(
        lambda: vhost.unbind(
            binding.source.name, binding.destination, binding.routing_key, binding.arguments
        )
    )
    await call.durable()
    return answers.empty(204)
