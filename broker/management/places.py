"""Where the process can be reached, as the overview and the node show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broker.management.call import Call
    from broker.services import Listening


def contexts(call: Call) -> list[dict[str, Any]]:
    """The listeners of HTTP."""
    found = []
    for place in call.state.listening():
        if place.protocol in ("http", "https"):
            found.append(_context(place, "RabbitMQ Management"))
        elif place.protocol == "http/prometheus":
            found.append(_context(place, "RabbitMQ Prometheus") | {"protocol": "'http/prometheus'"})
    return found


def _context(place: Listening, description: str) -> dict[str, Any]:
    return {
        "description": description,
        "path": "/",
        "cowboy_opts": "[]",
        "ip": place.host,
        "port": str(place.port),
    }


def listeners(call: Call) -> list[dict[str, Any]]:
    """All listeners."""
    config = call.server.config
    amqp = {
        "backlog": config.tcp_backlog,
        "nodelay": config.tcp_nodelay,
        "linger": [config.tcp_linger, config.tcp_linger_timeout_s],
        "exit_on_close": False,
    }
    return [
        {
            "node": call.state.node,
            "protocol": place.protocol,
            "ip_address": place.host,
            "port": place.port,
            "socket_opts": amqp if place.protocol.startswith("amqp") else {"port": place.port},
        }
        for place in call.state.listening()
    ]
