"""AMQP over TLS: versions, certificates on both sides, and what an operator is told of failures."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from conformance.brokers import BROKERS, Broker, BrokerError, free_port
from conformance.certificates import PAST, Certificates
from conformance.conftest import PRIVATE, URL
from conformance.wire import Connection, TcpClosed

pytestmark = pytest.mark.skipif(bool(URL), reason="needs a broker with certificates of our making")
leveret_only = pytest.mark.skipif(PRIVATE != "leveret", reason="a feature or text of Leveret's own")


class Place:
    """A broker that serves TLS at ``url``, and the certificates around it."""

    def __init__(self, broker: Broker, certificates: Certificates, port: int) -> None:
        self.broker = broker
        self.certificates = certificates
        self.url = f"amqp://guest:guest@127.0.0.1:{port}/%2F"

    def connect(self, context: ssl.SSLContext, **options: object) -> Connection:
        """Log in over TLS. A broker may be ready for AMQP a little before it is for TLS."""
        deadline = time.monotonic() + 10.0
        while True:
            try:
                return Connection(self.url, tls=context, **options)  # type: ignore[arg-type]
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "nobody listens for TLS"
                time.sleep(0.1)

    def logged(self, text: str) -> None:
        """The operator reads this, if this is Leveret."""
        deadline = time.monotonic() + 5.0
        while PRIVATE == "leveret" and text not in self.broker.log_text():
            assert time.monotonic() < deadline, f"{text!r} not in {self.broker.log_text()}"
            time.sleep(0.02)


def serve(directory: Path, more: Mapping[str, object] = {}, **options: object) -> Place:
    """Prepare a broker, not started; ``options`` are its ``ssl_options.*``."""
    certificates = Certificates(directory)
    port = free_port()
    settings = certificates.settings(port, certificates.server(), **options)
    return Place(BROKERS[PRIVATE](settings={**settings, **more}), certificates, port)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A broker that asks for certificates, and takes clients without."""
    place = serve(tmp_path_factory.mktemp("tls"), verify="verify_peer")
    with place.broker:
        yield place


def refused(place: Place, context: ssl.SSLContext) -> None:
    """The handshake fails, or in TLS 1.3, where the client is done first, what follows it."""
    with pytest.raises((ssl.SSLError, OSError, TcpClosed)):
        place.connect(context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(place: Place, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 are spoken, and carry messages larger than a TLS record."""
    context = place.certificates.context()
    context.minimum_version = context.maximum_version = version
    with place.connect(context) as connection:
        assert connection.sock.version() == {771: "TLSv1.2", 772: "TLSv1.3"}[version]  # type: ignore[attr-defined]
        channel = connection.channel()
        queue = channel.declare(exclusive=True)
        body = "x" * 300_000
        channel.fill(queue, body)
        assert channel.drain(queue) == [body]


def test_optional_certificate(place: Place) -> None:
    """With verify_peer alone a client needs no certificate, but a bad one is refused."""
    certificates = place.certificates
    place.connect(certificates.context()).close()
    place.connect(certificates.context(certificates.client("ann"))).close()
    refused(place, certificates.context(certificates.strange()))
    place.logged("its certificate is refused: unable to get local issuer certificate; to trust it")


def test_the_client_refuses(place: Place) -> None:
    """A client that does not trust our certificate says why, and so does our log."""
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed certificate"):
        place.connect(ssl.create_default_context())
    place.logged("it does not trust the authority of ssl_options.certfile")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        place.connect(place.certificates.context(), host="other.example.org")
    place.logged("a host name that is not one of those of the certificate (localhost, 127.0.0.1)")


def test_expired(tmp_path: Path) -> None:
    """With an expired certificate the broker serves and warns, and clients say why they go."""
    certificates, port = Certificates(tmp_path), free_port()
    settings = certificates.settings(port, certificates.server(not_after=PAST))
    url = f"amqp://guest:guest@127.0.0.1:{port}/%2F"
    with BROKERS[PRIVATE](settings=settings) as broker:
        place = Place(broker, certificates, port)
        place.logged("server.pem expired on")
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
            Connection(url, tls=certificates.context())
        place.logged("it refuses ssl_options.certfile as expired; renew it")


def test_not_tls(place: Place) -> None:
    """AMQP without TLS is no use on a TLS port, nor TLS on a plain one."""
    with pytest.raises((TcpClosed, OSError)):
        Connection(place.url)
    place.logged("it does not speak TLS; this port is for TLS only")
    with pytest.raises((ssl.SSLError, OSError)):
        Connection(place.broker.url, tls=place.certificates.context())
    Connection(place.broker.url).close()


def test_handshake_that_never_ends(tmp_path: Path) -> None:
    """A peer that does not finish the handshake is dropped; others are served meanwhile."""
    place = serve(tmp_path, {"ssl_handshake_timeout": 500})
    with place.broker:
        silent = [Connection(place.url, stage="tcp") for _ in range(50)]
        for connection in silent[::2]:
            connection.send_raw(b"\x16\x03\x01\x02\x00\x01")
        place.connect(place.certificates.context()).close()
        for connection in silent:
            connection.sock.settimeout(5)
            with pytest.raises(TcpClosed):
                connection.next()
            connection.drop()


@leveret_only
def test_connection_max_counts_handshakes(tmp_path: Path) -> None:
    """Sockets in the handshake count for connection_max: those beyond it are closed at once."""
    place = serve(tmp_path, {"connection_max": 3})
    with place.broker:
        silent = [Connection(place.url, stage="tcp") for _ in range(10)]
        place.logged("too many are open")
        for connection in silent:
            connection.drop()


@leveret_only
def test_reload(tmp_path: Path) -> None:
    """After SIGHUP new connections get the new certificate; a broken one changes nothing."""
    place = serve(tmp_path)
    with place.broker:
        old = place.connect(place.certificates.context())
        server = tmp_path / "server.pem"
        server.write_text("no certificate")
        os.kill(place.broker.pid, signal.SIGHUP)
        place.logged("the certificates in use stay: ssl_options.certfile")
        place.connect(place.certificates.context()).close()
        shutil.copy(place.certificates.server("new", host="new.example.org"), server)
        os.kill(place.broker.pid, signal.SIGHUP)
        place.logged("ssl_options: certificates were read again")
        place.connect(place.certificates.context(), host="new.example.org").close()
        old.channel()
        old.close()


@leveret_only
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"certfile": "none.pem"}, "none.pem cannot be read (No such file or directory)"),
        ({"keyfile": "stranger.pem"}, "is not that of the first certificate in"),
        ({"cacertfile": "empty"}, "holds no certificate in PEM form"),
        ({"fail_if_no_peer_cert": "true"}, "needs ssl_options.verify = verify_peer"),
        ({"ciphers.1": "NO-SUCH"}, "OpenSSL has no 'NO-SUCH'"),
    ],
)
def test_unusable_files(tmp_path: Path, options: dict[str, str], text: str) -> None:
    """What cannot be used keeps the broker from starting, with the file and what to do."""
    (tmp_path / "empty").touch()
    Certificates(tmp_path).strange("stranger")
    files = {key: tmp_path / name for key, name in options.items() if key.endswith("file")}
    place = serve(tmp_path, **{**options, **files})
    with pytest.raises(BrokerError) as failed, place.broker:
        pass
    assert "exit code 78" in str(failed.value)
    assert text in str(failed.value)
