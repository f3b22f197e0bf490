"""What a client is told whose certificate will not do, and what the operator is: a line each."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from conformance.brokers import Leveret, free_port
from conformance.certificates import PAST, Certificates
from conformance.conftest import URL
from conformance.test_23_tls import Place, leveret_only, serve
from conformance.wire import Url

pytestmark = pytest.mark.skipif(bool(URL), reason="needs a broker with certificates of our making")
FUTURE = datetime.now(UTC) + timedelta(days=1)
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
UNTRUSTED = "to trust it, add its authority to ssl_options.cacertfile"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A broker that takes no client without a certificate."""
    versions = {"versions.1": "tlsv1.2", "versions.2": "tlsv1.3"}
    more = {"verify": "verify_peer", "fail_if_no_peer_cert": "true", **versions}
    place = serve(tmp_path_factory.mktemp("certificates"), **more)
    with place.broker:
        yield place


def behind(certificates: Certificates, *, chain: bool) -> Path:
    """A client's certificate that another one than the authority has signed, with it or without."""
    issued = certificates.authority.create_child_ca().issue_cert("ann@example.org")
    path = certificates.directory / f"behind-{chain}.pem"
    pems = issued.cert_chain_pems if chain else issued.cert_chain_pems[:1]
    path.write_bytes(b"".join(pem.bytes() for pem in [issued.private_key_pem, *pems]))
    return path


GOOD = {
    "EC": lambda made: made.client("ec", key_type=trustme.KeyType.ECDSA),
    "RSA": lambda made: made.client("rsa", key_type=trustme.KeyType.RSA),
    "behind another": lambda made: behind(made, chain=True),
}
# Certificate, the alert that ends the handshake with it, and a part of the line in the log.
BAD = {
    "none": (lambda _: None, "", "it shows no certificate, and ssl_options.fail_if_no_peer_cert"),
    "expired": (
        lambda made: made.client("old", not_after=PAST),
        "CERTIFICATE_EXPIRED",
        "its certificate is refused: certificate has expired",
    ),
    "strange": (lambda made: made.strange(), "UNKNOWN_CA", UNTRUSTED),
    "half a chain": (lambda made: behind(made, chain=False), "UNKNOWN_CA", UNTRUSTED),
    "not yet": (
        lambda made: made.client("young", not_before=FUTURE, not_after=FUTURE + timedelta(days=1)),
        "CERTIFICATE",
        "its certificate is refused: certificate is not yet valid",
    ),
}


def alert(place: Place, context: ssl.SSLContext) -> str:
    """OpenSSL's word for why the handshake failed; empty if it did not."""
    port = Url.parse(place.url).port
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as tcp,
            context.wrap_socket(tcp, server_hostname="localhost") as tls,
        ):
            tls.recv(1)  # in TLS 1.3 the client is done before the server
    except ssl.SSLError as error:
        return str(error.reason)
    return ""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", GOOD)
def test_certificates_that_will_do(kind: str, version: ssl.TLSVersion, strict: Place) -> None:
    """Keys of either type, and a chain that ends at an authority we trust."""
    context = strict.certificates.context(GOOD[kind](strict.certificates))
    context.minimum_version = context.maximum_version = version
    strict.connect(context).close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", BAD)
def test_certificates_that_will_not_do(kind: str, version: ssl.TLSVersion, strict: Place) -> None:
    """The client gets an alert that says why, in TLS 1.2 and 1.3, and the operator a line."""
    make, word, line = BAD[kind]
    context = strict.certificates.context(make(strict.certificates))
    context.minimum_version = context.maximum_version = version
    if kind == "none":
        word = "HANDSHAKE_FAILURE" if version == VERSIONS[0] else "CERTIFICATE_REQUIRED"
    told = alert(strict, context)
    assert "_ALERT_" in told
    assert word in told
    strict.logged(line)


@leveret_only
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions(strict: Place) -> None:
    """TLS 1.1 is refused, however weak the ciphers a client would accept, and it is told so."""
    context = strict.certificates.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert alert(strict, context).endswith("ALERT_PROTOCOL_VERSION")
    strict.logged("it speaks only versions of TLS that ssl_options.versions leaves out")


@leveret_only
def test_certificates_that_were_revoked(tmp_path: Path) -> None:
    """With crl_check a certificate in the authority's list is refused; without a list, all are."""
    certificates, port = Certificates(tmp_path), free_port()
    good, revoked = certificates.client("good"), certificates.client("revoked")
    settings = certificates.settings(
        port, certificates.server(), verify="verify_peer", crl_check="peer"
    )
    with Leveret(settings=settings) as broker:
        place = Place(broker, certificates, port)
        assert "ALERT" in alert(place, certificates.context(good))
        place.logged("add the authority's list (CRL) to ssl_options.cacertfile")
        certificates.revoke(revoked)
        os.kill(broker.pid, signal.SIGHUP)
        place.logged("certificates were read again")
        place.connect(certificates.context(good)).close()
        assert alert(place, certificates.context(revoked)).endswith("ALERT_CERTIFICATE_REVOKED")
        place.logged("its certificate is refused: certificate revoked")
