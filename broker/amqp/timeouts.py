"""The consumer timeout: a delivery that nobody acknowledges in time closes its channel.

The lowest of the consumer's ``x-consumer-timeout``, the queue's (argument or policy) and the
configured one holds. The channel is closed as RabbitMQ 3.13 does, and the messages go back.

A consumer with a long task may ask for more time: a message published on its channel to the
default exchange with the routing key ``amq.leveret.extend`` begins the timeout of the delivery
in its header ``delivery-tag`` anew, or that of all deliveries of the channel without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from broker.amqp.consumer import AmqpConsumer, Getter
from protocol.content import headers_of
from protocol.errors import PreconditionFailed
from protocol.tables import is_integer

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.amqp.host import Timer
    from broker.amqp.session import Session

EXTEND = "amq.leveret.extend"  # no queue can have this name
INTERVAL_MAX_S = 10.0
INTERVAL_MIN_S = 0.1


class Watch:
    """Looks for overdue deliveries, the more often the shorter the timeouts in use are."""

    def __init__(
        self,
        default_ms: int | None,
        sessions: Collection[Session],
        call_later: Callable[[float, Callable[[], None]], Timer],
        read_clock: Callable[[], None],
    ) -> None:
        self._default_ms = default_ms
        self._sessions = sessions
        self._call_later = call_later
        self._read_clock = read_clock
        self._interval_s = INTERVAL_MAX_S
        self._timer: Timer | None = None

    def look(self) -> None:
        """Close what is overdue, now and from now on."""
        self._read_clock()
        shortest = [self._default_ms]
        shortest += [close_overdue(session, self._default_ms) for session in list(self._sessions)]
        stated = [ms for ms in shortest if ms is not None]
        self._set_timer(interval_s(min(stated)) if stated else INTERVAL_MAX_S)

    def expect(self, timeout_ms: int) -> None:
        """There is somebody with this timeout."""
        if interval_s(timeout_ms) < self._interval_s:
            self._set_timer(interval_s(timeout_ms))

    def _set_timer(self, interval_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._interval_s = interval_s
        self._timer = self._call_later(interval_s, self.look)


def interval_s(timeout_ms: int) -> float:
    """How often to look, so that a timeout is noticed within a fraction of itself."""
    return min(INTERVAL_MAX_S, max(INTERVAL_MIN_S, timeout_ms / 10_000))


def expect(channel: Channel, *timeouts_ms: int | None) -> None:
    """Somebody may get deliveries with these timeouts, which may be shorter than all before."""
    for timeout_ms in timeouts_ms:
        if timeout_ms is not None:
            channel.session.host.timeouts.expect(timeout_ms)


def extend(channel: Channel, content: bytes) -> None:
    """A consumer asks for more time."""
    field = headers_of(content).get("delivery-tag")
    if field is not None and not is_integer(field):
        raise PreconditionFailed(f"delivery-tag must be an integer, got {field.type_name}")
    tag = 0 if field is None else field.value
    if tag and tag not in channel.unacked:
        raise PreconditionFailed(f"unknown delivery tag {tag}")
    channel.ages.extend([tag] if tag else channel.unacked, channel.session.broker.now_ms)


def close_overdue(session: Session, default_ms: int | None) -> int | None:
    """Close the channels that hold an overdue delivery; the shortest timeout in use."""
    shortest: list[int] = []
    for number, channel in list(session.channels.items()):
        channel.ages.forget_settled(channel.unacked)
        of_holders = [_timeout_ms(holder, default_ms) for holder in channel.holders()]
        timeouts = [ms for ms in of_holders if ms is not None]
        if not timeouts:
            continue
        shortest.append(min(timeouts))
        timeout_ms = _exceeded_ms(channel, default_ms, shortest[-1])
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
    return min(shortest, default=None)


def _timeout_ms(holder: AmqpConsumer | Getter, default_ms: int | None) -> int | None:
    """The timeout of what somebody holds; None for none."""
    stated = [default_ms, holder.queue.settings.consumer_timeout_ms]
    if isinstance(holder, AmqpConsumer):
        stated.append(holder.timeout_ms)
    return min((value for value in stated if value is not None), default=None)


def _exceeded_ms(channel: Channel, default_ms: int | None, shortest_ms: int) -> int:
    """The timeout that a delivery has exceeded; 0 if all are in time."""
    ages, now_ms = channel.ages, channel.session.broker.now_ms
    if now_ms - ages.oldest_ms <= shortest_ms:
        return 0
    for tag, (_, holder) in channel.unacked.items():
        timeout_ms = _timeout_ms(holder, default_ms)
        if timeout_ms is not None and now_ms - ages.delivered_ms(tag) > timeout_ms:
            return timeout_ms
    return 0
