"""basic.* but publish: consuming, getting, and settling what was delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pamqp import commands

from broker.amqp import announce, firehose, timeouts
from broker.amqp.consumer import AmqpConsumer
from broker.amqp.names import generated, queue_name
from broker.core.reply import REPLY_TO
from protocol.errors import AccessRefused, NotAllowed, NotSupported, PreconditionFailed
from protocol.tables import is_integer

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.core.queue import Queue

# -- basic: consuming ------------------------------------------------------------------


def basic_qos(channel: Channel, method: commands.Basic.Qos) -> None:
    """basic.qos: ``global`` limits the channel, otherwise each consumer to come.

    As in RabbitMQ, a call without ``global`` also lifts the channel's limit.
    """
    if method.prefetch_size:
        raise NotSupported(f"prefetch_size!=0 ({method.prefetch_size})")
    if method.global_:
        channel.global_prefetch = method.prefetch_count
    else:
        channel.prefetch = method.prefetch_count
        channel.global_prefetch = 0
    channel.send(commands.Basic.QosOk)
    channel.wake()


def basic_consume(channel: Channel, method: commands.Basic.Consume) -> None:
    """basic.consume; consume-ok precedes the first delivery, which comes with the tick."""
    session = channel.session
    tag = method.consumer_tag
    if tag in channel.consumers:
        raise NotAllowed(f"attempt to reuse consumer tag '{tag}'")
    session.broker.limits.check_consumer(len(channel.consumers))
    if method.queue == REPLY_TO:
        queue = _reply_queue(channel, method)
    else:
        name = queue_name(channel, method.queue)
        session.access.read_queue(name)
        queue = session.vhost.queue(name, session)
    arguments: Any = method.arguments
    priority = arguments.get("x-priority")
    if priority is not None and not is_integer(priority):
        raise PreconditionFailed(
            f"invalid arg 'x-priority' for {queue}: \"expected integer, got {priority.type_name}\""
        )
    if queue.type == "quorum" and channel.global_prefetch:
        raise NotSupported(f"{queue} does not support global qos")
    if queue.dispatch.is_exclusive or (
        method.exclusive and (queue.consumers or queue.settings.single_active_consumer)
    ):
        raise AccessRefused(f"{queue} in exclusive use")
    if not queue.consumers:
        queue.refresh()  # what has expired is not for the new consumer
    consumer = AmqpConsumer(
        channel,
        queue,
        tag or generated("amq.ctag-"),
        no_ack=method.no_ack,
        exclusive=method.exclusive,
        prefetch=channel.prefetch,
        arguments=arguments,
    )
    channel.consumers[consumer.tag] = consumer
    if not method.nowait:
        channel.send(commands.Basic.ConsumeOk, consumer_tag=consumer.tag)
        if queue.backlog:  # as from RabbitMQ, deliveries do not come in one packet with it
            session.tick.write(session.output)
    timeouts.expect(channel, consumer.timeout_ms, queue.settings.consumer_timeout_ms)
    announce.consumer_created(consumer, channel.prefetch)
    queue.add_consumer(consumer)


def _reply_queue(channel: Channel, method: commands.Basic.Consume) -> Queue:
    """The queue behind a new direct reply-to address; a channel has at most one."""
    if not method.no_ack:
        raise PreconditionFailed("reply consumer cannot acknowledge")
    if channel.reply is not None:
        raise PreconditionFailed("reply consumer already set")
    channel.reply = channel.session.vhost.open_reply(generated(f"{REPLY_TO}."))
    return channel.reply


def basic_cancel(channel: Channel, method: commands.Basic.Cancel) -> None:
    """basic.cancel; what it was delivered stays unacked."""
    channel.remove_consumer(method.consumer_tag or "")
    if not method.nowait:
        channel.send(commands.Basic.CancelOk, consumer_tag=method.consumer_tag)


def basic_get(channel: Channel, method: commands.Basic.Get) -> None:
    """basic.get."""
    session = channel.session
    name = queue_name(channel, method.queue)
    session.access.read_queue(name)
    queue = session.vhost.queue(name, session)
    queue.used()
    found = queue.get(no_ack=method.no_ack)
    counters = channel.counters.from_queue(queue)
    if found is None:
        counters.get_empty += 1
        channel.send(commands.Basic.GetEmpty)
        return
    message, redelivered = found
    counters.got(no_ack=method.no_ack, redelivered=redelivered)
    if session.vhost.tracing:
        firehose.delivered(firehose.of_channel(channel), queue, [message], redelivered)
    tag = channel.next_tag
    channel.next_tag = tag + 1
    if not method.no_ack:
        channel.unacked[tag] = (message, channel.getter(queue))
        channel.ages.note(tag, session.broker.now_ms)
        timeouts.expect(channel, queue.settings.consumer_timeout_ms)
    channel.send_content(
        commands.Basic.GetOk,
        message.content,
        delivery_tag=tag,
        redelivered=redelivered,
        exchange=message.exchange,
        routing_key=message.routing_key,
        message_count=len(queue),
    )


# -- basic: settling -------------------------------------------------------------------


def basic_ack(channel: Channel, method: commands.Basic.Ack) -> None:
    """basic.ack."""
    tag, multiple = method.delivery_tag, method.multiple
    if channel.transaction is not None:
        channel.transaction.ack(tag, multiple=multiple)
    else:
        channel.settle(channel.take_or_refuse(tag, multiple=multiple))


def basic_nack(channel: Channel, method: commands.Basic.Nack) -> None:
    """basic.nack: a RabbitMQ extension."""
    tag, requeue = method.delivery_tag, method.requeue
    _reject(channel, tag, multiple=method.multiple, requeue=requeue, failed=False)


def basic_reject(channel: Channel, method: commands.Basic.Reject) -> None:
    """basic.reject."""
    _reject(channel, method.delivery_tag or 0, multiple=False, requeue=method.requeue, failed=True)


def _reject(channel: Channel, tag: int, *, multiple: bool, requeue: bool, failed: bool) -> None:
    if channel.transaction is not None:
        channel.transaction.reject(tag, multiple=multiple, requeue=requeue, failed=failed)
    else:
        entries = channel.take_or_refuse(tag, multiple=multiple)
        channel.reject(entries, requeue=requeue, failed=failed)


def basic_recover(channel: Channel, method: commands.Basic.Recover) -> None:
    """basic.recover: all unacked deliveries of the channel go back to their queues."""
    basic_recover_async(channel, method)
    channel.send(commands.Basic.RecoverOk)


def basic_recover_async(
    channel: Channel, method: commands.Basic.Recover | commands.Basic.RecoverAsync
) -> None:
    """basic.recover-async: as recover, without an answer."""
    if not method.requeue:
        raise NotSupported("requeue=false")
    channel.reject(channel.take(0, multiple=True) or [], requeue=True)
