"""The consumer timeout: a delivery that nobody acknowledges in time closes its channel.

The lowest of the consumer's ``x-consumer-timeout``, the queue's (argument or policy) and the
configured one holds. The channel is closed as RabbitMQ 3.13 does, and the messages go back.

A consumer with a long task may ask for more time: a message published on its channel to the
default exchange with the routing key ``amq.leveret.extend`` begins the timeout of the delivery
in its header ``delivery-tag`` anew, or that of all deliveries of the channel without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.amqp.consumer import AmqpConsumer, Getter
from protocol.content import headers_of
from protocol.errors import PreconditionFailed
from protocol.tables import is_integer

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.amqp.session import Session

EXTEND = "amq.leveret.extend"  # no queue can have this name
INTERVAL_MAX_S = 10.0
INTERVAL_MIN_S = 0.1


def interval_s(timeout_ms: int | None) -> float:
    """How often to look, so that a timeout is noticed within a fraction of itself."""
    if timeout_ms is None:
        return INTERVAL_MAX_S
    return min(INTERVAL_MAX_S, max(INTERVAL_MIN_S, timeout_ms / 10_000))


def extend(channel: Channel, content: bytes) -> None:
    """A consumer asks for more time."""
    tag = headers_of(content).get("delivery-tag")
    if tag is not None and not is_integer(tag):
        raise PreconditionFailed(f"delivery-tag must be an integer, got {tag.type_name}")
    channel.extend(0 if tag is None else tag.value)


def close_overdue(session: Session, default_ms: int | None) -> None:
    """Close the channels of a session that hold an overdue delivery."""

    def timeout_of(holder: AmqpConsumer | Getter | None) -> int | None:
        if holder is None:
            return default_ms
        stated = [default_ms, holder.queue.settings.consumer_timeout_ms]
        if isinstance(holder, AmqpConsumer):
            stated.append(holder.timeout_ms)
        return min((value for value in stated if value is not None), default=None)

    for number, channel in list(session.channels.items()):
        timeout_ms = channel.overdue(timeout_of)
        if timeout_ms:
            session.close_channel_for(
                number,
                PreconditionFailed(
                    f"delivery acknowledgement on channel {number} timed out. "
                    f"Timeout value used: {timeout_ms} ms. This timeout value can be "
                    "configured, see consumers doc guide to learn more",
                    about_method=False,
                ),
            )
