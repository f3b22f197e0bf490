"""Scopes of OAuth 2.0 tokens: ``permission:vhost/name/routing_key``, with ``*`` for any octets.

``tag:NAME`` gives the user a tag. A scope counts if it has the resource server's prefix. Without a
routing key it says nothing of topics. A ``%2F`` and the like is decoded after the parts are told
apart; ``{vhost}`` stands for the vhost that is asked about, and ``{NAME}`` for the claim of that
name if it is a text. A value put in their place is itself only: a star in a claim is a star.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from broker.core.permissions import Question, TopicAccess, VhostAccess

PERMISSIONS = ("configure", "write", "read")
_VARIABLE = re.compile(r"\{([^{}]*)\}")


class Scope(NamedTuple):
    """One permission; the others are patterns."""

    permission: str
    vhost: str
    name: str
    routing_key: str | None

    def allows(self, question: Question) -> bool:
        """Whether it has the answer yes. Any permission in a vhost is access to it."""
        here = question.vhost
        if not matches(self.vhost, here, here):
            return False
        if isinstance(question, VhostAccess):
            return True
        if question.permission != self.permission:
            return False
        if isinstance(question, TopicAccess):
            if self.routing_key is None or not matches(self.name, question.exchange, here):
                return False
            return matches(self.routing_key, question.routing_key, here)
        return matches(self.name, question.name, here)


def parse(
    texts: Iterable[str], prefix: str, claims: Mapping[str, Any] = {}
) -> tuple[list[Scope], frozenset[str]]:
    """Give the permissions and the tags among scopes; what is neither is not ours."""
    scopes, tags = [], set()
    for text in texts:
        if not text.startswith(prefix):
            continue
        permission, _, rest = text.removeprefix(prefix).partition(":")
        parts = [_with_claims(part, claims) for part in rest.split("/")]
        if permission == "tag" and rest:
            tags.add(rest)
        elif permission in PERMISSIONS and len(parts) in (2, 3):
            key = parts[2] if len(parts) == 3 else None
            scopes.append(Scope(permission, parts[0], parts[1], key))
    return scopes, frozenset(tags)


def _with_claims(part: str, claims: Mapping[str, Any]) -> str:
    def value_of(variable: re.Match[str]) -> str:
        value = claims.get(variable[1]) if variable[1] != "vhost" else None
        return quote(value, safe="") if isinstance(value, str) else variable[0]

    return _VARIABLE.sub(value_of, part)


def texts_in(claims: Mapping[str, Any], keys: Iterable[str], server: str) -> list[str]:
    """Give the scopes in some claims, each a list, or a text with blanks between them.

    A key with dots is a way into nested claims, and into each of a list of them. Where its end is
    an object, what it has under the name of the resource ``server`` are scopes without the prefix.
    """
    found: list[str] = []
    for key in keys:
        values: list[Any] = [claims]
        for step in key.split("."):
            inside = [v[step] for v in values if isinstance(v, Mapping) and step in v]
            values = [one for v in inside for one in (v if _is_list_of_objects(v) else [v])]
        for value in values:
            if isinstance(value, Mapping):
                found += [f"{server}.{text}" for text in _texts(value.get(server))]
            else:
                found += _texts(value)
    return found


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, Mapping) for one in value)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split()
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def resolve(texts: Iterable[str], aliases: Mapping[str, str]) -> list[str]:
    """Put what an alias stands for in its place."""
    return [one for text in texts for one in aliases.get(text, text).split()]


def matches(pattern: str, text: str, vhost: str = "") -> bool:
    """Whether the text is the pattern with any octets in place of each ``*``.

    Piece by piece from the left: each search goes on behind the last, so the work is linear in
    practice and bounded by the product of the lengths whatever the pattern.
    """
    pattern = pattern.replace("{vhost}", quote(vhost, safe=""))
    first, *pieces = [unquote(piece) for piece in pattern.split("*")]
    if not pieces:
        return text == first
    last = pieces.pop()
    if not text.startswith(first) or len(text) < len(first) + len(last):
        return False
    end = len(text) - len(last)
    if not text.endswith(last):
        return False
    position = len(first)
    for piece in pieces:
        position = text.find(piece, position, end)
        if position < 0:
            return False
        position += len(piece)
    return True
