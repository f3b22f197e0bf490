"""Publisher confirms of one channel, as a watermark.

Messages are confirmed in the order of publishing, so a confirm can never overtake another:
what need not be stored waits for what was published before it. A tick notes which log batch
holds the channel's newest message (``mark``); when that batch is on stable storage, one
basic.ack confirms everything up to there (``confirm``).

Invariant: ``_pending`` holds (batch, sequence number) growing in both; no number above the
last one's is confirmed, and none is confirmed before its batch is durable.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pamqp import commands

if TYPE_CHECKING:
    from broker.amqp.channel import Channel


class Confirms:
    """The ``Publisher`` of a channel's routes; owes nothing until ``select``.

    Each tick in which something was published adds the sizes of bodies to ``Broker.body_sizes``.
    """

    __slots__ = (
        "_confirmed",
        "_nacks",
        "_numbered",
        "_pending",
        "awaited_batch",
        "channel",
        "fresh",
        "refused",
        "selected",
        "sizes",
    )

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.selected = False
        self.fresh = True  # nothing was published since the last tick
        self.sizes: list[int] = []  # of the bodies published since
        self.awaited_batch = 0
        self._numbered = 0  # messages before those
        self._confirmed = 0
        self._pending: deque[tuple[int, int]] = deque()
        self._nacks: deque[int] = deque()  # sequence numbers of refused messages
        self.refused = 0

    @property
    def published(self) -> int:
        """Messages received; since confirm.select, if that was called."""
        return self._numbered + len(self.sizes)

    @property
    def unconfirmed(self) -> int:
        """Messages whose confirm is owed."""
        return self.published - self._confirmed if self.selected else 0

    def select(self) -> None:
        """confirm.select: messages are counted from here."""
        if not self.selected:
            self.selected = True
            self._numbered = -len(self.sizes)
            self._confirmed = 0

    @property
    def counted(self) -> int:
        """Messages received since confirm.select."""
        return self.published if self.selected else 0

    def count(self) -> None:
        """A message that is stored nowhere was accepted: it is confirmed in its turn."""
        self._numbered += 1
        if self.fresh:
            self.first_publish()

    def first_publish(self) -> None:
        """The first message since the last tick: be asked for confirms in the coming one."""
        self.fresh = False
        tick = self.channel.session.tick
        tick.confirming.append(self)
        tick.wake()

    def mark(self, batch: int) -> None:
        """See ``host.Confirming``."""
        self.fresh = True
        self._numbered += len(self.sizes)
        self.channel.session.broker.body_sizes.add(self.sizes)
        self.sizes.clear()
        if not self.selected:
            return
        pending = self._pending
        if self.awaited_batch != batch:
            batch = pending[-1][0] if pending else 0
        if pending and pending[-1][0] == batch:
            pending[-1] = (batch, self.published)
        else:
            pending.append((batch, self.published))

    def refuse(self) -> None:
        """The message just published was refused by a queue: nack it in its turn."""
        self.refused += 1
        if self.selected:
            self._nacks.append(self.published)

    def confirm(self, durable: int) -> bool:
        """See ``host.Confirming``."""
        pending = self._pending
        reached = 0
        while pending and pending[0][0] <= durable:
            reached = pending.popleft()[1]
        if reached and not self.channel.closed:
            nacks = self._nacks
            while nacks and nacks[0] <= reached:
                nack = nacks.popleft()
                self._ack(nack - 1)
                # Nothing lower is unconfirmed, which is when RabbitMQ says multiple here.
                self.channel.send(
                    commands.Basic.Nack, delivery_tag=nack, multiple=True, requeue=True
                )
                self._confirmed = nack
            self._ack(reached)
            self.channel.session.output.touch()
        return not pending

    def _ack(self, reached: int) -> None:
        if reached > self._confirmed:
            self.channel.send(
                commands.Basic.Ack,
                delivery_tag=reached,
                multiple=reached > self._confirmed + 1,
            )
            self.channel.counters.confirmed += reached - self._confirmed
            self._confirmed = reached
