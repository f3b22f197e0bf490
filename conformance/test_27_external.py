"""EXTERNAL: who a client is, its certificate says, in one of three places (ssl_cert_login_from)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from conformance.brokers import Broker, broker_of, free_port
from conformance.certificates import Certificates
from conformance.conftest import PRIVATE, URL
from conformance.wire import Connection

pytestmark = pytest.mark.skipif(bool(URL), reason="needs brokers of our own making")
# A name with all that needs an escape, and how it is written as a user's.
ODD = [
    (NameOID.COUNTRY_NAME, "AT"),
    (NameOID.ORGANIZATION_NAME, "A, B + C"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "#one"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, " two "),
    (NameOID.EMAIL_ADDRESS, "a@example.org"),
    (NameOID.SURNAME, 'q"\\;<>='),
    (NameOID.COMMON_NAME, "änn~"),
]
ODD_NAME = (
    r"CN=\C3\A4nn\7E,SN=q\"\\\;\<\>=,EMAILADDRESS=a@example.org,OU=\ two\ ,OU=\#one,"
    r"O=A\, B \+ C,C=AT"
)
HOSTS = ("one.example.org", "two.example.org")
IN = {
    "common_name": {"odd": "änn~", "guest": "guest", "mallory": None, "nobody": None},
    "distinguished_name": {"odd": ODD_NAME, "guest": None},
    "subject_alternative_name": {"odd": HOSTS[1], "guest": None},
}
USERS = ("guest", "änn~", ODD_NAME, HOSTS[1])


def broker(settings: dict[str, object]) -> Broker:
    """A broker with these settings; RabbitMQ needs a plugin for them."""
    return broker_of(PRIVATE, settings, ["rabbitmq_auth_mechanism_ssl"])


def settings(certificates: Certificates, port: int, place: str) -> dict[str, object]:
    """A listener for TLS, and where names are."""
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    definitions = certificates.directory / "definitions.json"
    users = [{"name": name, "password": "x", "tags": ""} for name in USERS]
    permissions = [{"user": name, "vhost": "/", **every} for name in USERS]
    made = {"vhosts": [{"name": "/"}], "users": users, "permissions": permissions}
    definitions.write_text(json.dumps(made))
    san = {"ssl_cert_login_san_type": "dns", "ssl_cert_login_san_index": 1}
    return {
        **certificates.settings(port, certificates.server(), verify="verify_peer"),
        "load_definitions": definitions,
        "ssl_cert_login_from": place,
        "auth_mechanisms.1": "PLAIN",
        "auth_mechanisms.2": "EXTERNAL",
        **(san if place == "subject_alternative_name" else {}),
    }


@pytest.mark.parametrize("place", IN)
def test_login_by_certificate(place: str, tmp_path: Path) -> None:
    """The name in the certificate is the user, if there is one; without one nobody gets in."""
    certificates, port = Certificates(tmp_path), free_port()
    subject = x509.Name([x509.NameAttribute(kind, value) for kind, value in ODD])
    shown = {
        "guest": certificates.client("guest"),
        "mallory": certificates.client("mallory"),
        "odd": certificates.named("odd", subject, *HOSTS),
    }
    with broker(settings(certificates, port, place)):
        for name, user in IN[place].items():
            connection = Connection(
                f"amqp://127.0.0.1:{port}/%2F",
                tls=certificates.context(shown.get(name)),
                stage="start",
            )
            assert "EXTERNAL" in str(connection.server["mechanisms"])
            connection.send_start_ok(mechanism="EXTERNAL", response="")
            if user is None:
                text = "Login was refused using authentication mechanism EXTERNAL"
                close = connection.expect("connection.close", reply_code=403)
                assert text in str(close["reply_text"])
            else:
                connection.expect("connection.tune")
                connection.send("connection.tune-ok", channel_max=9, frame_max=4096, heartbeat=0)
                connection.send("connection.open", virtual_host="/")
                connection.expect("connection.open-ok")
                channel = connection.channel()
                channel.publish("", "none", user_id=user)
                channel.sync()
            connection.drop()
