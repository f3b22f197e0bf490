"""kill -9 under load, again and again, and an exact account of what that did to the messages.

Clients load the broker (``soak_load``), the broker is killed, started again, and everything in its
queues is compared with what the clients saw (``soak_account`` says by which rules).

A kill ends the process; the kernel keeps what was written, so this does not prove that anything
was synced to the disk. It proves that what the broker says and what it writes agree at any moment.

``python -m conformance.soak --kills 1000`` runs it for longer than the test suite does.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from conformance.brokers import Broker
from conformance.soak_account import Judge, Totals
from conformance.soak_load import (
    DELAY_MAX_MS,
    MIXED,
    PLAIN,
    Depth,
    Load,
    check_queues,
    clients,
    declare,
    look,
)


def run(
    broker: Broker,
    kills: int,
    load: Load = PLAIN,
    report: Callable[[str], None] = lambda _: None,
    seed: int = 0,
    keep: Path | None = None,
) -> Totals:
    """Load the broker and kill it so many times; AssertionError says what was wrong.

    ``keep`` is a directory that has the broker's data as the last kill left it.
    """
    chance = random.Random(seed)
    judge = Judge()
    declare(broker, load)
    for generation in range(kills):
        depth = Depth(len(judge.there))
        team = clients(broker, load, generation, depth)
        for client in team:
            client.start()
        time.sleep(chance.uniform(0.15, 0.7))
        broker.kill()
        killed = time.monotonic()
        for client in team:
            client.join(30.0)
            assert not client.is_alive(), "a client did not notice the broker's end"
        if keep is not None:
            shutil.rmtree(keep, ignore_errors=True)
            shutil.copytree(broker.data_dir, keep, ignore=shutil.ignore_patterns("*.sock"))
        began = time.monotonic()
        broker.start()
        started_s = time.monotonic() - began
        for client in team:
            assert client.failure is None, f"a client failed before the kill: {client.failure}"
        if load.is_mixed:  # what was delayed is in its queue before the look
            time.sleep(max(0.0, killed + DELAY_MAX_MS / 1000 + 0.1 - time.monotonic()))
        judge.round([client.account for client in team], look(broker, load))
        for client in team:
            check_queues(broker, client.account.queues)
        new = sum(len(client.account.confirmed) for client in team)
        report(
            f"kill {generation + 1}: {new} confirmed, {len(judge.there)} in the queues, "
            f"up again after {started_s:.2f} s"
        )
    return judge.totals


def main() -> int:
    """Run the loop against a private broker."""
    from conformance.conftest import private_broker

    parser = argparse.ArgumentParser(prog="conformance.soak", description=main.__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--broker", choices=("fast", "slow", "rabbitmq"), default="fast")
    parser.add_argument("--load", choices=("plain", "mixed"), help="default: mixed for Leveret")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the data after the last kill")
    options = parser.parse_args()
    name = options.load or ("plain" if options.broker == "rabbitmq" else "mixed")
    settings = dict(word.split("=", 1) for word in options.set)
    with (
        tempfile.TemporaryDirectory() as temp,
        private_broker(options.broker, Path(temp) / "enabled_plugins", settings) as broker,
    ):
        load = MIXED if name == "mixed" else PLAIN
        totals = run(broker, options.kills, load, print, options.seed, options.keep)
    print(
        f"{options.kills} kills: {totals.published} copies of messages published, "
        f"{totals.confirmed} confirmed, {totals.delivered} deliveries, {totals.rejected} rejects, "
        f"{totals.transactions} transactions; none lost, none doubled, all in order"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
