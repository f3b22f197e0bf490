"""What the process is to its AMQP sessions: see ``broker.amqp.host.Host``."""

from __future__ import annotations

import asyncio
import logging
import platform
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from broker import __version__
from broker.access.authentication import Authentication
from broker.access.mechanisms import Peer
from broker.amqp import host, timeouts
from broker.amqp.access import Identity
from broker.amqp.session import Session
from broker.config import Config
from broker.core.broker import Broker
from broker.identity import cluster_name
from broker.net.listening import FULL
from broker.net.tls import Certificates
from broker.sessions import Sessions
from protocol.offer import Offer
from protocol.tables import Table, table

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

_log = logging.getLogger("leveret.broker")


class AmqpHost:
    """See the module."""

    def __init__(
        self,
        config: Config,
        broker: Broker,
        tick: host.Tick,
        alarms: host.Alarms,
        auth: Authentication,
        sessions: Sessions,
        certificates: Certificates | None,
    ) -> None:
        self.broker = broker
        self.tick = tick
        self.alarms = alarms
        self.fast_path = config.fast_path
        self.socket_options = _socket_options(config)
        self.handshake_timeout_s = config.handshake_timeout_ms / 1000
        self.default_consumer_prefetch = config.default_consumer_prefetch
        self.offer = Offer(
            _server_properties(config, broker),
            mechanisms=" ".join(config.auth_mechanisms),
            channel_max=config.channel_max,
            frame_max=config.frame_max,
            heartbeat_s=config.heartbeat_s,
            message_size_max=config.max_message_bytes,
            initial_frame_max=config.initial_frame_max,
        )
        self._config = config
        self._cluster_name = cluster_name(config, broker)
        self._auth = auth
        self._sessions = sessions
        self._certificates = certificates
        self._loop = asyncio.get_running_loop()
        watch = timeouts.Watch(
            config.consumer_timeout_ms, sessions, self.call_later, tick.read_clock
        )
        watch.look()
        self.timeouts: host.Timeouts = watch

    def session(self, origin: host.Origin | None) -> Session:
        """The protocol of a socket that was accepted; it is told the cluster's present name."""
        name = cluster_name(self._config, self.broker)
        if name != self._cluster_name:
            self._cluster_name = name
            self.offer = replace(
                self.offer, server_properties=_server_properties(self._config, self.broker)
            )
        return Session(self, origin)

    def authenticate(
        self, session: Session, mechanism: str, response: bytes
    ) -> asyncio.Future[Identity]:
        """See ``Authentication.authenticate``."""
        handshake = session.transport.get_extra_info("ssl_object")
        certificate = handshake.getpeercert(binary_form=True) if handshake else None
        peer = Peer(session.peer_host, certificate)
        return self._auth.authenticate(mechanism, response, peer)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Run ``callback`` once, later."""
        return self._loop.call_later(delay_s, callback)

    def connected(self, session: Session) -> None:
        """A socket was accepted."""
        self._sessions.add(session)
        if not self._sessions.has_room(0):
            text = "refused a connection from %s: %d are open (%s)"
            whose = {"source": session.peer_host}
            _log.warning(text, session.peer_host, self._sessions.most, FULL, extra=whose)
            session.abort()
        handshake = session.transport.get_extra_info("ssl_object")
        certificates = self._certificates
        if handshake is not None and certificates and certificates.too_deep(handshake):
            session.give_up("its certificate is further from its authority than ssl_options.depth")

    def disconnected(self, session: Session) -> None:
        """A socket is gone."""
        self._sessions.remove(session)


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


def _server_properties(config: Config, broker: Broker) -> Table:
    properties: dict[str, Any] = {
        "capabilities": dict.fromkeys(CAPABILITIES, True),
        "cluster_name": cluster_name(config, broker),
        "copyright": "Copyright (c) The Leveret authors",
        "information": "Licensed under the Apache License 2.0",
        "platform": f"Leveret {__version__}, Python {platform.python_version()}",
        "product": config.product,
        "version": config.version,
    }
    return table(properties)
