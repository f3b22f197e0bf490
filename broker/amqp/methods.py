"""What clients call on a channel: a table from method to handler.

A handler takes the channel and the decoded method, and answers through ``Channel.send`` or
raises an ``AmqpError``. The order of its checks, and with it which of two errors a client
sees, is RabbitMQ's. Handlers live beside what they act on: ``topology``, ``basic``, and the
modes of a channel here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pamqp import commands

from broker.amqp import basic, topology
from broker.amqp.transaction import Transaction
from protocol.errors import ChannelMisuse, NotSupported, PreconditionFailed
from protocol.methods import AccessRequest, AccessRequestOk

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
    transaction, refused = _transaction(channel), channel.confirms.refused
    transaction.commit()
    channel.session.output.hold_until = channel.session.broker.log.gathering
    if channel.confirms.refused != refused:
        raise PreconditionFailed("partial tx completion")
    channel.send(commands.Tx.CommitOk)


def tx_rollback(channel: Channel, _: commands.Tx.Rollback) -> None:
    """tx.rollback."""
    _transaction(channel).rollback()
    channel.send(commands.Tx.RollbackOk)


def access_request(channel: Channel, _: AccessRequest) -> None:
    """access.request of AMQP 0-8 clients: always granted."""
    channel.send(AccessRequestOk, ticket=1)


HANDLERS: dict[int, Handler] = {
    commands.Exchange.Declare.index: topology.exchange_declare,
    commands.Exchange.Delete.index: topology.exchange_delete,
    commands.Exchange.Bind.index: topology.exchange_bind,
    commands.Exchange.Unbind.index: topology.exchange_unbind,
    commands.Queue.Declare.index: topology.queue_declare,
    commands.Queue.Bind.index: topology.queue_bind,
    commands.Queue.Unbind.index: topology.queue_unbind,
    commands.Queue.Purge.index: topology.queue_purge,
    commands.Queue.Delete.index: topology.queue_delete,
    commands.Basic.Qos.index: basic.basic_qos,
    commands.Basic.Consume.index: basic.basic_consume,
    commands.Basic.Cancel.index: basic.basic_cancel,
    commands.Basic.Get.index: basic.basic_get,
    commands.Basic.Ack.index: basic.basic_ack,
    commands.Basic.Nack.index: basic.basic_nack,
    commands.Basic.Reject.index: basic.basic_reject,
    commands.Basic.Recover.index: basic.basic_recover,
    commands.Basic.RecoverAsync.index: basic.basic_recover_async,
    commands.Channel.Flow.index: channel_flow,
    commands.Confirm.Select.index: confirm_select,
    commands.Tx.Select.index: tx_select,
    commands.Tx.Commit.index: tx_commit,
    commands.Tx.Rollback.index: tx_rollback,
    AccessRequest.index: access_request,
}
