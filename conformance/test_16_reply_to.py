"""Direct reply-to: answers that go straight to the requester's channel, without a queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.channel import Channel, Content
from conformance.conftest import Target
from conformance.wire import Connection

Name = Callable[[str], str]
Connect = Callable[..., Connection]
Declare = Callable[..., str]
REPLY_TO = "amq.rabbitmq.reply-to"


def ask(ch: Channel, queue: str, body: str = "question", **props: Any) -> None:
    """Publish a request whose answer comes to this channel."""
    ch.publish("", queue, body, reply_to=REPLY_TO, **props)


def address_of(request: Content) -> str:
    """Where the answer to a request goes."""
    address = request.props["reply_to"]
    text: str = address.decode() if isinstance(address, bytes) else address
    return text


@pytest.fixture
def requester(ch: Channel) -> Channel:
    """A channel that consumes answers."""
    ch.consume(REPLY_TO, no_ack=True, consumer_tag="answers")
    return ch


def test_round_trip(requester: Channel, other: Channel, queue: str) -> None:
    """The server sees an address of the requester alone, and answers to it by publishing."""
    ask(requester, queue, correlation_id="1", headers={"a": "b"})
    request = other.get(queue, body="question")
    address = address_of(request)
    assert address.startswith(f"{REPLY_TO}.")
    assert len(address) < 256
    assert request.headers == {"a": {"S": "b"}}
    other.publish("", address, "answer", correlation_id="1", headers={"c": "d"})
    answer = requester.expect_content(
        "basic.deliver", "answer", consumer_tag="answers", delivery_tag=1, redelivered=False,
        exchange="", routing_key=address,
    )  # fmt: skip
    assert answer.headers == {"c": {"S": "d"}}
    assert str(answer.props["correlation_id"]) == str(request.props["correlation_id"])


def test_one_address_a_channel(requester: Channel, other: Channel, queue: str) -> None:
    """All requests of a channel have one address; other channels have others."""
    second = requester.connection.channel(2)
    second.consume(REPLY_TO, no_ack=True)
    third = other.connection.channel(3)
    third.consume(REPLY_TO, no_ack=True)
    for channel in (requester, requester, second, third):
        ask(channel, queue)
        channel.sync()
    addresses = [address_of(other.get(queue)) for _ in range(4)]
    assert addresses[0] == addresses[1]
    assert len(set(addresses)) == 3
    for n, address in enumerate(addresses):
        other.publish("", address, str(n))
    assert [one.text for one in requester.deliveries(2)] == ["0", "1"]
    second.expect_content("basic.deliver", "2")
    third.expect_content("basic.deliver", "3")


def test_many_answers(requester: Channel, other: Channel, queue: str) -> None:
    """A thousand answers come in the order in which they were published, however large."""
    ask(requester, queue)
    requester.sync()
    address = address_of(other.get(queue))
    bodies = [str(n) * (1 + n % 7 * 50) for n in range(1000)]
    for body in bodies:
        other.publish("", address, body)
    assert [one.text for one in requester.deliveries(1000)] == bodies


def test_large_answer(connect: Connect, other: Channel, queue: str) -> None:
    """An answer is cut to the frames of the requester."""
    small = connect(frame_max=4096).channel(1)
    small.consume(REPLY_TO, no_ack=True)
    ask(small, queue)
    small.sync()
    other.publish("", address_of(other.get(queue)), b"x" * 200_000)
    answer = small.expect_content("basic.deliver", b"x" * 200_000)
    assert max(answer.body_frames) <= 4096 - 8


def test_prefetch_is_no_limit(ch: Channel, other: Channel, queue: str) -> None:
    """Answers need no ack, so no prefetch holds them up."""
    ch.call("basic.qos", prefetch_count=1)
    ch.consume(REPLY_TO, no_ack=True)
    ask(ch, queue)
    ch.sync()
    address = address_of(other.get(queue))
    for body in "abc":
        other.publish("", address, body)
    assert [one.text for one in ch.deliveries(3)] == list("abc")


def test_answers_are_confirmed(requester: Channel, other: Channel, queue: str) -> None:
    """A server with confirms gets an ack for its answer, and for one that nobody awaits."""
    ask(requester, queue)
    requester.sync()
    address = address_of(other.get(queue))
    other.call("confirm.select")
    other.publish("", address, "answer", delivery_mode=2)
    assert other.expect_confirms(1) == {1: "ack"}
    requester.expect_content("basic.deliver", "answer")
    requester.close()
    other.publish("", address, "late")
    assert other.expect_confirms(2) == {2: "ack"}


def test_answer_in_a_transaction(
    broker: Target, requester: Channel, other: Channel, queue: str
) -> None:
    """An answer in a transaction comes with the commit; from RabbitMQ 3.10 at once."""
    ask(requester, queue)
    requester.sync()
    other.call("tx.select")
    other.publish("", address_of(other.get(queue)), "answer")
    other.sync()
    if not broker.is_rabbitmq:
        requester.sync()
    other.call("tx.commit")
    requester.expect_content("basic.deliver", "answer")


def test_routed_requests(requester: Channel, other: Channel, name: Name, exchange: Declare) -> None:
    """A request through an exchange carries the same address to each queue."""
    fanout = exchange("fanout")
    queues = [other.declare(name("q")) for _ in range(3)]
    for queue in queues:
        other.bind(queue, fanout)
    requester.publish(fanout, "", "question", reply_to=REPLY_TO)
    requester.sync()
    addresses = {address_of(other.get(queue)) for queue in queues}
    assert len(addresses) == 1
    other.publish("", addresses.pop(), "answer")
    requester.expect_content("basic.deliver", "answer")


def test_address_outlives_a_wait(requester: Channel, other: Channel, name: Name) -> None:
    """The address of a request that was dead-lettered on its way still leads home."""
    dead = other.declare(name("dead"))
    queue = other.declare(name("q"), arguments={
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, "x-message-ttl": 20,
    })  # fmt: skip
    other.consume(dead, no_ack=True)
    ask(requester, queue)
    request = other.expect_content("basic.deliver", "question")
    other.publish("", address_of(request), "answer")
    requester.expect_content("basic.deliver", "answer")


def test_ordinary_reply_to(requester: Channel, other: Channel, queue: str) -> None:
    """Any other reply-to is left as it is."""
    for reply_to in ("mine", f"{REPLY_TO}x", ""):
        requester.publish("", queue, "question", reply_to=reply_to)
        requester.sync()
        assert address_of(other.get(queue)) == reply_to


# -- what is refused


def test_needs_no_ack(ch: Channel) -> None:
    """Answers cannot be acked, so the consumer must not ask for it."""
    ch.send("basic.consume", queue=REPLY_TO, no_ack=False)
    assert "reply consumer cannot acknowledge" in ch.expect_closed_with(406)


def test_one_a_channel(requester: Channel) -> None:
    """A channel has one consumer of answers."""
    requester.send("basic.consume", queue=REPLY_TO, no_ack=True)
    assert "reply consumer already set" in requester.expect_closed_with(406)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_asking_needs_a_consumer(ch: Channel, queue: str, elsewhere: bool) -> None:
    """A request from a channel without one is refused; one of another channel does not help."""
    if elsewhere:
        ch.connection.channel(2).consume(REPLY_TO, no_ack=True)
    ask(ch, queue)
    assert "fast reply consumer does not exist" in ch.expect_closed_with(406)


def test_no_request_without_a_consumer(ch: Channel, other: Channel, queue: str) -> None:
    """A refused request reaches nobody."""
    ask(ch, queue)
    ch.expect_closed_with(406)
    assert other.drain(queue) == []


@pytest.mark.parametrize("how", ["cancel", "channel", "connection"])
def test_nobody_awaits(requester: Channel, other: Channel, queue: str, how: str) -> None:
    """Once the consumer is gone answers are dropped, and returned if they are mandatory."""
    ask(requester, queue)
    requester.sync()
    address = address_of(other.get(queue))
    if how == "cancel":
        requester.call("basic.cancel", consumer_tag="answers")
    elif how == "channel":
        requester.close()
    else:
        requester.connection.close()
    other.publish("", address, "dropped")
    other.publish("", address, "returned", mandatory=True)
    other.expect_content("basic.return", "returned", reply_code=312, routing_key=address)
    other.send("queue.declare", queue=address, passive=True)
    other.expect_closed_with(404)


def test_a_new_consumer(requester: Channel, other: Channel, queue: str) -> None:
    """After a cancel the channel may consume answers again, and gets those to its new requests."""
    requester.call("basic.cancel", consumer_tag="answers")
    requester.consume(REPLY_TO, no_ack=True, consumer_tag="again")
    ask(requester, queue)
    requester.sync()
    other.publish("", address_of(other.get(queue)), "answer")
    requester.expect_content("basic.deliver", "answer", consumer_tag="again")


def test_server_can_ask_whether_it_is_awaited(
    requester: Channel, other: Channel, queue: str
) -> None:
    """Declaring the address succeeds as long as somebody awaits the answer."""
    ask(requester, queue)
    requester.sync()
    address = address_of(other.get(queue))
    other.declare(address, passive=True)
    requester.sync()


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("queue.bind", {"exchange": "amq.direct", "routing_key": "k"}),
        ("queue.purge", {}),
        ("queue.delete", {}),
        ("basic.get", {}),
    ],
)
def test_is_no_queue(requester: Channel, other: Channel, method: str, args: dict[str, Any]) -> None:
    """Nothing but consuming and declaring works on the name: it is no queue."""
    other.send(method, queue=REPLY_TO, **args)
    event = other.next()
    known = ("channel.close", "queue.delete-ok")
    assert event.name in known  # type: ignore[union-attr]
    requester.sync()


def test_a_foreign_address(broker: Target, requester: Channel, other: Channel, queue: str) -> None:
    """An address that was made up reaches nobody; one RabbitMQ 3.10 stumbles over."""
    ask(requester, queue)
    requester.sync()
    address = address_of(other.get(queue))
    forged = [f"{REPLY_TO}.", f"{REPLY_TO}.x", address[:-3] + "AA=", address + "x"]
    if not broker.is_rabbitmq:
        forged.append(f"{REPLY_TO}.x.y")
    for wrong in forged:
        other.publish("", wrong, "forged", mandatory=True)
        other.expect_content("basic.return", "forged", reply_code=312)
    requester.sync()
