"""Permissions and topic permissions of users in vhosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.core import permissions
from broker.core.pattern import InvalidPattern
from broker.management import answers
from broker.management.errors import bad_request, not_found
from broker.management.listing import reply_rows

if TYPE_CHECKING:
    from broker.core.vhost import Vhost
    from broker.management.call import Call


def permissions_in(vhost: Vhost, user: str | None = None) -> Iterator[dict[str, Any]]:
    """Those in a vhost, of one user or of all."""
    for name, granted in sorted(vhost.permissions.of_users.items()):
        if user in (None, name):
            yield {
                "user": name,
                "vhost": vhost.name,
                "configure": granted.configure,
                "write": granted.write,
                "read": granted.read,
            }


def topic_permissions_in(vhost: Vhost, user: str | None = None) -> Iterator[dict[str, Any]]:
    """Those in a vhost, of one user or of all."""
    for name, exchanges in sorted(vhost.permissions.on_topics.items()):
        for exchange, granted in sorted(exchanges.items()):
            if user in (None, name):
                yield {
                    "user": name,
                    "vhost": vhost.name,
                    "exchange": exchange,
                    "write": granted.write,
                    "read": granted.read,
                }


def _of_all(
    call: Call,
    rows_in: Callable[[Vhost, str | None], Iterator[dict[str, Any]]],
    user: str | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of all vhosts."""
    return (row for _, vhost in sorted(call.broker.vhosts.items()) for row in rows_in(vhost, user))


async def get_all(call: Call) -> web.StreamResponse:
    """GET /api/permissions."""
    return await reply_rows(call, _of_all(call, permissions_in))


async def get_of_user(call: Call) -> web.StreamResponse:
    """GET /api/users/{user}/permissions."""
    user = _user(call)
    return await reply_rows(call, _of_all(call, permissions_in, user))


def _user(call: Call) -> str:
    name = call.path("user")
    if name not in call.broker.users:
        raise not_found()
    return name


async def get(call: Call) -> web.StreamResponse:
    """GET /api/permissions/{vhost}/{user}."""
    for row in permissions_in(call.vhost, call.path("user")):
        return answers.answer(row)
    raise not_found()


def _named(call: Call) -> tuple[Vhost, str]:
    """Vhost and user to give permissions to."""
    vhost, user = call.broker.vhosts.get(call.path("vhost")), call.path("user")
    if vhost is None or user not in call.broker.users:
        raise bad_request("vhost_or_user_not_found")
    return vhost, user


async def put(call: Call) -> web.StreamResponse:
    """PUT: give, or change."""
    await call.read()
    call.need("configure", "write", "read")
    vhost, user = _named(call)
    texts = {name: call.text(name) for name in ("configure", "write", "read")}
    try:
        with call.acting():
            is_new = permissions.set_permissions(vhost, user, **texts)
    except InvalidPattern as error:
        raise _invalid(error) from None
    await call.durable()
    return answers.empty(201 if is_new else 204)


def _invalid(error: InvalidPattern) -> Exception:
    """As RabbitMQ says it: texts as lists of characters."""
    pattern = [ord(character) for character in error.pattern]
    fault = [ord(character) for character in error.fault]
    return bad_request(["invalid_regexp", pattern, [fault, error.at]])


async def delete(call: Call) -> web.StreamResponse:
    """DELETE: take all."""
    vhost, user = call.vhost, call.path("user")
    if not call.change(lambda: permissions.clear_permissions(vhost, user)):
        raise not_found()
    await call.durable()
    return answers.empty(204)


# -- topics ----------------------------------------------------------------------------


async def get_all_topics(call: Call) -> web.StreamResponse:
    """GET /api/topic-permissions."""
    return await reply_rows(call, _of_all(call, topic_permissions_in))


async def get_topics_of_user(call: Call) -> web.StreamResponse:
    """GET /api/users/{user}/topic-permissions."""
    user = _user(call)
    return await reply_rows(call, _of_all(call, topic_permissions_in, user))


async def get_topics(call: Call) -> web.StreamResponse:
    """GET /api/topic-permissions/{vhost}/{user}, and of one exchange."""
    found = list(topic_permissions_in(call.vhost, call.path("user")))
    if call.has("exchange"):
        found = [row for row in found if row["exchange"] == call.exchange_name]
    if not found:
        raise not_found()
    return await reply_rows(call, found)


async def put_topics(call: Call) -> web.StreamResponse:
    """PUT: give, or change."""
    await call.read()
    call.need("exchange", "write", "read")
    vhost, user = _named(call)
    exchange = call.text("exchange")
    texts = {name: call.text(name) for name in ("write", "read")}
    try:
        with call.acting():
            is_new = permissions.set_topic_permissions(vhost, user, exchange, **texts)
    except InvalidPattern as error:
        raise _invalid(error) from None
    await call.durable()
    return answers.empty(201 if is_new else 204)


async def delete_topics(call: Call) -> web.StreamResponse:
    """DELETE: of one exchange, or of all."""
    exchange = call.exchange_name if call.has("exchange") else None
    vhost, user = call.vhost, call.path("user")
    if not call.change(lambda: permissions.clear_topic_permissions(vhost, user, exchange)):
        raise not_found()
    await call.durable()
    return answers.empty(204)
