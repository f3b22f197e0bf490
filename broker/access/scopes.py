"""Scopes of OAuth 2.0 tokens: ``permission:vhost/name/routing_key``, with ``*`` for any octets.

``tag:NAME`` gives the user a tag. A scope counts if it has the resource server's prefix. Parts that
are left out are ``*``; a ``%2F`` and the like is decoded after the parts are told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from broker.core.permissions import Question, TopicAccess, VhostAccess

PERMISSIONS = ("configure", "write", "read")


class Scope(NamedTuple):
    """One permission; the others are patterns."""

    permission: str
    vhost: str
    name: str
    routing_key: str

    def allows(self, question: Question) -> bool:
        """Whether it has the answer yes. Any permission in a vhost is access to it."""
        if not matches(self.vhost, question.vhost):
            return False
        if isinstance(question, VhostAccess):
            return True
        if question.permission != self.permission:
            return False
        if isinstance(question, TopicAccess):
            named = matches(self.name, question.exchange)
            return named and matches(self.routing_key, question.routing_key)
        return matches(self.name, question.name)


def parse(texts: Iterable[str], prefix: str) -> tuple[list[Scope], frozenset[str]]:
    """Give the permissions and the tags among scopes; what is neither is not ours."""
    scopes, tags = [], set()
    for text in texts:
        if not text.startswith(prefix):
            continue
        permission, colon, rest = text.removeprefix(prefix).partition(":")
        if permission == "tag" and rest:
            tags.add(rest)
        elif permission in PERMISSIONS and colon and rest:
            parts = [*rest.split("/", 2), "*", "*"]
            scopes.append(Scope(permission, *parts[:3]))
    return scopes, frozenset(tags)


def texts_in(claims: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """Give the scopes in some claims, each a list, or a text with blanks between them.

    A key with dots is a way into nested claims. What else is there is no scope.
    """
    found: list[str] = []
    for key in keys:
        value: Any = claims
        for step in key.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            found += value.split()
        elif isinstance(value, list):
            found += [text for text in value if isinstance(text, str)]
    return found


def resolve(texts: Iterable[str], aliases: Mapping[str, str]) -> list[str]:
    """Put what an alias stands for in its place."""
    return [one for text in texts for one in aliases.get(text, text).split()]


def matches(pattern: str, text: str) -> bool:
    """Whether the text is the pattern with any octets in place of each ``*``.

    Piece by piece from the left: each search goes on behind the last, so the work is linear in
    practice and bounded by the product of the lengths whatever the pattern.
    """
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
