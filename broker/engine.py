"""What keeps and delivers messages: the model, its log and the tick that drives both. No sockets.

Start: the model gets its limits and defaults, then what the log has of it, then what the
configuration adds (a first user, definitions). Only then is there a tick.

Invariant: a log that failed is never written again. The tick ends with it, so that nothing more
is delivered or confirmed; what was confirmed is on the disk.
"""

from __future__ import annotations

import logging
import random
import secrets
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextvars import Context
from functools import partial
from pathlib import Path

from broker import defaults
from broker.advice import advice
from broker.config import Config
from broker.core.counters import Churn
from broker.ending import Ending
from broker.pager import Pager
from broker.restore import Restore
from broker.tick import Tick
from broker.timed_disk import TimedDisk
from broker.wal import REAL_DISK, Log, LogFailed, Scratch

_log = logging.getLogger("leveret.broker")


class Engine:
    """See the module. ``on_full`` is called, on any thread, when the disk has become full."""

    def __init__(
        self,
        config: Config,
        loop: AbstractEventLoop,
        ending: Ending,
        on_full: Callable[[], None],
    ) -> None:
        self._ending = ending
        self._is_ready = False
        self.broker = defaults.new_broker(config)
        self.disk = TimedDisk(config.disk_reserve_bytes, on_full)
        self.log = self._recover(config, loop)
        defaults.complete(self.broker, config, secrets.token_bytes)
        paging = str(Path(config.data_dir, "paging"))
        self.broker.scratch = self._scratch = Scratch(REAL_DISK, paging, self._failed)
        self.pager = Pager(self.broker, config.messages_in_memory_max_bytes)
        # In a context of its own: what a tick does, no user does.
        call_soon = partial(loop.call_soon, context=Context())
        self.tick = Tick(self.broker, self.log, call_soon, loop.call_later, self.pager)
        self.broker.random = random.randrange
        self.broker.wake = self.tick.wake
        self.tick.wake()  # what was recovered may have something to do at a certain time
        self._is_ready = True

    def _recover(self, config: Config, loop: AbstractEventLoop) -> Log:
        directory = Path(config.data_dir, "log")
        directory.mkdir(parents=True, exist_ok=True)
        restore = Restore(self.broker)
        log = Log.open(
            directory,
            replay=restore.replay,
            snapshot=self.broker.snapshot,
            on_durable=lambda _: self.broker.ask_for_tick(),
            on_failure=self._failed,
            call_in_loop=loop.call_soon_threadsafe,
            disk=self.disk,
            report=_log.warning,
            segment_bytes=config.log_segment_bytes,
        )
        count = restore.finish(log)
        self.broker.churn = Churn()  # nothing that was recovered is new
        if count:
            _log.info("recovered %d messages from %s", count, directory)
        return log

    def _failed(self, failure: LogFailed) -> None:
        if not self._is_ready:
            return  # it is raised, too: the broker does not start
        _log.critical("nothing more is confirmed: %s; %s", failure, advice(failure))
        self.tick.end()
        self._ending.fail()

    async def start(self) -> None:
        """See ``broker.services.Part``: it runs since it was made."""

    async def stop(self) -> None:
        """Write the rest of the log, unless the log is what failed."""
        if not self._ending.failed:
            self.tick.end()
            self.broker.purging.finish()
            self.log.close()
            self._scratch.close()
