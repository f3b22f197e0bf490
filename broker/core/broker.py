"""The root of the model: vhosts, message ids, the time, and what the coming tick must do.

``dirty`` are the queues that have messages and consumers for them; whoever appends to it or to
the log calls ``wake`` so that a tick comes. ``now_ms`` is set by the shell, once per read and tick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from broker.core.counters import BodySizes, Churn, Spread, Totals
from broker.core.events import Events
from broker.core.limits import Limits
from broker.core.log import Log, NoLog
from broker.core.operations import Operation, apply, encode_operation, snapshot
from broker.core.paging import NoScratch, Scratch
from broker.core.purging import Purging
from broker.core.queue import DELIVER_BATCH_MAX
from broker.core.timers import Timers
from broker.core.users import User
from broker.core.vhost import Vhost
from broker.core.vhost_settings import VhostDefaults
from protocol.errors import PreconditionFailed

if TYPE_CHECKING:
    from broker.core.queue import Queue


def _nobody() -> None:
    """The broker before a loop runs it."""


def _first(_: int) -> int:
    """Chance, before a shell brings it."""
    return 0


class Broker:
    """See the module."""

    def __init__(self, log: Log | None = None) -> None:
        self.log: Log = log if log is not None else NoLog()
        self.scratch: Scratch = NoScratch()
        self.vhosts: dict[str, Vhost] = {}
        self.limits = Limits()
        self.vhost_defaults = VhostDefaults()
        self.users: dict[str, User] = {}
        self.global_parameters: dict[str, Any] = {}
        self.unknown_definitions: dict[tuple[str, ...], dict[str, Any]] = {}
        self.connections: Counter[str] = Counter()  # open ones, by user
        self.channels: Counter[str] = Counter()  # open ones, by user
        # Told of each change before it takes effect, but not of those that are recovered.
        self.watchers: list[Callable[[Operation], None]] = []
        self.churn = Churn()
        self.totals = Totals()
        self.waited_ms = Spread()  # how long messages waited to be delivered
        self.body_sizes = BodySizes()  # of what clients published
        # Logins that succeeded, and that did not, by protocol as RabbitMQ names it.
        self.logins: Counter[tuple[str, bool]] = Counter()
        self.next_message_id = 1
        self.next_queue_id = 1
        self.now_ms = 0
        self.changed_batch = 0  # the log batch that holds the newest change of topology
        self.dirty: list[Queue] = []
        self.purging = Purging()
        self.timers = Timers(self.ask_for_tick)
        self.events = Events(self)
        self.backlogged: list[Queue] = []  # queues that this tick could not empty
        self.wake: Callable[[], None] = _nobody
        self.random: Callable[[int], int] = _first  # an integer from 0 below its argument

    def ask_for_tick(self) -> None:
        """See that a tick comes, by whatever ``wake`` is then."""
        self.wake()

    def change(self, operation: Operation, *, durable: bool, owner: object | None = None) -> None:
        """Apply a change of topology, log it if what it changes is durable, and tell of it.

        ``ValueError``, and no change, for what the log could not give back.
        """
        octets = encode_operation(operation) if durable else b""
        for watcher in self.watchers:
            watcher(operation)
        events = self.events.of(operation, owner)
        apply(self, operation, owner)
        if durable:
            self.log.operation(octets)
            self.changed_batch = self.log.gathering
            self.wake()
        self.events.publish_all(events)

    def delete_vhost(self, name: str) -> bool:
        """Delete a vhost with all that is in it; false if there is none.

        Raises ``PreconditionFailed`` for one that is protected.
        """
        vhost = self.vhosts.get(name)
        if vhost is None:
            return False
        if vhost.protected:
            raise PreconditionFailed(
                f"Refusing to delete virtual host '{name}' because it is protected from deletion"
            )
        self.change({"op": "vhost.delete", "name": name}, durable=True)
        return True

    def declare_vhost(self, name: str) -> Vhost:
        """The vhost of that name, made if it does not exist."""
        if name not in self.vhosts:
            self.limits.check_vhost(self, name)
            self.change({"op": "vhost.declare", "name": name}, durable=True)
            self.vhost_defaults.apply(self.vhosts[name])
        return self.vhosts[name]

    def add_vhost(self, name: str) -> None:
        """Effect of the operation vhost.declare."""
        if name not in self.vhosts:
            self.vhosts[name] = Vhost(self, name)
            self.events.vhost_added(self.vhosts[name])

    def remove_vhost(self, name: str) -> None:
        """Effect of the operation vhost.delete: queues and their messages go with it."""
        vhost = self.vhosts.pop(name, None)
        if vhost is not None:
            for queue in vhost.queues.values():
                self.totals.queue_gone(queue)
            self.totals.publishes.add(exchange.publishes for exchange in vhost.exchanges.values())
            for queue in list(vhost.keepers()):
                queue.delete()
            vhost.queues.clear()
            vhost.generation += 1
            self.events.vhost_removed(vhost)

    def snapshot(self) -> list[bytes]:
        """Everything durable as encoded operations: the head of each log segment."""
        return [encode_operation(operation) for operation in snapshot(self)]

    def pump(self, deliveries_max: int = 1 << 62) -> None:
        """Let every dirty queue deliver its share of ``deliveries_max``, and a purge go on."""
        dirty, self.dirty = self.dirty, []
        if dirty:
            share = min(deliveries_max // len(dirty) + 1, DELIVER_BATCH_MAX)
            for queue in dirty:
                queue.pump(share)
        if self.purging:
            self.purging.step()
            self.wake()
