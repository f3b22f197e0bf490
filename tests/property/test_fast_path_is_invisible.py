"""`leveret.fast_path = false` changes nothing: two whole brokers say the same, octet for octet."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from protocol.content import body_of
from tests.amqp.dialogue import TimedWorld
from tests.frames import channel_open, method
from tests.property.wires import chunks, streams
from tests.world import Client

TOPOLOGY = b"".join(
    method(1, command)
    for command in (
        commands.Exchange.Declare(exchange="x", exchange_type="topic", durable=True),
        commands.Queue.Declare(queue="q", durable=True),
        commands.Queue.Declare(queue="small", arguments={"x-max-length": 3}),
        commands.Queue.Bind(queue="q", exchange="x", routing_key="a"),
        commands.Queue.Bind(queue="small", exchange="x", routing_key="#"),
    )
)


class Pair:
    """A publisher and a consumer at one broker."""

    def __init__(self, *, fast_path: bool) -> None:
        # Time stands: on a busy machine a message would expire at one of the two brokers only.
        self.world = TimedWorld(fast_path=fast_path)
        self.publisher: Client = self.world.connect()
        self.consumer: Client = self.world.connect()
        self.consumer.feed(channel_open(1) + TOPOLOGY)
        self.world.run()

    def consume(self, *, prefetch: int, no_ack: bool) -> None:
        """Have both clients consume the durable queue."""
        qos = method(1, commands.Basic.Qos(0, prefetch, False))
        consume = commands.Basic.Consume(queue="q", consumer_tag="c", no_ack=no_ack)
        self.consumer.feed(qos + method(1, consume))
        own = commands.Basic.Consume(queue="q", consumer_tag="own")
        self.publisher.feed(channel_open(3) + method(3, commands.Confirm.Select()))
        self.publisher.feed(method(3, own))

    def outcome(self) -> Any:
        """What both clients were told, and what is left on the queues."""
        vhost = self.world.broker.vhosts["/"]
        left = {
            name: sorted((each.id, body_of(each.content)) for each in queue.backlog.browse())
            for name, queue in vhost.queues.items()
        }
        dropped = [client.transport.closed for client in (self.publisher, self.consumer)]
        return self.publisher.said(), self.consumer.said(), left, dropped


@settings(max_examples=150)
@given(st.data())
def test_with_and_without(data: st.DataObject) -> None:
    """F1 to F7 for the whole broker: whatever a client sends, in any chunks, both brokers answer,
    deliver, confirm and keep the same."""
    pieces = data.draw(chunks(data.draw(streams())))
    reads_per_turn = data.draw(st.integers(1, 5))
    consuming = data.draw(st.sampled_from([None, (0, True), (0, False), (2, False)]))
    outcomes = []
    for fast_path in (True, False):
        pair = Pair(fast_path=fast_path)
        if consuming is not None:
            pair.consume(prefetch=consuming[0], no_ack=consuming[1])
        for number, piece in enumerate(pieces):
            pair.publisher.feed(piece)
            if number % reads_per_turn == 0:
                pair.world.run()
        pair.world.run()
        outcomes.append(pair.outcome())
    assert outcomes[0] == outcomes[1]
