"""rabbitmqctl's ``eval``: the one expression that a tool depends on, and a refusal of all others.

Puppet's module asks in this way whether a user has the password of its manifest, each time it runs,
and looks for the word "refused" in the answer. No Erlang is evaluated: the expression is recognised
as a whole and answered like ``authenticate_user``.
"""

from __future__ import annotations

import re

import click

from broker.admin.command import Session
from broker.admin.failure import EX_USAGE, Failure
from broker.admin.refused import ANY_ARGUMENTS, REFUSED
from broker.admin.users import is_password_of

_TEXT = r'list_to_binary\("((?:[^"\\]|\\.)*)"\)'
_LOGIN = re.compile(
    rf"\s*rabbit_access_control:check_user_pass_login\(\s*{_TEXT}\s*,\s*{_TEXT}\s*\)\.?\s*"
)


@click.command(
    "eval", help=REFUSED["eval"], short_help=REFUSED["eval"], context_settings=ANY_ARGUMENTS
)
@click.argument("words", metavar="...", nargs=-1)
@click.pass_obj
def eval(session: Session, words: tuple[str, ...]) -> None:
    """Answer what Puppet asks: whether a password is a user's."""
    found = _LOGIN.fullmatch(" ".join(words))
    if found is None:
        raise Failure(f"eval is not possible. {REFUSED['eval']}", EX_USAGE)
    name, password = (re.sub(r"\\(.)", r"\1", text) for text in found.groups())
    user = f'<<"{name}">>'
    if is_password_of(session, name, password):
        tags = ",".join((session.api.find("users", name) or {}).get("tags", ()))
        answer = f"{{ok,{{user,{user},[{tags}],[{{rabbit_auth_backend_internal,none}}]}}}}"
    else:
        answer = f"{{refused,{user},\"user '~s' - invalid credentials\",[{user}]}}"
    session.out.answer(answer, answer)
