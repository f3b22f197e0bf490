"""Brokers whose users are known elsewhere: a web service, a directory, an issuer of tokens.

Owns the settings that make one broker ask them all, in the chain ``oauth2``, ``ldap``, ``cache``
(in front of ``http``), ``internal``; the same for Leveret and for RabbitMQ, whose 3.10 takes the
directory's queries in its advanced.config only.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conformance import directory
from conformance.brokers import Broker, Leveret, RabbitMQ

KEY = rsa.generate_private_key(65537, 2048)
EVERYTHING = "rabbitmq.configure:*/* rabbitmq.write:*/* rabbitmq.read:*/*"
PLUGINS = [f"rabbitmq_auth_backend_{name}" for name in ("oauth2", "ldap", "cache", "http")]
QUERIES = {
    "tags": '[{administrator, {in_group, "cn=admins,dc=test"}}, {monitoring, {constant, false}}]',
    "vhost_access": '{\'or\', [{equals, "${vhost}", "/"}, {in_group, "cn=${vhost},dc=test"}]}',
    "resource_access": """{for, [
        {permission, configure,
         {match, {string, "${name}"}, {attribute, "${user_dn}", "description"}}},
        {permission, write, {for, [
            {resource, queue, {in_group_nested, "cn=outer,dc=test"}},
            {resource, exchange, {'not', {equals, "${name}", "amq.fanout"}}}]}},
        {permission, read, {'and', [
            {exists, "cn=${username},dc=test"},
            {'not', {match, {string, "${name}"}, {string, "^no"}}}]}}]}""",
    "topic_access": '{match, {string, "${routing_key}"}, {string, "^${username}-"}}',
}


def public_key() -> bytes:
    """Who may know it: everybody."""
    return KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def token(seconds: float = 600, **claims: Any) -> str:
    """A token of ann's for so long; a claim that is None is left out."""
    ends = int(time.time() + seconds)
    content = {"sub": "ann", "aud": "rabbitmq", "scope": EVERYTHING, "exp": ends, **claims}
    content = {name: value for name, value in content.items() if value is not None}
    return jwt.encode(content, KEY, "RS256", headers={"kid": "k"})


def forged(header: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """The same with another header, and a signature of somebody else's making."""

    def base64url(octets: bytes) -> bytes:
        return base64.urlsafe_b64encode(octets).rstrip(b"=")

    _, content, _ = token().encode().split(b".")
    signed = base64url(json.dumps(header).encode()) + b"." + content
    return (signed + b"." + base64url(sign(signed))).decode()


class Service(ThreadingHTTPServer):
    """Knows web and wes, who may use names that begin like theirs; notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, str]] = []

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        """Answer one question."""
        url = urlsplit(self.path)
        asked = {"": url.path, **dict(parse_qsl(url.query, keep_blank_values=True))}
        self.server.asked.append(asked)
        answer = b"allow" if self._allowed(asked) else b"deny"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _allowed(self, asked: dict[str, str]) -> bool:
        path = asked[""]
        if path == "/user":
            return asked["username"] in ("web", "wes") and asked.get("password") == "secret"
        if path == "/topic":
            return asked["routing_key"].startswith("we")
        return path == "/vhost" or asked["name"].startswith(("we", "amq."))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Chained:
    """A broker that asks them all, and the service."""

    def __init__(self, broker: Broker, service: Service) -> None:
        self.broker = broker
        self.service = service


@contextlib.contextmanager
def chained(kind: str, place: Path) -> Iterator[Chained]:
    """Run the broker, the directory and the service."""
    service = Service()
    threading.Thread(target=service.serve_forever, daemon=True).start()
    key = place / "key.pem"
    key.write_bytes(public_key())
    with contextlib.ExitStack() as running:
        running.callback(service.shutdown)
        port = running.enter_context(directory.serving(place))
        settings = _settings(key, port, service) | {"load_definitions": _definitions(place)}
        yield Chained(running.enter_context(_broker(kind, place, settings)), service)


def _definitions(place: Path) -> Path:
    """A user of the broker's own, and a vhost that is also a group in the directory."""
    guest = {"name": "guest", "password": "guest", "tags": "administrator"}
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    made = {
        "users": [guest],
        "vhosts": [{"name": "/"}, {"name": "lv"}],
        "permissions": [{"user": "guest", "vhost": "/", **every}],
    }
    path = place / "definitions.json"
    path.write_text(json.dumps(made))
    return path


def _settings(key: Path, ldap_port: int, service: Service) -> dict[str, object]:
    return {
        "auth_backends.1": "rabbit_auth_backend_oauth2",
        "auth_backends.2": "ldap",
        "auth_backends.3": "cache",
        "auth_backends.4": "internal",
        "auth_oauth2.resource_server_id": "rabbitmq",
        "auth_oauth2.default_key": "k",
        "auth_oauth2.signing_keys.k": key,
        "auth_oauth2.additional_scopes_key": "roles",
        "auth_ldap.servers.1": "127.0.0.1",
        "auth_ldap.port": ldap_port,
        "auth_ldap.user_dn_pattern": "cn=${username},dc=test",
        "auth_ldap.group_lookup_base": "dc=test",
        "auth_cache.cached_backend": "http",
        "auth_cache.cache_ttl": 60_000,
        **{
            f"auth_http.{name}_path": f"{service.address}/{name}"
            for name in ("user", "vhost", "resource", "topic")
        },
    }


def _broker(kind: str, place: Path, settings: Mapping[str, object]) -> Broker:
    if kind == "rabbitmq":
        terms = ",\n".join(f"{{{name}_query, {query}}}" for name, query in QUERIES.items())
        advanced = place / "advanced.config"
        advanced.write_text(f"[{{rabbitmq_auth_backend_ldap, [{terms}]}}].\n")
        env = {"RABBITMQ_ADVANCED_CONFIG_FILE": str(advanced)}
        return RabbitMQ(settings=settings, plugins=PLUGINS, env=env)
    queries = {f"auth_ldap.queries.{name}": " ".join(q.split()) for name, q in QUERIES.items()}
    return Leveret(settings={**settings, **queries})
