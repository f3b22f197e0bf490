"""Users and their limits."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.core import users
from broker.core.validation import InvalidParameter
from broker.management import answers
from broker.management.call import as_words
from broker.management.errors import bad_request, not_found
from broker.management.listing import Columns, Item, reply, reply_rows

if TYPE_CHECKING:
    from broker.core.users import User
    from broker.management.call import Call


def _row(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "password_hash": user.password_hash,
        "hashing_algorithm": user.hashing_algorithm,
        "tags": list(user.tags),
        "limits": dict(user.limits),
    }


async def get_all(call: Call) -> web.StreamResponse:
    """GET /api/users."""
    items = (Item((name,), name, user) for name, user in list(call.broker.users.items()))
    return await reply(call, items, _row)


async def get_without_permissions(call: Call) -> web.StreamResponse:
    """GET /api/users/without-permissions."""
    vhosts = call.broker.vhosts.values()
    granted = {name for vhost in vhosts for name in vhost.permissions.of_users}
    found = [_row(user) for name, user in sorted(call.broker.users.items()) if name not in granted]
    return await reply_rows(call, found)


def _user(call: Call) -> User:
    user = call.broker.users.get(call.path("user"))
    if user is None:
        raise not_found()
    return user


async def get(call: Call) -> web.StreamResponse:
    """GET /api/users/{user}."""
    return answers.answer(Columns(call.query.get("columns")).of(_row(_user(call))))


async def put(call: Call) -> web.StreamResponse:
    """PUT: make or change. A user without password and hash cannot log in with a password."""
    body = await call.read()
    name = call.path("user")
    given = body.get("tags", body.get("administrator"))
    if given is None:
        raise bad_request("tags_not_present")
    password_hash, algorithm = _hash(call)
    tags = as_words(given, "tags")
    is_new = call.change(
        lambda: users.put_user(
            call.broker,
            name,
            password_hash=password_hash,
            hashing_algorithm=algorithm,
            tags=tags,
        )
    )
    await call.durable()
    return answers.empty(201 if is_new else 204)


def _hash(call: Call) -> tuple[str, str]:
    """The hash of a password, and how it is hashed: given, or made of the password."""
    body = call.body
    if "password" in body and "password_hash" in body:
        raise bad_request("both_password_and_password_hash_are_provided")
    algorithm = str(body.get("hashing_algorithm", users.SHA256))
    if algorithm not in users.HASHINGS:
        raise bad_request(["unknown_hashing_algorithm", algorithm])
    if "password_hash" in body:
        given = call.text("password_hash")
        try:
            base64.b64decode(given, validate=True)
        except binascii.Error:
            raise bad_request(["not_base64", given]) from None
        return given, algorithm
    if body.get("password") is None:
        return "", algorithm
    salt = secrets.token_bytes(users.SALT_OCTETS)
    return users.hash_password(call.text("password"), salt, algorithm), algorithm


async def hash_password(call: Call) -> web.StreamResponse:
    """GET /api/auth/hash_password/{password}: a hash to put into definitions."""
    salt = secrets.token_bytes(users.SALT_OCTETS)
    return answers.answer({"ok": users.hash_password(call.path("password"), salt)})


async def delete(call: Call) -> web.StreamResponse:
    """DELETE, with all permissions."""
    name = _user(call).name
    call.change(lambda: users.delete_user(call.broker, name))
    await call.durable()
    return answers.empty(204)


async def bulk_delete(call: Call) -> web.StreamResponse:
    """POST /api/users/bulk-delete: all of them, or none if one does not exist."""
    body = await call.read()
    call.need("users")
    names = body["users"]
    if not isinstance(names, list):
        raise bad_request("users must be a list of names")
    for name in names:
        if not isinstance(name, str) or name not in call.broker.users:
            raise bad_request(["no_such_user", name])
    with call.acting():
        for name in names:
            users.delete_user(call.broker, name)
    await call.durable()
    return answers.empty(204)


# -- limits ----------------------------------------------------------------------------


async def get_limits(call: Call) -> web.StreamResponse:
    """GET /api/user-limits and /api/user-limits/{user}."""
    found = [_user(call)] if call.has("user") else list(call.broker.users.values())
    rows = ({"user": user.name, "value": dict(user.limits)} for user in found if user.limits)
    return await reply_rows(call, rows)


async def put_limit(call: Call) -> web.StreamResponse:
    """PUT /api/user-limits/{user}/{limit}."""
    body = await call.read()
    call.need("value")
    name = call.path("user")
    if name not in call.broker.users:
        raise bad_request(["no_such_user", name])
    try:
        with call.acting():
            users.set_user_limit(call.broker, name, call.path("limit"), body["value"])
    except InvalidParameter as error:
        raise bad_request("\n".join(error.faults)) from None
    await call.durable()
    return answers.empty(204)


async def delete_limit(call: Call) -> web.StreamResponse:
    """DELETE /api/user-limits/{user}/{limit}."""
    name = _user(call).name
    call.change(lambda: users.clear_user_limit(call.broker, name, call.path("limit")))
    await call.durable()
    return answers.empty(204)
