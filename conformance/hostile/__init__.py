"""Named attacks on a broker that serves well-behaved clients meanwhile.

``python -m conformance.hostile`` runs all of them, or those named, and prints a table;
``conformance/test_25_attacks.py`` runs a short form of each. An attack is a function marked with
``attack``: its docstring says what it does, ``must`` what has to come of it. It fails by an
exception; that the broker lives, that its memory is bounded and that well-behaved clients are
served is checked for each by who runs it.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from conformance.brokers import Broker
from conformance.certificates import Certificates
from conformance.wire import Connection, TcpClosed

Run = Callable[["Ground"], None]


@dataclass(frozen=True)
class Attack:
    """One entry of the table."""

    name: str
    does: str
    must: str
    run: Run


ATTACKS: dict[str, Attack] = {}


def attack(must: str) -> Callable[[Run], Run]:
    """Enter a function in the table, under its own name."""

    def enter(run: Run) -> Run:
        name = run.__name__.replace("_", "-")
        assert name not in ATTACKS, name
        ATTACKS[name] = Attack(name, (run.__doc__ or "").strip().rstrip("."), must, run)
        return run

    return enter


class Ground:
    """Where an attack takes place: the broker, and what the attacker holds open.

    ``scale`` is 1 for a full run; counts of a short one are smaller.
    """

    def __init__(
        self, broker: Broker, certificates: Certificates, tls_port: int, scale: float = 1.0
    ) -> None:
        self.broker = broker
        self.certificates = certificates
        self.tls_port = tls_port
        self.scale = scale
        self._held: list[Connection | socket.socket] = []
        self._log_begins = len(broker.log_text())

    @property
    def tls_url(self) -> str:
        """Where TLS is spoken."""
        return f"amqp://guest:guest@127.0.0.1:{self.tls_port}/%2F"

    def count(self, full: int, least: int = 3) -> int:
        """So many, in a run of this scale."""
        return max(least, int(full * self.scale))

    def connect(self, **options: Any) -> Connection:
        """A connection, logged in or at some stage before."""
        connection = Connection(self.broker.url, **options)
        self._held.append(connection)
        return connection

    def connect_tls(self, context: ssl.SSLContext | None = None, **options: Any) -> Connection:
        """The same over TLS, trusting the broker unless a context says otherwise."""
        context = context or self.certificates.context()
        connection = Connection(self.tls_url, tls=context, **options)
        self._held.append(connection)
        return connection

    def dial(
        self, *, tls: bool = False, octets: bytes = b"", port: int | None = None
    ) -> socket.socket:
        """A bare socket, to the port for AMQP unless told otherwise, with these octets sent."""
        port = port or (self.tls_port if tls else self.broker.port)
        dialled = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        self._held.append(dialled)
        with suppress(OSError):
            dialled.sendall(octets)
        return dialled

    def logged(self) -> str:
        """What the broker has logged since the attack began."""
        return self.broker.log_text()[self._log_begins :]

    def end(self) -> None:
        """Drop everything that is held."""
        for held in self._held:
            with suppress(OSError):
                held.drop() if isinstance(held, Connection) else held.close()
        self._held.clear()


def resident_mb(broker: Broker) -> float:
    """The memory of the broker's process."""
    with open(f"/proc/{broker.pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def closes(sock: socket.socket, within_s: float = 10.0) -> None:
    """The broker closes the socket, whatever it says before."""
    deadline = time.monotonic() + within_s
    sock.settimeout(within_s)
    try:
        while sock.recv(65536):
            assert time.monotonic() < deadline, "the broker goes on talking"
    except TimeoutError:
        raise AssertionError("the broker keeps the socket open") from None
    except OSError:
        return


def refused(connection: Connection, code: int | None = None) -> None:
    """The broker closes the connection, with this code if given."""
    try:
        event = connection.next(timeout=10.0)
    except TcpClosed:
        assert code is None, "the broker closed without a word"
        return
    name, args = getattr(event, "name", ""), getattr(event, "args", {})
    assert name == "connection.close", f"not refused: {event}"
    assert code in (None, args["reply_code"]), f"refused otherwise: {event}"
