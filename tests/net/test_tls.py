"""Certificates: which one a client is shown, what is wrong with files, and replacing them."""

import contextlib
import logging
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from broker.config import ConfigError, load
from broker.config.sections import TlsOptions
from broker.net.tls import Certificates

DEFAULTS = load(None, (), {})[0].tls
Issue = Callable[..., str]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs."""
    return trustme.CA()


@pytest.fixture
def issue(tmp_path: Path, authority: trustme.CA) -> Issue:
    """Write a certificate with its key for some hosts; gives the file."""

    def write(name: str, *hosts: str, **options: Any) -> str:
        issued = authority.issue_cert(*(hosts or ("localhost",)), **options)
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / name))
        return str(tmp_path / name)

    return write


def options(**changes: Any) -> TlsOptions:
    """Settings like these."""
    return replace(DEFAULTS, **changes)


def shake_hands(
    certificates: Certificates, client: ssl.SSLContext, host: str = "localhost"
) -> ssl.SSLObject:
    """A handshake in memory; gives the broker's side."""
    to_broker, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = certificates.context.wrap_bio(to_broker, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_broker, server_hostname=host)
    for _ in range(4):
        for side in (theirs, ours):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return ours


def trusting(authority: trustme.CA, certificate: str | None = None) -> ssl.SSLContext:
    """A client that trusts the authority."""
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def test_hosts(issue: Issue, authority: trustme.CA) -> None:
    """A client gets the certificate for the host it asks for, by wildcard too, or the default."""
    sni = {
        "one": {"certfile": issue("one", "one.example.org")},
        "many": {"certfile": issue("many", "*.many.example.org")},
    }
    certificates = Certificates("p", options(certfile=issue("default"), sni=sni))
    for host in ("localhost", "one.example.org", "ONE.example.org", "a.many.example.org"):
        shake_hands(certificates, trusting(authority), host)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(certificates, trusting(authority), "a.b.many.example.org")


def test_reading_again(issue: Issue, authority: trustme.CA, tmp_path: Path) -> None:
    """Changed files are noticed and used from the next handshake on, unless they are unusable."""
    file = issue("server")
    certificates = Certificates("p", options(certfile=file))
    assert not certificates.changed()
    issue("server", "new.example.org")
    assert certificates.changed()
    certificates.reload()
    assert not certificates.changed()
    shake_hands(certificates, trusting(authority), "new.example.org")
    Path(file).write_text("rubbish")
    certificates.reload()
    shake_hands(certificates, trusting(authority), "new.example.org")
    Path(file).unlink()
    assert certificates.changed()
    certificates.reload()
    shake_hands(certificates, trusting(authority), "new.example.org")


def test_authorities_are_read_again(issue: Issue, authority: trustme.CA, tmp_path: Path) -> None:
    """A client whose authority was taken out of cacertfile is refused from then on."""
    (tmp_path / "ca").write_bytes(authority.cert_pem.bytes())
    certificates = Certificates(
        "p",
        options(
            certfile=issue("server"),
            cacertfile=str(tmp_path / "ca"),
            verify="verify_peer",
            fail_if_no_peer_cert=True,
        ),
    )
    client = trusting(authority, issue("client"))
    assert shake_hands(certificates, client).getpeercert()
    (tmp_path / "ca").write_bytes(trustme.CA().cert_pem.bytes())
    certificates.reload()
    with pytest.raises(ssl.SSLError):
        shake_hands(certificates, client)


@pytest.mark.parametrize(("depth", "too_deep"), [(0, True), (1, False)])
def test_depth(issue: Issue, tmp_path: Path, depth: int, too_deep: bool) -> None:
    """As many certificates as `depth` may be between a client's and its authority."""
    root = trustme.CA()
    between = root.create_child_ca()
    client = tmp_path / "client"
    between.issue_cert("x@example.org").private_key_and_cert_chain_pem.write_to_path(str(client))
    (tmp_path / "ca").write_bytes(root.cert_pem.bytes())
    server = tmp_path / "server"
    root.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(server))
    verifying = options(
        certfile=str(server), cacertfile=str(tmp_path / "ca"), verify="verify_peer", depth=depth
    )
    certificates = Certificates("p", verifying)
    ours = shake_hands(certificates, trusting(root, str(client)))
    assert certificates.too_deep(ours) is too_deep
    assert not certificates.too_deep(shake_hands(certificates, trusting(root)))


def test_versions_and_ciphers(issue: Issue, authority: trustme.CA) -> None:
    """Versions and suites that are left out are not spoken; those of TLS 1.3 go as a whole."""
    suite = "ECDHE-ECDSA-AES256-GCM-SHA384"
    for changes, version in (
        ({}, "TLSv1.3"),
        ({"versions": ("tlsv1.2",)}, "TLSv1.2"),
        ({"ciphers": (suite,)}, "TLSv1.2"),
        ({"ciphers": (suite, "TLS_AES_128_GCM_SHA256")}, "TLSv1.3"),
    ):
        certificates = Certificates("p", options(certfile=issue("server"), **changes))
        ours = shake_hands(certificates, trusting(authority))
        assert ours.version() == version
        if version == "TLSv1.2" and "ciphers" in changes:
            assert (ours.cipher() or ("",))[0] == suite


def test_the_order_of_ciphers(issue: Issue, authority: trustme.CA) -> None:
    """The client's first suite is used, unless honor_cipher_order says that ours is."""
    first, second = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
    for ours_first, used in ((False, second), (True, first)):
        made = options(
            certfile=issue("server"), ciphers=(first, second), honor_cipher_order=ours_first
        )
        client = trusting(authority)
        client.set_ciphers(f"{second}:{first}")
        shaken = shake_hands(Certificates("p", made), client)
        assert (shaken.cipher() or ("",))[0] == used


def encrypted(file: str, password: str) -> None:
    """Encrypt the key in a file."""
    octets = Path(file).read_bytes()
    key = load_pem_private_key(octets, None)
    certificate = octets[octets.index(b"-----BEGIN CERTIFICATE") :]
    how = BestAvailableEncryption(password.encode())
    Path(file).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how) + certificate)


def test_what_is_wrong(issue: Issue, tmp_path: Path) -> None:
    """Each fault names the setting, the file and what to do, and no secret; all come at once."""
    good, other, locked = issue("good"), issue("other"), issue("locked")
    encrypted(locked, "open sesame")
    bare = tmp_path / "bare"
    bare.write_bytes(Path(good).read_bytes().partition(b"-----BEGIN CERTIFICATE")[0])
    Certificates("p", options(certfile=locked, password="open sesame"))
    Certificates("p", options(certfile=good, password="not needed"))
    for changes, fault in (
        ({"certfile": locked}, "p.certfile: the key in {locked} is encrypted; set p.password"),
        ({"certfile": locked, "password": "wrong-secret"}, "p.password does not open it"),
        ({"certfile": good, "keyfile": other}, "p.keyfile: the key in {other} is not that of"),
        ({"certfile": str(bare)}, "p.certfile: {bare} holds no certificate in PEM form"),
        ({"certfile": str(tmp_path)}, "cannot be read (Is a directory)"),
        ({"certfile": good, "dhfile": other}, "p.dhfile: {other} holds no DH parameters"),
        ({"certfile": good, "sni": {"x": {"certfile": "none"}}}, "leveret.sni.x.certfile: none"),
        ({"certfile": good, "ciphers": ("NOPE",)}, "p.ciphers: OpenSSL has no 'NOPE'"),
    ):
        with pytest.raises(ConfigError) as error:
            Certificates("p", options(**changes))
        expected = fault.format(locked=locked, other=other, bare=bare)
        assert expected in str(error.value)
        assert "secret" not in str(error.value)
    with pytest.raises(ConfigError) as error:
        Certificates("p", options(certfile="none", cacertfile=str(bare)))
    assert len(error.value.faults) == 2


def test_certificates_that_clients_refuse(issue: Issue, caplog: pytest.LogCaptureFixture) -> None:
    """One that is expired or soon will be, or is not yet valid, is used, with a warning."""
    caplog.set_level(logging.WARNING)
    begin = datetime.now(UTC) + timedelta(days=1)
    young = issue("server", not_before=begin, not_after=begin + timedelta(days=100))
    Certificates("p", options(certfile=young))
    assert "is not valid before" in caplog.text
    for left, text in ((-1, "expired on"), (10, "expires on"), (100, "")):
        caplog.clear()
        end = datetime.now(UTC) + timedelta(days=left)
        Certificates("p", options(certfile=issue("server", not_after=end)))
        assert text in caplog.text
        assert bool(caplog.text) is bool(text)
