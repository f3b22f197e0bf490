"""Users and what they may do: passwords, tags, permissions, limits.

A user's tags and password travel together in the API, so changing one of them reads the other
first: somebody who changes the same user in that moment may be overruled.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os

import click

from broker.admin import completion
from broker.admin.api import Api, Json, NotFound, Refused, absent_is
from broker.admin.command import Session, command
from broker.admin.documents import parse
from broker.admin.failure import (
    EX_DATAERR,
    EX_NOUSER,
    EX_SOFTWARE,
    EX_UNAVAILABLE,
    Failure,
    NoVhost,
)
from broker.admin.listings import Column, show
from broker.admin.target import Target
from broker.admin.values import Kind, compact, tags

_PERMISSION = {name: Column(name) for name in ("configure", "write", "read")}
_TOPIC = {name: Column(name) for name in ("exchange", "write", "read")}
_ALL = ".*"


@command
def list_users(session: Session) -> None:
    """List the users and their tags."""
    session.out.heading("Listing users ...")
    columns = {"user": Column("name"), "tags": Column("tags", Kind.TAGS)}
    show(session, columns, session.api.get("users"))


@command
@click.argument("username")
@click.argument("password", required=False)
@click.option("--pre-hashed-password", "hashed", is_flag=True, help="The password is a hash.")
@click.option("--tags", "tag_list", metavar="TAG,TAG", default="", help="Tags of the user.")
def add_user(
    session: Session, username: str, password: str | None, hashed: bool, tag_list: str
) -> None:
    """Create a user; the password is asked for or read from a pipe.

    The user may do nothing until permissions are set.
    """
    session.out.note(f'Adding user "{username}" ...')
    if session.api.find("users", username) is not None:
        raise Failure(f'User "{username}" already exists', EX_SOFTWARE)
    secret = session.new_secret(password, "Password of the new user")
    key = "password_hash" if hashed else "password"
    session.api.put("users", username, body={key: secret, "tags": tag_list})
    session.out.done(
        "Done. Don't forget to grant the user permissions to some virtual hosts! "
        f"See '{session.program} help set_permissions' to learn more."
    )


@command
@completion.username
@click.argument("password", required=False)
def change_password(session: Session, username: str, password: str | None) -> None:
    """Give a user a new password, which is asked for or read from a pipe."""
    session.out.note(f'Changing password for user "{username}" ...')
    user = _user(session.api, username)
    secret = session.new_secret(password, "New password")
    session.api.put("users", username, body={"password": secret, "tags": _tag_text(user)})
    session.out.done()


@command
@completion.username
def clear_password(session: Session, username: str) -> None:
    """Take a user's password away: only certificates or tokens let them in."""
    session.out.note(f'Clearing password for user "{username}" ...')
    user = _user(session.api, username)
    session.api.put("users", username, body={"password_hash": "", "tags": _tag_text(user)})
    session.out.done()


@command
@completion.username
def delete_user(session: Session, username: str) -> None:
    """Delete a user."""
    session.out.note(f'Deleting user "{username}" ...')
    with absent_is(_no_user(username)):
        session.api.delete("users", username)
    session.out.done()


@command
@completion.username
@click.argument("tag", nargs=-1)
def set_user_tags(session: Session, username: str, tag: tuple[str, ...]) -> None:
    """Replace a user's tags, which say what it may do in the management API.

    There are administrator, monitoring, policymaker and management; others are your own. Without
    TAG the user has none, and may not use the management API.
    """
    session.out.note(f'Setting tags for user "{username}" to [{", ".join(tag)}] ...')
    user = _user(session.api, username)
    kept = {key: user[key] for key in ("password_hash", "hashing_algorithm") if user.get(key)}
    body = {"password_hash": "", **kept, "tags": ",".join(tag)}
    session.api.put("users", username, body=body)
    session.out.done()


def is_password_of(session: Session, username: str, password: str) -> bool:
    """Whether a user could log in with that password."""
    chosen = session.target
    theirs = Target(
        chosen.url, chosen.data_dir, username=username, password=password, ca_file=chosen.ca_file
    )
    try:
        Api(theirs, session.timeout_s).get("whoami")
    except Refused as refusal:
        # A user without a tag may not use the API, but proved to be who they are.
        return refusal.status == 401 and "login failed" not in refusal.reason.lower()
    return True


@command
@completion.username
@click.argument("password", required=False)
def authenticate_user(session: Session, username: str, password: str | None) -> None:
    """Tell whether a password is a user's."""
    session.out.note(f'Authenticating user "{username}" ...')
    if not is_password_of(session, username, session.new_secret(password, "Password")):
        raise Failure(
            f"failed to authenticate user \"{username}\"\nuser '{username}' - invalid credentials",
            EX_DATAERR,
        )
    session.out.answer("Success", {"message": "Success"})


@command
@click.argument("password", required=False)
def hash_password(session: Session, password: str | None) -> None:
    """Show the hash of a password, for definitions and add_user --pre-hashed-password."""
    secret = session.new_secret(password, "Password")
    salt = os.urandom(4)
    hashed = salt + hashlib.sha256(salt + secret.encode()).digest()
    shown = base64.b64encode(hashed).decode()
    session.out.answer(shown, {"result": "ok", "value": shown})


@command
@completion.username
@click.argument("configure")
@click.argument("write")
@click.argument("read")
def set_permissions(session: Session, username: str, configure: str, write: str, read: str) -> None:
    """Let a user configure, write to and read from what has a name that matches.

    CONFIGURE, WRITE and READ are regular expressions: '.*' is everything, '' is nothing.
    """
    session.out.note(f'Setting permissions for user "{username}" in vhost "{session.vhost}" ...')
    _check(session, username)
    body = {"configure": configure, "write": write, "read": read}
    session.api.put("permissions", session.vhost, username, body=body)
    session.out.done()


@command
@completion.username
def clear_permissions(session: Session, username: str) -> None:
    """Take a user's permissions in a virtual host away."""
    session.out.note(f'Clearing permissions for user "{username}" in vhost "{session.vhost}" ...')
    _check(session, username)
    _delete_if_there(session.api, "permissions", session.vhost, username)
    session.out.done()


@command
def list_permissions(session: Session) -> None:
    """List who may do what in a virtual host."""
    session.out.heading(f'Listing permissions for vhost "{session.vhost}" ...')
    found = _in_vhost(session, "permissions")
    show(session, {"user": Column("user"), **_PERMISSION}, found)


@command
@completion.username
def list_user_permissions(session: Session, username: str) -> None:
    """List what a user may do in each virtual host."""
    session.out.heading(f'Listing permissions for user "{username}" ...')
    found = _of_user(session.api, username, "permissions")
    show(session, {"vhost": Column("vhost"), **_PERMISSION}, found)


@command
@completion.username
@click.argument("exchange")
@click.argument("write")
@click.argument("read")
def set_topic_permissions(
    session: Session, username: str, exchange: str, write: str, read: str
) -> None:
    """Limit which routing keys a user may use with a topic exchange."""
    session.out.note(
        f'Setting topic permissions on "{exchange}" for user "{username}" '
        f'in vhost "{session.vhost}" ...'
    )
    _check(session, username)
    body = {"exchange": exchange, "write": write, "read": read}
    session.api.put("topic-permissions", session.vhost, username, body=body)
    session.out.done()


@command
@completion.username
@click.argument("exchange", required=False)
def clear_topic_permissions(session: Session, username: str, exchange: str | None) -> None:
    """Lift the limits on a user's routing keys, for one exchange or for all."""
    on = f'on "{exchange}" ' if exchange else ""
    session.out.note(
        f'Clearing topic permissions {on}for user "{username}" in vhost "{session.vhost}" ...'
    )
    _check(session, username)
    path = ("topic-permissions", session.vhost, username, *([exchange] if exchange else []))
    _delete_if_there(session.api, *path)
    session.out.done()


@command
def list_topic_permissions(session: Session) -> None:
    """List the limits on routing keys in a virtual host."""
    session.out.heading(f'Listing topic permissions for vhost "{session.vhost}" ...')
    found = _in_vhost(session, "topic-permissions")
    show(session, {"user": Column("user"), **_TOPIC}, found)


@command
@completion.username
def list_user_topic_permissions(session: Session, username: str) -> None:
    """List the limits on a user's routing keys."""
    session.out.heading(f'Listing topic permissions for user "{username}" ...')
    found = _of_user(session.api, username, "topic-permissions")
    show(session, {"vhost": Column("vhost"), **_TOPIC}, found)


@command
@completion.username
@click.argument("definition")
def set_user_limits(session: Session, username: str, definition: str) -> None:
    """Limit how many connections and channels a user may have.

    DEFINITION is JSON with max-connections, max-channels or both.
    """
    session.out.note(f'Setting user limits to "{definition}" for user "{username}" ...')
    _user(session.api, username, EX_UNAVAILABLE)
    for name, value in parse(definition).items():
        session.api.put("user-limits", username, name, body={"value": value})
    session.out.done()


@command
@completion.username
@click.argument("limit")
def clear_user_limits(session: Session, username: str, limit: str) -> None:
    """Lift a user's LIMIT: max-connections, max-channels or all."""
    every = limit == "all"
    what = "all limits" if every else f'"{limit}" limit'
    session.out.note(f'Clearing {what} for user "{username}" ...')
    _user(session.api, username, EX_UNAVAILABLE)
    for name in ("max-connections", "max-channels") if every else (limit,):
        _delete_if_there(session.api, "user-limits", username, name)
    session.out.done()


@command
@click.option("--user", metavar="NAME", help="Of this user only.")
@click.option("--global", "every", is_flag=True, help="Of all users, which is the default.")
def list_user_limits(session: Session, user: str | None, every: bool) -> None:
    """List limits of users."""
    if user is None or every:
        session.out.heading("Listing limits for all users ...")
        columns = {"user": Column("user"), "limits": Column("value", Kind.DOCUMENT)}
        show(session, columns, session.api.get("user-limits"))
        return
    session.out.heading(f'Listing limits for user "{user}" ...')
    _user(session.api, user, EX_UNAVAILABLE)
    found = session.api.find("user-limits", user) or []
    limits = found[0]["value"] if found else {}
    session.out.answer(compact(limits), limits)


def _user(api: Api, username: str, exit_code: int = EX_NOUSER) -> Json:
    with absent_is(_no_user(username, exit_code)):
        return api.get("users", username)


def _no_user(username: str, exit_code: int = EX_NOUSER) -> Failure:
    return Failure(f'User "{username}" does not exist', exit_code)


def _tag_text(user: Json) -> str:
    return ",".join(tags(user.get("tags")))


def _check(session: Session, username: str) -> None:
    """Answer for a user or vhost that does not exist as rabbitmqctl does."""
    _user(session.api, username)
    with absent_is(Failure(f"Virtual host {session.vhost} does not exist")):
        session.api.get("vhosts", session.vhost)


def _in_vhost(session: Session, what: str) -> list[Json]:
    with absent_is(NoVhost(session.vhost)):
        found: list[Json] = session.api.get("vhosts", session.vhost, what)
    return found


def _of_user(api: Api, username: str, what: str) -> list[Json]:
    with absent_is(_no_user(username, EX_UNAVAILABLE)):
        found: list[Json] = api.get("users", username, what)
    return found


def _delete_if_there(api: Api, *path: str) -> None:
    with contextlib.suppress(NotFound):
        api.delete(*path)
