"""x-expires: a queue that nobody uses for so long is deleted, with its messages.

Using is declaring, consuming and getting, not publishing; a queue with consumers is in use.
Deleting it this way does not dead-letter.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.core.queue import Queue

_log = logging.getLogger("leveret.queue")


class Lease:
    """The lease of one queue; one timer is pending as long as it is the queue's lease."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.renew()
        self._set_timer(self._until_ms)

    def renew(self) -> None:
        """The queue was used."""
        assert self._queue.settings.expires_ms is not None
        self._until_ms = self._queue.broker.now_ms + self._queue.settings.expires_ms

    def _set_timer(self, due_ms: int) -> None:
        self._queue.broker.timers.at(due_ms, self._due)

    def _due(self) -> None:
        queue = self._queue
        if queue.deleted or queue.lease is not self:
            return
        if queue.consumers:
            self.renew()
        if queue.broker.now_ms < self._until_ms:
            self._set_timer(self._until_ms)
        else:
            text = "%s expired: nobody used it; %d messages go with it"
            _log.info(text, queue, len(queue), extra={"source": queue.vhost})
            queue.broker.vhosts[queue.vhost].drop_queue(queue)
