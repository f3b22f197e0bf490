"""What the memory of this process is used for, as far as that can be told.

Names are those of RabbitMQ's memory breakdown. Python does not account memory by use, so the shares
of queues are estimated from counts, and what is left over is ``other_system``.
"""

from __future__ import annotations

from broker.alarms import resident_bytes
from broker.core.paging import MESSAGE_BYTES


def breakdown(messages: int, body_bytes: int, output_bytes: int) -> dict[str, int]:
    """Bytes by use, from what is in memory: messages, their bodies, output that waits."""
    uses = {
        "binary": body_bytes,
        "queue_procs": MESSAGE_BYTES * messages,
        "connection_writers": output_bytes,
    }
    return {**uses, "other_system": max(0, resident_bytes() - sum(uses.values()))}
