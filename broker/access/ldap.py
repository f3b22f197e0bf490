"""The backend that asks an LDAP directory: a login is a bind, what a user may do are queries.

ldap3 waits for its answers, so all of it runs on threads of its own.

Invariant: no bind without a password. A directory takes it for an anonymous one, and lets it in.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from asyncio import Future
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import ldap3
from ldap3.core.exceptions import LDAPException, LDAPOperationResult
from ldap3.utils.conv import escape_filter_chars

from broker.access.backend import Granted, Login, Refused, Unavailable, later
from broker.access.ldap_query import QueryError, ask, escape_dn, filled, parse
from broker.config import ConfigError
from broker.core.permissions import Question, ResourceAccess, VhostAccess
from broker.net.client_tls import client_context

if TYPE_CHECKING:
    from broker.config.sections import LdapAuth

THREADS = 8
USERNAME = "${username}"

Answer = TypeVar("Answer")
Way = tuple[str | None, str | None, str]
_log = logging.getLogger("leveret.auth")


class Ldap:
    """See ``Backend``."""

    def __init__(self, options: LdapAuth) -> None:
        self._options = options
        self._queries = _queries(options)
        # How connections for lookups are bound: as whom, and if that is nobody, in which way.
        self._lookups = (
            options.dn_lookup_user_dn,
            options.dn_lookup_password,
            options.dn_lookup_bind,
        )
        self._others = (options.other_user_dn, options.other_password, options.other_bind)
        encrypted = options.use_ssl or options.use_starttls
        tls = _Tls(client_context("auth_ldap.ssl_options", options)) if encrypted else None
        self._timeout_s = None if options.timeout_ms is None else max(1, options.timeout_ms // 1000)
        self._servers = [
            ldap3.Server(
                host,
                options.port,
                use_ssl=options.use_ssl,
                tls=tls,
                get_info=ldap3.NONE,
                connect_timeout=self._timeout_s,
            )
            for host in options.servers
        ]
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ldap")

    async def authenticate(self, login: Login) -> Granted:
        """Bind as the user; without a password, proven otherwise, look for the user only."""
        if login.password is not None and not login.password:
            raise Refused(f"user '{login.name}' - invalid credentials")
        secret = None if login.password is None else login.password.decode("utf-8", "replace")
        return await self._run(lambda: self._login(login.name, secret))

    async def authorize(self, login: Login) -> Granted:
        """The user has to be known here."""
        return await self.authenticate(Login(login.name, None, login.peer_host))

    async def close(self) -> None:
        """End the threads when they are done."""
        self._threads.shutdown(wait=False)

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (LDAPException, OSError) as error:
            servers = ", ".join(self._options.servers)
            raise Unavailable(f"LDAP ({servers}): {type(error).__name__}") from None

    # -- on a thread -------------------------------------------------------------------

    def _login(self, name: str, secret: str | None) -> Granted:
        pattern = self._options.user_dn_pattern
        dn = filled(pattern, {"username": name}, str if pattern == USERNAME else escape_dn)
        if self._options.dn_lookup_attribute is not None:
            with self._bound(self._lookups, dn, secret) as connection:
                found = self._look_up(connection, name)
            if len(found) != 1 and secret is None:
                attribute = self._options.dn_lookup_attribute
                raise Refused(f"user '{name}' - {len(found)} entries with this {attribute}")
            # As RabbitMQ has it: who is not found may still be whom the pattern names, by a bind.
            dn = found[0] if len(found) == 1 else dn
        if secret is not None:
            pattern = self._options.user_bind_pattern or "${user_dn}"
            as_user = filled(pattern, {"username": name, "user_dn": dn}, escape_dn)
            self._bind(as_user, secret).unbind()
        variables = {"username": name, "user_dn": dn}
        with self._bound(self._others, dn, secret) as connection:
            directory = _Directory(connection, self._options.group_lookup_base)
            tags = frozenset(
                str(tag) for tag, query in self._queries["tags"] if ask(query, variables, directory)
            )

        def may(question: Question) -> Future[bool]:
            return later(self._may(variables, secret, question))

        return Granted(name, may, tags, asks_outside=True)

    def _look_up(self, connection: Any, name: str) -> list[str]:
        attribute = self._options.dn_lookup_attribute
        connection.search(
            self._options.dn_lookup_base, f"({attribute}={escape_filter_chars(name)})"
        )
        answers = connection.response
        return [str(entry["dn"]) for entry in answers if entry["type"] == "searchResEntry"]

    def _bind(self, dn: str | None, secret: str | None) -> Any:
        if dn is not None and not secret:
            raise Refused("a bind needs a password")
        connection = self._connect(dn, secret)
        try:
            connection.bind()
        except LDAPOperationResult as error:
            raise Refused(f"'{dn}' cannot bind: {error.description}") from None
        return connection

    def _connect(self, dn: str | None, secret: str | None) -> Any:
        """Connect to the first server that can be reached."""
        for server in self._servers:
            connection = ldap3.Connection(
                server,
                user=dn,
                password=secret,
                read_only=True,
                raise_exceptions=True,
                receive_timeout=self._timeout_s,
            )
            try:
                connection.open()
                if self._options.use_starttls:
                    connection.start_tls()
            except (LDAPException, OSError) as error:
                text, whose = "LDAP server %s cannot be used: %s", {"source": ""}
                _log.warning(text, server.host, type(error).__name__, extra=whose)
            else:
                return connection
        raise Unavailable(f"LDAP: no answer from {', '.join(self._options.servers)}")

    @contextmanager
    def _bound(self, way: Way, dn: str, secret: str | None) -> Iterator[Any]:
        """A connection for lookups, bound in one of the ways, for the user of this DN."""
        service_dn, password, how = way
        if service_dn is not None:
            connection = self._bind(service_dn, password)
        elif how == "anon":
            connection = self._bind(None, None)
        else:
            connection = self._bind(dn, secret)
        try:
            yield connection
        finally:
            connection.unbind()

    def _answer(self, variables: dict[str, str], secret: str | None, question: Question) -> bool:
        if isinstance(question, VhostAccess):
            query, more = self._queries["vhost_access"], {}
        elif isinstance(question, ResourceAccess):
            query = self._queries["resource_access"]
            more = {"resource": question.kind, "name": question.name}
        else:
            query = self._queries["topic_access"]
            more = {"resource": "topic", "name": question.exchange}
            more["routing_key"] = question.routing_key
        if not isinstance(question, VhostAccess):
            more["permission"] = question.permission
        variables = {**variables, "vhost": question.vhost, **more}
        if query[0] == "constant":
            return ask(query, variables, _NOWHERE)
        with self._bound(self._others, variables["user_dn"], secret) as connection:
            return ask(query, variables, _Directory(connection, self._options.group_lookup_base))

    # -- in the loop -------------------------------------------------------------------

    async def _may(self, variables: dict[str, str], secret: str | None, question: Question) -> bool:
        try:
            return await self._run(lambda: self._answer(variables, secret, question))
        except Refused as reason:
            _log.error("a backend cannot be asked: %s", reason, extra={"source": ""})
            return False


class _Directory:
    """What queries look up, over one connection."""

    def __init__(self, connection: Any, group_base: str) -> None:
        self._connection = connection
        self._group_base = group_base

    def _search(self, base: str, where: str, scope: str, attributes: list[str]) -> list[Any]:
        try:
            self._connection.search(base, where, scope, attributes=attributes)
        except LDAPOperationResult as error:
            if error.description in ("noSuchObject", "invalidDNSyntax"):
                return []
            raise
        return [entry for entry in self._connection.response if "attributes" in entry]

    def exists(self, dn: str) -> bool:
        """See ``ldap_query.Directory``."""
        return bool(self._search(dn, "(objectClass=*)", ldap3.BASE, []))

    def has_member(self, group: str, attribute: str, member: str) -> bool:
        """See ``ldap_query.Directory``."""
        where = f"({attribute}={escape_filter_chars(member)})"
        return bool(self._search(group, where, ldap3.BASE, []))

    def groups_of(self, attribute: str, member: str) -> list[str]:
        """See ``ldap_query.Directory``."""
        where = f"({attribute}={escape_filter_chars(member)})"
        return [entry["dn"] for entry in self._search(self._group_base, where, ldap3.SUBTREE, [])]

    def values(self, dn: str, attribute: str) -> list[str]:
        """See ``ldap_query.Directory``."""
        found = self._search(dn, "(objectClass=*)", ldap3.BASE, [attribute])
        return [str(value) for entry in found for value in entry["attributes"].get(attribute, ())]


_NOWHERE = _Directory(None, "")


class _Tls(ldap3.Tls):  # type: ignore[misc]
    """ldap3's own makes a context for each connection, and has its own idea of host names."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """Begin TLS on a connection."""
        connection.socket = self._context.wrap_socket(
            connection.socket, server_hostname=connection.server.host
        )


def _queries(options: LdapAuth) -> dict[str, Any]:
    faults, queries = [], {}
    for name in ("tags", "vhost_access", "resource_access", "topic_access"):
        try:
            queries[name] = parse(getattr(options, f"query_{name}"))
            if isinstance(queries[name], list) != (name == "tags"):
                raise QueryError("tags have a list of {tag, query}, others one query")
        except QueryError as error:
            faults.append(f"auth_ldap.queries.{name} cannot be used: {error}")
    if faults:
        raise ConfigError(faults)
    return queries
