"""Whether a client's traffic is light: then ``broker.turns`` makes others leave it room."""

from __future__ import annotations

WINDOW_MS = 100  # over which a client is weighed, and how long a light one is remembered
LIGHT_BYTES = 1 << 15  # read and written in a window


class Weight:
    """Whether one client's traffic is light, and has been for a window."""

    __slots__ = ("_octets", "_since_ms", "is_light")

    def __init__(self, now_ms: int) -> None:
        self.is_light = False
        self._octets = 0
        self._since_ms = now_ms

    def weigh(self, now_ms: int, octets: int) -> None:
        """``octets`` were read and written so far."""
        if now_ms - self._since_ms >= WINDOW_MS:
            self.is_light = octets - self._octets <= LIGHT_BYTES
            self._since_ms, self._octets = now_ms, octets
