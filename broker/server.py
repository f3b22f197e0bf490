"""The process: made of parts, which start in order and stop in the opposite order.

Start: recover the log and declare what the configuration asks for (``broker.engine``), start the
services, listen for AMQP, announce readiness: whoever gets in finds everything there.
Stop (SIGTERM, SIGINT): refuse new connections, tell clients 320, wait until they are gone or
the drain timeout is over (``broker.sessions``), write the rest of the log, exit 0.

A log that failed ends the process at once, with exit code 74 (EX_IOERR).
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from broker import __version__, alarms, garbage, logs, notify, pager, reclaim
from broker.access.authentication import Authentication
from broker.advice import advice
from broker.alarms import Alarms
from broker.amqp import announce, audit
from broker.config import Config
from broker.config.changes import changed
from broker.ending import EX_IOERR, Ending
from broker.engine import Engine
from broker.garbage import Collector
from broker.host import AmqpHost
from broker.log_exchange import LogExchange
from broker.logs import limiter
from broker.maintenance import Maintenance
from broker.net import tls
from broker.net.listening import AmqpListeners
from broker.net.tls import Certificates
from broker.reclaim import CopyForward
from broker.services import Listening, Part, services
from broker.sessions import Sessions
from broker.upkeep import Job, Upkeep
from broker.wal import WalError

_log = logging.getLogger("leveret.broker")


def run(config: Config) -> int:
    """Serve until told to stop; the process's exit code."""
    garbage.start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config))


async def _serve(config: Config) -> int:
    started_s = time.monotonic()
    try:
        server = Server(config)
    except (WalError, OSError) as error:
        _log.critical("cannot start: %s; %s", error, advice(error))
        return EX_IOERR
    return await server.serve(started_s)


class Server:
    """All parts of a broker. Each is made of those above it; services alone look at all of them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.loop = asyncio.get_running_loop()
        self.ending = Ending()
        # Before the disk is touched: files of certificates may be found wrong.
        self.certificates = (
            Certificates("ssl_options", config.tls) if config.tls_listeners else None
        )
        self.engine = Engine(config, self.loop, self.ending, self._disk_is_full)
        self.broker, self.tick = self.engine.broker, self.engine.tick
        self.log, self.disk = self.engine.log, self.engine.disk
        self.sessions = Sessions(config, self.ending)
        # From here on: what was recovered, or defined by the configuration, was no user's doing.
        self.broker.watchers += [partial(audit.changed, self.broker), self.sessions.close_deleted]
        self.alarms = Alarms(config, self.disk)
        self.auth = Authentication(config, self.broker)
        self.host = AmqpHost(
            config,
            self.broker,
            self.tick,
            self.alarms,
            self.auth,
            self.sessions,
            self.certificates,
        )
        self.upkeep = Upkeep(self._jobs(), self.loop.call_later)
        self.services = services(self)
        self.amqp = AmqpListeners(
            config, self.certificates, self.host.session, self.sessions.has_room
        )
        self.maintenance = Maintenance(self.amqp, self.sessions)
        self.parts: Sequence[Part] = (
            self.engine,
            self.upkeep,
            self.sessions,
            *([LogExchange(self)] if config.log_exchange else []),
            *self.services,
            self.amqp,
        )

    @property
    def listening(self) -> list[Listening]:
        """All places where the process can be reached, those for AMQP first."""
        return [place for part in (self.amqp, *self.services) for place in part.listening]

    def _jobs(self) -> list[Job]:
        copy_forward = CopyForward(self.broker, self.log, self.sessions.unacked)
        jobs = [
            Job(alarms.INTERVAL_S, self._look_for_alarms),
            Job(garbage.INTERVAL_S, Collector(self.broker).collect),
            Job(reclaim.INTERVAL_S, partial(copy_forward.step, self.tick.settle)),
            Job(pager.INTERVAL_S, self.engine.pager.check),
            Job(limiter.PERIOD_S, logs.LIMITER.report),
        ]
        if self.certificates is not None:
            jobs.append(Job(tls.INTERVAL_S, self._look_at_certificates))
        return jobs

    # -- life --------------------------------------------------------------------------

    async def serve(self, started_s: float) -> int:
        """Listen until told to stop; the exit code."""
        self._heed_signals()
        self._look_for_alarms()
        async with AsyncExitStack() as running:
            try:
                for part in self.parts:
                    await part.start()
                    running.push_async_callback(part.stop)
            except OSError as error:
                _log.critical("cannot listen: %s", error)
                return EX_IOERR
            self._announce(started_s)
            await self.ending.wait()
            notify.stopping()
            if not self.ending.failed:
                _log.info("stopping, %d connections to close", len(self.sessions))
        if not self.ending.failed:
            _log.info("stopped")
        return self.ending.exit_code

    def _heed_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self.ending.ask)
        # Without TLS there is nothing to do; but logrotate sends it, and it must not end us.
        self.loop.add_signal_handler(signal.SIGHUP, self._reload_certificates)

    def _announce(self, started_s: float) -> None:
        for service in self.services:
            _log.info("listening: %s", ", ".join(map(str, service.listening)))
        places = ", ".join(map(str, self.amqp.listening))
        elapsed_s = time.monotonic() - started_s
        # What waits for a container looks for RabbitMQ's words, Testcontainers for one.
        text = "Server startup complete; Leveret %s ready in %.2f s: %s"
        _log.info(text, __version__, elapsed_s, places)
        notify.ready(places)

    def change_settings(self, changes: Mapping[str, str | None]) -> None:
        """Change settings until the broker ends, see ``broker.config.changes``: all or none."""
        self.config = changed(self.config, changes)
        audit.record("settings.set", by=self.broker.events.user, settings=changes)
        logs.set_levels(self.config)
        self.alarms.configure(self.config)
        self._look_for_alarms()

    # -- what comes again and again ----------------------------------------------------

    def _look_for_alarms(self) -> None:
        before = self.alarms.reasons
        self.alarms.look(session.blocking for session in self.sessions)
        announce.alarms(self.broker, before, self.alarms.reasons)

    def _disk_is_full(self) -> None:
        """The log lives on its reserve from now on; any thread."""
        _log.warning("the disk is full: what is left is kept for acknowledgements")
        self.loop.call_soon_threadsafe(self._look_for_alarms)

    def _look_at_certificates(self) -> None:
        if self.certificates is not None and self.certificates.changed():
            self._reload_certificates()

    def _reload_certificates(self) -> None:
        if self.certificates is not None:
            self.loop.run_in_executor(None, self.certificates.reload)
