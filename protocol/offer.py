"""What the server announces and proposes to a client."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.constants import FRAME_MIN_SIZE
from protocol.tables import Table


@dataclass(slots=True, frozen=True)
class Offer:
    """What the server announces and proposes; limits in octets, seconds and channels."""

    server_properties: Table
    mechanisms: str = "PLAIN AMQPLAIN"
    channel_max: int = 2047
    frame_max: int = 131072
    heartbeat_s: int = 60
    message_size_max: int = 134217728
    initial_frame_max: int = FRAME_MIN_SIZE
