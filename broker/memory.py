"""What the memory of this process is used for, as far as that can be told.

Names are those of RabbitMQ's memory breakdown. Python does not account memory by use, so the shares
of queues are estimated from counts, and what is left over is ``other_system``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.alarms import resident_bytes
from broker.core.paging import MESSAGE_BYTES

if TYPE_CHECKING:
    from broker.core.queue import Queue


def paged_out(queue: Queue) -> tuple[int, int]:
    """How many messages of a queue are not in memory, and the octets of their bodies."""
    pages = [part.pages for part in queue.backlog.parts() if part.pages is not None]
    return sum(one.count for one in pages), sum(one.size_bytes for one in pages)


def breakdown(messages: int, body_bytes: int, output_bytes: int) -> dict[str, int]:
    """Bytes by use, from what is in memory: messages, their bodies, output that waits."""
    uses = {
        "binary": body_bytes,
        "queue_procs": MESSAGE_BYTES * messages,
        "connection_writers": output_bytes,
    }
    return {**uses, "other_system": max(0, resident_bytes() - sum(uses.values()))}
