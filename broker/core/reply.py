"""Direct reply-to: an address that leads straight to one consumer, without a declared queue.

A client consumes from ``amq.rabbitmq.reply-to`` and publishes requests with that name as
reply-to; the broker replaces it by an address that only this consumer has. Answers are
published to the default exchange with the address as routing key.

Invariant: an address lives exactly as long as its consumer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.queue import Queue

if TYPE_CHECKING:
    from broker.core.broker import Broker

REPLY_TO = "amq.rabbitmq.reply-to"


class ReplyQueue(Queue):
    """What holds an answer until the tick hands it to the consumer; never listed, never logged."""

    counts_as_route = False  # RabbitMQ returns a mandatory answer although it was delivered

    def __init__(self, broker: Broker, vhost: str, address: str) -> None:
        super().__init__(broker, vhost, address, 0, durable=False, auto_delete=False, arguments={})
