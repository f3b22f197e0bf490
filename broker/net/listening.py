"""Listeners: from a listening socket to a session, through PROXY header and TLS if asked for.

Plain listeners are the event loop's own. Where something precedes AMQP, sockets are accepted here:
the PROXY header is read from the socket first, then the loop's TLS takes over.

Invariants:
* A peer has ``handshake_timeout`` for its PROXY header and ``ssl_handshake_timeout`` for TLS; the
  session's own time begins after that.
* One TLS handshake begins at a time, ``HANDSHAKE_GAP_S`` apart: each takes about a millisecond of
  the loop, and a flood of them leaves the rest of it to clients that are connected.
* A failed handshake ends with an alert, which needs a second descriptor of the socket: at most
  ``SPARES_MAX`` of them, so that a flood does not take twice as many.
* The accept loop survives whatever one socket does, and running out of descriptors.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from broker.amqp.host import Origin
from broker.config import Config, Listener
from broker.net import alert
from broker.net.addresses import is_loopback
from broker.net.handshake import explain
from broker.net.tls import Certificates
from broker.services import Listening
from protocol import proxy

HANDSHAKE_GAP_S = 0.002
SPARES_MAX = 32
FULL = "connection_max, or what the limit of open files leaves"
EXHAUSTED_S = 1.0  # how long to wait when no socket can be accepted

_log = logging.getLogger("leveret.connection")


class AmqpListeners:
    """All AMQP listeners; ``session`` makes the protocol of an accepted socket.

    ``has_room`` tells whether so many sockets may become sessions.
    """

    def __init__(
        self,
        config: Config,
        certificates: Certificates | None,
        session: Callable[[Origin | None], asyncio.Protocol],
        has_room: Callable[[int], bool],
    ) -> None:
        self.listening: list[Listening] = []
        self._config = config
        self._certificates = certificates
        self._handshake_timeout_s = config.tls_handshake_timeout_ms / 1000
        self._session = session
        self._has_room = has_room
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._spares = 0

    async def start(self) -> None:
        """Open all, or raise OSError; once more after ``stop``."""
        self.listening = []
        for listener in self._config.listeners:
            if self._config.proxy_protocol:
                await self._open_own(listener, tls=False)
            else:
                await self._open_plain(listener)
        for listener in self._config.tls_listeners:
            await self._open_own(listener, tls=True)

    async def _open_plain(self, listener: Listener) -> None:
        server = await self._loop.create_server(
            lambda: self._session(None),
            listener.host or None,
            listener.port,
            backlog=self._config.tcp_backlog,
            reuse_address=True,
        )
        self._servers.append(server)
        self.listening += [
            Listening("amqp", *opened.getsockname()[:2]) for opened in server.sockets
        ]

    async def _open_own(self, listener: Listener, *, tls: bool) -> None:
        addresses = await self._loop.getaddrinfo(
            listener.host or None,
            listener.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
        for family, kind, number, _, address in dict.fromkeys(addresses):
            listening = socket.socket(family, kind, number)
            self._sockets.append(listening)
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
            listening.listen(self._config.tcp_backlog)
            protocol = "amqp/ssl" if tls else "amqp"
            self.listening.append(Listening(protocol, *listening.getsockname()[:2]))
            self._start(self._accept(listening, tls))

    async def stop(self) -> None:
        """Accept no more, and drop whoever has not come as far as a session."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        for listening in self._sockets:
            listening.close()
        self._servers, self._sockets = [], []

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket, tls: bool) -> None:
        while True:
            try:
                accepted, peer = await self._loop.sock_accept(listening)
            except OSError as error:
                text = "cannot accept connections: %s; raise LimitNOFILE if files are too many"
                _log.error(text, error.strerror)
                await asyncio.sleep(EXHAUSTED_S)
                continue
            if not self._has_room(len(self._tasks)):
                text = "refused a connection from %s: too many are open (%s)"
                _log.warning(text, peer[0], FULL, extra={"source": peer[0]})
                accepted.close()
                continue
            self._start(self._admit(accepted, tls))
            if tls:
                await asyncio.sleep(HANDSHAKE_GAP_S)

    async def _admit(self, accepted: socket.socket, tls: bool) -> None:
        """Bring one socket to its session; whatever goes wrong ends this socket alone."""
        certificates = self._certificates if tls else None
        name, admitted, spare = "?", False, None
        whose = {"source": ""}
        try:
            accepted.setblocking(False)
            if tls and self._spares < SPARES_MAX:
                spare = accepted.dup()
                self._spares += 1
            peer = accepted.getpeername()
            name = str(Listener(*peer[:2]))
            whose["source"] = peer[0]
            origin = await self._origin(accepted, peer[0]) if self._config.proxy_protocol else None
            if origin is not None:
                name = f"{Listener(*origin[0])} (by way of {name})"
            await self._loop.connect_accepted_socket(
                lambda: self._session(origin),
                accepted,
                ssl=certificates.context if certificates else None,
                ssl_handshake_timeout=self._handshake_timeout_s if tls else None,
            )
            admitted = True
        except proxy.ProxyError as error:
            text = "%s: dropped, because proxy_protocol is on and %s"
            _log.error(text, name, error, extra=whose)
        except OSError as error:
            if certificates is None or isinstance(error, ConnectionResetError | BrokenPipeError):
                _log.debug("%s: gone during the handshake", name)
            else:
                why = explain(error, certificates.prefix, certificates.host_names)
                _log.error("%s: no TLS: %s", name, why, extra=whose)
                if spare is not None:
                    alert.send(error, spare)
        finally:
            if spare is not None:
                spare.close()
                self._spares -= 1
            if not admitted:
                accepted.close()

    async def _origin(self, accepted: socket.socket, peer_host: str) -> Origin | None:
        """Read the PROXY header, and no octet behind it."""
        header = b""
        try:
            async with asyncio.timeout(self._config.handshake_timeout_ms / 1000):
                while count := proxy.missing(header):
                    octets = await self._loop.sock_recv(accepted, count)
                    if not octets:
                        raise ConnectionResetError
                    header += octets
        except TimeoutError:
            raise proxy.ProxyError("no header came within handshake_timeout") from None
        origin = proxy.parse(header)
        if origin is not None and is_loopback(origin[0][0]) and not is_loopback(peer_host):
            raise proxy.ProxyError("its header claims that the client is on this machine")
        return origin
