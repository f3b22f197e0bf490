"""pika 1.x, SelectConnection and AsyncioConnection: a program of callbacks on one loop.

One flow serves both adapters: publish with asynchronous confirms, consume with a prefetch,
acknowledge, see errors, close.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByClient
from pika.exchange_type import ExchangeType

from conformance.clients import support
from conformance.clients.support import Target, equal, unique

MESSAGES = 60
PREFETCH = 8
TIMEOUT_S = 20.0


class Flow:
    """Each method runs when the broker has answered the one before; ``done`` ends the loop."""

    def __init__(self, done: Callable[[], None]) -> None:
        self.done = done
        self.exchange = unique("pika.async")
        self.queue = ""
        self.confirmed: set[int] = set()
        self.returned: list[tuple[int, str, bytes]] = []
        self.bodies: list[bytes] = []
        self.unacked = 0
        self.channel_closed: Exception | None = None
        self.connection_closed: Exception | None = None
        self.open_error: object = None

    def on_open(self, connection: Any) -> None:
        """Open a channel."""
        self.connection = connection
        connection.channel(on_open_callback=self.on_channel)

    def on_open_error(self, _connection: Any, error: object) -> None:
        """Note that there is no connection."""
        self.open_error = error
        self.done()

    def on_channel(self, channel: Any) -> None:
        """Set the channel up."""
        self.channel = channel
        channel.add_on_close_callback(self.on_channel_closed)
        channel.add_on_return_callback(self.on_return)
        channel.confirm_delivery(self.on_confirm, lambda _: self.declare())

    def declare(self) -> None:
        """Declare a topic exchange and a queue on it."""
        self.channel.exchange_declare(
            self.exchange,
            ExchangeType.topic,
            auto_delete=True,
            callback=lambda _: self.channel.queue_declare(
                "", exclusive=True, callback=self.on_queue
            ),
        )

    def on_queue(self, frame: Any) -> None:
        """Bind the queue."""
        self.queue = frame.method.queue
        self.channel.queue_bind(
            self.queue, self.exchange, "job.#", callback=lambda _: self.publish()
        )

    def publish(self) -> None:
        """Publish everything at once: one message that has no queue first, then the others."""
        self.channel.basic_publish(self.exchange, "nobody", b"lost", mandatory=True)
        for number in range(MESSAGES):
            self.channel.basic_publish(
                self.exchange, f"job.{number}", b"%d" % number, mandatory=True
            )

    def on_return(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        """Note a returned message."""
        assert 1 not in self.confirmed, "the ack came before the return"
        self.returned.append((method.reply_code, method.reply_text, body))

    def on_confirm(self, frame: Any) -> None:
        """Note confirms; start consuming when there is one for every publish."""
        assert isinstance(frame.method, pika.spec.Basic.Ack), f"not an ack: {frame}"
        tag = frame.method.delivery_tag
        fresh = {tag}
        if frame.method.multiple:
            fresh = set(range(1, tag + 1)) - self.confirmed
        assert not fresh & self.confirmed, f"{tag} is confirmed twice"
        self.confirmed |= fresh
        if len(self.confirmed) == MESSAGES + 1:
            self.channel.basic_qos(prefetch_count=PREFETCH, callback=lambda _: self.consume())

    def consume(self) -> None:
        """Start the consumer."""
        self.tag = self.channel.basic_consume(self.queue, self.on_message)

    def on_message(self, channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        """Acknowledge a whole window at a time."""
        equal(method.routing_key, f"job.{body.decode()}", "routing key")
        self.bodies.append(body)
        self.unacked += 1
        assert self.unacked <= PREFETCH, "more than the prefetch was sent"
        if self.unacked == PREFETCH or len(self.bodies) == MESSAGES:
            self.unacked = 0
            channel.basic_ack(method.delivery_tag, multiple=True)
        if len(self.bodies) == MESSAGES:
            channel.basic_cancel(self.tag, callback=lambda _: self.fail())

    def fail(self) -> None:
        """Make the broker close the channel."""
        self.channel.exchange_declare(self.exchange, ExchangeType.fanout)

    def on_channel_closed(self, _channel: Any, reason: Exception) -> None:
        """Close the connection."""
        self.channel_closed = reason
        if self.connection.is_open:
            self.connection.close(320, "enough")

    def on_closed(self, _connection: Any, reason: Exception) -> None:
        """End the loop."""
        self.connection_closed = reason
        self.done()

    def verify(self) -> None:
        """Look at what happened, once the loop has ended."""
        equal(self.open_error, None, "error while connecting")
        equal(self.returned, [(312, "NO_ROUTE", b"lost")], "returned")
        equal(self.confirmed, set(range(1, MESSAGES + 2)), "confirmed")
        equal(self.bodies, [b"%d" % number for number in range(MESSAGES)], "consumed")
        text = (
            f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{self.exchange}' in "
            "vhost '/': received 'fanout' but current is 'topic'"
        )
        closed = self.channel_closed
        assert isinstance(closed, ChannelClosedByBroker), f"channel closed: {closed!r}"
        equal((closed.reply_code, closed.reply_text), (406, text), "channel close")
        ended = self.connection_closed
        assert isinstance(ended, ConnectionClosedByClient), f"connection closed: {ended!r}"


def check_select_connection(target: Target) -> None:
    """The flow of callbacks works on pika's own loop."""
    flow = Flow(lambda: connection.ioloop.stop())  # noqa: PLW0108 - it does not exist yet
    connection = pika.SelectConnection(
        pika.URLParameters(target.url),
        on_open_callback=flow.on_open,
        on_open_error_callback=flow.on_open_error,
        on_close_callback=flow.on_closed,
    )
    timer = connection.ioloop.call_later(TIMEOUT_S, connection.ioloop.stop)
    connection.ioloop.start()
    connection.ioloop.remove_timeout(timer)
    flow.verify()


def check_asyncio_connection(target: Target) -> None:
    """The flow of callbacks works on asyncio's loop."""

    async def run() -> None:
        ended = asyncio.Event()
        flow = Flow(ended.set)
        AsyncioConnection(
            pika.URLParameters(target.url),
            on_open_callback=flow.on_open,
            on_open_error_callback=flow.on_open_error,
            on_close_callback=flow.on_closed,
        )
        await asyncio.wait_for(ended.wait(), TIMEOUT_S)
        flow.verify()

    asyncio.run(run())


def check_wrong_password(target: Target) -> None:
    """A wrong password is told as such, which needs the broker to answer rather than hang up."""
    parameters = pika.URLParameters(target.url)
    parameters.credentials = pika.PlainCredentials("guest", "not the password")
    try:
        pika.BlockingConnection(parameters)
    except pika.exceptions.ProbableAuthenticationError as error:
        text = str(error)
    except pika.exceptions.AuthenticationError as error:
        text = str(error)
    else:
        raise AssertionError("connected")
    assert "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN" in text, text


def check_missing_vhost(target: Target) -> None:
    """A vhost that does not exist is refused by name."""
    parameters = pika.URLParameters(target.url)
    parameters.virtual_host = "no-such-vhost"
    try:
        pika.BlockingConnection(parameters)
    except pika.exceptions.AMQPConnectionError as error:
        text = f"{error!r}"
    else:
        raise AssertionError("connected")
    assert "NOT_ALLOWED - vhost no-such-vhost not found" in text, text


if __name__ == "__main__":
    sys.exit(support.main(__name__))
