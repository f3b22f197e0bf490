"""The log as messages: each line is published to the topic exchange ``amq.rabbitmq.log``.

As RabbitMQ does with ``log.exchange``: a durable internal exchange in the default vhost, the level
as routing key, the line as body. Nothing is published while nothing is bound.

Invariants:
* A line is published in a later turn of the loop: whoever logs may be in the middle of anything,
  and on any thread.
* What publishing itself has logged is not published, so that no line causes the next.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from broker import logs
from broker.core.exchange import EXCHANGE_TYPES
from broker.core.operations import declare_exchange_operation
from broker.core.route import publish_for_nobody
from broker.identity import node_name
from protocol.content import encode_header, frame_content
from protocol.methods import shortstr
from protocol.tables import field

if TYPE_CHECKING:
    from broker.server import Server

EXCHANGE = "amq.rabbitmq.log"
_CONTENT_TYPES = {"json": "application/json", "plaintext": "text/plain"}
_log = logging.getLogger("leveret.log")


class LogExchange(logging.Handler):
    """See the module, and ``broker.services.Part``."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._vhost = server.config.default_vhost
        self._content_type = _CONTENT_TYPES[server.config.log_exchange_formatter]
        self._node = field(node_name())
        self._publishing = False

    async def start(self) -> None:
        """Declare the exchange, and take part in the log."""
        broker = self._server.broker
        vhost = broker.vhosts.get(self._vhost)
        if vhost is None:
            _log.warning("log.exchange has no effect: there is no vhost '%s'", self._vhost)
            return
        if EXCHANGE not in vhost.exchanges:
            exchange = EXCHANGE_TYPES["topic"](EXCHANGE, durable=True, internal=True)
            broker.change(declare_exchange_operation(self._vhost, exchange), durable=True)
        logs.add_exchange(self, self._server.config)

    async def stop(self) -> None:
        """Take part no more."""
        logging.root.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        if not self._publishing:
            self._server.loop.call_soon_threadsafe(self._publish, record)

    def _publish(self, record: logging.LogRecord) -> None:
        server = self._server
        vhost = server.broker.vhosts.get(self._vhost)
        exchange = vhost.exchanges.get(EXCHANGE) if vhost is not None else None
        if vhost is None or exchange is None or not exchange.bindings:
            return
        self._publishing = True
        try:
            server.tick.read_clock()
            key = record.levelname.lower()
            body = f"{self.format(record)}\n".encode()
            properties = {
                "content_type": self._content_type,
                "headers": {"node": self._node},
                "timestamp": int(record.created),
            }
            content = frame_content(0, encode_header(len(body), properties), body)
            queues = vhost.route(exchange, key, content)
            address = shortstr(EXCHANGE) + shortstr(key)
            publish_for_nobody(server.broker, address, content, len(body), queues)
        finally:
            self._publishing = False
