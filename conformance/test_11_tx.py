"""Transactions: what waits for the commit, what a rollback takes back, and what it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.channel import Channel
from conformance.codec import Method

Name = Callable[[str], str]
NOT_TRANSACTIONAL = "PRECONDITION_FAILED - channel is not transactional"


def answers_and_deliveries(ch: Channel, count: int) -> set[str]:
    """Names of the next methods, or for a delivery its body; they come in either order."""
    found = set()
    for _ in range(count):
        event = ch.next()
        assert isinstance(event, Method)
        found.add(ch.content_of(event).text if event.name == "basic.deliver" else event.name)
    return found


@pytest.mark.parametrize(("method", "method_id"), [("tx.commit", 20), ("tx.rollback", 30)])
def test_without_select(ch: Channel, method: str, method_id: int) -> None:
    """A transaction begins with tx.select."""
    ch.send(method)
    ch.expect_channel_close(406, NOT_TRANSACTIONAL, 90, method_id)


def test_select_again(ch: Channel, queue: str) -> None:
    """tx.select twice is fine and does not end the transaction."""
    ch.call("tx.select")
    ch.publish("", queue, "a")
    ch.call("tx.select")
    ch.call("tx.commit")
    assert ch.drain(queue) == ["a"]


def test_publishes_wait_for_commit(ch: Channel, other: Channel, queue: str) -> None:
    """Nobody sees a publish before its commit, the publisher neither; then all do, in order."""
    ch.call("tx.select")
    for body in "abc":
        ch.publish("", queue, body)
    ch.get_empty(queue)
    assert other.counts(queue) == (0, 0)
    ch.call("tx.commit")
    assert other.drain(queue) == ["a", "b", "c"]


def test_rollback_drops_publishes(ch: Channel, queue: str) -> None:
    """Rolled back publishes are gone; the next transaction starts empty."""
    ch.call("tx.select")
    ch.publish("", queue, "a")
    ch.call("tx.rollback")
    ch.publish("", queue, "b")
    ch.call("tx.commit")
    ch.call("tx.commit")
    assert ch.drain(queue) == ["b"]


def test_commit_of_nothing(ch: Channel) -> None:
    """Empty transactions are committed and rolled back like others."""
    ch.call("tx.select")
    for method in ("tx.commit", "tx.rollback", "tx.commit"):
        ch.call(method)


def test_every_transaction_stands_alone(ch: Channel, queue: str) -> None:
    """One transaction follows another, committed or not."""
    ch.call("tx.select")
    for n in range(20):
        ch.publish("", queue, str(n))
        ch.call("tx.rollback" if n % 3 == 0 else "tx.commit")
    assert ch.drain(queue) == [str(n) for n in range(20) if n % 3]


def test_acks_wait_for_commit(ch: Channel, queue: str) -> None:
    """An ack counts from its commit; until then the channel's end gives the message back."""
    ch.fill(queue, "a")
    ch.call("tx.select")
    ch.get(queue, no_ack=False)
    ch.send("basic.ack", delivery_tag=1)
    ch.close()
    ch.reopen()
    ch.get(queue, body="a", redelivered=True)


def test_committed_ack(ch: Channel, queue: str) -> None:
    """A committed ack is final."""
    ch.fill(queue, "a")
    ch.call("tx.select")
    ch.get(queue, no_ack=False)
    ch.send("basic.ack", delivery_tag=1)
    ch.call("tx.commit")
    ch.close()
    ch.reopen()
    ch.get_empty(queue)


def test_rolled_back_ack(ch: Channel, other: Channel, queue: str) -> None:
    """A rolled back ack leaves the message held; it can be acked again."""
    ch.fill(queue, "a")
    ch.call("tx.select")
    ch.get(queue, no_ack=False)
    ch.send("basic.ack", delivery_tag=1)
    ch.call("tx.rollback")
    other.get_empty(queue)
    ch.send("basic.ack", delivery_tag=1)
    ch.call("tx.commit")
    ch.close()
    other.get_empty(queue)


@pytest.mark.parametrize("method", ["basic.reject", "basic.nack"])
def test_rejects_wait_for_commit(ch: Channel, other: Channel, queue: str, method: str) -> None:
    """A reject counts from its commit as well."""
    ch.fill(queue, "a")
    ch.call("tx.select")
    ch.get(queue, no_ack=False)
    ch.send(method, delivery_tag=1, requeue=True)
    ch.sync()
    other.get_empty(queue)
    ch.call("tx.commit")
    other.get(queue, body="a", redelivered=True)


def test_ack_twice_in_one_transaction(ch: Channel, queue: str) -> None:
    """Within the transaction a tag counts as settled."""
    ch.fill(queue, "a")
    ch.call("tx.select")
    ch.get(queue, no_ack=False)
    ch.send("basic.ack", delivery_tag=1)
    ch.send("basic.ack", delivery_tag=1)
    text = "PRECONDITION_FAILED - unknown delivery tag 1"
    ch.expect_channel_close(406, text, 60, 80)


def test_uncommitted_ack_keeps_the_window(ch: Channel, queue: str) -> None:
    """An ack makes room for the next delivery when it is committed."""
    ch.fill(queue, *"ab")
    ch.call("tx.select")
    ch.call("basic.qos", prefetch_count=1)
    ch.consume(queue)
    ch.expect_content(body="a")
    ch.send("basic.ack", delivery_tag=1)
    ch.connection.expect_silence(0.05)
    ch.send("tx.commit")
    assert answers_and_deliveries(ch, 2) == {"tx.commit-ok", "b"}


def test_publish_and_ack_together(ch: Channel, name: Name) -> None:
    """A transaction moves a message: ack here and publish there take effect together."""
    source, target = ch.declare(name("q")), ch.declare(name("q"))
    ch.fill(source, *"abc")
    ch.call("tx.select")
    for n in range(1, 4):
        content = ch.get(source, no_ack=False)
        ch.publish("", target, content.body)
        ch.send("basic.ack", delivery_tag=n)
        ch.call("tx.rollback" if n == 2 else "tx.commit")
    ch.close()
    ch.reopen()
    assert (ch.drain(source), ch.drain(target)) == (["b"], ["a", "c"])


def test_returns_come_before_commit_ok(ch: Channel, queue: str) -> None:
    """An unroutable mandatory message is returned at the commit, before commit-ok."""
    ch.call("tx.select")
    ch.publish("", "nobody", "a", mandatory=True)
    ch.publish("", queue, "b", mandatory=True)
    ch.publish("", "nobody", "c", mandatory=True)
    ch.connection.expect_silence(0.03)
    ch.send("tx.commit")
    ch.expect_content("basic.return", body="a", reply_code=312)
    ch.expect_content("basic.return", body="c", reply_code=312)
    ch.expect("tx.commit-ok")
    ch.publish("", "nobody", "d", mandatory=True)
    ch.call("tx.rollback")
    ch.sync()


def test_missing_exchange_fails_at_once(ch: Channel, queue: str) -> None:
    """An error does not wait for the commit, and takes the transaction along."""
    ch.call("tx.select")
    ch.publish("", queue, "a")
    ch.publish("nope", queue, "b")
    text = "NOT_FOUND - no exchange 'nope' in vhost '/'"
    ch.expect_channel_close(404, text, 60, 40)
    ch.reopen()
    assert ch.drain(queue) == []


@pytest.mark.parametrize("end", ["channel", "connection", "drop"])
def test_open_transaction_at_the_end(ch: Channel, other: Channel, queue: str, end: str) -> None:
    """However it ends, an open transaction is rolled back."""
    ch.fill(queue, "a")
    other.call("tx.select")
    other.get(queue, no_ack=False)
    other.send("basic.ack", delivery_tag=1)
    other.publish("", queue, "b")
    other.sync()
    if end == "channel":
        other.close()
    elif end == "connection":
        other.connection.close()
    else:
        other.connection.drop()
    ch.consume(queue, no_ack=True)
    ch.expect_content(body="a", redelivered=True)
    ch.connection.expect_silence(0.05)


def test_topology_is_not_transactional(ch: Channel, other: Channel, name: Name) -> None:
    """Declares take effect at once; a rollback does not undo them."""
    ch.call("tx.select")
    queue = ch.declare(name("q"))
    ch.bind(queue, "amq.direct", queue)
    ch.call("tx.rollback")
    other.publish("amq.direct", queue, "x")
    other.sync()
    assert ch.drain(queue) == ["x"]


def test_routes_at_the_publish(ch: Channel, other: Channel, name: Name) -> None:
    """Where a message goes is decided when it is published, not when it is committed."""
    queue = ch.declare(name("q"))
    exchange = name("x")
    ch.call("exchange.declare", exchange=exchange, exchange_type="fanout")
    ch.call("tx.select")
    ch.publish(exchange, "", "early")
    ch.bind(queue, exchange)
    ch.publish(exchange, "", "late")
    ch.call("tx.commit")
    assert ch.drain(queue) == ["late"]


def test_queue_deleted_before_commit(ch: Channel, other: Channel, name: Name) -> None:
    """A commit into a queue that has gone meanwhile succeeds."""
    queue = ch.declare(name("q"))
    ch.call("tx.select")
    ch.publish("", queue, "x", delivery_mode=2)
    ch.sync()
    other.call("queue.delete", queue=queue)
    ch.call("tx.commit")
    ch.sync()


def test_persistent_and_transient(ch: Channel, name: Name) -> None:
    """A transaction may mix durable and transient queues and messages; order is kept."""
    queue = ch.declare(name("q"), durable=True)
    ch.call("tx.select")
    for n in range(100):
        ch.publish("", queue, str(n), delivery_mode=1 + n % 2)
    ch.call("tx.commit")
    assert ch.drain(queue) == [str(n) for n in range(100)]


def test_deliveries_go_on(ch: Channel, other: Channel, queue: str) -> None:
    """A transactional channel consumes like any other."""
    ch.call("tx.select")
    ch.consume(queue, no_ack=True)
    other.publish("", queue, "x")
    ch.expect_content(body="x")
    ch.publish("", queue, "own")
    ch.connection.expect_silence(0.03)
    ch.send("tx.commit")
    assert answers_and_deliveries(ch, 2) == {"tx.commit-ok", "own"}
