"""The decision about Python's cyclic garbage collector, and its one timer.

Reference counting frees nearly everything here. What it cannot free, cycles left by exceptions
and by sessions with their channels, is rare; but each automatic collection walks every object
made since the last one, and every queued message is such an object: with a million of them a
full collection stops the broker for half a second, and filling a queue costs 2.6 times as much
CPU as without collections. So automatic collection is off, and every ``INTERVAL_S`` either

* few messages are queued: a full collection, which then takes about 10 ms, or
* many are: everything made so far is moved out of the collector's sight (``gc.freeze``, which
  takes constant time) and looked at again once the queues are short.

Invariant: no collection ever walks more than ``WALK_MAX`` messages.
"""

from __future__ import annotations

import gc

from broker.core.broker import Broker

INTERVAL_S = 10.0
WALK_MAX = 20_000  # queued messages that a collection may walk over


def start() -> None:
    """Turn automatic collection off, and hide what the start of the program made."""
    gc.disable()
    gc.collect()
    gc.freeze()


def collect(broker: Broker) -> None:
    """The timer's work."""
    queued = sum(
        len(queue) + queue.unacked
        for vhost in broker.vhosts.values()
        for queue in vhost.queues.values()
    )
    if queued > WALK_MAX:
        gc.freeze()
    else:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
