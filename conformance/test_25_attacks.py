"""A short form of every attack in ``hostile``, all at the same time, on a broker of their own.

``python -m conformance.hostile`` is the full form, one by one and with measurements.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from conformance.conftest import PRIVATE, URL
from conformance.hostile import Attack, Ground, resident_mb
from conformance.hostile.__main__ import listing
from conformance.hostile.run import ATTACKS, field
from conformance.wire import Connection

SCALE = 0.03
AT_A_TIME = 6
MEMORY_MB = 400.0

pytestmark = pytest.mark.skipif(
    bool(URL) or PRIVATE != "leveret", reason="attacks a Leveret of its own only"
)


@pytest.fixture(scope="module")
def attacks() -> Iterator[dict[str, Future[None]]]:
    """All attacks, begun; afterwards the broker lives, is not large, and serves."""
    with field() as place, ThreadPoolExecutor(AT_A_TIME) as threads:
        before_mb = resident_mb(place.broker)

        def run(attack: Attack) -> None:
            ground = Ground(place.broker, place.certificates, place.tls_port, SCALE)
            try:
                attack.run(ground)
            finally:
                ground.end()
            with Connection(place.broker.url) as connection:
                channel = connection.channel()
                queue = channel.declare(exclusive=True)
                channel.fill(queue, attack.name)
                assert channel.drain(queue) == [attack.name]

        yield {name: threads.submit(run, attack) for name, attack in ATTACKS.items()}
        threads.shutdown()
        assert place.broker.running, place.broker.log_text()[-3000:]
        assert resident_mb(place.broker) < before_mb + MEMORY_MB
        assert "internal error" not in place.broker.log_text()


def test_the_table_is_current() -> None:
    """conformance/README.md lists every attack, as `--list` prints it."""
    text = (Path(__file__).parent / "README.md").read_text()
    assert listing() in text


@pytest.mark.parametrize("name", list(ATTACKS))
def test_attack(attacks: dict[str, Future[None]], name: str) -> None:
    """What must happen under the attack happens, and the next client is served."""
    attacks[name].result(timeout=90)
