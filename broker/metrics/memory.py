"""Metrics of memory by use, see ``broker.memory``."""

from __future__ import annotations

from broker.memory import breakdown
from broker.metrics.clients import sessions_of
from broker.metrics.family import GAUGE, Scope, Steps, single
from broker.metrics.queues import queues_of

_TEXTS = {
    "binary": "bodies of ready messages",
    "queue_procs": "what queues keep besides bodies",
    "connection_writers": "output that clients have not read",
    "other_system": "everything else, the program included",
}


def memory_breakdown(scope: Scope) -> Steps:
    """What memory is used for."""
    output = sum(session.transport.get_write_buffer_size() for session in sessions_of(scope))
    yield None
    for use, octets in breakdown(queues_of(scope), output).items():
        name = f"{scope.prefix}memory_{use}_bytes"
        yield single(name, GAUGE, f"Memory in bytes used for {_TEXTS[use]}", octets)
