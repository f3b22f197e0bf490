"""Who may log in: mechanisms, credentials, and where users may come from."""

import struct
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.auth import Authentication
from broker.config import Config, load
from broker.core.broker import Broker
from broker.defaults import make_default_user
from protocol.errors import CommandInvalid, Drop, HardError, LoginRefused

DEFAULTS, _ = load(None, (), {})


def of(config: Config) -> Authentication:
    """What a new broker with this configuration has."""
    broker = Broker()
    make_default_user(broker, config, bytes)
    return Authentication(config, broker)


USERS = of(replace(DEFAULTS, default_user="ann", default_pass="sécret", loopback_users=()))
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
    users = of(replace(DEFAULTS, default_user="ann", default_pass="a\0b", loopback_users=()))
    assert users.authenticate("PLAIN", b"\0ann\0a\0b", "").name == "ann"


def test_an_empty_password_lets_nobody_in() -> None:
    """A user without a password cannot log in with an empty one."""
    users = of(replace(DEFAULTS, default_user="ann", default_pass="", loopback_users=()))
    with pytest.raises(LoginRefused):
        users.authenticate("PLAIN", plain("ann", ""), "127.0.0.1")


@pytest.mark.parametrize("mechanism", ["", "plain", "EXTERNAL", "CRAM-MD5"])
def test_mechanisms_nobody_offered(mechanism: str) -> None:
    """A mechanism that was not offered is a command error, no refused login."""
    with pytest.raises(CommandInvalid):
        USERS.authenticate(mechanism, plain("ann", "sécret"), "127.0.0.1")


def test_only_configured_mechanisms() -> None:
    """A mechanism that the configuration leaves out is not there."""
    users = of(replace(DEFAULTS, auth_mechanisms=("PLAIN",), loopback_users=()))
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
    users = of(config)
    response = plain(config.default_user, config.default_pass)
    if granted:
        assert users.authenticate("PLAIN", response, host).name == config.default_user
    else:
        with pytest.raises(LoginRefused) as refused:
            users.authenticate("PLAIN", response, host)
        assert refused.value.text == REFUSAL
