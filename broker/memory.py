"""What the memory of this process is used for, as far as that can be told.

Names are those of RabbitMQ's memory breakdown. Python does not account memory by use, so the shares
of queues are estimated from counts, and what is left over is ``other_system``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.alarms import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.core.queue import Queue

MESSAGE_BYTES = 250  # about what a message needs besides its octets


def queue_bytes(queue: Queue) -> int:
    """About what the ready messages of a queue need."""
    return queue.backlog.size_bytes + MESSAGE_BYTES * len(queue)


def breakdown(queues: Iterable[Queue], output_bytes: int) -> dict[str, int]:
    """Bytes by use. ``output_bytes`` is what waits to be read by clients."""
    binary = count = 0
    for queue in queues:
        binary += queue.backlog.size_bytes
        count += len(queue)
    uses = {
        "binary": binary,
        "queue_procs": MESSAGE_BYTES * count,
        "connection_writers": output_bytes,
    }
    resident = resident_bytes()
    return {**uses, "other_system": max(0, resident - sum(uses.values()))}
