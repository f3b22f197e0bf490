"""The process: recovers the log, listens, and ends in order.

Start: recover the log, declare what the configuration asks for, listen, announce readiness.
Stop (SIGTERM, SIGINT): refuse new connections, tell clients 320, wait until they are gone or
the drain timeout is over, write the rest of the log, exit 0.

Invariant: a log that failed is never written again. The broker ends at once with exit code 74
(EX_IOERR) and confirms nothing more; what was confirmed is on the disk.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import random
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextvars import Context
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from broker import __version__, alarms, garbage, notify, pager, reclaim, resources
from broker.access.authentication import Authentication
from broker.access.mechanisms import Peer
from broker.advice import advice
from broker.alarms import Alarms
from broker.amqp import announce, audit, host, timeouts
from broker.amqp.access import Identity
from broker.amqp.session import Session
from broker.config import Config
from broker.core.broker import Broker
from broker.core.counters import Churn
from broker.core.message import Message
from broker.core.operations import Operation
from broker.core.queue import Queue
from broker.defaults import limits, make_default_user, vhost_defaults
from broker.definitions import boot
from broker.identity import cluster_name
from broker.net import tls
from broker.net.listening import FULL, AmqpListeners
from broker.net.tls import Certificates
from broker.pager import Pager
from broker.reclaim import CopyForward
from broker.restore import Restore
from broker.services import Listening, Service, services
from broker.tick import Tick
from broker.timed_disk import TimedDisk
from broker.wal import REAL_DISK, Log, LogFailed, Scratch, WalError
from protocol.errors import ConnectionForced
from protocol.offer import Offer
from protocol.tables import Table, table

EX_IOERR = 74

_log = logging.getLogger("leveret.broker")

CAPABILITIES = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)


def run(config: Config) -> int:
    """Serve until told to stop; the process's exit code."""
    garbage.start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config))


async def _serve(config: Config) -> int:
    started = time.monotonic()
    try:
        server = Server(config)
    except (WalError, OSError) as error:
        _log.critical("cannot start: %s; %s", error, advice(error))
        return EX_IOERR
    return await server.serve(started)


class Server:
    """The ``Host`` of all sessions (see ``broker.amqp.host``)."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.loop = asyncio.get_running_loop()
        self.certificates = (
            Certificates("ssl_options", config.tls) if config.tls_listeners else None
        )
        self._is_ready = False
        self.broker = Broker()
        self.broker.vhost_defaults = vhost_defaults(config)
        self.broker.limits = limits(config, f"leveret@{socket.gethostname()}")
        self.broker.events.place = config.event_exchange_vhost or config.default_vhost
        self.disk = TimedDisk(config.disk_reserve_bytes, self._disk_is_full)
        self.log = self._recover(Path(config.data_dir, "log"))
        if not self.broker.vhosts and not boot.has_any(config):
            make_default_user(self.broker, config, secrets.token_bytes)
        boot.load(self.broker, config, secrets.token_bytes)
        scratch = str(Path(config.data_dir, "paging"))
        self.broker.scratch = self._scratch = Scratch(REAL_DISK, scratch, self._failed)
        self.pager = Pager(self.broker, config.messages_in_memory_max_bytes)
        # In a context of its own: what a tick does, no user does.
        call_soon = partial(self.loop.call_soon, context=Context())
        self._tick = Tick(self.broker, self.log, call_soon, self.loop.call_later, self.pager)
        self.tick: host.Tick = self._tick
        self.broker.wake = self.tick.wake
        self.tick.wake()  # what was recovered may have something to do at a certain time
        self.broker.random = random.randrange
        self.broker.watchers.append(self._watched)
        self.auth = Authentication(config, self.broker)
        self.sessions: set[Session] = set()
        self._clients_max = resources.clients_max()
        if config.connection_max is not None:
            self._clients_max = min(self._clients_max, config.connection_max)
        self.listening: list[Listening] = []  # for AMQP; each service has its own
        self.services: list[Service] = []
        self._all_certificates: list[Certificates] = []  # for AMQP, and those of services
        self.fast_path = config.fast_path
        self.socket_options = _socket_options(config)
        self.handshake_timeout_s = config.handshake_timeout_ms / 1000
        self.default_consumer_prefetch = config.default_consumer_prefetch
        self.offer = Offer(
            _server_properties(config),
            mechanisms=" ".join(config.auth_mechanisms),
            channel_max=config.channel_max,
            frame_max=config.frame_max,
            heartbeat_s=config.heartbeat_s,
            message_size_max=config.max_message_bytes,
            initial_frame_max=config.initial_frame_max,
        )
        self._listeners = AmqpListeners(
            config, self.certificates, lambda origin: Session(self, origin), self._has_room
        )
        self._stop = asyncio.Event()
        self._deserted = asyncio.Event()  # no session is left
        self._deserted.set()
        self._exit_code = 0
        self.alarms = Alarms(config, self.disk)
        self._copy_forward = CopyForward(self.broker, self.log, self._unacked)
        self._collector = garbage.Collector(self.broker)
        self._watch = timeouts.Watch(
            config.consumer_timeout_ms, self.sessions, self.call_later, self.tick.read_clock
        )
        self.timeouts: host.Timeouts = self._watch
        self._is_ready = True

    def _recover(self, directory: Path) -> Log:
        directory.mkdir(parents=True, exist_ok=True)
        restore = Restore(self.broker)
        log = Log.open(
            directory,
            replay=restore.replay,
            snapshot=self.broker.snapshot,
            on_durable=self._durable,
            on_failure=self._failed,
            call_in_loop=self.loop.call_soon_threadsafe,
            disk=self.disk,
            report=_log.warning,
            segment_bytes=self.config.log_segment_bytes,
        )
        count = restore.finish(log)
        self.broker.churn = Churn()  # nothing that was recovered is new
        if count:
            _log.info("recovered %d messages from %s", count, directory)
        return log

    # -- life --------------------------------------------------------------------------

    async def serve(self, started: float) -> int:
        """Listen until told to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._stop.set)
        try:
            await self._open()
        except OSError as error:
            _log.critical("cannot listen: %s", error)
            self.log.close()
            return EX_IOERR
        places = ", ".join(map(str, self.listening))
        elapsed_s = time.monotonic() - started
        _log.info("Leveret %s ready in %.2f s: %s", __version__, elapsed_s, places)
        notify.ready(places)
        self._look_for_alarms()
        self._every(alarms.INTERVAL_S, self._look_for_alarms)
        self._every(garbage.INTERVAL_S, self._collector.collect)
        self._every(reclaim.INTERVAL_S, self._reclaim)
        self._every(pager.INTERVAL_S, self.pager.check)
        self._watch.look()
        shown = [one for service in self.services for one in service.certificates]
        self._all_certificates = [self.certificates, *shown] if self.certificates else shown
        if self._all_certificates:
            self._every(tls.INTERVAL_S, self._look_at_certificates)
            self.loop.add_signal_handler(signal.SIGHUP, self._reload_certificates)
        await self._stop.wait()
        notify.stopping()
        self._listeners.close()
        for service in self.services:
            await service.stop()
        return await self._end()

    async def _open(self) -> None:
        """Start the services, then listen for AMQP: whoever gets in finds everything there."""
        self.services = services(self)
        for service in self.services:
            await service.start()
            _log.info("listening: %s", ", ".join(map(str, service.listening)))
        await self._listeners.open()
        self.listening = self._listeners.places

    async def _end(self) -> int:
        if self._exit_code:
            for session in list(self.sessions):
                session.abort()
            return self._exit_code
        _log.info("stopping, %d connections to close", len(self.sessions))
        for session in list(self.sessions):
            session.close_for(
                ConnectionForced(
                    "broker forced connection closure with reason 'shutdown'", about_method=False
                )
            )
        try:
            async with asyncio.timeout(self.config.drain_timeout_ms / 1000):
                await self._deserted.wait()
        except TimeoutError:
            _log.warning("%d connections did not close in time", len(self.sessions))
        for session in list(self.sessions):
            session.abort()
        self._tick.end()
        self.log.close()
        self._scratch.close()
        _log.info("stopped")
        return self._exit_code

    def _every(self, interval_s: float, work: Callable[[], None]) -> None:
        """Do something again and again, for the first time after one interval."""

        def run() -> None:
            work()
            self._every(interval_s, work)

        self.call_later(interval_s, run)

    def _look_for_alarms(self) -> None:
        before = self.alarms.reasons
        self.alarms.look(session.blocking for session in self.sessions)
        announce.alarms(self.broker, self.offer, before, self.alarms.reasons)

    def _look_at_certificates(self) -> None:
        self._reload([one for one in self._all_certificates if one.changed()])

    def _reload_certificates(self) -> None:
        self._reload(self._all_certificates)

    def _reload(self, certificates: list[Certificates]) -> None:
        for one in certificates:
            self.loop.run_in_executor(None, one.reload)

    def _reclaim(self) -> None:
        self._copy_forward.step(self.tick.settle)

    def _unacked(self) -> Iterator[tuple[Queue, Message]]:
        for session in self.sessions:
            for channel in session.channels.values():
                for message, holder in channel.held():
                    yield holder.queue, message

    def _watched(self, operation: Operation) -> None:
        """Note who changes what; close the connections of a user or vhost that is to go."""
        audit.changed(self.broker, operation)
        name = operation.get("name")
        if operation["op"] == "user.delete":
            self._close(f"user '{name}' is deleted", lambda session: session.user == name)
        elif operation["op"] == "vhost.delete":
            reason = f"vhost '{name}' is deleted"
            self._close(reason, lambda session: session.opened and session.vhost.name == name)

    def _close(self, reason: str, concerns: Callable[[Session], bool]) -> None:
        error = ConnectionForced(reason, about_method=False)
        for session in [session for session in self.sessions if concerns(session)]:
            session.close_for(error)

    def _durable(self, _: int) -> None:
        self.tick.wake()

    def _disk_is_full(self) -> None:
        """The log lives on its reserve from now on; any thread."""
        _log.warning("the disk is full: what is left is kept for acknowledgements")
        self.loop.call_soon_threadsafe(self._look_for_alarms)

    def _failed(self, failure: LogFailed) -> None:
        if not self._is_ready:
            return  # it is raised, too: the broker does not start
        _log.critical("nothing more is confirmed: %s; %s", failure, advice(failure))
        self._exit_code = EX_IOERR
        self._tick.end()
        self._stop.set()

    # -- what sessions ask of their host -----------------------------------------------

    def authenticate(
        self, session: Session, mechanism: str, response: bytes
    ) -> asyncio.Future[Identity]:
        """See ``Authentication.authenticate``."""
        handshake = session.transport.get_extra_info("ssl_object")
        certificate = handshake.getpeercert(binary_form=True) if handshake else None
        peer = Peer(session.peer_host, certificate)
        return self.auth.authenticate(mechanism, response, peer)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Run ``callback`` once, later."""
        return self.loop.call_later(delay_s, callback)

    def connected(self, session: Session) -> None:
        """A socket was accepted."""
        self.sessions.add(session)
        if not self._has_room(0):
            _log.warning("refused a connection: %d are open (%s)", self._clients_max, FULL)
            session.abort()
        handshake = session.transport.get_extra_info("ssl_object")
        if handshake is not None and self.certificates and self.certificates.too_deep(handshake):
            session.give_up("its certificate is further from its authority than ssl_options.depth")
        self._deserted.clear()

    def _has_room(self, coming: int) -> bool:
        return len(self.sessions) + coming <= self._clients_max

    def disconnected(self, session: Session) -> None:
        """A socket is gone."""
        self.sessions.discard(session)
        if not self.sessions:
            self._deserted.set()


def _socket_options(config: Config) -> tuple[tuple[int, int, int], ...]:
    """What tcp_listen_options ask for, as arguments of setsockopt."""
    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, int(config.tcp_nodelay)),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(config.tcp_keepalive)),
    ]
    if config.tcp_sndbuf_bytes is not None:
        options.append((socket.SOL_SOCKET, socket.SO_SNDBUF, config.tcp_sndbuf_bytes))
    if config.tcp_recbuf_bytes is not None:
        options.append((socket.SOL_SOCKET, socket.SO_RCVBUF, config.tcp_recbuf_bytes))
    return tuple(options)


def _server_properties(config: Config) -> Table:
    properties: dict[str, Any] = {
        "capabilities": dict.fromkeys(CAPABILITIES, True),
        "cluster_name": cluster_name(config),
        "copyright": "Copyright (c) The Leveret authors",
        "information": "Licensed under the Apache License 2.0",
        "platform": f"Leveret {__version__}, Python {platform.python_version()}",
        "product": config.product,
        "version": config.version,
    }
    return table(properties)
