"""What happens once in an iteration of the event loop, after all sockets have been read.

Input handlers only append: to queues, to the log's gathering batch, to the work lists here.
The tick then settles acks, delivers, writes, commits, confirms and writes once more, in this
order: what one client publishes reaches another within one iteration, deliveries do not wait for
the disk, and a socket is written once, or twice if it is also owed confirms.

Invariants:

* A confirm leaves only when its log batch is durable; a session's output only when the batch
  in its ``hold_until`` is.
* The tick runs only when something asked for it (``wake``); an idle broker does nothing.
* A read large enough to have more behind it is followed by a tick before the same socket is
  read again, whatever its peer sends: this is how consumers get their turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from broker.clock import Clock
from broker.pager import Pager
from broker.pressure import Pressure
from broker.turns import Turns
from broker.wal import LogFailed

if TYPE_CHECKING:
    from broker.amqp.host import Confirming, Settles, Writes
    from broker.core.broker import Broker


LOOK_AGAIN_S = 0.002  # while readers are held back, how soon to see whether they may go on


# Large reads (of at most 256 KiB) while one batch gathers: a disk that is slower than the
# publishers makes them wait instead of making batches, and memory, grow without bound.
LARGE_READS_MAX = 64
TIMER_MAX_S = 3600.0


class CommittingLog(Protocol):
    """What the tick needs of a log."""

    gathering: int
    durable: int

    @property
    def pending(self) -> bool:
        """Whether anything is gathered or in flight."""

    def commit(self) -> None:
        """Start making durable what has gathered."""


class Tick:
    """See the module. ``call_soon`` and ``call_later`` are the event loop's."""

    def __init__(
        self,
        broker: Broker,
        log: CommittingLog,
        call_soon: Callable[[Callable[[], None]], object],
        call_later: Callable[[float, Callable[[], None]], object],
        pager: Pager,
    ) -> None:
        self.broker = broker
        self.log = log
        self.clock = Clock()
        self.settling: list[Settles] = []
        self.confirming: list[Confirming] = []
        self.writers: list[Writes] = []
        self._waiting: dict[Confirming, None] = {}  # for a batch to become durable
        self.pressure = Pressure()
        self.turns = Turns()
        self.pager = pager
        self._call_soon = call_soon
        self._call_later = call_later
        self._alarm_set = self._resting = False
        self._awake = False
        self._gathering = 0  # the batch that gathered when large reads were last counted from 0
        self._large_reads = 0
        self._ended = False
        self._timer_ms = 0  # when the pending timer is due; 0 if none is pending

    def wake(self) -> None:
        """Have the tick run in this iteration of the event loop."""
        if not self._awake:
            self._awake = True
            self._call_soon(self.run)

    def read_clock(self) -> None:
        """Set the model's time."""
        self.broker.now_ms = self.clock.now_ms()

    def run(self) -> None:
        """See the module. The log calls for it too, when a batch has become durable."""
        self._awake = False
        if self._ended:
            return
        try:
            self._run()
        except LogFailed:
            if not self._ended:
                raise  # else it was reported, and the process is about to end

    def _run(self) -> None:
        self.read_clock()
        self.turns.begin()
        self.settle()
        self.broker.pump(self.turns.deliveries_max)
        self.broker.timers.run(self.broker.now_ms)
        self._write()
        self._commit_and_confirm()
        self._write()
        self._read_on()
        self._press()
        self.pager.check()
        self._set_timer()

    def _set_timer(self) -> None:
        """See that a tick comes when the model has something to do."""
        due_ms = self.broker.timers.next_due_ms
        if due_ms is not None and (self._timer_ms == 0 or due_ms < self._timer_ms):
            self._timer_ms = due_ms
            delay_s = max(0, due_ms - self.broker.now_ms) / 1000
            self._call_later(min(delay_s, TIMER_MAX_S), partial(self._timer, due_ms))

    def _timer(self, due_ms: int) -> None:
        if due_ms == self._timer_ms:  # else one that is due earlier took its place
            self._timer_ms = 0
        self.wake()

    def end(self) -> None:
        """The log failed: nothing more is delivered, confirmed or written."""
        self._ended = True

    def settle(self) -> None:
        """Pass grouped acks to their queues."""
        settling, self.settling = self.settling, []
        for holder in settling:
            holder.settle()

    def _press(self) -> None:
        """Back-pressure; while a reader is held back, a timer keeps the ticks coming."""
        pressure, backlogged = self.pressure, self.broker.backlogged
        if not backlogged and not pressure.congested and not pressure.waits:
            return
        self.broker.backlogged = []
        if pressure.judge(backlogged, time.monotonic()) and not self._alarm_set:
            self._alarm_set = True
            self._call_later(LOOK_AGAIN_S, self._alarm)

    def _alarm(self) -> None:
        self._alarm_set = False
        self.wake()

    def _commit_and_confirm(self) -> None:
        log = self.log
        if self.confirming:
            for owing in self.confirming:
                owing.mark(log.gathering)
                self._waiting[owing] = None
            self.confirming.clear()
        log.commit()
        if self._waiting:
            durable = log.durable
            paid = [owing for owing in self._waiting if owing.confirm(durable)]
            for owing in paid:
                del self._waiting[owing]

    def write(self, writer: Writes) -> bool:
        """Write what this one is owed, unless that has to wait for the disk."""
        # A batch that nothing went into is never written: then there is nothing to wait for.
        if writer.hold_until > self.log.durable and self.log.pending:
            return False
        writer.flush()
        return True

    def _write(self) -> None:
        writers, self.writers = self.writers, []
        self.writers += [writer for writer in writers if not self.write(writer)]

    def _read_on(self) -> None:
        """Go on with those that were not read during this tick, unless the log is behind."""
        log = self.log
        if log.gathering != self._gathering or not log.pending:
            self._gathering = log.gathering
            self._large_reads = 0
        if self._large_reads < LARGE_READS_MAX:
            self._large_reads += self.turns.serve(self.broker.now_ms)
            if self.turns.waiting and not self._resting:
                self._rest(self.turns.rest_ms(self.broker.now_ms))

    def _rest(self, rest_ms: int) -> None:
        """See that those who still wait for their turn get one."""
        if rest_ms:
            self._resting = True
            self._call_later(rest_ms / 1000, self._rested)
        else:
            self.wake()

    def _rested(self) -> None:
        self._resting = False
        self.wake()
