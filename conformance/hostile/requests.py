"""Attacks on the HTTP ports: the management API's and the one for Prometheus."""

from __future__ import annotations

import base64
import http.client
import json
import random
import socket
from contextlib import suppress

from conformance.hostile import Ground, attack, closes

GUEST = "Basic " + base64.b64encode(b"guest:guest").decode()
REFUSED = "4xx or a closed socket; others are served"


def ports(ground: Ground) -> tuple[int, int]:
    """Both ports."""
    return ground.broker.management_port, ground.broker.prometheus_port


def ask(ground: Ground, path: str, method: str = "GET", body: bytes = b"") -> int:
    """One honest request; gives the status."""
    asking = http.client.HTTPConnection("127.0.0.1", ground.broker.management_port, timeout=20)
    headers = {"Authorization": GUEST, "Content-Type": "application/json"}
    try:
        asking.request(method, path, body or None, headers)
        answer = asking.getresponse()
        answer.read()
        return answer.status
    finally:
        asking.close()


def status(sock: socket.socket) -> int:
    """The status of the next answer on a socket; 0 if there is none."""
    answer = http.client.HTTPResponse(sock)
    with suppress(OSError, http.client.HTTPException):
        answer.begin()
        return answer.status
    return 0


@attack("those beyond a bound are sent away, the others after request_timeout; AMQP is served")
def http_silence(ground: Ground) -> None:
    """Hold hundreds of HTTP connections open without a word."""
    peers = [ground.dial(port=ports(ground)[0]) for _ in range(ground.count(400))]
    ground.connect().channel()
    for peer in peers:
        closes(peer)
    assert ask(ground, "/api/whoami") == 200
    if len(peers) > 250:
        assert "too many are open (a twentieth of LimitNOFILE" in ground.logged()


@attack("closed after request_timeout; others are served")
def http_slow_loris(ground: Ground) -> None:
    """Send the head of a request an octet at a time."""
    head = b"GET /api/whoami HTTP/1.1\r\nHost: x\r\nX-Slow: " + bytes(b"a" * 40)
    peers = [ground.dial(port=ports(ground)[0], octets=head[:20]) for _ in range(ground.count(100))]
    for octet in head[20:]:
        for peer in peers:
            with suppress(OSError):
                peer.send(bytes([octet]))
    assert ask(ground, "/api/whoami") == 200
    for peer in peers:
        closes(peer)


@attack("others are served; nothing of the announced size is kept")
def http_slow_bodies(ground: Ground) -> None:
    """Announce bodies of gigabytes and send an octet of each, with and without a password."""
    for number in range(ground.count(40)):
        login = f"Authorization: {GUEST}\r\n" if number % 2 else ""
        head = f"POST /api/definitions HTTP/1.1\r\nHost: x\r\n{login}"
        kind = "Content-Type: application/json\r\nContent-Length: 9000000000\r\n\r\n["
        ground.dial(port=ports(ground)[0], octets=(head + kind).encode())
    assert ask(ground, "/api/whoami") == 200


@attack("400 when it is larger than management.http.max_body_size, 401 without a password")
def http_giant_body(ground: Ground) -> None:
    """Send bodies of megabytes, also in chunks that announce nothing."""
    size = ground.count(30 << 20, least=21 << 20)
    for login, expected in ((f"Authorization: {GUEST}\r\n", 400), ("", 401)):
        head = f"POST /api/definitions HTTP/1.1\r\nHost: x\r\n{login}"
        kind = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        peer = ground.dial(port=ports(ground)[0], octets=(head + kind).encode())
        peer.settimeout(20)
        with suppress(OSError):  # it may be refused before it is sent
            for _ in range(size >> 16):
                peer.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
            peer.sendall(b"0\r\n\r\n")
        assert status(peer) in (expected, 0)
    assert ask(ground, "/api/whoami") == 200


@attack(REFUSED)
def http_giant_heads(ground: Ground) -> None:
    """Send request lines, headers and cookies of a megabyte, and thousands of headers."""
    heads = [
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /api/whoami HTTP/1.1\r\n" + b"X: 1\r\n" * ground.count(100_000) + b"\r\n",
    ]
    for port in ports(ground):
        for head in heads:
            peer = ground.dial(port=port, octets=head)
            assert status(peer) in (0, *range(400, 500))


@attack(REFUSED)
def http_noise(ground: Ground) -> None:
    """Send noise, AMQP, upgrades to WebSocket and HTTP/2, CONNECT, and smuggled lengths."""
    chance = random.Random(5)
    upgrade = b"Connection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Key: AAAA\r\n\r\n"
    spoken = [
        b"AMQP\x00\x00\x09\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT 127.0.0.1:5672 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: x\r\n" + upgrade % b"websocket",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\n" + upgrade % b"h2c",
        b"GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET http://127.0.0.1:5672/ HTTP/9.9\r\n\r\n",
        *(chance.randbytes(chance.randint(1, 300)) + b"\r\n\r\n" for _ in range(ground.count(60))),
    ]
    for port in ports(ground):
        for octets in spoken:
            peer = ground.dial(port=port, octets=octets)
            peer.shutdown(socket.SHUT_WR)
            assert status(peer) in (0, 200, 301, 302, *range(400, 500)), octets


@attack("401 each; answers come slower and slower, honest operators' do not")
def http_password_guessing(ground: Ground) -> None:
    """Guess passwords of guest."""
    for number in range(ground.count(20)):
        guess = base64.b64encode(f"guest:{number}".encode()).decode()
        head = f"GET /api/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {guess}\r\n\r\n"
        assert status(ground.dial(port=ports(ground)[0], octets=head.encode())) == 401
    assert ask(ground, "/api/whoami") == 200


@attack("400 with the place of the fault; nothing changes")
def definitions_bomb(ground: Ground) -> None:
    """Import JSON that is nested a million deep, endless or wrong at its end."""
    users = [{"name": f"bomb{n}", "password_hash": "", "tags": ""} for n in range(500)]
    late = {"users": users, "queues": [{"name": "q", "vhost": "/", "arguments": 5}]}
    deep = json.dumps({"queues": [{"name": "q", "vhost": "/", "arguments": {"a": 0}}]})
    for body in (
        b"[" * 1_000_000,
        b'{"users":' * 100_000,
        json.dumps(late).encode(),
        deep.replace("0", "[" * 900 + "]" * 900).encode(),
        b'{"global_parameters":[{"name":"x","value":' + b"9" * 100_000 + b"}]}",
    ):
        assert ask(ground, "/api/definitions", "POST", body) == 400
    assert ask(ground, "/api/users/bomb0") == 404
