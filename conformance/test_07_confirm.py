"""Publisher confirms: numbering, order against returns and closes, what a confirm means."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.channel import Channel
from conformance.codec import Method
from conformance.wire import Connection

Connect = Callable[..., Connection]
Declare = Callable[..., str]
Name = Callable[[str], str]


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("mode", [None, 1, 2])
def test_every_publish_is_confirmed_once(
    ch: Channel, name: Name, durable: bool, mode: int | None
) -> None:
    """Each publish is acked once, alone or by a multiple ack, whatever the kind of message."""
    queue = ch.declare(name("q"), durable=durable)
    ch.call("confirm.select")
    for n in range(200):
        ch.publish("", queue, str(n), delivery_mode=mode)
    assert set(ch.expect_confirms(*range(1, 201)).values()) == {"ack"}
    ch.connection.expect_silence(0.02)
    assert ch.counts(queue) == (200, 0)


def test_confirmed_means_routed(ch: Channel, other: Channel, name: Name) -> None:
    """When the confirm has come, every connection finds the message in every queue."""
    queues = [ch.declare(name("q"), durable=True) for _ in range(3)]
    ch.call("confirm.select")
    for n in range(1, 31):
        ch.publish("", queues[0], str(n), delivery_mode=2, headers={"CC": queues[1:]})
        ch.expect_confirms(n)
        for queue in queues:
            other.get(queue, body=str(n))


def test_tags_begin_at_the_select(ch: Channel, queue: str) -> None:
    """Publishes before confirm.select are neither numbered nor confirmed."""
    for _ in range(3):
        ch.publish("", queue, "before")
    ch.call("confirm.select")
    ch.publish("", queue, "after")
    assert ch.expect_confirms(1) == {1: "ack"}
    ch.connection.expect_silence(0.02)


def test_select_again_does_not_restart(ch: Channel, queue: str) -> None:
    """A second confirm.select changes nothing; numbering goes on."""
    ch.call("confirm.select")
    ch.publish("", queue, "a")
    ch.expect_confirms(1)
    ch.call("confirm.select")
    ch.publish("", queue, "b")
    ch.expect_confirms(2)


def test_channels_count_for_themselves(ch: Channel, queue: str) -> None:
    """Each channel in confirm mode has its own numbers."""
    second = ch.connection.channel(2)
    for channel in (ch, second):
        channel.call("confirm.select")
    for n in range(5):
        ch.publish("", queue, str(n))
    second.publish("", queue, "x")
    second.expect_confirms(1)
    ch.expect_confirms(1, 2, 3, 4, 5)


def test_select_nowait(ch: Channel, queue: str) -> None:
    """confirm.select with nowait has no answer and the same effect."""
    ch.send("confirm.select", nowait=True)
    ch.publish("", queue, "x")
    ch.expect_confirms(1)


def test_return_before_its_confirm(ch: Channel, queue: str) -> None:
    """An unroutable mandatory message is returned, and only then acked."""
    ch.call("confirm.select")
    for n in range(1, 41):
        ch.publish("", queue if n % 2 else "nobody", str(n), mandatory=True)
    waiting, returned = set(range(1, 41)), []
    while waiting:
        event = ch.next()
        assert isinstance(event, Method)
        if event.name == "basic.return":
            number = int(ch.content_of(event).body)
            assert number in waiting, "the return came after its confirm"
            returned.append(number)
            continue
        last = event["delivery_tag"]
        covered = {n for n in waiting if n <= last} if event["multiple"] else {last}
        unreturned = {n for n in covered if n % 2 == 0} - set(returned)
        assert not unreturned, f"confirmed before the return: {unreturned}"
        waiting -= covered
    assert returned == list(range(2, 41, 2))


@pytest.mark.parametrize("mandatory", [False, True])
def test_unroutable_is_acked(ch: Channel, mandatory: bool) -> None:
    """A message no queue wants is confirmed by ack, not by nack."""
    ch.call("confirm.select")
    ch.publish("amq.direct", "nobody", "x", mandatory=mandatory)
    if mandatory:
        ch.expect_content("basic.return")
    ch.expect("basic.ack", delivery_tag=1, multiple=False)


def test_confirm_with_a_waiting_consumer(ch: Channel, other: Channel, queue: str) -> None:
    """A message that a consumer takes at once is confirmed as well."""
    other.consume(queue, no_ack=True)
    ch.call("confirm.select")
    for n in range(1, 101):
        ch.publish("", queue, str(n))
    ch.expect_confirms(*range(1, 101))
    assert [one.text for one in other.deliveries(100)] == [str(n) for n in range(1, 101)]


def test_publisher_consumes_its_own(ch: Channel, queue: str) -> None:
    """Deliveries and confirms share a channel; both are complete."""
    ch.call("confirm.select")
    ch.consume(queue, no_ack=True)
    for n in range(1, 51):
        ch.publish("", queue, str(n))
    bodies, waiting = [], set(range(1, 51))
    while len(bodies) < 50 or waiting:
        event = ch.next()
        assert isinstance(event, Method)
        if event.name == "basic.deliver":
            bodies.append(ch.content_of(event).text)
        elif event["multiple"]:
            waiting = {n for n in waiting if n > event["delivery_tag"]}
        else:
            waiting.discard(event["delivery_tag"])
    assert bodies == [str(n) for n in range(1, 51)]


def test_failed_publish_is_not_confirmed(ch: Channel, queue: str) -> None:
    """The publish that closes the channel is neither acked nor nacked, nor what follows it."""
    ch.call("confirm.select")
    ch.publish("", queue, "good")
    ch.expect_confirms(1)
    ch.publish("nope", queue, "bad")
    ch.publish("", queue, "dropped")
    text = "NOT_FOUND - no exchange 'nope' in vhost '/'"
    ch.expect_channel_close(404, text, 60, 40)
    ch.connection.expect_silence(0.02)
    ch.reopen()
    assert ch.drain(queue) == ["good"]


def test_confirms_and_other_answers(ch: Channel, queue: str) -> None:
    """A method's answer does not wait for confirms, and confirms go on across it."""
    ch.call("confirm.select")
    for n in range(10):
        ch.publish("", queue, str(n), delivery_mode=2)
        ch.send("basic.qos", prefetch_count=n)
    oks, waiting = 0, set(range(1, 11))
    while oks < 10 or waiting:
        event = ch.next()
        assert isinstance(event, Method)
        if event.name == "basic.qos-ok":
            oks += 1
        elif event["multiple"]:
            waiting = {n for n in waiting if n > event["delivery_tag"]}
        else:
            waiting.discard(event["delivery_tag"])


@pytest.mark.parametrize("durable", [False, True])
def test_confirms_end_with_the_channel(ch: Channel, name: Name, durable: bool) -> None:
    """Publishes before a close are worked off; after close-ok no confirm comes."""
    queue = ch.declare(name("q"), durable=durable)
    ch.call("confirm.select")
    for n in range(50):
        ch.publish("", queue, str(n), delivery_mode=2)
    ch.close()
    ch.connection.expect_silence(0.05)
    ch.reopen()
    assert ch.drain(queue) == [str(n) for n in range(50)]


def test_publishes_before_connection_close_are_kept(
    ch: Channel, other: Channel, queue: str
) -> None:
    """What was sent before connection.close arrives, confirmed or not."""
    for n in range(100):
        ch.publish("", queue, str(n))
    ch.connection.close()
    assert other.drain(queue) == [str(n) for n in range(100)]


def test_confirm_of_multi_frame_bodies(connect: Connect, name: Name) -> None:
    """A message in many frames counts once."""
    ch = connect(frame_max=4096).channel(1)
    queue = ch.declare(exclusive=True)
    ch.call("confirm.select")
    for n in range(1, 6):
        ch.publish("", queue, b"x" * 20_000)
        assert ch.expect_confirms(n) == {n: "ack"}


def test_confirm_after_fanout(ch: Channel, exchange: Declare, name: Name) -> None:
    """One publish to many queues is one confirm."""
    fanout = exchange("fanout")
    queues = [ch.declare(name("q"), durable=bool(n % 2)) for n in range(20)]
    for queue in queues:
        ch.bind(queue, fanout)
    ch.call("confirm.select")
    ch.publish(fanout, "", "x", delivery_mode=2)
    ch.expect("basic.ack", delivery_tag=1)
    ch.connection.expect_silence(0.02)
    assert all(ch.drain(queue) == ["x"] for queue in queues)


def test_exclusive_queue_of_another(ch: Channel, other: Channel, name: Name) -> None:
    """Publishing to a queue that is locked for everything else is confirmed."""
    queue = other.declare(name("q"), exclusive=True)
    ch.call("confirm.select")
    ch.publish("", queue, "x", mandatory=True)
    ch.expect_confirms(1)
    assert other.drain(queue) == ["x"]


def test_confirm_when_the_queue_goes(ch: Channel, other: Channel, name: Name) -> None:
    """Deleting the queue beside a stream of publishes leaves no publish unanswered."""
    queue = other.declare(name("q"), durable=True)
    ch.call("confirm.select")
    for n in range(1, 301):
        ch.publish("", queue, str(n), delivery_mode=2)
        if n == 150:
            other.send("queue.delete", queue=queue)
    assert len(ch.expect_confirms(*range(1, 301))) == 300
    other.expect("queue.delete-ok")


def test_modes_exclude_each_other(ch: Channel) -> None:
    """A channel is transactional or confirms, never both."""
    ch.call("confirm.select")
    ch.send("tx.select")
    text = "PRECONDITION_FAILED - cannot switch from confirm to tx mode"
    ch.expect_channel_close(406, text, 90, 10)
    ch.reopen()
    ch.call("tx.select")
    ch.send("confirm.select", nowait=True)
    text = "PRECONDITION_FAILED - cannot switch from tx to confirm mode"
    ch.expect_channel_close(406, text, 85, 10)


@pytest.mark.parametrize("method", ["tx.commit", "tx.rollback"])
def test_no_tx_in_confirm_mode(ch: Channel, method: str) -> None:
    """A channel in confirm mode has no transaction to end."""
    ch.call("confirm.select")
    ch.send(method)
    text = "PRECONDITION_FAILED - channel is not transactional"
    ch.expect_channel_close(406, text, 90, 20 if method == "tx.commit" else 30)
