"""Who may log in: mechanisms, credentials, and where users may come from."""

import asyncio
import ipaddress
import struct
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from broker.access.authentication import Authentication
from broker.access.backoff import Backoff
from broker.access.mechanisms import Peer
from broker.amqp.access import Identity
from broker.config import Config, load
from broker.core.broker import Broker
from broker.defaults import make_default_user
from protocol.errors import CommandInvalid, Drop, HardError, LoginRefused

DEFAULTS, _ = load(None, (), {})


class Users:
    """The users of a new broker with this configuration; `waits` are those of the back-off."""

    def __init__(self, config: Config) -> None:
        broker = Broker()
        make_default_user(broker, config, bytes)
        self.waits: list[float] = []
        self._authentication = Authentication(config, broker, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def authenticate(
        self, mechanism: str, response: bytes, host: str, certificate: bytes | None = None
    ) -> Identity:
        """Log in."""

        async def log_in() -> Identity:
            peer = Peer(host, certificate)
            return await self._authentication.authenticate(mechanism, response, peer)

        return asyncio.run(log_in())


USERS = Users(replace(DEFAULTS, default_user="ann", default_pass="sécret", loopback_users=()))
REFUSAL = (
    "Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
)


def plain(name: str, password: str) -> bytes:
    """A response of PLAIN."""
    return f"\0{name}\0{password}".encode()


def amqplain(**entries: str) -> bytes:
    """A response of AMQPLAIN: the inside of a field table of strings."""
    octets = b""
    for name, value in entries.items():
        value_octets = value.encode()
        octets += bytes((len(name),)) + name.encode() + b"S"
        octets += struct.pack(">I", len(value_octets)) + value_octets
    return octets


def test_right_credentials() -> None:
    """Both mechanisms let the configured user in, by any address."""
    for host in ("127.0.0.1", "192.0.2.7", ""):
        assert USERS.authenticate("PLAIN", plain("ann", "sécret"), host).name == "ann"
        response = amqplain(LOGIN="ann", PASSWORD="sécret")
        assert USERS.authenticate("AMQPLAIN", response, host).name == "ann"
    reordered = amqplain(PASSWORD="sécret", other="x", LOGIN="ann")
    assert USERS.authenticate("AMQPLAIN", reordered, "::1").name == "ann"


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "secret"), ("ann", ""), ("bob", "sécret"), ("", ""), ("Ann", "sécret"), ("bob", "")],
)
def test_one_answer_for_all_that_is_wrong(name: str, password: str) -> None:
    """A wrong name and a wrong password are answered alike."""
    with pytest.raises(LoginRefused) as refused:
        USERS.authenticate("PLAIN", plain(name, password), "127.0.0.1")
    assert refused.value.text == REFUSAL
    assert refused.value.reply_text.startswith(b"ACCESS_REFUSED - ")


def test_a_password_may_hold_nul() -> None:
    """PLAIN ends the name at the second NUL; what follows is the password."""
    users = Users(replace(DEFAULTS, default_user="ann", default_pass="a\0b", loopback_users=()))
    assert users.authenticate("PLAIN", b"\0ann\0a\0b", "").name == "ann"


def test_an_empty_password_lets_nobody_in() -> None:
    """A user without a password cannot log in with an empty one."""
    users = Users(replace(DEFAULTS, default_user="ann", default_pass="", loopback_users=()))
    with pytest.raises(LoginRefused):
        users.authenticate("PLAIN", plain("ann", ""), "127.0.0.1")


@pytest.mark.parametrize("mechanism", ["", "plain", "EXTERNAL", "CRAM-MD5"])
def test_mechanisms_nobody_offered(mechanism: str) -> None:
    """A mechanism that was not offered is a command error, no refused login."""
    with pytest.raises(CommandInvalid):
        USERS.authenticate(mechanism, plain("ann", "sécret"), "127.0.0.1")


def test_only_configured_mechanisms() -> None:
    """A mechanism that the configuration leaves out is not there."""
    users = Users(replace(DEFAULTS, auth_mechanisms=("PLAIN",), loopback_users=()))
    response = amqplain(LOGIN=DEFAULTS.default_user, PASSWORD=DEFAULTS.default_pass)
    with pytest.raises(CommandInvalid):
        users.authenticate("AMQPLAIN", response, "127.0.0.1")


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b""),
        ("PLAIN", b"ann\0secret"),
        ("PLAIN", b"\0ann"),
        ("PLAIN", b"root\0ann\0s\xc3\xa9cret"),
        ("AMQPLAIN", b""),
        ("AMQPLAIN", b"\x05LOGINS\x00\x00\x00\xffann"),
        ("AMQPLAIN", amqplain(LOGIN="ann")),
        ("AMQPLAIN", b"\x05LOGINI\x00\x00\x00\x01" + amqplain(PASSWORD="x")),
    ],
)
def test_malformed_responses(mechanism: str, response: bytes) -> None:
    """What is no response of its mechanism is a command error."""
    with pytest.raises(CommandInvalid, match="malformed"):
        USERS.authenticate(mechanism, response, "127.0.0.1")


@given(st.sampled_from(["PLAIN", "AMQPLAIN"]), st.binary(max_size=60))
def test_no_octets_get_in_or_break_anything(mechanism: str, response: bytes) -> None:
    """Any octets are refused in order: never an unexpected exception."""
    with pytest.raises((HardError, Drop)):
        USERS.authenticate(mechanism, response, "127.0.0.1")


@given(st.binary(max_size=40))
def test_damaged_amqplain_is_refused_in_order(damage: bytes) -> None:
    """AMQPLAIN with rubbish around the entries is refused or read, never an accident."""
    good = amqplain(LOGIN="ann", PASSWORD="sécret")
    for response in (good[:-1] + damage, damage + good, good[: len(damage)]):
        with suppress(HardError, Drop):
            assert USERS.authenticate("AMQPLAIN", response, "127.0.0.1").name == "ann"


@pytest.mark.parametrize(
    ("host", "granted"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("fe80::1%eth0", False),
        ("2001:db8::1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_loopback_users(host: str, granted: bool, config: Config) -> None:
    """A user that is restricted to loopback gets in from this machine only."""
    assert config.default_user in config.loopback_users
    users = Users(config)
    response = plain(config.default_user, config.default_pass)
    if granted:
        assert users.authenticate("PLAIN", response, host).name == config.default_user
    else:
        with pytest.raises(LoginRefused) as refused:
            users.authenticate("PLAIN", response, host)
        assert refused.value.text == REFUSAL


# -- certificates ---------------------------------------------------------------------------------

CERTIFIED = replace(
    DEFAULTS,
    auth_mechanisms=("EXTERNAL", "ANONYMOUS"),
    tls=replace(DEFAULTS.tls, verify="verify_peer"),
    loopback_users=(),
)


def certificate(*names: x509.GeneralName, common_name: str = "ann, b") -> bytes:
    """A certificate that nobody signed: that was checked before."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "AT"),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@example.org"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "CN=ann\\, b,EMAILADDRESS=a@example.org,C=AT"),
        ({"cert_login_from": "common_name"}, "ann, b"),
        ({"cert_login_san_type": "dns"}, "one.example.org"),
        ({"cert_login_san_type": "dns", "cert_login_san_index": 1}, "two.example.org"),
        ({"cert_login_san_type": "email"}, "ann@example.org"),
        ({"cert_login_san_type": "uri"}, "spiffe://ann"),
        ({"cert_login_san_type": "ip"}, "192.0.2.1"),
        ({"cert_login_san_type": "other_name"}, "ann@DOMAIN"),
    ],
)
def test_user_of_a_certificate(options: dict[str, Any], name: str) -> None:
    """EXTERNAL takes the user from what ssl_cert_login_from names, without a password."""
    if "cert_login_san_type" in options:
        options = {**options, "cert_login_from": "subject_alternative_name"}
    shown = certificate(
        x509.DNSName("one.example.org"),
        x509.DNSName("two.example.org"),
        x509.RFC822Name("ann@example.org"),
        x509.UniformResourceIdentifier("spiffe://ann"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x0aann@DOMAIN"),
    )
    users = Users(replace(CERTIFIED, default_user=name, **options))
    assert users.authenticate("EXTERNAL", b"", "192.0.2.7", shown).name == name


def test_certificates_that_let_nobody_in() -> None:
    """No certificate, one without the name, of no user, or that nobody verified: one answer."""
    san = {"cert_login_from": "subject_alternative_name"}
    user = {"default_user": "ann", "cert_login_from": "common_name"}
    shown = certificate(common_name="ann")
    for options, der in (
        (user, None),
        (user, b"rubbish"),
        (san, shown),
        ({**user, "default_user": "bob"}, shown),
        ({**user, "tls": DEFAULTS.tls}, shown),
    ):
        with pytest.raises(LoginRefused) as refused:
            Users(replace(CERTIFIED, **options)).authenticate("EXTERNAL", b"", "", der)
        assert refused.value.text == REFUSAL.replace("PLAIN", "EXTERNAL")


def test_anonymous() -> None:
    """ANONYMOUS is the user of the settings, if there is one and it has this password."""
    assert Users(CERTIFIED).authenticate("ANONYMOUS", b"anybody", "").name == "guest"
    for options in ({"anonymous_login_user": None}, {"anonymous_login_pass": "other"}):
        with pytest.raises(LoginRefused):
            Users(replace(CERTIFIED, **options)).authenticate("ANONYMOUS", b"", "")


# -- back-off -------------------------------------------------------------------------------------


def test_guesses_are_answered_slower() -> None:
    """After some failures from an address its failures are answered late, and only those."""
    users = Users(replace(DEFAULTS, loopback_users=()))
    for number in range(40):
        with pytest.raises(LoginRefused):
            users.authenticate("PLAIN", plain("guest", str(number)), "192.0.2.1")
    assert users.waits[0] == 0.0
    assert 0 < users.waits[-1] <= 3.0
    count = len(users.waits)
    users.authenticate("PLAIN", plain("guest", "guest"), "192.0.2.1")
    assert len(users.waits) == count
    with pytest.raises(LoginRefused):
        users.authenticate("PLAIN", plain("guest", "x"), "192.0.2.2")
    assert users.waits[-1] == 0.0


def test_memory_of_the_back_off_is_bounded() -> None:
    """However many addresses fail, only the latest are remembered; time makes good."""
    backoff = Backoff()
    for _ in range(50):
        backoff.failed("192.0.2.1", now_s=0.0)
    assert backoff.failed("192.0.2.1", now_s=0.0) == 3.0
    assert backoff.failed("192.0.2.1", now_s=100.0) == 0.0
    for number in range(20_000):
        backoff.failed(str(number), now_s=100.0)
    assert len(backoff._free_at) == 10_000
