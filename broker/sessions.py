"""The open AMQP connections: how many there may be, and what is done to all or some of them.

Invariant: whoever ``add`` was called with stays until ``remove``, which the socket's end calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from broker import resources
from broker.config import Config
from broker.core.message import Message
from broker.core.operations import Operation
from broker.core.queue import Queue
from broker.ending import Ending
from protocol.errors import ConnectionForced

if TYPE_CHECKING:
    from broker.amqp.session import Session

_log = logging.getLogger("leveret.broker")


class Sessions:
    """See the module."""

    def __init__(self, config: Config, ending: Ending) -> None:
        self.most = resources.clients_max()
        if config.connection_max is not None:
            self.most = min(self.most, config.connection_max)
        self._drain_timeout_s = config.drain_timeout_ms / 1000
        self._ending = ending
        self._open: set[Session] = set()
        self._deserted = asyncio.Event()  # no session is left
        self._deserted.set()

    def __iter__(self) -> Iterator[Session]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, session: object) -> bool:
        return session in self._open

    def has_room(self, coming: int) -> bool:
        """Whether so many more are not too many."""
        return len(self._open) + coming <= self.most

    def add(self, session: Session) -> None:
        """A socket was accepted."""
        self._open.add(session)
        self._deserted.clear()

    def remove(self, session: Session) -> None:
        """A socket is gone."""
        self._open.discard(session)
        if not self._open:
            self._deserted.set()

    def unacked(self) -> Iterator[tuple[Queue, Message]]:
        """The deliveries that channels hold."""
        for session in self._open:
            for channel in session.channels.values():
                for message, holder in channel.held():
                    yield holder.queue, message

    def close_deleted(self, operation: Operation) -> None:
        """See ``Broker.watchers``: close the connections of a user or vhost that is to go."""
        name = operation.get("name")
        if operation["op"] == "user.delete":
            self._close(f"user '{name}' is deleted", lambda session: session.user == name)
        elif operation["op"] == "vhost.delete":
            reason = f"vhost '{name}' is deleted"
            self._close(reason, lambda session: session.opened and session.vhost.name == name)

    def close_all(self, reason: str) -> None:
        """Tell every client 320 with this reason."""
        self._close(reason, lambda _: True)

    def _close(self, reason: str, concerns: Callable[[Session], bool]) -> None:
        error = ConnectionForced(reason, about_method=False)
        for session in [session for session in self._open if concerns(session)]:
            session.close_for(error)

    async def start(self) -> None:
        """See ``broker.services.Part``: they come by themselves."""

    async def stop(self) -> None:
        """Tell clients 320 and wait until they are gone, for as long as the drain timeout says."""
        if not self._ending.failed:
            self.close_all("broker forced connection closure with reason 'shutdown'")
            try:
                async with asyncio.timeout(self._drain_timeout_s):
                    await self._deserted.wait()
            except TimeoutError:
                _log.warning("%d connections did not close in time", len(self._open))
        for session in list(self._open):
            session.abort()
