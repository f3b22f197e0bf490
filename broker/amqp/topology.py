"""exchange.* and queue.*: what clients may change about the topology, and how it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pamqp import commands

from broker.amqp.names import clean, generated, queue_name, refuse_default_exchange
from broker.core.arguments import check_name
from broker.core.declarations import check_owner
from broker.core.exchange import exchange_type
from broker.core.reply import REPLY_TO
from protocol.errors import NotSupported

if TYPE_CHECKING:
    from broker.amqp.channel import Channel
    from broker.core.queue import Queue

# -- exchange --------------------------------------------------------------------------


def exchange_declare(channel: Channel, method: commands.Exchange.Declare) -> None:
    """exchange.declare, passive or not."""
    session = channel.session
    name = clean(method.exchange)
    if method.passive:
        refuse_default_exchange(name)
        session.vhost.exchange(name)
    else:
        arguments: Any = method.arguments
        exchange_type(method.exchange_type)
        refuse_default_exchange(name)
        session.access.configure_exchange(name)
        session.vhost.declare_exchange(
            name,
            method.exchange_type,
            durable=method.durable,
            auto_delete=method.auto_delete,
            internal=method.internal,
            arguments=arguments,
            before_new=lambda: session.access.alternate_exchange(name, arguments),
        )
    if not method.nowait:
        channel.send(commands.Exchange.DeclareOk)


def exchange_delete(channel: Channel, method: commands.Exchange.Delete) -> None:
    """exchange.delete."""
    session = channel.session
    name = clean(method.exchange)
    session.vhost.check_deletable(name)
    session.access.configure_exchange(name)
    session.vhost.delete_exchange(name, if_unused=method.if_unused)
    if not method.nowait:
        channel.send(commands.Exchange.DeleteOk)


def _exchanges(
    channel: Channel, method: commands.Exchange.Bind | commands.Exchange.Unbind
) -> tuple[str, str]:
    """Source and destination that an exchange binding names; the client may bind them."""
    source, destination = clean(method.source), clean(method.destination)
    channel.session.access.write_exchange(destination)
    refuse_default_exchange(destination, source)
    channel.session.access.bind_to(source, method.routing_key)
    return source, destination


def exchange_bind(channel: Channel, method: commands.Exchange.Bind) -> None:
    """exchange.bind: a RabbitMQ extension."""
    vhost = channel.session.vhost
    source, destination = _exchanges(channel, method)
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
    source, destination = _exchanges(channel, method)
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
        queue = _declare_queue(channel, method, name)
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


def _declare_queue(channel: Channel, method: commands.Queue.Declare, name: str) -> Queue:
    session = channel.session
    arguments: Any = method.arguments
    is_generated = not name
    if is_generated:
        # The same one, should this be asked again (``Undecided``).
        name = channel.next_queue = channel.next_queue or generated("amq.gen-")
    else:
        check_name("queue", name)
    session.access.configure_queue(name)
    queue = session.vhost.declare_queue(
        name,
        durable=method.durable,
        exclusive=method.exclusive,
        auto_delete=method.auto_delete,
        arguments=arguments,
        owner=session,
        generated=is_generated,
        before_new=lambda: session.access.dead_letter_exchange(name, arguments),
    )
    channel.next_queue = ""
    return queue


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
    """Exchange, queue and routing key that a queue binding names; the client may bind them.

    Queue and key both empty mean the last queue, under its own name.
    """
    name = queue_name(channel, method.queue)
    exchange = clean(method.exchange)
    key = method.routing_key or ("" if method.queue else name)
    channel.session.access.write_queue(name)
    refuse_default_exchange(exchange)
    channel.session.access.bind_to(exchange, key)
    return exchange, name, key


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
    """queue.unbind: what is missing is no error, whoever's queue it is."""
    vhost = channel.session.vhost
    exchange, name, key = _ends(channel, method)
    queue = vhost.queues.get(name)
    arguments: Any = method.arguments
    if queue is not None and vhost.binding(exchange, queue, key, arguments) is not None:
        check_owner(queue, channel.session)
        vhost.unbind(exchange, queue, key, arguments)
    channel.send(commands.Queue.UnbindOk)


def queue_purge(channel: Channel, method: commands.Queue.Purge) -> None:
    """queue.purge: ready messages go, unacked ones stay."""
    session = channel.session
    name = queue_name(channel, method.queue)
    session.access.read_queue(name)
    queue = session.vhost.queue(name, session)
    queue.refresh()
    count = queue.purge()
    if not method.nowait:
        channel.send(commands.Queue.PurgeOk, message_count=count)


def queue_delete(channel: Channel, method: commands.Queue.Delete) -> None:
    """queue.delete."""
    session = channel.session
    name = queue_name(channel, method.queue)
    session.access.configure_queue(name)
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
