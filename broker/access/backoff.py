"""Login back-off: answers to failed logins come slower when one address causes many.

Who guesses passwords gets ``BURST`` answers at once and then ``PER_S`` a second. A successful login
is never held back, wherever it comes from, so guessing keeps nobody out.
"""

from __future__ import annotations

from collections import OrderedDict

BURST = 20
PER_S = 2.0
WAIT_MAX_S = 3.0  # as long as RabbitMQ keeps a client waiting that it does not let in
ADDRESSES_MAX = 10_000


class Backoff:
    """Remembers failures by address; the clock is the caller's."""

    def __init__(self) -> None:
        self._free_at: OrderedDict[str, float] = OrderedDict()  # when all of BURST is there again

    def failed(self, host: str, now_s: float) -> float:
        """Note a failure; how many seconds its answer has to wait."""
        least = now_s - BURST / PER_S
        free_at = max(self._free_at.pop(host, least), least) + 1 / PER_S
        self._free_at[host] = min(free_at, now_s + WAIT_MAX_S)
        if len(self._free_at) > ADDRESSES_MAX:
            self._free_at.popitem(last=False)
        return max(0.0, self._free_at[host] - now_s)
