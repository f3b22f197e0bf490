"""``x-recent-history``: a fanout that gives its last messages to whoever is bound anew.

A message with the header ``x-recent-history-no-store`` is routed, but not kept. RabbitMQ's
history is gone after a restart; here that of a durable exchange keeps its persistent messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from broker.core.exchange import Binding, Envelope, Exchange
from broker.core.queue import Queue
from broker.core.route import publish_for_nobody
from broker.core.store import Store
from protocol.errors import PreconditionFailed
from protocol.methods import erlang_binary
from protocol.tables import Field, Table, plain

if TYPE_CHECKING:
    from broker.core.message import Message
    from broker.core.vhost import Vhost

LENGTH = 20
_NO_STORE = Field("t", True)


class HistoryStore(Store):
    """The last ``length`` messages."""

    def __init__(self, vhost: Vhost, exchange: Exchange, queue_id: int, length: int) -> None:
        super().__init__(vhost, exchange, queue_id)
        self._length = length

    def push(self, message: Message) -> None:
        """See ``Store``."""
        self.backlog.append(message)
        if len(self.backlog) > self._length:
            self.forget(self.backlog.take(1)[0])


class RecentHistoryExchange(Exchange):
    """See the module."""

    type = "x-recent-history"
    cacheable = False
    store_count = 1

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        length = self.arguments.get("x-recent-history-length")
        self._length: int = length.value if length is not None else LENGTH

    @staticmethod
    def check_arguments(arguments: Table) -> None:
        """See ``Exchange``."""
        length = arguments.get("x-recent-history-length")
        if length is None or (length.tag in "bsIl" and length.value > 0):
            return
        is_text = length.tag == "S"
        shown = erlang_binary(length.value) if is_text else str(plain(length)).lower()
        raise PreconditionFailed(
            f"Invalid argument {shown}, 'x-recent-history-length' must be a positive integer"
        )

    def open_stores(self, vhost: Vhost) -> None:
        """See ``Exchange``."""
        self.stores = (HistoryStore(vhost, self, self.first_store_id, self._length),)

    def destinations(self, envelope: Envelope) -> Iterable[Queue | Exchange]:
        """See ``Exchange``."""
        found: list[Queue | Exchange] = [each.destination for each in self.bindings.values()]
        if envelope.headers.get("x-recent-history-no-store") != _NO_STORE:
            found += self.stores
        return found

    def bound(self, vhost: Vhost, binding: Binding) -> None:
        """Give the history to the new destination, oldest message first."""
        destination = binding.destination
        for store in self.stores:
            for message in list(store.backlog.browse()):
                if isinstance(destination, Queue):
                    queues = [destination]
                else:
                    queues = vhost.route(destination, message.routing_key, message.content)
                publish_for_nobody(
                    vhost.broker, message.address, message.content, message.size, queues
                )
