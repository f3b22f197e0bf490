"""Secrets: whatever an operator or a client trusts the broker with, it tells nobody.

Each secret is used where it belongs, rightly and wrongly, with the log at debug; then everything
that the broker shows is searched for all of them, as they are and in base64.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from conformance.backends import public_key, token
from conformance.brokers import REPOSITORY, BrokerError, Leveret, free_port
from conformance.certificates import Certificates
from conformance.conftest import PRIVATE, URL
from conformance.wire import Connection, TcpClosed

pytestmark = pytest.mark.skipif(
    bool(URL) or PRIVATE != "leveret", reason="what Leveret's own outputs may have in them"
)
NAMES = (
    *("default_pass", "key_password", "ldap_password", "lookup_password", "address_password"),
    *("login", "wrong_login", "amqplain", "api", "wrong_api", "query", "new_password"),
    *("imported", "bad_import", "bad_body", "uri", "update", "anonymous"),
)
SECRETS = {name: f"s3cr3t-of-{name}" for name in NAMES}
TOKENS = {"good": token(), "over": token(-5), "renewed": token(scope="rabbitmq.read:*/*")}
QUERIES = ("overview", "nodes", "connections", "channels", "users", "whoami", "permissions", "log")


def configuration(directory: Path) -> Path:
    """A file with every setting that is or has a secret."""
    certificates, key = Certificates(directory), directory / "key.pem"
    key.write_bytes(public_key())
    server = certificates.server()
    locked = load_pem_private_key(server.read_bytes(), None).private_bytes(
        Encoding.PEM,
        PrivateFormat.PKCS8,
        BestAvailableEncryption(SECRETS["key_password"].encode()),
    )
    (directory / "locked.pem").write_bytes(locked)
    address = f"http://service:{SECRETS['address_password']}@127.0.0.1:1"
    settings: dict[str, Any] = {
        **certificates.settings(free_port(), server),
        "ssl_options.keyfile": directory / "locked.pem",
        "ssl_options.password": SECRETS["key_password"],
        "default_pass": SECRETS["default_pass"],
        "anonymous_login_pass": SECRETS["anonymous"],
        "auth_backends.1": "internal",
        "auth_backends.2": "oauth2",
        "auth_backends.3": "http",
        "auth_backends.4": "ldap",
        "auth_oauth2.signing_keys.k": key,
        "auth_http.user_path": f"{address}/user?key={SECRETS['query']}",
        "auth_ldap.servers.1": "127.0.0.1",
        "auth_ldap.port": 1,
        "auth_ldap.other_bind.user_dn": "cn=x",
        "auth_ldap.other_bind.password": SECRETS["ldap_password"],
        "auth_ldap.dn_lookup_attribute": "cn",
        "auth_ldap.dn_lookup_bind.user_dn": "cn=x",
        "auth_ldap.dn_lookup_bind.password": SECRETS["lookup_password"],
        "log.console.level": "debug",
    }
    path = directory / "leveret.conf"
    path.write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
    return path


def ask(broker: Leveret, method: str, path: str, body: Any = None, password: str = "") -> str:
    """Ask the management API as guest; gives the text of the answer, whatever it is."""
    login = f"guest:{password or SECRETS['default_pass']}".encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{broker.management_port}/api/{path}",
        method=method,
        data=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
        headers={
            "Authorization": "Basic " + base64.b64encode(login).decode(),
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return str(response.read())
    except urllib.error.HTTPError as error:
        return f"{error.headers} {error.read()!r}"


def log_in(broker: Leveret, user: str, password: str, **options: Any) -> Iterator[str]:
    """Log in, rightly or not; gives what the broker says, and the connection's own texts."""
    connection = Connection(broker.url, user=user, password=password, stage="start")
    connection.send_start_ok(**options)
    with contextlib.suppress(TcpClosed):
        yield str(connection.next())
    connection.drop()


def use_all(broker: Leveret) -> Iterator[str]:
    """Use every secret; gives what is answered."""
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    yield ask(broker, "PUT", "users/ann", {"password": SECRETS["login"], "tags": ""})
    yield ask(broker, "PUT", "permissions/%2F/ann", every)
    yield ask(broker, "PUT", "users/ann", {"password": SECRETS["new_password"], "tags": 5})
    yield ask(broker, "PUT", "users/ann", b'{"password": "' + SECRETS["bad_body"].encode())
    yield ask(broker, "GET", "overview", password=SECRETS["wrong_api"])
    salted = b"salt" + hashlib.sha256(b"salt" + SECRETS["imported"].encode()).digest()
    user = {"name": "ben", "tags": "", "password_hash": base64.b64encode(salted).decode()}
    yield ask(broker, "POST", "definitions", {"users": [user]})
    bad = {"name": "cyd", "tags": "", "password": SECRETS["bad_import"]}
    yield ask(
        broker, "POST", "definitions", {"users": [bad, {**bad, "password": [bad["password"]]}, 5]}
    )
    yield ask(broker, "POST", "definitions", {"users": [{**bad, "tags": {}}]})
    amqplain = b"\x05LOGINS\x00\x00\x00\x03ann\x08PASSWORDS\x00\x00\x00"
    secret = SECRETS["amqplain"].encode()
    response = amqplain + bytes([len(secret)]) + secret
    yield from log_in(broker, "ann", SECRETS["login"])
    yield from log_in(broker, "ann", SECRETS["wrong_login"])
    yield from log_in(broker, "ann", "", mechanism="AMQPLAIN", response=response)
    yield from log_in(broker, "ann", "", mechanism="AMQPLAIN", response=response[:-1] + b"\0")
    yield from log_in(broker, "ann", "", mechanism="PLAIN", response=secret)
    yield from log_in(broker, "ann", "", mechanism="NONE", response=secret)
    yield from log_in(broker, "ben", SECRETS["imported"])
    yield from log_in(broker, "x", TOKENS["over"])
    with Connection(broker.url, user="x", password=TOKENS["good"]) as connection:
        for new in (TOKENS["renewed"], TOKENS["over"]):
            connection.send("connection.update-secret", new_secret=new, reason=new[:40])
            yield str(connection.next())
    with Connection(broker.url, user="ann", password=SECRETS["login"]) as connection:
        connection.send("connection.update-secret", new_secret=SECRETS["update"], reason="r")
        yield str(connection.next())
        yield from (ask(broker, "GET", path) for path in QUERIES)


def shown_of(broker: Leveret) -> Iterator[tuple[str, str]]:
    """Everything that others can see of the broker."""
    yield "the command line", Path(f"/proc/{broker.pid}/cmdline").read_text()
    for word in ("environment", "list_users"):
        program, environment = broker.command("rabbitmqctl")
        ran = subprocess.run(
            [*program, word], cwd=REPOSITORY, env=environment, capture_output=True, check=True
        )
        yield word, str(ran.stdout + ran.stderr)


def find(place: str, text: str) -> list[str]:
    """The secrets in a text."""
    found = []
    for name, secret in (SECRETS | {f"token {name}": one for name, one in TOKENS.items()}).items():
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        if secret in text or encoded[:-2] in text:
            found.append(f"{name} in {place}")
    return found


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """None is in the log, an answer, an error, the list of processes or a command's output."""
    env = {"RABBITMQ_CONFIG_FILE": str(configuration(tmp_path))}
    with Leveret(env=env) as broker:
        answers = list(use_all(broker))
        assert sum("connection.tune" in answer for answer in answers) == 2
        places = [("an answer", answer) for answer in answers] + list(shown_of(broker))
        broker.stop()
        places.append(("the log", broker.log_text()))
    assert "login_refused" in places[-1][1]
    assert [one for place, text in places for one in find(place, text)] == []


def test_no_secret_in_what_ends_the_start(tmp_path: Path) -> None:
    """Faults in a file with secrets are told without them."""
    path = configuration(tmp_path)
    wrong = SECRETS["uri"]
    path.write_text(
        path.read_text()
        + f"heartbeat = often\ndefault_pass = encrypted:{wrong}\nssl_options.password = {wrong}\n"
        + f"default_pass  {wrong}\n"
    )
    broker = Leveret(env={"RABBITMQ_CONFIG_FILE": str(path)})
    with pytest.raises(BrokerError) as failed, broker:
        pass
    assert "heartbeat must be" in str(failed.value)
    assert find("the error", str(failed.value)) == []
