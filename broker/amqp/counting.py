"""What one channel counts: publishes by exchange, deliveries by queue, see ``core.counters``.

Invariant: objects that are gone are forgotten from time to time, so a channel that outlives many
queues does not grow; what was counted for them stays in the totals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.counters import Deliveries, Publishes, Tally

if TYPE_CHECKING:
    from broker.amqp.session import Session
    from broker.core.exchange import Exchange
    from broker.core.queue import Queue

FORGET_MIN = 1000  # objects from which forgetting is considered


class ChannelCounters:
    """See the module."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.tallies: dict[Exchange, Tally] = {}
        self.deliveries: dict[Queue, Deliveries] = {}
        self.confirmed = 0
        self._retired_publishes = Publishes()
        self._retired_deliveries = Deliveries()
        self._forget_at = FORGET_MIN

    def tally(self, exchange: Exchange) -> Tally:
        """Who counts what is published to an exchange."""
        tally = self.tallies.get(exchange)
        if tally is None:
            self._forget()
            tally = self.tallies[exchange] = Tally(exchange)
        return tally

    def from_queue(self, queue: Queue) -> Deliveries:
        """Who counts what is delivered from a queue."""
        deliveries = self.deliveries.get(queue)
        if deliveries is None:
            self._forget()
            deliveries = self.deliveries[queue] = Deliveries()
        return deliveries

    def _forget(self) -> None:
        if len(self.tallies) + len(self.deliveries) < self._forget_at:
            return
        self._session.forget_routes()
        exchanges = self._session.vhost.exchanges
        for queue in [queue for queue in self.deliveries if queue.deleted]:
            self._retired_deliveries.add([self.deliveries.pop(queue)])
        for exchange in [one for one in self.tallies if exchanges.get(one.name) is not one]:
            self._retired_publishes.add([self.tallies.pop(exchange)])
        self._forget_at = max(FORGET_MIN, 2 * (len(self.tallies) + len(self.deliveries)))

    def count(self) -> None:
        """Bring all counters up to date.

        A confirm does not say to which exchange the message went. With one exchange that is
        clear; of several, those with most publishes unconfirmed get the confirms.
        """
        self._session.routes.count()
        rest = self.confirmed - self._retired_publishes.confirm
        rest -= sum(tally.confirm for tally in self.tallies.values())
        waiting = sorted(self.tallies.values(), key=lambda tally: tally.confirm - tally.publish)
        for tally in waiting:
            count = min(rest, tally.publish - tally.confirm)
            if count > 0:
                tally.confirmed(count)
                rest -= count

    def totals(self) -> tuple[Publishes, Deliveries]:
        """All exchanges and all queues together."""
        publishes, deliveries = Publishes(), Deliveries()
        publishes.add([self._retired_publishes, *self.tallies.values()])
        deliveries.add([self._retired_deliveries, *self.deliveries.values()])
        return publishes, deliveries
