"""Names in methods: cleaned, generated, defaulted as RabbitMQ does; names of sockets."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any

from protocol.errors import AccessRefused, NotFound

if TYPE_CHECKING:
    from broker.amqp.channel import Channel


def clean(name: str) -> str:
    """The name without CR and LF."""
    return name.replace("\r", "").replace("\n", "")


def generated(prefix: str) -> str:
    """A name of the server's making: 128 random bits, as RabbitMQ writes them."""
    return prefix + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")


def queue_name(channel: Channel, name: str) -> str:
    """The name a client means: empty is the last queue declared on this channel."""
    if name:
        return clean(name)
    if not channel.last_queue:
        raise NotFound("no previously declared queue")
    return channel.last_queue


def refuse_default_exchange(*names: str) -> None:
    """Raise ``AccessRefused`` if one of the names is the default exchange's."""
    if "" in names:
        raise AccessRefused("operation not permitted on the default exchange")


def address_text(parts: Any) -> str:
    """A socket's address as people write it; ``?`` for a socket that is gone already."""
    if not parts:
        return "?"
    return f"[{parts[0]}]:{parts[1]}" if ":" in parts[0] else f"{parts[0]}:{parts[1]}"
