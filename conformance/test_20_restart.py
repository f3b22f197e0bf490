"""What survives a restart, in good order (SIGTERM) and not (SIGKILL), and what must not.

One broker is filled by ``prepare``, ended, started again, and then looked at by many tests. What
SIGKILL shows is that the broker keeps its state in files and reads it back; whether those files
would outlive the machine's power it cannot show, as the kernel keeps what was written.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.brokers import Broker
from conformance.channel import Channel
from conformance.codec import encode_properties
from conformance.conftest import URL, Target, private_broker
from conformance.wire import Connection

NUMBERS = [str(n) for n in range(500)]
PROPS: dict[str, Any] = {
    "content_type": "a/b", "headers": {"a": {"s": 5}, "b": [1, None, {"F": {}}], "T": {"T": 7}},
    "delivery_mode": 2, "priority": 3, "correlation_id": b"\xff\x00", "timestamp": 2**63,
}  # fmt: skip


@pytest.fixture(scope="module", params=["stop", "kill"])
def restarted(
    request: pytest.FixtureRequest, target: Target, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """A broker that was prepared, ended in this way, and started again."""
    if URL:
        pytest.skip("a foreign broker is not ours to restart")
    plugins = tmp_path_factory.mktemp("restart") / "enabled_plugins"
    with private_broker(target.kind, plugins) as broker:
        with Connection(broker.url) as connection:
            channel = connection.channel(1)
            prepare_exchanges(channel)
            prepare_queues(channel)
            prepare_messages(channel)
            prepare_held(connection)
            if request.param == "kill":
                broker.kill()
            else:
                stop_and_answer(broker, connection)
            connection.drop()
        broker.start()
        yield broker


def stop_and_answer(broker: Broker, connection: Connection) -> None:
    """End the broker by SIGTERM, with a client that answers as clients do."""
    thread = threading.Thread(target=broker.stop)
    thread.start()
    text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    connection.expect_connection_close(320, text)
    thread.join()


@pytest.fixture
def ch(restarted: Broker) -> Iterator[Channel]:
    """Channel 1 of a connection after the restart."""
    with Connection(restarted.url) as connection:
        yield connection.channel(1)


def exchange_exists(ch: Channel, exchange: str) -> bool:
    """Ask by passive declare."""
    return _exists(ch, "exchange", exchange)


def queue_exists(ch: Channel, queue: str) -> bool:
    """Ask by passive declare."""
    return _exists(ch, "queue", queue)


def _exists(ch: Channel, kind: str, name: str) -> bool:
    ch.send(f"{kind}.declare", **{kind: name, "passive": True})
    event = ch.next()
    if event.name == f"{kind}.declare-ok":  # type: ignore[union-attr]
        return True
    assert event["reply_code"] == 404  # type: ignore[index]
    ch.send("channel.close-ok")
    ch.reopen()
    return False


def prepare_exchanges(ch: Channel) -> None:
    """Exchanges of every type, durable and transient, and bindings between them."""
    for exchange_type in ("direct", "fanout", "topic", "headers"):
        for durable in (True, False):
            ch.call(
                "exchange.declare", exchange=f"{exchange_type}-{durable}",
                exchange_type=exchange_type, durable=durable,
            )  # fmt: skip
    ch.call("exchange.declare", exchange="gone", exchange_type="direct", durable=True)
    ch.call("exchange.delete", exchange="gone")
    for name, args in (
        ("internal", {"internal": True}),
        ("with-alternate", {"arguments": {"alternate-exchange": "fanout-True"}}),
        ("auto", {"auto_delete": True}),
    ):
        ch.call("exchange.declare", exchange=name, exchange_type="direct", durable=True, **args)


def prepare_queues(ch: Channel) -> None:
    """Queues of every kind, with bindings."""
    for durable in (True, False):
        ch.declare(f"queue-{durable}", durable=durable)
        ch.declare(f"auto-{durable}", durable=durable, auto_delete=True)
    ch.declare("exclusive", durable=True, exclusive=True)
    ch.declare("arguments", durable=True, arguments={"x-max-length": {"l": 7}, "app": "x"})
    ch.declare("deleted", durable=True)
    ch.fill("deleted", "x", delivery_mode=2)
    ch.call("queue.delete", queue="deleted")
    ch.declare("bound", durable=True)
    ch.bind("bound", "direct-True", "k", arguments={"a": 1})
    ch.bind("bound", "direct-False", "k")
    ch.bind("bound", "auto", "k")
    ch.bind("queue-False", "direct-True", "k")
    ch.bind("bound", "headers-True", arguments={"x-match": "any", "h": {"l": 5}})
    ch.bind("bound", "topic-True", "a.*.#")
    ch.bind("bound", "topic-True", "unbound")
    ch.call("queue.unbind", queue="bound", exchange="topic-True", routing_key="unbound")
    ch.bind("bound", "fanout-True")
    for durable in (True, False):
        ch.call("exchange.bind", destination="fanout-True", source=f"topic-{durable}",
                routing_key="e2e")  # fmt: skip


def prepare_messages(ch: Channel) -> None:
    """Messages in queues that only one test looks at."""
    for queue in ("modes", "numbers", "octets", "purged", "copy-1", "copy-2", "tx", "replaced"):
        ch.declare(queue, durable=True)
    ch.fill("modes", "p1", delivery_mode=2)
    ch.fill("modes", "t1", delivery_mode=1)
    ch.fill("modes", "n1")
    ch.fill("modes", "p2", delivery_mode=2)
    ch.fill("queue-False", "lost", delivery_mode=2)
    ch.fill("numbers", *NUMBERS, delivery_mode=2)
    for body in ("", "x", "y" * 1_000_000):
        ch.fill("octets", body, **PROPS)
    ch.fill("purged", "x", "y", delivery_mode=2)
    ch.call("queue.purge", queue="purged")
    ch.fill("purged", "after", delivery_mode=2)
    ch.fill("copy-1", "x", "y", delivery_mode=2, headers={"CC": ["copy-2"]})
    ch.get("copy-1", body="x")
    transactional = ch.connection.channel(5)
    transactional.call("tx.select")
    transactional.publish("", "tx", "committed", delivery_mode=2)
    transactional.call("tx.commit")
    transactional.publish("", "tx", "uncommitted", delivery_mode=2)
    transactional.sync()
    ch.fill("replaced", "old", delivery_mode=2)
    ch.call("queue.delete", queue="replaced")
    ch.declare("replaced", durable=True)
    ch.fill("replaced", "new", delivery_mode=2)


def prepare_held(connection: Connection) -> None:
    """Messages that a client holds, has acked and has put back when the broker ends."""
    ch = connection.channel(6)
    for queue in ("held", "acked", "requeued"):
        ch.declare(queue, durable=True)
        ch.fill(queue, *(str(n) for n in range(1, 11)), delivery_mode=2)
    for queue, first in (("held", 1), ("acked", 4), ("requeued", 14)):
        for n in range(10 if queue != "held" else 3):
            ch.get(queue, no_ack=False, delivery_tag=first + n)
    ch.send("basic.ack", delivery_tag=7)
    ch.send("basic.ack", delivery_tag=10)
    ch.send("basic.reject", delivery_tag=12, requeue=False)
    for tag in (20, 16, 18):
        ch.send("basic.nack", delivery_tag=tag, requeue=True)
    ch.sync()
    # A confirm for what follows the acks: where the log is one, they are in it as well.
    ch.fill("held", "last", delivery_mode=2)


# -- messages


def test_only_persistent_messages(ch: Channel) -> None:
    """delivery_mode 2 survives; 1 and none do not; order is kept."""
    assert ch.drain("modes") == ["p1", "p2"]


def test_order(ch: Channel) -> None:
    """Hundreds of messages come back in order, none missing, none twice."""
    assert ch.drain("numbers") == NUMBERS


def test_octets(ch: Channel) -> None:
    """Properties and bodies come back octet for octet, empty and large ones."""
    for size in (0, 1, 1_000_000):
        content = ch.get("octets")
        assert len(content.body) == size
        assert content.header.raw == encode_properties(PROPS)


def test_held_come_back(ch: Channel) -> None:
    """What clients held is ready again, in order and marked as redelivered."""
    got = [ch.get("held") for _ in range(11)]
    assert [one.text for one in got] == [*(str(n) for n in range(1, 11)), "last"]
    assert all(one["redelivered"] for one in got[:3])


def test_settled_are_gone(ch: Channel, request: pytest.FixtureRequest) -> None:
    """What was acked or rejected does not come back; a kill may undo the very last of it."""
    got = {int(body) for body in ch.drain("acked")}
    kept = set(range(1, 11)) - {4, 7, 9}
    if "stop" in request.node.name:
        assert got == kept
    else:
        assert kept <= got


def test_requeued_in_place(ch: Channel) -> None:
    """Requeued and held messages stand in their first order."""
    assert ch.drain("requeued") == [str(n) for n in range(1, 11)]


def test_purged(ch: Channel) -> None:
    """What was purged stays away; what came later is there."""
    assert ch.drain("purged") == ["after"]


def test_copies(ch: Channel, request: pytest.FixtureRequest) -> None:
    """Of a message in two queues each has its own fate; a kill may undo the very last of it."""
    first, second = ch.drain("copy-1"), ch.drain("copy-2")
    assert second == ["x", "y"]
    assert first == ["y"] or ("kill" in request.node.name and first == second)


def test_transactions(ch: Channel) -> None:
    """A committed transaction is there, an open one is not."""
    assert ch.drain("tx") == ["committed"]


def test_replaced_queue(ch: Channel) -> None:
    """A queue that was deleted and declared anew has only what came after."""
    assert ch.drain("replaced") == ["new"]


# -- exchanges and queues


@pytest.mark.parametrize("exchange_type", ["direct", "fanout", "topic", "headers"])
def test_exchanges(ch: Channel, exchange_type: str) -> None:
    """Durable exchanges survive as they were, transient ones do not."""
    durable = f"{exchange_type}-True"
    ch.call("exchange.declare", exchange=durable, exchange_type=exchange_type, durable=True)
    assert not exchange_exists(ch, f"{exchange_type}-False")


def test_deleted_exchange(ch: Channel) -> None:
    """What was deleted stays so."""
    assert not exchange_exists(ch, "gone")


def test_exchange_flags(ch: Channel) -> None:
    """Flags and arguments of exchanges are kept, and compared."""
    for name, args in (
        ("internal", {"internal": True}),
        ("with-alternate", {"arguments": {"alternate-exchange": "fanout-True"}}),
        ("auto", {"auto_delete": True}),
    ):
        ch.call("exchange.declare", exchange=name, exchange_type="direct", durable=True, **args)
    ch.publish("internal", "k", "x")
    assert "cannot publish to internal exchange" in ch.expect_closed_with(403)
    ch.reopen()
    ch.send("exchange.declare", exchange="auto", exchange_type="direct", durable=True)
    assert "inequivalent arg 'auto_delete'" in ch.expect_closed_with(406)


@pytest.mark.parametrize(
    ("queue", "survives"),
    [
        ("queue-True", True),
        ("queue-False", False),
        ("auto-True", True),
        ("auto-False", False),
        ("exclusive", False),
        ("deleted", False),
    ],
)
def test_queues(ch: Channel, queue: str, survives: bool) -> None:
    """Durable queues survive; transient, exclusive and deleted ones do not."""
    assert queue_exists(ch, queue) == survives


def test_queue_arguments(ch: Channel) -> None:
    """Arguments are kept with their types, and compared."""
    ch.declare("arguments", durable=True, arguments={"x-max-length": 7})
    ch.send("queue.declare", queue="arguments", durable=True, arguments={"x-max-length": 8})
    assert "received '8' but current is '7'" in ch.expect_closed_with(406)
    ch.reopen()
    ch.send("queue.declare", queue="arguments", durable=True)
    assert "current is the value '7' of type 'long'" in ch.expect_closed_with(406)


# -- bindings


def route(ch: Channel, exchange: str, key: str, **props: Any) -> bool:
    """Publish and tell whether the queue ``bound`` got it, and nobody else."""
    ch.publish(exchange, key, "x", **props)
    ch.sync()
    return ch.drain("bound") == ["x"]


def test_bindings(ch: Channel) -> None:
    """Bindings of durable queues to durable exchanges survive, with their arguments."""
    assert route(ch, "direct-True", "k")
    assert not route(ch, "direct-True", "other")
    assert route(ch, "topic-True", "a.b.c")
    assert not route(ch, "topic-True", "unbound")
    assert route(ch, "headers-True", "", headers={"h": 5})
    assert not route(ch, "headers-True", "", headers={"h": 6})
    assert route(ch, "auto", "k")


def test_exchange_bindings(ch: Channel) -> None:
    """So do bindings between durable exchanges."""
    assert route(ch, "topic-True", "e2e")
    assert route(ch, "with-alternate", "nowhere")


def test_binding_to_a_transient_exchange(ch: Channel) -> None:
    """A transient exchange took its bindings along, also for a durable queue."""
    ch.call("exchange.declare", exchange="direct-False", exchange_type="direct")
    ch.publish("direct-False", "k", "x", mandatory=True)
    ch.expect_content("basic.return")
    ch.call("exchange.delete", exchange="direct-False")


def test_binding_of_a_transient_queue(ch: Channel) -> None:
    """A transient queue took its bindings and messages along."""
    ch.declare("queue-False")
    assert route(ch, "direct-True", "k")
    assert ch.counts("queue-False") == (0, 0)
    ch.call("queue.delete", queue="queue-False")


def test_unbind_finds_what_was_bound(ch: Channel) -> None:
    """A binding from before can be taken away by its key and arguments."""
    args = {"queue": "bound", "exchange": "direct-True", "routing_key": "k"}
    ch.call("queue.unbind", **args)
    assert route(ch, "direct-True", "k")
    ch.call("queue.unbind", arguments={"a": 1}, **args)
    assert not route(ch, "direct-True", "k")
    ch.call("queue.bind", arguments={"a": 1}, **args)


# -- the restart itself


def test_clients_are_told(restartable: Broker) -> None:
    """At SIGTERM each connection gets a 320 and can answer it; the broker ends with success."""
    with Connection(restartable.url) as connection:
        connection.channel(1)
        stop_and_answer(restartable, connection)
    assert not restartable.running


def test_many_restarts(restartable: Broker) -> None:
    """Restart after restart, by turns in order and by kill, nothing is lost and order is kept."""
    expected: list[str] = []
    acked: set[str] = set()
    with Connection(restartable.url) as connection:
        connection.channel(1).declare("q", durable=True)
    for generation in range(4):
        with Connection(restartable.url) as connection:
            ch = connection.channel(1)
            new = [f"{generation}-{n}" for n in range(20)]
            ch.fill("q", *new, delivery_mode=2)
            expected += new
            for _ in range(5):
                content = ch.get("q", no_ack=False)
                while content.text in acked:  # a kill may undo the last acks
                    content = ch.get("q", no_ack=False)
                assert content.text == expected.pop(0)
                acked.add(content.text)
            ch.send("basic.ack", delivery_tag=0, multiple=True)
            ch.sync()
        (restartable.kill if generation % 2 else restartable.stop)()
        restartable.start()
    with Connection(restartable.url) as connection:
        left = [body for body in connection.channel(1).drain("q") if body not in acked]
        assert left == expected
