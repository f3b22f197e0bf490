"""Queries about what an LDAP user may do, in the notation of RabbitMQ: ``{in_group, "cn=..."}``.

Owns: reading a query (``parse``, with the terms of Erlang that it is made of) and answering it
(``ask``), given a ``Directory`` to look things up in. ``${name}`` in a text stands for a variable
of the question; in a DN it is escaped, so that no name reaches beyond its place.

Queries: constant, exists, in_group, in_group_nested, match, equals, attribute, string, for, not,
and, or; or a list of tags with a query each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from broker.core.pattern import InvalidPattern, Pattern

_TOKEN = re.compile(r"""\s*(?:([{}\[\],])|"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|([a-z]\w*))""")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
NESTED_MAX = 32  # how deep a query may be, and groups in groups


class QueryError(ValueError):
    """A query that cannot be asked."""


class Word(str):
    """An Erlang atom."""


class Directory(Protocol):
    """What a query can look up; each DN is whole."""

    def exists(self, dn: str) -> bool:
        """Whether there is such an entry."""

    def has_member(self, group: str, attribute: str, member: str) -> bool:
        """Whether the entry has this DN among the values of the attribute."""

    def groups_of(self, attribute: str, member: str) -> list[str]:
        """The groups below the base of groups that have this DN as a member."""

    def values(self, dn: str, attribute: str) -> list[str]:
        """The values of an attribute."""


def parse(text: str) -> Any:
    """Read a query: tuples, lists, texts and words. Raises ``QueryError``."""
    tokens = _tokens(text)
    term, rest = _term(tokens, 0)
    if tokens[rest:] not in ([], ["."]):
        raise QueryError("there is something behind the query")
    _check(term)
    return term


def _tokens(text: str) -> list[Any]:
    tokens: list[Any] = []
    position, text = 0, text.strip().removesuffix(".")
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise QueryError(f"it cannot be read from {text[position : position + 20]!r} on")
        mark, quoted, atom, word = found.groups()
        if mark:
            tokens.append(mark)
        elif quoted is not None:
            tokens.append(("text", re.sub(r"\\(.)", r"\1", quoted)))
        else:
            tokens.append(("word", Word(atom or word)))
        position = found.end()
    return tokens


def _term(tokens: list[Any], at: int, depth: int = 0) -> tuple[Any, int]:
    if at >= len(tokens) or depth > NESTED_MAX:
        raise QueryError("it ends too early" if depth <= NESTED_MAX else "it is nested too deep")
    token = tokens[at]
    if isinstance(token, tuple):
        return token[1], at + 1
    closing = {"{": "}", "[": "]"}.get(token)
    if closing is None:
        raise QueryError(f"{token!r} is in the wrong place")
    members: list[Any] = []
    at += 1
    while tokens[at : at + 1] != [closing]:
        if members:
            if tokens[at : at + 1] != [","]:
                raise QueryError(f"a comma or {closing!r} is missing")
            at += 1
        member, at = _term(tokens, at, depth + 1)
        members.append(member)
    return (tuple(members) if closing == "}" else members), at + 1


def _check(term: Any) -> None:
    """See that every query in a term is one that can be asked."""
    if isinstance(term, list):
        for pair in term:
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise QueryError("a list has to be of {tag, query}")
            _check(pair[1])
        return
    if not (isinstance(term, tuple) and term and isinstance(term[0], Word)):
        raise QueryError(f"{term!r} is no query")
    lengths, nested = _FORMS.get(term[0], ((), ()))
    if len(term) not in lengths:
        raise QueryError(f"{{{term[0]}, ...}} is no query with {len(term) - 1} parts")
    if not nested and not all(isinstance(part, str) for part in term[1:]):
        raise QueryError(f"{{{term[0]}, ...}} has to be of texts")
    for part in nested:
        for query in _parts(term, part):
            _check(query)


def _parts(term: tuple[Any, ...], part: int) -> list[Any]:
    """The queries in one place of a query."""
    value = term[part]
    if term[0] == "for":
        if not all(isinstance(one, tuple) and len(one) == 3 for one in value):
            raise QueryError("{for, ...} has to be of {variable, value, query}")
        return [query for _, _, query in value]
    if term[0] in ("match", "equals") and isinstance(value, str):
        return []
    return list(value) if term[0] in ("and", "or") else [value]


# Word: (lengths of the tuple, places that hold queries)
_FORMS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "constant": ((2,), ()),
    "exists": ((2,), ()),
    "in_group": ((2, 3), ()),
    "in_group_nested": ((2, 3, 4), ()),
    "match": ((3,), (1, 2)),
    "equals": ((3,), (1, 2)),
    "attribute": ((3,), ()),
    "string": ((2,), ()),
    "for": ((2,), (1,)),
    "not": ((2,), (1,)),
    "and": ((2,), (1,)),
    "or": ((2,), (1,)),
}


def ask(query: Any, variables: Mapping[str, str], directory: Directory) -> bool:
    """Answer a query that ``parse`` has read."""
    word, *parts = query
    if word == "constant":
        return bool(parts[0] == "true")
    if word == "not":
        return not ask(parts[0], variables, directory)
    if word == "and":
        return all(ask(one, variables, directory) for one in parts[0])
    if word == "or":
        return any(ask(one, variables, directory) for one in parts[0])
    if word == "for":
        for variable, value, one in parts[0]:
            if variables.get(variable) == value:
                return ask(one, variables, directory)
        return False
    if word in ("match", "equals"):
        compare = _equal if word == "equals" else _match
        subjects, objects = (_texts(part, variables, directory) for part in parts)
        return any(compare(subject, one) for subject in subjects for one in objects)
    if word == "exists":
        return directory.exists(filled(parts[0], variables, escape_dn))
    if word in ("in_group", "in_group_nested"):
        group = filled(parts[0], variables, escape_dn)
        attribute = parts[1] if len(parts) > 1 else "member"
        if word == "in_group":
            return directory.has_member(group, attribute, variables["user_dn"])
        return _in_group_nested(group, attribute, variables["user_dn"], directory)
    raise QueryError(f"{{{word}, ...}} has no answer of yes or no")


def _in_group_nested(group: str, attribute: str, member: str, directory: Directory) -> bool:
    seen, reached = {member.lower()}, [member]
    for _ in range(NESTED_MAX):
        if any(directory.has_member(group, attribute, one) for one in reached):
            return True
        above = [dn for one in reached for dn in directory.groups_of(attribute, one)]
        reached = [dn for dn in above if dn.lower() not in seen]
        seen |= {dn.lower() for dn in reached}
    return False


def _texts(query: Any, variables: Mapping[str, str], directory: Directory) -> list[str]:
    if isinstance(query, str):
        return [filled(query, variables)]
    if query[0] == "string":
        return [filled(query[1], variables)]
    if query[0] == "attribute":
        return directory.values(filled(query[1], variables, escape_dn), query[2])
    raise QueryError(f"{{{query[0]}, ...}} is no text")


def _equal(one: str, other: str) -> bool:
    return one == other


def _match(subject: str, pattern: str) -> bool:
    try:
        return Pattern(pattern).matches(subject)
    except InvalidPattern:
        return False


def filled(
    text: str, variables: Mapping[str, str], escape: Callable[[str], str] = lambda value: value
) -> str:
    """Put variables in their places; one that is not there stays as it is written."""

    def value_of(found: re.Match[str]) -> str:
        name = found[1]
        if name not in variables:
            return found[0]
        return variables[name] if name == "user_dn" else escape(variables[name])

    return _VARIABLE.sub(value_of, text)


def escape_dn(value: str) -> str:
    """Write a value so that it is one value in a DN (RFC 4514)."""
    escaped = re.sub(r'([,+"\\<>;=#])', r"\\\1", value).replace("\0", r"\00")
    if escaped[:1] == " ":
        escaped = "\\" + escaped
    return escaped[:-1] + "\\ " if escaped[-1:] == " " and len(escaped) > 1 else escaped
