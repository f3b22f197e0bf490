"""``python -m conformance.hostile [NAME...]``: attack a private broker under normal load.

Prints a table: for each attack the latency of well-behaved clients before and under it, the
broker's memory before and after, and the verdict. Exit code 1 if an attack got through, or the
median latency or the memory more than doubled. ``--list`` prints the attacks, as Markdown.
"""

from __future__ import annotations

import statistics
import sys

from conformance.hostile.load import WellBehaved
from conformance.hostile.run import ATTACKS, HEAD, Outcome, attack_once, field, resident_mb

QUIET_S = 0.7
NOISE_MS = 1.0  # latencies of less are not told apart
MEMORY_MB = 64.0  # nor is memory


def main(names: list[str]) -> int:
    """Run the attacks named, or all."""
    if names == ["--list"]:
        print(listing(), end="")
        return 0
    print(HEAD, flush=True)
    outcomes = []
    with field() as place:
        clients = WellBehaved(place.broker.url)
        for one in [ATTACKS[name] for name in names or ATTACKS]:
            outcomes.append(attack_once(place, clients, one, QUIET_S))
            print(outcomes[-1].line, flush=True)
            if not place.broker.running:
                print(place.broker.log_text()[-3000:])
                break
        clients.end()
        if place.broker.running:
            print(f"\nat the end {resident_mb(place.broker):.0f} MB")
    return summary(outcomes)


def listing() -> str:
    """Write the table of attacks."""
    rows = [f"| {one.name} | {one.does} | {one.must} |\n" for one in ATTACKS.values()]
    return "| attack | what it does | what must happen |\n| --- | --- | --- |\n" + "".join(rows)


def summary(outcomes: list[Outcome]) -> int:
    """Judge all, and say so."""
    quiet = statistics.median(outcome.quiet.p50 for outcome in outcomes)
    tail = statistics.median(outcome.quiet.p99 for outcome in outcomes)
    slow = [o for o in outcomes if o.during.p50 > max(2 * quiet, quiet + NOISE_MS)]
    tails = [o for o in outcomes if o.during.p99 > max(2 * tail, tail + NOISE_MS)]
    large = [o for o in outcomes if o.after_mb > max(2 * o.before_mb, o.before_mb + MEMORY_MB)]
    failed = [o for o in outcomes if o.fault]
    print(f"{len(outcomes)} attacks, {len(failed)} failed")
    print(f"quiet: p50 {quiet:.2f} ms, p99 {tail:.2f} ms (medians over all)")
    for what, found in (("p50", slow), ("p99", tails), ("memory", large)):
        named = ", ".join(outcome.attack.name for outcome in found) or "none"
        print(f"{what} more than doubled in: {named}")
    return 1 if failed or slow or large else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
