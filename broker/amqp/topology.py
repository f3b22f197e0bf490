"""exchange.* and queue.*: what clients may change about the topology, and how it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from broker.amqp.names import clean, generated, queue_name, refuse_default_exchange
from broker.core.reply import REPLY_TO
from protocol.errors import NotSupported

if TYPE_CHECKING:
    from broker.amqp.channel import Channel

# -- exchange --------------------------------------------------------------------------


def exchange_declare(channel: Channel, method: commands.Exchange.Declare) -> None:
    """exchange.declare, passive or not."""
    vhost = channel.session.vhost
    name = clean(method.exchange)
    refuse_default_exchange(name)
    if method.passive:
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
    channel.session.vhost.delete_exchange(clean(method.exchange), if_unused=method.if_unused)
    if not method.nowait:
        channel.send(commands.Exchange.DeleteOk)


def _exchanges(method: commands.Exchange.Bind | commands.Exchange.Unbind) -> tuple[str, str]:
    """Source and destination that an exchange binding names."""
    source, destination = clean(method.source), clean(method.destination)
    refuse_default_exchange(destination, source)
    return source, destination


def exchange_bind(channel: Channel, method: commands.Exchange.Bind) -> None:
    """exchange.bind: a RabbitMQ extension."""
    vhost = channel.session.vhost
    source, destination = _exchanges(method)
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
    source, destination = _exchanges(method)
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
    session.broker.churn.queue_declared += 1
    name = clean(method.queue)
    if name.startswith(REPLY_TO):
        _declare_reply_to(channel, method, name)
        return
    if method.passive:
        queue = session.vhost.queue(name, session)
    else:
        queue = session.vhost.declare_queue(
            name or generated("amq.gen-"),
            durable=method.durable,
            exclusive=method.exclusive,
            auto_delete=method.auto_delete,
            arguments=method.arguments,  # type: ignore[arg-type]
            owner=session,
            generated=not name,
        )
    channel.last_queue = queue.name
    queue.refresh()
    queue.used()
    if not method.nowait:
        channel.send(
            commands.Queue.DeclareOk,
            queue=queue.name,
            message_count=len(queue),
            consumer_count=len(queue.consumers),
        )


def _declare_reply_to(channel: Channel, method: commands.Queue.Declare, name: str) -> None:
    """Declaring a direct reply-to address asks whether it is alive."""
    vhost = channel.session.vhost
    if name != REPLY_TO and name not in vhost.replies:
        raise vhost.no_queue(name)
    if not method.nowait:
        channel.send(commands.Queue.DeclareOk, queue=name, message_count=0, consumer_count=1)


def _ends(
    channel: Channel, method: commands.Queue.Bind | commands.Queue.Unbind
) -> tuple[str, str, str]:
    """Exchange, queue and routing key that a queue binding names.

    Queue and key both empty mean the last queue, under its own name.
    """
    name = queue_name(channel, method.queue)
    exchange = clean(method.exchange)
    refuse_default_exchange(exchange)
    return exchange, name, method.routing_key or ("" if method.queue else name)


def queue_bind(channel: Channel, method: commands.Queue.Bind) -> None:
    """queue.bind."""
    session = channel.session
    exchange, name, key = _ends(channel, method)
    session.vhost.exchange(exchange)
    queue = session.vhost.queue(name, session)
    session.vhost.bind(exchange, queue, key, method.arguments)  # type: ignore[arg-type]
    if not method.nowait:
        channel.send(commands.Queue.BindOk)


def queue_unbind(channel: Channel, method: commands.Queue.Unbind) -> None:
    """queue.unbind: what is missing is no error, nor is another connection's queue."""
    vhost = channel.session.vhost
    exchange, name, key = _ends(channel, method)
    queue = vhost.queues.get(name)
    if queue is not None:
        vhost.unbind(exchange, queue, key, method.arguments)  # type: ignore[arg-type]
    channel.send(commands.Queue.UnbindOk)


def queue_purge(channel: Channel, method: commands.Queue.Purge) -> None:
    """queue.purge: ready messages go, unacked ones stay."""
    session = channel.session
    queue = session.vhost.queue(queue_name(channel, method.queue), session)
    queue.refresh()
    count = queue.purge()
    if not method.nowait:
        channel.send(commands.Queue.PurgeOk, message_count=count)


def queue_delete(channel: Channel, method: commands.Queue.Delete) -> None:
    """queue.delete."""
    session = channel.session
    name = queue_name(channel, method.queue)
    queue = session.vhost.queues.get(name)
    if queue is not None and queue.type == "quorum":
        for flag, wanted in (("if-unused", method.if_unused), ("if-empty", method.if_empty)):
            if wanted:
                raise NotSupported(
                    f"cannot delete {queue}. queue.delete operations with {flag} flag set are "
                    "not supported by quorum queues"
                )
    count = session.vhost.delete_queue(
        name,
        session,
        if_unused=method.if_unused,
        if_empty=method.if_empty,
    )
    if not method.nowait:
        channel.send(commands.Queue.DeleteOk, message_count=count)
