"""Running attacks: a broker with TLS, well-behaved clients beside it, a line for each attack."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance.brokers import Broker, Leveret, free_port
from conformance.certificates import Certificates
from conformance.hostile import (  # noqa: F401 - the attacks enter themselves in the table
    ATTACKS,
    Attack,
    Ground,
    exhaustion,
    frames,
    logins,
    requests,
    resident_mb,
    tls,
)
from conformance.hostile.load import Served, WellBehaved

WATCHED_S = 1.0  # at least so long is looked, also at what a short attack leaves behind
SETTLED_MS, SETTLING_S = 0.5, 20.0  # the next attack begins when this one is digested


@dataclass(frozen=True)
class Field:
    """A broker to attack; ``ground`` is a fresh place for one attack."""

    broker: Broker
    certificates: Certificates
    tls_port: int

    def ground(self, scale: float) -> Ground:
        """Where one attack takes place."""
        return Ground(self.broker, self.certificates, self.tls_port, scale)


@contextmanager
def field() -> Iterator[Field]:
    """A private Leveret with TLS, as an operator would set it up."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as place:
        certificates = Certificates(Path(place))
        port = free_port()
        settings = certificates.settings(port, certificates.server(), verify="verify_peer")
        settings |= {
            "auth_mechanisms.1": "PLAIN",
            "auth_mechanisms.2": "AMQPLAIN",
            "auth_mechanisms.3": "EXTERNAL",
            "management.tcp.request_timeout": 2000,
        }
        with Leveret(settings=settings) as broker:
            yield Field(broker, certificates, port)


@dataclass(frozen=True)
class Outcome:
    """What came of one attack."""

    attack: Attack
    fault: str
    quiet: Served
    during: Served
    before_mb: float
    after_mb: float
    log_bytes: int

    @property
    def line(self) -> str:
        """One line of the table."""
        verdict = f"FAILED: {self.fault}" if self.fault else "ok"
        return (
            f"{self.attack.name:28} {self.quiet.p50:6.2f} {self.during.p50:6.2f} "
            f"{self.quiet.p99:7.2f} {self.during.p99:7.2f} {self.during.most:8.1f} "
            f"{self.before_mb:6.0f} {self.after_mb:6.0f} {self.log_bytes // 1024:6} {verdict}"
        )


HEAD = (
    f"{'attack':28} {'p50 ms':>13} {'p99 ms':>15} {'most':>8} {'MB':>13} {'log KB':>6}\n"
    f"{'':28} {'quiet':>6} {'under':>6} {'quiet':>7} {'under':>7} {'':>8} {'before':>6} "
    f"{'after':>6}"
)


def _settled(clients: WellBehaved, quiet_s: float) -> Served:
    """How clients fare when what was sent before has been worked off, or that takes too long."""
    until = time.monotonic() + SETTLING_S
    while True:
        clients.served()
        time.sleep(quiet_s)
        quiet = clients.served()
        if quiet.p50 < SETTLED_MS or time.monotonic() > until:
            return quiet


def attack_once(place: Field, clients: WellBehaved, one: Attack, quiet_s: float) -> Outcome:
    """Look at the quiet, attack, look again."""
    quiet = _settled(clients, quiet_s)
    before_mb = resident_mb(place.broker)
    ground = place.ground(1.0)
    fault, began = "", time.monotonic()
    try:
        one.run(ground)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"[:200]
    time.sleep(max(0.0, began + WATCHED_S - time.monotonic()))
    during = clients.served()
    after_mb = resident_mb(place.broker) if place.broker.running else 0.0
    log_bytes = len(ground.logged())
    ground.end()
    if not place.broker.running:
        fault = "the broker ended"
    elif during.failure:
        fault = fault or f"a well-behaved client failed: {during.failure}"
    return Outcome(one, fault, quiet, during, before_mb, after_mb, log_bytes)
