"""Attacks on the TLS listener, by strangers and by holders of the wrong certificate."""

from __future__ import annotations

import random
import shutil
import socket
import ssl
import struct
import subprocess
import warnings
from contextlib import suppress

from conformance.codec import PROTOCOL_HEADER
from conformance.hostile import Ground, attack, closes, refused

CLOSED = "the socket closes; others are served"


def client_hello() -> bytes:
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


@attack("all are gone after ssl_handshake_timeout; others get in meanwhile")
def tls_silence(ground: Ground) -> None:
    """Hold hundreds of connections open before the handshake."""
    for _ in range(ground.count(300)):
        ground.dial(tls=True)
    ground.connect_tls().channel()


@attack("all are gone after ssl_handshake_timeout; others get in meanwhile")
def tls_half_hello(ground: Ground) -> None:
    """Send half of a ClientHello, then an octet now and then."""
    hello = client_hello()
    peers = [ground.dial(tls=True, octets=hello[:50]) for _ in range(ground.count(100))]
    for octet in hello[50:70]:
        for peer in peers:
            with suppress(OSError):
                peer.send(bytes([octet]))
    ground.connect_tls().channel()


@attack("each costs a key exchange, one at a time; clients that are connected do not notice")
def tls_hello_flood(ground: Ground) -> None:
    """Send a ClientHello, so that the broker signs, and vanish."""
    hello = client_hello()
    for _ in range(ground.count(400)):
        ground.dial(tls=True, octets=hello)
    ground.end()


@attack("all get in, one after the other; clients that are connected do not notice")
def tls_reconnect_storm(ground: Ground) -> None:
    """Do whole handshakes as fast as one can."""
    for _ in range(ground.count(150)):
        ground.connect_tls(stage="start").drop()


@attack(CLOSED)
def tls_not_spoken(ground: Ground) -> None:
    """Speak AMQP, HTTP and noise to the TLS port."""
    chance = random.Random(2)
    octets = [PROTOCOL_HEADER, b"GET / HTTP/1.1\r\n\r\n"]
    octets += [b"\x80\x2e\x01\x00\x02" + bytes(50), b"\x15\x03\x01\x00\x02\x02\x28"]
    octets += [chance.randbytes(chance.randint(6, 600)) for _ in range(ground.count(60))]
    for spoken in octets:
        peer = ground.dial(tls=True, octets=spoken)
        peer.shutdown(socket.SHUT_WR)
        closes(peer)


@attack(CLOSED)
def tls_damaged_hello(ground: Ground) -> None:
    """Change octets of a ClientHello."""
    chance = random.Random(3)
    for _ in range(ground.count(100)):
        hello = bytearray(client_hello())
        for _ in range(chance.randint(1, 5)):
            hello[chance.randrange(5, len(hello))] = chance.randrange(256)
        peer = ground.dial(tls=True, octets=bytes(hello))
        peer.shutdown(socket.SHUT_WR)
        closes(peer)


@attack(CLOSED)
def tls_huge_records(ground: Ground) -> None:
    """Announce records longer than TLS allows, and send them."""
    for size in (16640, 65535):
        record = struct.pack(">BHH", 22, 0x0303, size) + bytes(size)
        peer = ground.dial(tls=True, octets=record * 4)
        peer.shutdown(socket.SHUT_WR)
        closes(peer)


@attack("refused in the handshake")
def tls_downgrade(ground: Ground) -> None:
    """Offer TLS 1.0 and 1.1, and ciphers without authentication or encryption."""
    context = ground.certificates.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    not_let_in(ground, context)
    context = ground.certificates.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:eNULL:@SECLEVEL=0")
    not_let_in(ground, context)


def not_let_in(ground: Ground, context: ssl.SSLContext) -> None:
    """With this context nobody comes as far as connection.start."""
    try:
        ground.connect_tls(context, stage="start")
    except (OSError, AssertionError):
        return
    raise AssertionError("let in")


@attack("refused in the handshake")
def tls_strange_certificate(ground: Ground) -> None:
    """Show a certificate of an authority that is not trusted, also in the name of a user."""
    for name in ("strange", "guest"):
        not_let_in(ground, ground.certificates.context(ground.certificates.strange(name)))


@attack("403; a certificate that was not shown is nobody's")
def external_without_certificate(ground: Ground) -> None:
    """Use EXTERNAL without a certificate, over TLS and without."""
    for connection in (ground.connect_tls(stage="start"), ground.connect(stage="start")):
        connection.send_start_ok(mechanism="EXTERNAL", response="guest")
        refused(connection, None)


@attack("403; the name in the certificate has to be a user's")
def external_unknown_user(ground: Ground) -> None:
    """Use EXTERNAL with a certificate that is good, of somebody who is no user."""
    certificate = ground.certificates.client("mallory")
    connection = ground.connect_tls(ground.certificates.context(certificate), stage="start")
    connection.send_start_ok(mechanism="EXTERNAL", response="guest")
    refused(connection, None)


@attack("read as any other; others are served")
def tls_tiny_records(ground: Ground) -> None:
    """Send a conversation in records of one octet."""
    context = ground.certificates.context()
    connection = ground.connect_tls(context, stage="header")
    connection.expect("connection.start")
    for octet in b"\x01\x00\x00\x00\x00\x10\x00" + bytes(ground.count(2000)):
        connection.send_raw(bytes([octet]))


@attack("refused, and the connection closes; others are served")
def tls_renegotiation(ground: Ground) -> None:
    """Ask again and again for another handshake on an open connection of TLS 1.2."""
    if shutil.which("openssl") is None:
        return
    words = ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{ground.tls_port}"]
    asking = b"R\n" * ground.count(50)
    done = subprocess.run(words, input=asking, capture_output=True, timeout=20, check=False)
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert done.stderr.count(b"depth=0") == 1, "it has renegotiated"
