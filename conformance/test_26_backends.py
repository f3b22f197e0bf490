"""Logins and permissions that somebody else decides: a web service, a token, a certificate."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conformance.brokers import BROKERS, Broker, Leveret, RabbitMQ, free_port
from conformance.certificates import Certificates
from conformance.conftest import PRIVATE, URL
from conformance.test_23_tls import leveret_only
from conformance.wire import Connection

pytestmark = pytest.mark.skipif(bool(URL), reason="needs brokers of our own making")
KEY = rsa.generate_private_key(65537, 2048)


def broker(plugin: str, settings: dict[str, object]) -> Broker:
    """A broker with these settings; RabbitMQ needs a plugin for them."""
    if PRIVATE == "rabbitmq":
        return RabbitMQ(settings=settings, plugins=[plugin])
    return BROKERS[PRIVATE](settings=settings)


class Service(BaseHTTPRequestHandler):
    """Knows ann, who may do everything with names that begin with her own."""

    def do_GET(self) -> None:
        """Answer one question."""
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        answer = b"allow" if self._allowed(url.path, asked) else b"deny"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _allowed(self, path: str, asked: dict[str, str]) -> bool:
        if path == "/user":
            return (asked["username"], asked["password"]) == ("ann", "secret")
        if path == "/topic":
            return asked["routing_key"].startswith("ann")
        return path == "/vhost" or asked["name"].startswith(("ann", "amq."))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def asking() -> Iterator[Broker]:
    """A broker that asks the service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    paths = {
        f"auth_http.{n}_path": f"{address}/{n}" for n in ("user", "vhost", "resource", "topic")
    }
    settings = {"auth_backends.1": "http", **paths}
    plugin = "rabbitmq_auth_backend_http"
    # The service does not know guest, so readiness is shown by connection.start alone.
    with broker(plugin, settings) as process:
        yield process
    server.shutdown()


def test_a_web_service_decides(asking: Broker) -> None:
    """Who logs in and what they may do with each name is what the service says, in order."""
    for password in ("wrong", ""):
        connection = Connection(asking.url, user="ann", password=password, stage="start")
        connection.send_start_ok()
        connection.expect("connection.close", reply_code=403)
    with Connection(asking.url, user="ann", password="secret") as connection:
        channel = connection.channel()
        queue = channel.declare("ann-q", exclusive=True)
        channel.fill(queue, "1", "2")
        assert channel.drain(queue) == ["1", "2"]
        for name, args in (
            ("queue.declare", {"queue": "bob-q"}),
            ("basic.publish", {"exchange": "bob-x"}),
        ):
            other = connection.channel(2)
            other.send(name, **args)
            if name == "basic.publish":
                other.header(0)
            text = other.expect("channel.close", reply_code=403).args["reply_text"]
            assert "refused for user 'ann'" in str(text)
            other.send("channel.close-ok")


def test_what_was_sent_before_the_answer(asking: Broker) -> None:
    """Methods and messages behind one that is still being asked about keep their order."""
    with Connection(asking.url, user="ann", password="secret") as connection:
        channel = connection.channel()
        channel.send("queue.declare", queue="ann-1", exclusive=True)
        channel.send("queue.bind", queue="ann-1", exchange="amq.topic", routing_key="ann.#")
        for number in range(50):
            channel.publish("amq.topic", f"ann.{number % 7}", str(number))
        channel.expect("queue.declare-ok")
        channel.expect("queue.bind-ok")
        channel.sync()
        assert channel.drain("ann-1") == [str(number) for number in range(50)]
        channel.publish("amq.topic", "bob", "x")
        channel.expect("channel.close", reply_code=403)


# -- tokens


def token(seconds: float = 60, **claims: Any) -> str:
    """A token of ann's for so long."""
    scope = "rabbitmq.read:*/* rabbitmq.write:*/*"
    ends = int(time.time() + seconds)
    content = {"sub": "ann", "aud": "rabbitmq", "scope": scope, "exp": ends, **claims}
    return jwt.encode(content, KEY, "RS256", headers={"kid": "k"})


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A Leveret that takes tokens, and internal users too."""
    file = tmp_path_factory.mktemp("oauth2") / "key.pem"
    public = KEY.public_key()
    file.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    settings = {
        "auth_backends.1": "oauth2",
        "auth_backends.2": "internal",
        "auth_oauth2.signing_keys.k": file,
    }
    with Leveret(settings=settings) as process:
        yield process


@leveret_only
def test_a_token_decides(trusting: Broker) -> None:
    """The password is the token; scopes are the permissions; the next backend has other users."""
    Connection(trusting.url).close()
    with Connection(trusting.url, user="x", password=token()) as connection:
        channel = connection.channel()
        channel.publish("", "none", "x", user_id="ann")
        channel.sync()
        channel.send("queue.declare", queue="q")
        channel.expect("channel.close", reply_code=403)


@leveret_only
def test_a_new_token_in_time(trusting: Broker) -> None:
    """update-secret brings other permissions and more time; a token of somebody else does not."""
    with Connection(trusting.url, user="x", password=token(2)) as connection:
        new = token(600, scope="rabbitmq.configure:*/*")
        connection.send("connection.update-secret", new_secret=new, reason="r")
        connection.expect("connection.update-secret-ok")
        channel = connection.channel()
        channel.declare("ann-q", exclusive=True)
        time.sleep(2.5)
        channel.sync()
        connection.send("connection.update-secret", new_secret=token(sub="bob"), reason="r")
        connection.expect("connection.close", reply_code=530)


@leveret_only
def test_an_expired_token_closes(trusting: Broker) -> None:
    """Without a new token the connection is closed when the old one ends."""
    connection = Connection(trusting.url, user="x", password=token(2))
    text = "CONNECTION_FORCED - credential expired"
    connection.expect("connection.close", timeout=5.0, reply_code=320, reply_text=text)
    connection.drop()
    refused = Connection(trusting.url, user="x", password=token(-1), stage="start")
    refused.send_start_ok()
    refused.expect("connection.close", reply_code=403)


# -- certificates


def test_login_by_certificate(tmp_path: Path) -> None:
    """With EXTERNAL the common name of a verified certificate is the user, if there is one."""
    certificates = Certificates(tmp_path)
    port = free_port()
    settings = {
        **certificates.settings(port, certificates.server(), verify="verify_peer"),
        "ssl_cert_login_from": "common_name",
        "auth_mechanisms.1": "PLAIN",
        "auth_mechanisms.2": "EXTERNAL",
    }
    url = f"amqp://127.0.0.1:{port}/%2F"
    with broker("rabbitmq_auth_mechanism_ssl", settings):
        for name, certificate, method in (
            ("guest", certificates.client("guest"), "connection.tune"),
            ("mallory", certificates.client("mallory"), "connection.close"),
            ("nobody", None, "connection.close"),
        ):
            tls = certificates.context(certificate)
            connection = Connection(url, tls=tls, stage="start")
            assert "EXTERNAL" in str(connection.server["mechanisms"]), name
            connection.send_start_ok(mechanism="EXTERNAL", response="")
            connection.expect(method)
            connection.drop()
