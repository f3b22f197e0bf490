"""Metrics of memory by use, see ``broker.memory``."""

from __future__ import annotations

from broker.memory import breakdown
from broker.metrics.clients import sessions_of
from broker.metrics.family import GAUGE, Scope, Steps, parts, single
from broker.metrics.queues import paged_out, queues_of

_TEXTS = {
    "binary": "bodies of ready messages",
    "queue_procs": "what queues keep besides bodies",
    "connection_writers": "output that clients have not read",
    "other_system": "everything else, the program included",
}


def memory_breakdown(scope: Scope) -> Steps:
    """What memory is used for."""
    output = sum(session.transport.get_write_buffer_size() for session in sessions_of(scope))
    messages = body_bytes = 0
    for queues in parts(queues_of(scope)):
        for queue in queues:
            gone, gone_bytes = paged_out(queue)
            messages += len(queue) - gone
            body_bytes += queue.backlog.size_bytes - gone_bytes
        yield None
    for use, octets in breakdown(messages, body_bytes, output).items():
        name = f"{scope.prefix}memory_{use}_bytes"
        yield single(name, GAUGE, f"Memory in bytes used for {_TEXTS[use]}", octets)
