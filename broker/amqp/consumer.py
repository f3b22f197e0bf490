"""A subscription over AMQP: credit, deliveries, and acks grouped until the tick.

Hot: ``deliver`` costs about 1 us a message. A delivery is a template (the constant octets of
the basic.deliver frame for one address), the delivery tag, and the message's content as the
publisher framed it, reframed only if the channel number or the frame limit demands it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from broker.amqp import firehose
from broker.core.consumer import UNLIMITED, Consumer
from broker.core.message import shown_address
from protocol.constants import FRAME_OVERHEAD
from protocol.content import for_channel
from protocol.fastpath import deliver_template, pack_tag
from protocol.tables import is_integer

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.core.counters import Deliveries
    from broker.core.message import Message
    from broker.core.queue import Queue
    from protocol.tables import Table

TEMPLATES_MAX = 1024  # addresses whose template a consumer keeps


class Getter:
    """Holds what basic.get took from one queue for one channel."""

    __slots__ = ("acked", "deliveries", "queue")

    def __init__(self, queue: Queue, deliveries: Deliveries) -> None:
        self.queue = queue
        self.deliveries = deliveries
        self.acked: list[Message] = []

    def settle(self) -> None:
        """Pass the grouped acks to the queue."""
        acked, self.acked = self.acked, []
        self.deliveries.ack += len(acked)
        self.queue.ack(acked)

    def returned(self, count: int) -> None:
        """Messages were rejected or requeued; basic.get has no credit that they would free."""


class AmqpConsumer(Consumer):
    """A consumer of one channel."""

    __slots__ = ("_templates", "acked", "channel", "outstanding", "prefetch", "timeout_ms")

    def __init__(
        self,
        channel: Channel,
        queue: Queue,
        tag: str,
        *,
        no_ack: bool,
        exclusive: bool,
        prefetch: int,
        arguments: Table,
    ) -> None:
        super().__init__(queue, tag, no_ack=no_ack, exclusive=exclusive, arguments=arguments)
        self.deliveries = channel.counters.from_queue(queue)
        self.channel = channel
        self.prefetch = prefetch or UNLIMITED
        self.outstanding = 0
        self.acked: list[Message] = []
        timeout = arguments.get("x-consumer-timeout")
        self.timeout_ms: int | None = timeout.value if timeout and is_integer(timeout) else None
        self._templates: dict[bytes, tuple[bytes, bytes]] = {}

    @property
    def shares_credit(self) -> bool:
        """See ``Consumer``: a prefetch limit of the whole channel."""
        return self.channel.global_prefetch > 0

    def capacity(self) -> int:
        """See ``Consumer``."""
        channel = self.channel
        session = channel.session
        if not session.output.writable:
            session.output.starved = True
            return 0
        room = UNLIMITED if self.no_ack else self.prefetch - self.outstanding
        if channel.global_prefetch:
            # A delivery without ack takes nothing of it, but waits while others use it up.
            return min(room, channel.global_prefetch - channel.outstanding)
        return room

    def deliver(self, messages: list[Message], redelivered: bool) -> None:
        """See ``Consumer``."""
        channel = self.channel
        session = channel.session
        output = session.output
        out = output.frames
        templates = self._templates
        head = channel.content_head
        frame_max = session.connection.frame_max - FRAME_OVERHEAD
        first = tag = channel.next_tag
        size = 0
        for message in messages:
            template = templates.get(message.address)
            if template is None:
                template = self._template(message.address)
            content = message.content
            if message.size > frame_max or content[:3] != head:
                content = for_channel(content, channel.number, session.connection.frame_max)
            out += (template[0], pack_tag(tag, redelivered), template[1], content)
            tag += 1
            size += message.size
        channel.next_tag = tag
        self.deliveries.delivered_bytes += size
        if not self.no_ack:
            channel.unacked.update(
                zip(range(first, tag), [(message, self) for message in messages], strict=True)
            )
            channel.ages.note(first, session.broker.now_ms)
            self.outstanding += len(messages)
            channel.outstanding += len(messages)
        if session.vhost.tracing:
            origin = firehose.of_channel(channel)
            firehose.delivered(origin, self.queue, messages, redelivered)
        output.delivered(size)

    def _template(self, address: bytes) -> tuple[bytes, bytes]:
        if len(self._templates) >= TEMPLATES_MAX:
            self._templates.clear()
        tag = self.tag.encode()
        template = deliver_template(self.channel.number, tag, shown_address(address))
        self._templates[address] = template
        return template

    def settle(self) -> None:
        """Pass the grouped acks to the queue and take the credit back."""
        acked, self.acked = self.acked, []
        self.deliveries.ack += len(acked)
        self.queue.ack(acked)
        self.returned(len(acked))

    def returned(self, count: int) -> None:
        """Messages are no longer outstanding: there is credit for others."""
        self.outstanding -= count
        channel = self.channel
        channel.outstanding -= count
        if channel.global_prefetch:
            channel.wake()
        else:
            self.queue.wake()

    def cancelled(self) -> None:
        """See ``Consumer``: tell clients that understand basic.cancel from a server."""
        channel = self.channel
        channel.forget_consumer(self.tag)
        session = channel.session
        if "consumer_cancel_notify" in session.connection.capabilities:
            session.output.notify(
                channel.number, commands.Basic.Cancel, consumer_tag=self.tag, nowait=True
            )
