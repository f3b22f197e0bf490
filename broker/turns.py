"""How clients share the turns of the event loop.

A client that publishes as fast as it can sends 256 KiB in one read, some 4,000 messages. To act
on all of them at once costs least, and costs nobody anything while everybody is in a hurry. A
client that sends little, however, waits for as long as a turn takes. So while there is one whose
requests are light, a read is acted on a portion at a time, and of the readers whose reads are not
acted on yet as many get a portion in a turn as ``TURN_S`` lasts. Deliveries are cut in portions as
well.

Invariants:

* What a read causes does not depend on the portions in which it is acted on, only when.
* Who got a portion stands behind all others who wait.
* A portion is at least one frame or one message, whatever it costs. If a turn took
  ``LONG_TURN_MS``, nobody gets a portion for as long again, and after long ones for much longer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from broker.amqp.weight import WINDOW_MS
from protocol.connection import WORK_MAX, WORK_SHARED

if TYPE_CHECKING:
    from broker.amqp.host import Reads

TURN_ALONE_S = 0.02  # for acting on reads, in one turn of the loop
TURN_S = 0.000_25  # the same beside light clients; the deliveries come on top
NO_LIMIT = 1 << 62
DELIVERIES_MAX = 600  # in one turn; half a millisecond
PORTIONS_MAX = 64  # in one turn
LONG_TURN_MS = 1.0
REST_MAX_MS = 100


class Turns:
    """See the module. ``clock`` gives seconds of CPU: what others take of it is nobody's fault."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self.work = WORK_MAX  # what acting on one read may take at once
        self.deliveries_max = NO_LIMIT  # in one turn
        self.waiting: deque[Reads] = deque()  # not read, or not acted on to the end
        self._shared_until_ms = 0
        self._clock = clock
        self._served_s = 0.0  # how long it took to serve some; 0 once that is accounted for
        self._began = 0.0
        self._rests_until_ms = 0

    def light_read(self, now_ms: int) -> None:
        """A light client sent something: for a window the others are to leave it room."""
        self.work = WORK_SHARED
        self.deliveries_max = DELIVERIES_MAX
        self._shared_until_ms = now_ms + WINDOW_MS

    def begin(self) -> None:
        """A tick begins: it delivers and writes what those who were served have caused."""
        if self._served_s:
            self._began = self._clock()

    def serve(self, now_ms: int) -> int:
        """At the end of a tick let those who wait go on; how many are read again."""
        if now_ms >= self._shared_until_ms:
            self.work, self.deliveries_max = WORK_MAX, NO_LIMIT
            self._rests_until_ms = 0
            read_on = self._serve_some(len(self.waiting), TURN_ALONE_S)
            self._served_s = 0.0  # nobody is to rest for that
            return read_on
        if self._served_s:
            self._account(now_ms)
        if not self.waiting or self.rest_ms(now_ms):
            return 0
        return self._serve_some(PORTIONS_MAX, TURN_S)

    def rest_ms(self, now_ms: int) -> int:
        """How long those who wait have to wait at least."""
        return max(0, self._rests_until_ms - now_ms)

    def _account(self, now_ms: int) -> None:
        took_ms = (self._served_s + self._clock() - self._began) * 1000
        self._served_s = 0.0
        if took_ms >= LONG_TURN_MS:
            self._rests_until_ms = now_ms + min(round(took_ms + took_ms**2 / 8), REST_MAX_MS)

    def _serve_some(self, portions_max: int, most_s: float) -> int:
        waiting, read_on = self.waiting, 0
        now = began = self._clock()
        while waiting and portions_max and now < began + most_s:
            portions_max -= 1
            read_on += waiting.popleft().unthrottle()
            now = self._clock()
        self._served_s = now - began
        return read_on
