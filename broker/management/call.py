"""One request as handlers see it: who asks, what the path names, query and body, checked.

What is wrong with a request raises ``ApiError`` with RabbitMQ's status and reason.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from broker.amqp import audit
from broker.core.validation import InvalidParameter
from broker.management.errors import (
    ApiError,
    bad_request,
    missing_keys,
    no_vhost,
    not_found,
    refused,
)
from protocol.constants import SHORTSTR_MAX
from protocol.errors import AccessRefused, AmqpError, NotFound
from protocol.tables import Table, json_table

if TYPE_CHECKING:
    from broker.core.exchange import Exchange
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost
    from broker.management.caller import Caller
    from broker.management.state import State

Made = TypeVar("Made")
Body = TypeVar("Body")
BODY_S = 120.0  # the time for a body to come
DEFAULT_EXCHANGE = "amq.default"  # what paths call the exchange without a name


class Call:
    """See the module."""

    def __init__(self, request: web.Request, state: State, caller: Caller) -> None:
        self.request = request
        self.state = state
        self.server = state.server
        self.broker = state.server.broker
        self.caller = caller
        self.query = request.query
        self.body: dict[str, Any] = {}

    # -- what the path names -----------------------------------------------------------

    def path(self, name: str) -> str:
        """A part of the path, decoded."""
        return self.request.match_info[name]

    def has(self, name: str) -> bool:
        """Whether the path has such a part."""
        return name in self.request.match_info

    @property
    def vhost(self) -> Vhost:
        """The vhost that the path names."""
        vhost = self.broker.vhosts.get(self.path("vhost"))
        if vhost is None:
            raise not_found()
        return vhost

    @property
    def queue(self) -> Queue:
        """The queue that the path names."""
        queue = self.vhost.queues.get(self.path("queue"))
        if queue is None:
            raise not_found()
        return queue

    @property
    def exchange_name(self) -> str:
        """The exchange that the path names, whether it exists or not."""
        return exchange_name(self.path("exchange"))

    @property
    def exchange(self) -> Exchange:
        """The exchange that the path names."""
        exchange = self.vhost.exchanges.get(self.exchange_name)
        if exchange is None:
            raise not_found()
        return exchange

    async def visible(self) -> list[Vhost]:
        """The vhosts that the caller may see, by name."""
        vhosts = [vhost for _, vhost in sorted(self.broker.vhosts.items())]
        return [vhost for vhost in vhosts if await self.caller.may_see(vhost.name)]

    def vhost_to_change(self) -> Vhost:
        """The vhost that the path names, for making something in it."""
        vhost = self.broker.vhosts.get(self.path("vhost"))
        if vhost is None:
            raise no_vhost()
        return vhost

    def check_new_name(self, kind: str, name: str) -> None:
        """Raise if no AMQP client could say the name."""
        size = len(name.encode("utf-8", "surrogateescape"))
        if size > SHORTSTR_MAX:
            raise bad_request(f"{kind} should be less than 255 bytes, actually was {size}\n")

    # -- changes -----------------------------------------------------------------------

    def change(self, make: Callable[[], Made]) -> Made:
        """Have the model change, or say how it refuses."""
        try:
            with self.acting():
                return make()
        except AccessRefused:
            raise refused() from None
        except NotFound as error:
            raise ApiError(404, "not_found", error.text) from None
        except AmqpError as error:
            raise bad_request(error.text) from None
        except InvalidParameter as error:
            raise bad_request(str(error)) from None

    def acting(self) -> AbstractContextManager[None]:
        """Meanwhile, what is changed is the caller's doing: nothing may be awaited."""
        self.server.tick.read_clock()
        return self.broker.events.acting(self.caller.name)

    def record(self, event: str, **facts: Any) -> None:
        """Tell the audit log what the caller did that is no change of definitions."""
        audit.record(event, by=self.caller.name, **facts)

    async def durable(self) -> None:
        """Wait until what was changed so far survives a crash."""
        promise = Promise(self.broker.log.gathering)
        self.server.tick.writers.append(promise)
        self.server.tick.wake()
        await promise.kept

    # -- the query ---------------------------------------------------------------------

    def flag(self, name: str) -> bool:
        """Whether the query says ``name=true``."""
        return self.query.get(name) == "true"

    def number(self, name: str) -> int | None:
        """A number in the query; None if it is not there or none."""
        text = self.query.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None

    # -- the body ----------------------------------------------------------------------

    async def read(self) -> dict[str, Any]:
        """Read the body: a JSON object, or nothing."""
        body = await self.read_json("not_json")
        if isinstance(body, str):
            raise bad_request(
                "invalid payload: the request body JSON-decoded to a string. "
                "Is the input doubly-JSON-encoded?"
            )
        if not isinstance(body, dict):
            raise bad_request("not_json")
        self.body = body
        return body

    async def read_json(self, fault: str) -> Any:
        """Read the body as JSON, whatever it is; an empty one and null are an empty object."""
        try:
            text = await self.received(self.request.text())
            body = json.loads(text) if text.strip() else None
        except (ValueError, RecursionError):
            raise bad_request(fault) from None
        return {} if body is None else body

    async def received(self, reading: Awaitable[Body]) -> Body:
        """Wait for a body, but not for ever, and not for one whose client has gone."""
        try:
            async with asyncio.timeout(BODY_S):
                return await reading
        except (TimeoutError, ConnectionError):
            raise ApiError(408) from None

    def need(self, *names: str) -> None:
        """Raise unless the body has these keys."""
        missing = [name for name in names if name not in self.body]
        if missing:
            raise missing_keys(*missing)

    def text(self, name: str) -> str:
        """A text in the body."""
        value = self.body[name]
        if not isinstance(value, str) or not _is_unicode(value):
            raise bad_request(f"{name} must be a text")
        return value

    def boolean(self, name: str, default: bool = False) -> bool:
        """A truth value in the body; rabbitmqadmin writes it as a string."""
        return as_boolean(self.body.get(name, default))

    def arguments(self) -> Table:
        """The arguments in the body."""
        return as_table(self.body.get("arguments", {}))


class Promise:
    """Waits in the tick for a batch of the log, see ``broker.amqp.host.Writes``."""

    def __init__(self, batch: int) -> None:
        self.hold_until = batch
        self.kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def flush(self) -> None:
        """The batch is durable."""
        if not self.kept.done():
            self.kept.set_result(None)


def exchange_name(name: str) -> str:
    """The name of an exchange in a path; rabbitmqadmin's users write amq.default."""
    return "" if name == DEFAULT_EXCHANGE else name


def _is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8; JSON may hold halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_boolean(value: Any) -> bool:
    """A truth value that came as JSON."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise bad_request(["not_boolean", value])


def as_integer(value: Any) -> int:
    """A number that came as JSON, or as a string, as rabbitmqadmin writes it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    raise bad_request(["not_integer", value])


def as_table(value: Any) -> Table:
    """A field table of a JSON object; RabbitMQ writes an empty one as a list."""
    if value == []:
        return {}
    if not isinstance(value, Mapping):
        raise bad_request("arguments must be an object")
    try:
        return json_table(value, null=False)
    except ValueError as error:
        raise bad_request(error.args[0]) from None


def as_words(value: Any, what: str) -> list[str]:
    """Words that came as a list, or as one text with commas between them."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise bad_request(f"{what} must be a list of texts, or one text with commas between them")
    return [word for word in map(str.strip, words) if word]
