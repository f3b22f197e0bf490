"""pika 1.x, BlockingConnection: what a synchronous Python service does with a broker."""

from __future__ import annotations

import contextlib
import decimal
import hashlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker, NackError, UnroutableError

from conformance.clients import support
from conformance.clients.support import Target, equal, unique

PERSISTENT = pika.BasicProperties(delivery_mode=2)


@contextlib.contextmanager
def connected(target: Target, **parameters: Any) -> Iterator[pika.BlockingConnection]:
    """Open a connection as the address says, and close it in order."""
    settings = pika.URLParameters(target.url)
    for name, value in parameters.items():
        setattr(settings, name, value)
    connection = pika.BlockingConnection(settings)
    yield connection
    # Only if all went well: a broker that no longer answers would hold a failed check here.
    if connection.is_open:
        connection.close()


@contextlib.contextmanager
def channel(target: Target, **parameters: Any) -> Iterator[BlockingChannel]:
    """Open a connection with one channel."""
    with connected(target, **parameters) as connection:
        yield connection.channel()


def own_queue(ch: BlockingChannel, **arguments: Any) -> str:
    """Declare a queue that goes when the connection does, and return the name the broker chose."""
    name: str = ch.queue_declare("", exclusive=True, arguments=arguments or None).method.queue
    return name


def take(ch: BlockingChannel, queue: str) -> list[bytes]:
    """Get all ready messages, acknowledged."""
    bodies = []
    while (got := ch.basic_get(queue, auto_ack=True))[0] is not None:
        bodies.append(got[2])
    return bodies


def check_confirmed_publish_and_consume(target: Target) -> None:
    """Confirmed messages arrive once each, in order, never more than prefetch unacknowledged."""
    with channel(target) as ch:
        ch.confirm_delivery()
        name = unique("pika.work")
        ch.queue_declare(name, durable=True)
        for number in range(100):
            ch.basic_publish("", name, b"%d" % number, PERSISTENT, mandatory=True)
        declared = ch.queue_declare(name, passive=True).method
        equal((declared.queue, declared.message_count), (name, 100), "passive declare")

        ch.basic_qos(prefetch_count=10)
        seen: list[bytes] = []
        for method, properties, body in ch.consume(name, inactivity_timeout=5):
            assert method is not None, f"no message for 5 s after {len(seen)}"
            equal(properties.delivery_mode, 2, "delivery mode")
            equal(method.delivery_tag, len(seen) + 1, "delivery tag")
            seen.append(body)
            if len(seen) % 10 == 0:
                # One connection at a time waits for I/O, so the broker could have sent more by now.
                ch.connection.process_data_events(0.01)
                assert ch.get_waiting_message_count() == 0, "more than the prefetch was sent"
                ch.basic_ack(method.delivery_tag, multiple=True)
            if len(seen) == 100:
                break
        equal(seen, [b"%d" % number for number in range(100)], "order")
        equal(ch.cancel(), 0, "messages requeued by the cancel")
        equal(ch.queue_delete(name).method.message_count, 0, "messages left")


def check_unroutable_is_returned(target: Target) -> None:
    """A mandatory message without a queue raises UnroutableError and carries itself back."""
    with channel(target) as ch:
        ch.confirm_delivery()
        missing = unique("pika.nowhere")
        try:
            ch.basic_publish("", missing, b"back", pika.BasicProperties(type="t"), mandatory=True)
        except UnroutableError as error:
            (returned,) = error.messages
            method = returned.method
            equal((method.reply_code, method.reply_text), (312, "NO_ROUTE"), "reason")
            equal((method.exchange, method.routing_key), ("", missing), "address")
            equal((returned.properties.type, returned.body), ("t", b"back"), "message")
        else:
            raise AssertionError("no UnroutableError")
        # Without mandatory it is dropped, and confirmed all the same.
        ch.basic_publish("", missing, b"dropped")


def check_full_queue_nacks(target: Target) -> None:
    """A queue that rejects publishes raises NackError and keeps what it had."""
    with channel(target) as ch:
        ch.confirm_delivery()
        queue = own_queue(ch, **{"x-max-length": 1, "x-overflow": "reject-publish"})
        ch.basic_publish("", queue, b"fits")
        try:
            ch.basic_publish("", queue, b"too many")
        except NackError:
            pass
        else:
            raise AssertionError("no NackError")
        equal(take(ch, queue), [b"fits"], "queue")


def check_nack_requeues_in_place(target: Target) -> None:
    """Requeued messages come again, in their old place and marked as redelivered."""
    with channel(target) as ch:
        queue = own_queue(ch)
        for body in (b"a", b"b", b"c"):
            ch.basic_publish("", queue, body)
        first = ch.basic_get(queue)
        second = ch.basic_get(queue)
        equal([first[0].redelivered, second[0].redelivered], [False, False], "first time")
        equal(second[0].message_count, 1, "messages left after two gets")
        ch.basic_nack(second[0].delivery_tag, multiple=True, requeue=True)
        again = [ch.basic_get(queue) for _ in range(3)]
        equal([body for _, _, body in again], [b"a", b"b", b"c"], "order")
        equal([method.redelivered for method, _, _ in again], [True, True, False], "redelivered")
        ch.basic_reject(again[0][0].delivery_tag, requeue=False)
        ch.basic_ack(again[2][0].delivery_tag, multiple=True)
        equal(ch.basic_get(queue), (None, None, None), "empty get")


def check_closed_channel_requeues(target: Target) -> None:
    """What a closed channel had not acknowledged goes back to the queue."""
    with connected(target) as connection:
        keeper = connection.channel()
        queue = own_queue(keeper)
        for body in (b"a", b"b"):
            keeper.basic_publish("", queue, body)
        other = connection.channel()
        equal(other.basic_get(queue)[2], b"a", "first get")
        other.close()
        method, _, body = keeper.basic_get(queue, auto_ack=True)
        equal((method.redelivered, body), (True, b"a"), "after the close")


def check_exchange_types(target: Target) -> None:
    """Direct, topic, fanout and headers exchanges route as documented, exchange bindings too."""
    with channel(target) as ch:
        names = {kind: unique(f"pika.{kind}") for kind in ("direct", "topic", "fanout", "headers")}
        queues = {kind: own_queue(ch) for kind in names}
        for kind, name in names.items():
            ch.exchange_declare(name, kind, auto_delete=True)
        ch.queue_bind(queues["direct"], names["direct"], "red")
        ch.queue_bind(queues["topic"], names["topic"], "*.orange.#")
        ch.queue_bind(queues["fanout"], names["fanout"], "ignored")
        wanted = {"x-match": "all", "format": "pdf", "pages": 3}
        ch.queue_bind(queues["headers"], names["headers"], "", wanted)
        for key in ("red", "green"):
            ch.basic_publish(names["direct"], key, key.encode())
        for key in ("quick.orange.fox", "a.orange", "lazy.brown.fox", "orange", "a.b.orange"):
            ch.basic_publish(names["topic"], key, key.encode())
        ch.basic_publish(names["fanout"], "any", b"fanned")
        for headers in ({"format": "pdf", "pages": 3, "more": True}, {"format": "pdf"}):
            properties = pika.BasicProperties(headers=headers)
            ch.basic_publish(names["headers"], "", str(len(headers)).encode(), properties)
        equal(take(ch, queues["direct"]), [b"red"], "direct")
        equal(take(ch, queues["topic"]), [b"quick.orange.fox", b"a.orange"], "topic")
        equal(take(ch, queues["fanout"]), [b"fanned"], "fanout")
        equal(take(ch, queues["headers"]), [b"3"], "headers")

        ch.exchange_bind(names["fanout"], names["topic"], "relay.*")
        ch.basic_publish(names["topic"], "relay.x", b"relayed")
        equal(take(ch, queues["fanout"]), [b"relayed"], "exchange to exchange")
        ch.exchange_unbind(names["fanout"], names["topic"], "relay.*")
        ch.basic_publish(names["topic"], "relay.x", b"relayed")
        equal(take(ch, queues["fanout"]), [], "after the unbind")


def check_rpc(target: Target) -> None:
    """A reply finds its way by an exclusive reply queue, and by direct reply-to."""
    with connected(target) as server_connection, connected(target) as client_connection:
        server, client = server_connection.channel(), client_connection.channel()
        requests = unique("pika.rpc")
        server.queue_declare(requests, auto_delete=True)

        def answer(ch: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
            reply = pika.BasicProperties(correlation_id=properties.correlation_id)
            ch.basic_publish("", properties.reply_to, b"%d" % (int(body) ** 2), reply)
            ch.basic_ack(method.delivery_tag)

        server.basic_consume(requests, answer)
        for reply_to in (own_queue(client), "amq.rabbitmq.reply-to"):
            replies: dict[str, bytes] = {}

            def collect(_ch: Any, _method: Any, properties: Any, body: bytes) -> None:
                replies[properties.correlation_id] = body  # noqa: B023 - this round's dict

            client.basic_consume(reply_to, collect, auto_ack=True)
            for number in (3, 12):
                properties = pika.BasicProperties(reply_to=reply_to, correlation_id=str(number))
                client.basic_publish("", requests, b"%d" % number, properties)
            for _ in range(100):
                server_connection.process_data_events(0.05)
                client_connection.process_data_events(0.05)
                if len(replies) == 2:
                    break
            equal(replies, {"3": b"9", "12": b"144"}, f"replies by {reply_to}")


def check_cancel_notification(target: Target) -> None:
    """A consumer is told when its queue is deleted, and pika's consume generator ends."""
    with connected(target) as watching, channel(target) as deleter:
        ch = watching.channel()
        queue = unique("pika.doomed")
        ch.queue_declare(queue)
        cancelled: list[str] = []
        ch.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        ch.basic_consume(queue, lambda *_: None, consumer_tag="watcher")
        deleter.basic_publish("", queue, b"unseen")
        deleter.queue_delete(queue)
        for _ in range(100):
            watching.process_data_events(0.05)
            if cancelled:
                break
        equal(cancelled, ["watcher"], "cancelled consumers")
        equal(ch.consumer_tags, [], "consumers left")
        assert ch.is_open, "the channel is closed"


def check_error_closes_the_channel_only(target: Target) -> None:
    """Errors close the channel with RabbitMQ's code and text, and leave the connection."""
    missing = unique("pika.missing")
    with connected(target) as connection:
        ch = connection.channel()
        taken = unique("pika.taken")
        ch.queue_declare(taken, exclusive=True)

        def refused(code: int, text: str, call: Any) -> None:
            victim = connection.channel()
            try:
                call(victim)
                victim.queue_declare(taken, passive=True)
            except ChannelClosedByBroker as error:
                equal((error.reply_code, error.reply_text), (code, text), "close")
            else:
                raise AssertionError(f"not refused with {code}")

        absent = f"NOT_FOUND - no queue '{missing}' in vhost '/'"
        refused(404, absent, lambda c: c.queue_declare(missing, passive=True))
        refused(404, absent, lambda c: c.basic_consume(missing, lambda *_: None))
        absent = f"NOT_FOUND - no exchange '{missing}' in vhost '/'"
        refused(404, absent, lambda c: c.basic_publish(missing, "k", b""))
        text = "PRECONDITION_FAILED - unknown delivery tag 7"
        refused(406, text, lambda c: c.basic_ack(7))
        text = (
            f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{taken}' in vhost "
            "'/': received the value '5' of type 'signedint' but current is none"
        )
        again = {"exclusive": True, "arguments": {"x-max-length": 5}}
        refused(406, text, lambda c: c.queue_declare(taken, **again))
        with channel(target) as stranger:
            try:
                stranger.queue_declare(taken, passive=True)
            except ChannelClosedByBroker as error:
                start = (
                    f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{taken}'"
                )
                equal((error.reply_code, error.reply_text[: len(start)]), (405, start), "refusal")
            else:
                raise AssertionError("another connection may use an exclusive queue")
        equal((connection.is_open, ch.is_open), (True, True), "connection and its other channel")


def check_transactions(target: Target) -> None:
    """Publishes and acks of a transaction count from the commit on, not after a rollback."""
    with connected(target) as connection:
        ch, seen = connection.channel(), connection.channel()
        queue = own_queue(ch)
        ch.tx_select()
        ch.basic_publish("", queue, b"kept")
        equal(seen.queue_declare(queue, passive=True).method.message_count, 0, "before commit")
        ch.tx_commit()
        equal(seen.queue_declare(queue, passive=True).method.message_count, 1, "after commit")
        ch.basic_publish("", queue, b"withdrawn")
        method, _, _ = ch.basic_get(queue)
        ch.basic_ack(method.delivery_tag)
        ch.tx_rollback()
        ch.close()  # the ack was withdrawn too, so the message returns
        equal(take(seen, queue), [b"kept"], "after rollback and close")


def check_heartbeats(target: Target) -> None:
    """A connection with a short heartbeat survives being idle for more than two intervals."""
    with channel(target, heartbeat=2) as ch:
        connection = ch.connection
        equal(connection._impl.params.heartbeat, 2, "negotiated heartbeat")
        connection.sleep(5)
        assert connection.is_open, "closed while idle"
        received = connection._impl._heartbeat_checker._heartbeat_frames_received
        assert received >= 2, f"{received} heartbeats within 5 s"
        queue = own_queue(ch)
        ch.basic_publish("", queue, b"alive")
        equal(take(ch, queue), [b"alive"], "after the idle time")


def check_silent_client_is_dropped(target: Target) -> None:
    """A client that stops sending for three heartbeat intervals loses its connection."""
    with connected(target, heartbeat=1) as connection:
        # As a client does that computes for too long: nothing is sent, nothing is read.
        connection._impl._heartbeat_checker.stop()
        try:
            connection.sleep(6)
        except AMQPConnectionError:
            return
        raise AssertionError("still connected after 6 s of silence")


def check_blocked_notifications(target: Target) -> None:
    """A client may ask for connection.blocked, since the broker offers it."""
    with connected(target) as connection:
        connection.add_on_connection_blocked_callback(lambda *_: None)
        connection.add_on_connection_unblocked_callback(lambda *_: None)
        offered = connection._impl.server_capabilities
        for name in ("connection.blocked", "consumer_cancel_notify", "publisher_confirms"):
            equal(offered.get(name), True, f"capability {name}")


def check_disk_alarm_blocks_publishers(target: Target) -> None:
    """A publisher is told that the disk is nearly full, by connection.blocked."""
    # No disk has this much free, so the alarm is on from the start.
    limit = 10**15
    with (
        target.another(disk_free_limit__absolute=limit) as broker,
        connected(Target(broker.url, None)) as connection,
    ):
        reasons: list[str] = []
        connection.add_on_connection_blocked_callback(
            lambda _, frame: reasons.append(frame.method.reason)
        )
        connection.channel().basic_publish("", "nowhere", b"")
        for _ in range(100):
            connection.process_data_events(0.05)
            if reasons:
                break
        # Nothing more is read from a blocked publisher, so connection.close would wait for ever.
        broker.kill()
        with contextlib.suppress(AMQPConnectionError):
            connection.process_data_events(5)
        equal(reasons, ["low on disk"], "reasons given")


def check_large_message(target: Target) -> None:
    """A 5 MB body, larger than many frames, arrives unchanged."""
    body = hashlib.shake_256(b"large").digest(5_000_000)
    with channel(target) as ch:
        ch.confirm_delivery()
        queue = own_queue(ch)
        ch.basic_publish("", queue, body, mandatory=True)
        got = take(ch, queue)
        equal([len(part) for part in got], [len(body)], "sizes")
        assert got[0] == body, "the body changed"


def check_empty_message(target: Target) -> None:
    """A message without a body arrives with its properties."""
    with channel(target) as ch:
        queue = own_queue(ch)
        ch.basic_publish("", queue, b"", pika.BasicProperties(message_id="m"))
        _, properties, body = ch.basic_get(queue, auto_ack=True)
        equal((properties.message_id, body), ("m", b""), "message")


def check_unicode_names(target: Target) -> None:
    """Names and keys of any script work."""
    with channel(target) as ch:
        exchange, key = unique("обмен"), "ключ.café.日本"
        ch.exchange_declare(exchange, "topic", auto_delete=True)
        queue = unique("очередь-🐇")
        equal(ch.queue_declare(queue, exclusive=True).method.queue, queue, "declared name")
        ch.queue_bind(queue, exchange, "ключ.*.日本")
        ch.basic_publish(exchange, key, "привет".encode())
        method, _, body = ch.basic_get(queue, auto_ack=True)
        equal((method.exchange, method.routing_key), (exchange, key), "address")
        equal(body.decode(), "привет", "body")


def check_properties_and_headers(target: Target) -> None:
    """Every property and every type a header value can have comes back as it was sent."""
    headers = {
        "text": "żółw",
        "bytes": b"\x00\xff\x80",
        "yes": True,
        "no": False,
        "int": -(2**31),
        "long": 2**62,
        "decimal": decimal.Decimal("3.14159"),
        "time": datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC),
        "none": None,
        "list": [1, "two", [b"3", None], {"four": 4}],
        "table": {"nested": {"deep": [b"x", True]}, "": "empty name"},
        "empty table": {},
        "empty list": [],
    }
    sent = pika.BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers=headers,
        delivery_mode=2,
        priority=7,
        correlation_id="c-1",
        reply_to="somewhere",
        expiration="60000",
        message_id="m-1",
        timestamp=1_700_000_000,
        type="greeting",
        user_id=pika.URLParameters(target.url).credentials.username,
        app_id="conformance",
        cluster_id="anything",
    )
    with channel(target) as ch:
        queue = own_queue(ch)
        ch.basic_publish("", queue, b"x", sent)
        _, got, _ = ch.basic_get(queue, auto_ack=True)
        equal(vars(got), vars(sent), "properties")


def check_consumers_share(target: Target) -> None:
    """Two consumers of a queue take turns; a third, exclusive one is refused."""
    with connected(target) as connection:
        ch = connection.channel()
        queue = own_queue(ch)
        ch.basic_qos(prefetch_count=2)
        seen: dict[str, list[bytes]] = {"one": [], "two": []}

        def note(_ch: Any, method: Any, _properties: Any, body: bytes) -> None:
            seen[method.consumer_tag].append(body)

        for tag in seen:
            ch.basic_consume(queue, note, consumer_tag=tag)
        for number in range(10):
            ch.basic_publish("", queue, b"%d" % number)
        for _ in range(100):
            connection.process_data_events(0.02)
            if sum(map(len, seen.values())) >= 4:
                break
        connection.process_data_events(0.1)
        # qos without global is per consumer: each holds two, the other six wait.
        equal({tag: len(bodies) for tag, bodies in seen.items()}, {"one": 2, "two": 2}, "shares")
        equal(ch.queue_declare(queue, passive=True).method.message_count, 6, "waiting")
        try:
            connection.channel().basic_consume(queue, note, exclusive=True)
        except ChannelClosedByBroker as error:
            text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
            equal((error.reply_code, error.reply_text), (403, text), "refusal")
        else:
            raise AssertionError("the exclusive consumer was accepted")


def check_dead_letters(target: Target) -> None:
    """Expired and rejected messages reach the dead-letter exchange with x-death telling why."""
    with channel(target) as ch:
        graveyard = own_queue(ch)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": graveyard}
        expiring = own_queue(ch, **{**arguments, "x-message-ttl": 50})
        rejecting = own_queue(ch, **arguments)
        ch.basic_publish("", rejecting, b"rejected")
        method, _, _ = ch.basic_get(rejecting)
        ch.basic_reject(method.delivery_tag, requeue=False)
        ch.basic_publish("", expiring, b"expired")
        deaths = []
        for method, properties, body in ch.consume(graveyard, auto_ack=True, inactivity_timeout=5):
            assert method is not None, f"no dead letter for 5 s after {deaths}"
            (death,) = properties.headers["x-death"]
            deaths.append((body, death["reason"], death["queue"], death["count"]))
            if len(deaths) == 2:
                break
        expected = [(b"rejected", "rejected", rejecting, 1), (b"expired", "expired", expiring, 1)]
        equal(deaths, expected, "dead letters")


if __name__ == "__main__":
    sys.exit(support.main(__name__))
