"""kombu over py-amqp: producers, consumers, simple queues, pools and the pidbox."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from queue import Empty
from typing import Any

import amqp
import kombu
from kombu import Connection, Consumer, Exchange, Producer, Queue, pidbox
from kombu.pools import producers
from kombu.transport import native_delayed_delivery

from conformance.clients import support
from conformance.clients.support import Target, equal, unique


def connect(target: Target, **arguments: Any) -> Connection:
    """Make a connection whose publishes wait for the broker's confirm, though not for ever."""
    options = {"confirm_publish": True, "read_timeout": 20}
    return Connection(target.url, transport_options=options, **arguments)


@contextlib.contextmanager
def own_queue(connection: Connection, **arguments: Any) -> Iterator[Queue]:
    """Declare a queue on an exchange of its own; delete both."""
    name = unique("kombu")
    exchange = Exchange(name, type=arguments.pop("type", "direct"), durable=False)
    queue = Queue(name, exchange, routing_key="key", durable=False, **arguments)(connection)
    queue.declare()
    try:
        yield queue
    finally:
        queue.delete()
        queue.exchange.delete()


def drain(connection: Connection, seen: list[Any], number: int) -> None:
    """Handle what the broker sends until so many messages are seen."""
    deadline = time.monotonic() + 10
    while len(seen) < number:
        assert time.monotonic() < deadline, f"only {len(seen)} of {number} messages: {seen}"
        with contextlib.suppress(TimeoutError):
            connection.drain_events(timeout=0.5)


def check_publish_and_consume(target: Target) -> None:
    """Serialised and compressed messages arrive in order, with prefetch and acknowledgement."""
    with connect(target) as connection, own_queue(connection) as queue:
        producer = Producer(connection, queue.exchange, "key")
        for number in range(30):
            compression = "zlib" if number % 2 else None
            serializer = "json" if number % 3 else "pickle"
            producer.publish(
                {"number": number, "text": "żółw" * number},
                serializer=serializer,
                compression=compression,
                headers={"n": number},
                retry=True,
            )
        seen: list[tuple[Any, Any, Any]] = []

        def note(body: Any, message: kombu.Message) -> None:
            seen.append((body["number"], body["text"], message.headers["n"]))
            message.ack()

        with Consumer(connection, [queue], callbacks=[note], accept=["json", "pickle"]) as consumer:
            consumer.qos(prefetch_count=3)
            drain(connection, seen, 30)
        equal(seen, [(n, "żółw" * n, n) for n in range(30)], "messages")
        equal(queue.queue_declare(passive=True).message_count, 0, "messages left")


def check_reject_and_requeue(target: Target) -> None:
    """A requeued message comes again as redelivered; a rejected one does not."""
    with connect(target) as connection, own_queue(connection) as queue:
        Producer(connection, queue.exchange, "key").publish("job")
        first = queue.get()
        equal(first.delivery_info["redelivered"], False, "first time")
        first.requeue()
        second = queue.get()
        equal((second.payload, second.delivery_info["redelivered"]), ("job", True), "second time")
        second.reject()
        equal(queue.get(), None, "after the reject")


def check_simple_queue(target: Target) -> None:
    """SimpleQueue puts, gets, counts, clears, and times out when it is empty."""
    with connect(target) as connection:
        simple = connection.SimpleQueue(unique("kombu.simple"), queue_opts={"auto_delete": True})
        with contextlib.closing(simple) as queue:
            for number in range(5):
                queue.put({"n": number})
            message = queue.get(timeout=5)
            equal(message.payload, {"n": 0}, "first")
            message.ack()
            equal(queue.qsize(), 0, "ready, since a consumer without prefetch has taken all")
            equal([queue.get(timeout=5).payload["n"] for _ in range(4)], [1, 2, 3, 4], "the others")
            try:
                queue.get(timeout=0.2)
            except Empty:
                pass
            else:
                raise AssertionError("got a sixth message")
        queue = connection.SimpleQueue(simple.queue.name, queue_opts={"auto_delete": True})
        with contextlib.closing(queue):
            queue.put("x")
            queue.clear()


def check_priorities(target: Target) -> None:
    """A queue with priorities hands out the most urgent message first."""
    with connect(target) as connection, own_queue(connection, max_priority=5) as queue:
        producer = Producer(connection, queue.exchange, "key")
        for body, priority in (("low", 1), ("high", 5), ("none", None), ("also high", 9)):
            producer.publish(body, priority=priority)
        got = [queue.get(no_ack=True).payload for _ in range(4)]
        # 9 is above the maximum and counts as 5, and no priority as 0.
        equal(got, ["high", "also high", "low", "none"], "order")


def check_limits(target: Target) -> None:
    """Length limit, message TTL and queue expiry do what kombu's Queue arguments say."""
    with connect(target) as connection:
        with own_queue(connection, max_length=2) as queue:
            producer = Producer(connection, queue.exchange, "key")
            for body in ("a", "b", "c"):
                producer.publish(body)
            equal([queue.get(no_ack=True).payload for _ in range(2)], ["b", "c"], "kept")
        with own_queue(connection, message_ttl=0.1) as queue:
            producer = Producer(connection, queue.exchange, "key")
            producer.publish("soon gone")
            time.sleep(0.3)
            equal(queue.get(), None, "after the queue's TTL")
        with own_queue(connection) as queue:
            producer = Producer(connection, queue.exchange, "key")
            producer.publish("soon gone", expiration=0.1)
            time.sleep(0.3)
            equal(queue.get(), None, "after the message's TTL")
        with own_queue(connection, expires=0.2) as queue:
            time.sleep(0.8)  # asking sooner would count as a use
            equal(exists(target, queue.name), False, "exists after its expiry")


def exists(target: Target, queue: str) -> bool:
    """Tell whether a queue exists."""
    with connect(target) as connection:
        try:
            Queue(queue, channel=connection.channel()).queue_declare(passive=True)
        except amqp.NotFound as error:
            text = f"NOT_FOUND - no queue '{queue}' in vhost '/'"
            equal((error.code, error.message), (404, text), "error")
            return False
        return True


def check_returned_messages(target: Target) -> None:
    """A mandatory message without a queue comes back to on_return."""
    with connect(target) as connection, own_queue(connection) as queue:
        returned: list[Any] = []

        def note(error: amqp.ChannelError, exchange: str, key: str, message: Any) -> None:
            returned.append((error.reply_code, exchange, key, message.body))

        producer = Producer(connection, queue.exchange, on_return=note)
        producer.publish("back", routing_key="other", mandatory=True, serializer="json")
        equal(returned, [(312, queue.exchange.name, "other", '"back"')], "returned")


def check_exchange_bindings(target: Target) -> None:
    """Exchange.bind_to and unbind_from connect exchanges."""
    with (
        connect(target) as connection,
        own_queue(connection) as queue,
        own_queue(connection, type="topic") as other,
    ):
        producer = Producer(connection, other.exchange, "key")
        queue.exchange.bind_to(other.exchange, "#")
        producer.publish("one")
        queue.exchange.unbind_from(other.exchange, "#")
        producer.publish("two")
        equal(queue.get(no_ack=True).payload, "one", "through the binding")
        equal(queue.get(no_ack=True), None, "after the unbind")
        equal([other.get(no_ack=True).payload for _ in range(2)], ["one", "two"], "source")


def check_errors(target: Target) -> None:
    """Broker errors become py-amqp's exceptions and are those kombu can recover from."""
    with connect(target) as connection, own_queue(connection) as queue:
        changed = Queue(queue.name, queue.exchange, "key", durable=True)
        try:
            changed(connection.channel()).declare()
        except connection.channel_errors as error:
            text = (
                f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{queue.name}' in "
                "vhost '/': received 'true' but current is 'false'"
            )
            equal((type(error), error.code), (amqp.PreconditionFailed, 406), "error")
            equal((error.message, error.method_sig), (text, (50, 10)), "text and method")
        else:
            raise AssertionError("declared with other properties")
        assert connection.connected, "the connection is gone"
        equal(connection.transport.implements.exchange_type >= {"topic", "headers"}, True, "types")


def check_pools(target: Target) -> None:
    """Threads share a pool of producers without mixing up their messages."""
    with connect(target) as connection, own_queue(connection) as queue:

        def publish(start: int) -> None:
            for number in range(start, start + 25):
                with producers[connection].acquire(block=True, timeout=10) as producer:
                    producer.publish(number, exchange=queue.exchange, routing_key="key", retry=True)

        threads = [threading.Thread(target=publish, args=(n * 25,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        got = [queue.get(no_ack=True).payload for _ in range(100)]
        equal(sorted(got), list(range(100)), "messages of all threads")
        for start in range(0, 100, 25):
            mine = [n for n in got if start <= n < start + 25]
            equal(mine, sorted(mine), "order within a thread")
        kombu.pools.reset()


def check_pidbox(target: Target) -> None:
    """The mailbox that Celery's remote control uses broadcasts a call and collects the answers."""
    namespace = unique("kombu.pidbox")
    mailbox = pidbox.Mailbox(namespace, type="fanout", accept=["json"])
    stop = threading.Event()
    ready = threading.Barrier(3, timeout=20)

    def serve(name: str) -> None:
        with connect(target) as connection:
            node = mailbox(connection).Node(name, channel=connection.channel())
            node.handlers["double"] = lambda state, number: {name: number * 2}
            with node.listen(callback=node.handle_message):
                ready.wait()
                while not stop.is_set():
                    with contextlib.suppress(TimeoutError):
                        connection.drain_events(timeout=0.1)

    threads = [threading.Thread(target=serve, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    try:
        ready.wait()
        with connect(target) as connection:
            box = mailbox(connection)
            replies = box.multi_call("double", {"number": 21}, timeout=5, limit=2)
            got = sorted(replies, key=str)
            equal(got, [{"one": {"one": 42}}, {"two": {"two": 42}}], "answers")
            replies = box.call(["two"], "double", {"number": 1}, timeout=5)
            equal(replies, [{"two": {"two": 2}}], "answer of one node")
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


def check_heartbeats(target: Target) -> None:
    """A connection that checks heartbeats lives through an idle time; one that does not, dies."""
    with connect(target, heartbeat=2) as connection, connect(target, heartbeat=1) as silent:
        for each in (connection, silent):
            each.ensure_connection(max_retries=1)
        equal(connection.get_heartbeat_interval(), 2, "negotiated")
        until = time.monotonic() + 5
        while time.monotonic() < until:
            connection.heartbeat_check(rate=2)
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=0.2)
        equal(
            connection.SimpleQueue(unique("kombu"), queue_opts={"auto_delete": True}).qsize(),
            0,
            "after the idle time",
        )
        try:
            for _ in range(10):
                silent.drain_events(timeout=0.5)
        except TimeoutError:
            raise AssertionError("the silent connection is still there") from None
        except silent.connection_errors:
            pass


def check_native_delayed_delivery(target: Target) -> None:
    """The delay topology of Celery: 28 queues and exchanges, delays of seconds up to four years.

    Every bit of a delay is a queue with a TTL of so many seconds; from there the message is
    dead-lettered to the exchange of the next bit.
    """
    with connect(target) as connection, contextlib.ExitStack() as stack:
        queues = {
            kind: stack.enter_context(delayed_by(connection, kind))
            for kind in ("classic", "quorum")
        }
        sent = time.monotonic()
        delays = {(kind, delay) for kind in queues for delay in (1, 2, 3, 4, 5)}
        for kind, delay in sorted(delays):
            publish_delayed(connection, queues[kind], kind, delay)
        publish_delayed(connection, queues["classic"], "classic", delay_s := 2**28 - 1)
        seen: list[tuple[str, int, float]] = []

        def note(body: Any, message: kombu.Message) -> None:
            seen.append((*body, time.monotonic() - sent))
            message.ack()

        with Consumer(connection, list(queues.values()), callbacks=[note]):
            drain(connection, seen, len(delays))
        equal({(kind, delay) for kind, delay, _ in seen}, delays, "messages")
        for kind, delay, after_s in seen:
            assert delay - 0.1 <= after_s <= delay + 3, f"{kind}: {delay} s took {after_s:.2f} s"
        longest = connection.default_channel.queue_declare(
            "classic_celery_delayed_27", passive=True
        )
        equal(longest.message_count, 1, f"messages that wait for {delay_s} s")


@contextlib.contextmanager
def delayed_by(connection: Connection, kind: str) -> Iterator[Queue]:
    """A queue for tasks, reached by a delay topology of queues of this type; all deleted."""
    native_delayed_delivery.declare_native_delayed_delivery_exchanges_and_queues(
        connection, kind, prefix=kind
    )
    # A worker declares it again whenever it starts.
    native_delayed_delivery.declare_native_delayed_delivery_exchanges_and_queues(
        connection, kind, prefix=kind
    )
    channel = connection.default_channel
    try:
        with own_queue(connection, type="topic") as queue:
            native_delayed_delivery.bind_queue_to_native_delayed_delivery_exchange(
                connection, queue, prefix=kind
            )
            yield queue
    finally:
        for level in range(28):
            name = native_delayed_delivery.level_name(level, kind)
            channel.queue_delete(name)
            channel.exchange_delete(name)
        channel.exchange_delete(f"{kind}_celery_delayed_delivery")


def publish_delayed(connection: Connection, queue: Queue, kind: str, delay_s: int) -> None:
    """Publish as Celery does for a task with a countdown."""
    first = native_delayed_delivery.level_name(native_delayed_delivery.MAX_LEVEL, kind)
    key = native_delayed_delivery.calculate_routing_key(delay_s, queue.routing_key)
    Producer(connection, Exchange(first, type="topic"), key).publish([kind, delay_s])


if __name__ == "__main__":
    sys.exit(support.main(__name__))
