"""What clients call on a channel: a table from method to handler.

A handler takes the channel and the decoded method, and answers through ``Channel.send`` or
raises an ``AmqpError``. Names are cleaned as RabbitMQ does (CR and LF go), and an empty queue
name means the queue this channel declared last. The order of checks, and with it which of two
errors a client sees, is RabbitMQ's.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pamqp import commands

from broker.amqp.consumer import AmqpConsumer
from broker.amqp.transaction import Transaction
from protocol.errors import (
    AccessRefused,
    ChannelMisuse,
    NotAllowed,
    NotFound,
    NotSupported,
    PreconditionFailed,
)
from protocol.methods import AccessRequest, AccessRequestOk
from protocol.tables import is_integer

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from protocol.methods import Method

Handler = Callable[["Channel", Any], None]


def handle(channel: Channel, method: Method) -> None:
    """Carry out a method."""
    handler = HANDLERS.get(method.index)
    if handler is None:
        raise ChannelMisuse("unexpected method")
    handler(channel, method)


def _clean(name: str) -> str:
    return name.replace("\r", "").replace("\n", "")


def _generated(prefix: str) -> str:
    """A name of the server's making: 128 random bits, as RabbitMQ writes them."""
    return prefix + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")


def _queue_name(channel: Channel, name: str) -> str:
    """The name a client means: empty is the last queue declared on this channel."""
    if name:
        return _clean(name)
    if not channel.last_queue:
        raise NotFound("no previously declared queue")
    return channel.last_queue


def _refuse_default_exchange(*names: str) -> None:
    if "" in names:
        raise AccessRefused("operation not permitted on the default exchange")


# -- exchange --------------------------------------------------------------------------


def exchange_declare(channel: Channel, method: commands.Exchange.Declare) -> None:
    """exchange.declare, passive or not."""
    vhost = channel.session.vhost
    name = _clean(method.exchange)
    if method.passive:
        _refuse_default_exchange(name)
        vhost.exchange(name)
    else:
        vhost.declare_exchange(
            name,
            method.exchange_type,
            durable=method.durable,
            auto_delete=method.auto_delete,
            internal=method.internal,
            arguments=method.arguments,  # type: ignore[arg-type]
        )
    if not method.nowait:
        channel.send(commands.Exchange.DeclareOk)


def exchange_delete(channel: Channel, method: commands.Exchange.Delete) -> None:
    """exchange.delete."""
    channel.session.vhost.delete_exchange(_clean(method.exchange), if_unused=method.if_unused)
    if not method.nowait:
        channel.send(commands.Exchange.DeleteOk)


def exchange_bind(channel: Channel, method: commands.Exchange.Bind) -> None:
    """exchange.bind: a RabbitMQ extension."""
    vhost = channel.session.vhost
    source, destination = _clean(method.source), _clean(method.destination)
    _refuse_default_exchange(destination, source)
    vhost.exchange(source)
    vhost.bind(
        source,
        vhost.exchange(destination),
        method.routing_key,
        method.arguments,  # type: ignore[arg-type]
    )
    if not method.nowait:
        channel.send(commands.Exchange.BindOk)


def exchange_unbind(channel: Channel, method: commands.Exchange.Unbind) -> None:
    """exchange.unbind: what is missing is no error."""
    vhost = channel.session.vhost
    source, destination = _clean(method.source), _clean(method.destination)
    _refuse_default_exchange(destination, source)
    if destination in vhost.exchanges:
        vhost.unbind(
            source,
            vhost.exchange(destination),
            method.routing_key,
            method.arguments,  # type: ignore[arg-type]
        )
    if not method.nowait:
        channel.send(commands.Exchange.UnbindOk)


# -- queue -----------------------------------------------------------------------------


def queue_declare(channel: Channel, method: commands.Queue.Declare) -> None:
    """queue.declare, passive or not; an empty name asks for one of the server's making."""
    session = channel.session
    name = _clean(method.queue)
    if method.passive:
        queue = session.vhost.queue(name, session)
    else:
        queue = session.vhost.declare_queue(
            name or _generated("amq.gen-"),
            durable=method.durable,
            exclusive=method.exclusive,
            auto_delete=method.auto_delete,
            arguments=method.arguments,  # type: ignore[arg-type]
            owner=session,
            generated=not name,
        )
    channel.last_queue = queue.name
    if not method.nowait:
        channel.send(
            commands.Queue.DeclareOk,
            queue=queue.name,
            message_count=len(queue),
            consumer_count=len(queue.consumers),
        )


def queue_bind(channel: Channel, method: commands.Queue.Bind) -> None:
    """queue.bind; queue and key both empty bind the last queue under its own name."""
    session = channel.session
    name = _queue_name(channel, method.queue)
    key = method.routing_key or ("" if method.queue else name)
    exchange = _clean(method.exchange)
    _refuse_default_exchange(exchange)
    session.vhost.exchange(exchange)
    queue = session.vhost.queue(name, session)
    session.vhost.bind(exchange, queue, key, method.arguments)  # type: ignore[arg-type]
    if not method.nowait:
        channel.send(commands.Queue.BindOk)


def queue_unbind(channel: Channel, method: commands.Queue.Unbind) -> None:
    """queue.unbind: what is missing is no error, nor is another connection's queue."""
    vhost = channel.session.vhost
    name = _queue_name(channel, method.queue)
    key = method.routing_key or ("" if method.queue else name)
    exchange = _clean(method.exchange)
    _refuse_default_exchange(exchange)
    queue = vhost.queues.get(name)
    if queue is not None:
        vhost.unbind(exchange, queue, key, method.arguments)  # type: ignore[arg-type]
    channel.send(commands.Queue.UnbindOk)


def queue_purge(channel: Channel, method: commands.Queue.Purge) -> None:
    """queue.purge: ready messages go, unacked ones stay."""
    session = channel.session
    count = session.vhost.queue(_queue_name(channel, method.queue), session).purge()
    if not method.nowait:
        channel.send(commands.Queue.PurgeOk, message_count=count)


def queue_delete(channel: Channel, method: commands.Queue.Delete) -> None:
    """queue.delete."""
    session = channel.session
    count = session.vhost.delete_queue(
        _queue_name(channel, method.queue),
        session,
        if_unused=method.if_unused,
        if_empty=method.if_empty,
    )
    if not method.nowait:
        channel.send(commands.Queue.DeleteOk, message_count=count)


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
    queue = session.vhost.queue(_queue_name(channel, method.queue), session)
    arguments: Any = method.arguments
    priority = arguments.get("x-priority")
    if priority is not None and not is_integer(priority):
        raise PreconditionFailed(
            f"invalid arg 'x-priority' for {queue}: \"expected integer, got {priority.type_name}\""
        )
    if queue.exclusively_consumed or (method.exclusive and queue.consumers):
        raise AccessRefused(f"{queue} in exclusive use")
    consumer = AmqpConsumer(
        channel,
        queue,
        tag or _generated("amq.ctag-"),
        no_ack=method.no_ack,
        exclusive=method.exclusive,
        prefetch=channel.prefetch,
        arguments=arguments,
    )
    channel.consumers[consumer.tag] = consumer
    if not method.nowait:
        channel.send(commands.Basic.ConsumeOk, consumer_tag=consumer.tag)
    queue.add_consumer(consumer)


def basic_cancel(channel: Channel, method: commands.Basic.Cancel) -> None:
    """basic.cancel; what it was delivered stays unacked."""
    channel.remove_consumer(method.consumer_tag or "")
    if not method.nowait:
        channel.send(commands.Basic.CancelOk, consumer_tag=method.consumer_tag)


def basic_get(channel: Channel, method: commands.Basic.Get) -> None:
    """basic.get."""
    session = channel.session
    queue = session.vhost.queue(_queue_name(channel, method.queue), session)
    found = queue.get(no_ack=method.no_ack)
    if found is None:
        channel.send(commands.Basic.GetEmpty)
        return
    message, redelivered = found
    tag = channel.next_tag
    channel.next_tag = tag + 1
    if not method.no_ack:
        channel.unacked[tag] = (message, channel.getter(queue))
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
    _reject(channel, method.delivery_tag, multiple=method.multiple, requeue=method.requeue)


def basic_reject(channel: Channel, method: commands.Basic.Reject) -> None:
    """basic.reject."""
    _reject(channel, method.delivery_tag or 0, multiple=False, requeue=method.requeue)


def _reject(channel: Channel, tag: int, *, multiple: bool, requeue: bool) -> None:
    if channel.transaction is not None:
        channel.transaction.reject(tag, multiple=multiple, requeue=requeue)
    else:
        channel.reject(channel.take_or_refuse(tag, multiple=multiple), requeue=requeue)


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


# -- the rest --------------------------------------------------------------------------


def channel_flow(channel: Channel, method: commands.Channel.Flow) -> None:
    """channel.flow: active only, as in RabbitMQ; prefetch is what holds deliveries back."""
    if not method.active:
        raise NotSupported("active=false")
    channel.send(commands.Channel.FlowOk, active=True)


def confirm_select(channel: Channel, method: commands.Confirm.Select) -> None:
    """confirm.select: a RabbitMQ extension."""
    if channel.transaction is not None:
        raise PreconditionFailed("cannot switch from tx to confirm mode")
    channel.confirms.select()
    if not method.nowait:
        channel.send(commands.Confirm.SelectOk)


def tx_select(channel: Channel, _: commands.Tx.Select) -> None:
    """tx.select: from here publishes and acks wait for commit, off the fast path."""
    if channel.confirms.selected:
        raise PreconditionFailed("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel)
        session = channel.session
        session.forget_routes()
        session.acks.pop(channel.number, None)
    channel.send(commands.Tx.SelectOk)


def _transaction(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise PreconditionFailed("channel is not transactional")
    return channel.transaction


def tx_commit(channel: Channel, _: commands.Tx.Commit) -> None:
    """tx.commit: the answer waits until what was committed is on stable storage."""
    _transaction(channel).commit()
    channel.session.hold()
    channel.send(commands.Tx.CommitOk)


def tx_rollback(channel: Channel, _: commands.Tx.Rollback) -> None:
    """tx.rollback."""
    _transaction(channel).rollback()
    channel.send(commands.Tx.RollbackOk)


def access_request(channel: Channel, _: AccessRequest) -> None:
    """access.request of AMQP 0-8 clients: always granted."""
    channel.send(AccessRequestOk, ticket=1)


HANDLERS: dict[int, Handler] = {
    commands.Exchange.Declare.index: exchange_declare,
    commands.Exchange.Delete.index: exchange_delete,
    commands.Exchange.Bind.index: exchange_bind,
    commands.Exchange.Unbind.index: exchange_unbind,
    commands.Queue.Declare.index: queue_declare,
    commands.Queue.Bind.index: queue_bind,
    commands.Queue.Unbind.index: queue_unbind,
    commands.Queue.Purge.index: queue_purge,
    commands.Queue.Delete.index: queue_delete,
    commands.Basic.Qos.index: basic_qos,
    commands.Basic.Consume.index: basic_consume,
    commands.Basic.Cancel.index: basic_cancel,
    commands.Basic.Get.index: basic_get,
    commands.Basic.Ack.index: basic_ack,
    commands.Basic.Nack.index: basic_nack,
    commands.Basic.Reject.index: basic_reject,
    commands.Basic.Recover.index: basic_recover,
    commands.Basic.RecoverAsync.index: basic_recover_async,
    commands.Channel.Flow.index: channel_flow,
    commands.Confirm.Select.index: confirm_select,
    commands.Tx.Select.index: tx_select,
    commands.Tx.Commit.index: tx_commit,
    commands.Tx.Rollback.index: tx_rollback,
    AccessRequest.index: access_request,
}
