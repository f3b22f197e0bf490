"""The backend for LDAP: its queries by themselves, and logins at a real directory (OpenLDAP)."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.access.backend import Login, Refused, Unavailable
from broker.access.ldap import Ldap
from broker.access.ldap_query import QueryError, ask, escape_dn, filled, parse
from broker.config import load
from broker.core.permissions import Question, ResourceAccess, TopicAccess, VhostAccess
from conformance.directory import READER, program, serving

# -- queries --------------------------------------------------------------------------------------

GROUPS = {"cn=inner": ["cn=ann"], "cn=outer": ["cn=inner"], "cn=other": ["cn=bob"]}
VARIABLES = {"username": "ann", "user_dn": "cn=ann", "vhost": "v1", "permission": "write"}


class Directory:
    """A directory of groups."""

    def exists(self, dn: str) -> bool:
        """Whether it is a group."""
        return dn in GROUPS

    def has_member(self, group: str, attribute: str, member: str) -> bool:
        """Whether the group has it."""
        return attribute == "member" and member in GROUPS.get(group, [])

    def groups_of(self, attribute: str, member: str) -> list[str]:
        """The groups that have it."""
        return [group for group in GROUPS if self.has_member(group, attribute, member)]

    def values(self, dn: str, attribute: str) -> list[str]:
        """Two values for everything."""
        return [f"{dn}/{attribute}", "two"]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("{constant, true}", True),
        ("{constant, false}.", False),
        ('{exists, "cn=inner"}', True),
        ('{exists, "cn=${vhost}"}', False),
        ('{in_group, "cn=inner"}', True),
        ('{in_group, "cn=outer"}', False),
        ('{in_group, "cn=inner", "uniqueMember"}', False),
        ('{in_group_nested, "cn=outer"}', True),
        ('{in_group_nested, "cn=other", "member", subtree}', False),
        ('{match, {string, "${vhost}"}, {string, "^v[0-9]$"}}', True),
        ('{match, {string, "${vhost}"}, {string, "^w"}}', False),
        ('{match, {string, "x"}, {string, "("}}', False),
        (f'{{match, {{string, "{"a" * 250}!"}}, {{string, "^(a+)+$"}}}}', False),
        ('{match, {attribute, "${user_dn}", "mail"}, {string, "^cn=ann/mail$"}}', True),
        ('{equals, "${username}", {string, "ann"}}', True),
        ('{equals, {attribute, "x", "y"}, "two"}', True),
        ("{'not', {constant, true}}", False),
        ("{'and', [{constant, true}, {constant, false}]}", False),
        ("{'or', [{constant, true}, {constant, false}]}", True),
        ("{for, [{permission, write, {constant, true}}]}", True),
        ("{for, [{permission, read, {constant, true}}]}", False),
        ('{equals, "${nobody}", "${nobody}"}', True),
    ],
)
def test_queries(query: str, answer: bool) -> None:
    """Each kind of query has the answer RabbitMQ's manual gives it."""
    assert ask(parse(query), VARIABLES, Directory()) is answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{constant}",
        "{nonsense, 1}",
        "constant",
        '{exists, "a"} x',
        "{'and', {constant}}",
        "[a]",
        "{for, [{a, {constant, true}}]}",
        "{" * 1000,
        '{exists, "a}',
        "{'not', constant}",
        '{exists, {string, "a"}}',
    ],
)
def test_what_is_no_query(text: str) -> None:
    """What cannot be asked is found when it is read, not when somebody logs in."""
    with pytest.raises(QueryError):
        parse(text)


@given(st.text(max_size=40) | st.text("{}[],'\" abc", max_size=40))
def test_any_text(text: str) -> None:
    """Any text is a query or is refused in one way."""
    with contextlib.suppress(QueryError):
        query = parse(text)
        for one in [one for _, one in query] if isinstance(query, list) else [query]:
            ask(one, VARIABLES, Directory())


@given(st.text(max_size=20))
def test_a_name_stays_in_its_place(name: str) -> None:
    """No name reaches beyond its value in a DN."""
    dn = filled("cn=${username},dc=x", {"username": name}, escape_dn)
    bare = dn.removeprefix("cn=").removesuffix(",dc=x")
    assert not any(octet in ',+"<>;=#' and bare[:at][-1:] != "\\" for at, octet in enumerate(bare))


# -- a directory ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a private OpenLDAP server."""
    if program() is None:
        pytest.skip("OpenLDAP's server (Debian: slapd) is not installed")
    with serving(tmp_path_factory.mktemp("ldap")) as port:
        yield port


def backend(port: int, **options: str) -> Ldap:
    """The backend for the directory."""
    settings = {
        "servers.1": "127.0.0.1",
        "port": str(port),
        "user_dn_pattern": "cn=${username},dc=test",
        "timeout": "2000",
        **options,
    }
    lines = [f"auth_ldap.{key.replace('__', '.')}={settings[key]}" for key in settings]
    return Ldap(load(None, lines, {})[0].auth_ldap)


def log_in(backend: Ldap, name: str, password: bytes | None, *questions: Question) -> Any:
    """Log in, and ask; gives the tags and the answers."""

    async def run() -> Any:
        granted = await backend.authenticate(Login(name, password))
        answers = [granted.may(question) for question in questions]
        return granted.tags, [a if isinstance(a, bool) else await a for a in answers]

    return asyncio.run(run())


ADMINS = '{in_group, "cn=admins,dc=test"}'
QUEUE = ResourceAccess("/", "queue", "q", "write")
AS_READER = {"user_dn": READER[0], "password": READER[1]}


def test_login_is_a_bind(directory: int) -> None:
    """The right password lets in; a wrong or empty one, or an unknown user, does not."""
    ldap = backend(directory)
    assert log_in(ldap, "ann", b"secret", VhostAccess("/"), QUEUE) == (frozenset(), [True, True])
    for name, password in (("ann", b"wrong"), ("ann", b""), ("eve", b"x"), ("", b""), ("*", b"x")):
        with pytest.raises(Refused):
            log_in(ldap, name, password)


def test_queries_at_the_directory(directory: int) -> None:
    """Tags and permissions are what the queries say of this user, asked as the user or another."""
    queries = {
        "queries__tags": f"[{{administrator, {ADMINS}}}, {{management, {{constant, false}}}}]",
        "queries__vhost_access": '{exists, "cn=${vhost},dc=test"}',
        "queries__resource_access": f"{{for, [{{permission, write, {ADMINS}}}]}}",
        "queries__topic_access": '{match, {attribute, "${user_dn}", "sn"}, {string, "^Sm"}}',
    }
    asked = (
        VhostAccess("admins"),
        VhostAccess("none"),
        QUEUE,
        ResourceAccess("/", "queue", "q", "read"),
        TopicAccess("/", "x", "write", "k"),
    )
    told = (frozenset({"administrator"}), [True, False, True, False, True])
    assert log_in(backend(directory, **queries), "ann", b"secret", *asked) == told
    other = {f"other_bind__{key}": value for key, value in AS_READER.items()}
    assert log_in(backend(directory, **queries, **other), "ann", b"secret", *asked) == told
    _, answers = log_in(backend(directory, **queries), "reader", b"reading", *asked)
    assert answers == [True, False, False, False, False]


def test_entries_found_by_an_attribute(directory: int) -> None:
    """With dn_lookup_attribute a user is found by it; a name with a filter in it is a name."""
    lookup = {f"dn_lookup_bind__{key}": value for key, value in AS_READER.items()}
    ldap = backend(directory, dn_lookup_attribute="sn", dn_lookup_base="dc=test", **lookup)
    log_in(ldap, "Smith", b"secret")
    for name in ("*", "Smith)(cn=*", "nobody"):
        for password in (b"secret", None):
            with pytest.raises(Refused):
                log_in(ldap, name, password)
    log_in(ldap, "bob", b"secret")  # not found, but the pattern's


def test_users_that_others_authenticated(directory: int) -> None:
    """Without a password the user needs another way to be asked about, and gets no bind."""
    with pytest.raises(Refused):
        log_in(backend(directory), "ann", None)
    other = {f"other_bind__{key}": value for key, value in AS_READER.items()}
    tags = {"queries__tags": f"[{{monitoring, {ADMINS}}}]"}
    assert log_in(backend(directory, **tags, **other), "ann", None)[0] == {"monitoring"}


def test_a_directory_that_is_away() -> None:
    """Without the directory nobody gets in."""
    with pytest.raises(Unavailable, match="LDAP"):
        log_in(backend(1), "ann", b"secret")
