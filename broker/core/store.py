"""Stores: messages that an exchange keeps for itself.

A store is a queue without a name of its own: clients cannot see, bind or consume from it. It is
among the destinations its exchange gives for a message, so that what it keeps is logged,
confirmed, recovered and copied forward as on any queue, under the store's queue id.

Invariants:

* A store is as durable as its exchange, and goes with it.
* Nothing expires or is dead-lettered in a store; each kind decides when it forgets a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from broker.core.backlog import Backlog
from broker.core.message import Message
from broker.core.paging import NEVER, Page
from broker.core.queue import Queue

if TYPE_CHECKING:
    from broker.core.exchange import Exchange
    from broker.core.vhost import Vhost


class Kept:
    """What a store keeps in another order than a backlog's, in the place of one.

    Nothing is handed out of it. A kind that keeps messages on the disk says so in ``parts``.
    """

    recovered_below = 0
    size_bytes = 0
    deadline_ms = NEVER

    def oldest(self) -> Message | None:
        """Of no interest: nobody waits for it."""
        return None

    def parts(self) -> Iterable[Backlog]:
        """Nothing is paged out by the pager."""
        return ()

    def take_pages(self) -> list[Page]:
        """There are none."""
        return []


class Store(Queue):
    """See the module. Kinds say in ``push`` what becomes of a message."""

    counts_as_route = False
    needs_messages = True

    def __init__(self, vhost: Vhost, exchange: Exchange, queue_id: int) -> None:
        super().__init__(
            vhost.broker,
            vhost.name,
            exchange.name,
            queue_id,
            durable=exchange.durable,
            auto_delete=False,
            arguments={},
        )

    def expect_expiring(self) -> None:
        """Expirations count from when a message reaches a real queue."""
