"""Metrics of memory by use, see ``broker.memory``."""

from __future__ import annotations

from broker.memory import breakdown, paged_out
from broker.metrics.clients import sessions_of
from broker.metrics.family import GAUGE, Scope, Steps, parts, single
from broker.metrics.queues import queues_of

_NAMES = {
    "binary": ("binary_heap", "bodies of ready messages"),
    "queue_procs": ("classic_queue_erlang_process", "what queues keep besides bodies"),
    "connection_writers": ("client_connection_writer", "output that clients have not read"),
    "other_system": ("other_system", "everything else, the program included"),
}
"""RabbitMQ's metric for each use in its breakdown, and what that is here."""


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
        name, what = _NAMES[use]
        name = f"{scope.prefix}memory_{name}_bytes"
        yield single(name, GAUGE, f"Memory in bytes used for {what}", octets)
