"""The PROXY protocol on the listeners: who a client is when a balancer stands in front of us."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from conformance.brokers import BROKERS, free_port
from conformance.certificates import Certificates
from conformance.conftest import PRIVATE, URL
from conformance.test_23_tls import Place, leveret_only
from conformance.wire import Connection, TcpClosed

pytestmark = pytest.mark.skipif(bool(URL), reason="needs a broker with proxy_protocol of our own")

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 127.0.0.9 127.0.0.1 4321 5672\r\n"
V2 = SIGNATURE + struct.pack(
    ">BBH4s4sHH", 0x21, 0x11, 12, bytes([127, 0, 0, 9]), bytes([127, 0, 0, 1]), 4321, 5672
)
LOCAL = SIGNATURE + struct.pack(">BBH", 0x20, 0, 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A broker behind a balancer, with TLS too."""
    certificates = Certificates(tmp_path_factory.mktemp("proxy"))
    port = free_port()
    settings = certificates.settings(port, certificates.server())
    broker = BROKERS[PRIVATE](settings={**settings, "proxy_protocol": "true"})
    broker.preamble = V1
    with broker:
        yield Place(broker, certificates, port)


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_the_client_behind_the_balancer(place: Place, header: bytes) -> None:
    """The connection is known by the addresses of the header, with TLS behind it or without."""
    Connection(place.broker.url, preamble=header).close()
    place.logged("127.0.0.9:4321 -> 127.0.0.1:5672: user 'guest'")
    place.connect(place.certificates.context(), preamble=header).close()


@leveret_only
def test_only_local_users_from_here(place: Place) -> None:
    """Guest is refused when the header says that the client is elsewhere."""
    header = V1.replace(b"127.0.0.9", b"192.0.2.9")
    with Connection(place.broker.url, preamble=header, stage="start") as connection:
        connection.send_start_ok()
        connection.expect("connection.close", reply_code=403)


@leveret_only  # RabbitMQ 3.10.8 fails on these: it wants addresses
def test_health_checks(place: Place) -> None:
    """A header without addresses leaves those of the socket."""
    Connection(place.broker.url, preamble=LOCAL).close()
    Connection(place.broker.url, preamble=b"PROXY UNKNOWN\r\n").close()


@pytest.mark.parametrize(
    "header",
    [b"", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY " + b"x" * 200, SIGNATURE + b"\xff" * 30],
    ids=["none", "short line", "long line", "bad version"],
)
def test_malformed(place: Place, header: bytes) -> None:
    """Without a proper header there is no conversation."""
    with pytest.raises((TcpClosed, OSError)):
        Connection(place.broker.url, preamble=header)
    Connection(place.broker.url, preamble=V1).close()
