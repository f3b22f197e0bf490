"""Metrics for Prometheus: what clients do is counted, and totals never fall."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from conformance.brokers import Broker
from conformance.channel import Channel
from conformance.scraping import Families, eventually, scrape, total
from conformance.wire import Connection


@pytest.fixture
def channel(measured: Broker) -> Iterator[Channel]:
    """Channel 1 of a connection to it."""
    with Connection(measured.url) as connection:
        yield connection.channel(1)


def counted(broker: Broker, before: Families, **names: str) -> Callable[[], dict[str, float]]:
    """How much each of these metrics has grown, by a short name."""

    def look() -> dict[str, float]:
        now = scrape(broker)
        return {
            short: total(now, f"rabbitmq_{name}") - total(before, f"rabbitmq_{name}")
            for short, name in names.items()
        }

    return look


def test_publishes_are_counted(measured: Broker, channel: Channel) -> None:
    """What is published counts as routed, dropped or returned; what is confirmed as confirmed."""
    queue = channel.declare(exclusive=True)
    before = scrape(measured)
    for _ in range(3):
        channel.publish("", queue, b"unconfirmed")
    channel.call("confirm.select")
    for _ in range(5):
        channel.publish("", queue, b"routed")
    channel.publish("", "nowhere", b"dropped")
    channel.publish("", "nowhere", b"returned", mandatory=True)
    eventually(
        counted(
            measured,
            before,
            received="global_messages_received_total",
            received_confirm="global_messages_received_confirm_total",
            confirmed="global_messages_confirmed_total",
            routed="global_messages_routed_total",
            dropped="global_messages_unroutable_dropped_total",
            returned="global_messages_unroutable_returned_total",
            ready="queue_messages_ready",
        ),
        {
            "received": 10,
            "received_confirm": 7,
            "confirmed": 7,
            "routed": 8,
            "dropped": 1,
            "returned": 1,
            "ready": 8,
        },
    )


def test_deliveries_are_counted(measured: Broker, channel: Channel) -> None:
    """Deliveries count by how they are taken; acks, redeliveries and vain gets too."""
    queue = channel.declare(exclusive=True)
    before = scrape(measured)
    for number in range(6):
        channel.publish("", queue, str(number))
    channel.sync()
    channel.get(queue)
    tag = channel.get(queue, no_ack=False).method["delivery_tag"]
    channel.send("basic.reject", delivery_tag=tag, requeue=True)
    manual = channel.consume(queue)
    last = channel.deliveries(5)[-1].method["delivery_tag"]
    channel.send("basic.ack", delivery_tag=last, multiple=True)
    channel.call("basic.cancel", consumer_tag=manual)
    channel.consume(queue, no_ack=True)
    channel.publish("", queue, b"6")
    channel.expect_content(body="6")
    channel.get_empty(queue)
    eventually(
        counted(
            measured,
            before,
            get_auto="global_messages_delivered_get_auto_ack_total",
            get_manual="global_messages_delivered_get_manual_ack_total",
            auto="global_messages_delivered_consume_auto_ack_total",
            manual="global_messages_delivered_consume_manual_ack_total",
            all="global_messages_delivered_total",
            acked="global_messages_acknowledged_total",
            redelivered="global_messages_redelivered_total",
            empty="global_messages_get_empty_total",
            consumers="consumers",
        ),
        {
            "get_auto": 1,
            "get_manual": 1,
            "auto": 1,
            "manual": 5,
            "all": 8,
            "acked": 5,
            "redelivered": 1,
            "empty": 1,
            "consumers": 1,
        },
    )


def test_totals_never_fall(measured: Broker, channel: Channel) -> None:
    """What was counted for a queue, an exchange and a channel stays counted without them."""
    names = (
        "rabbitmq_global_messages_received_total",
        "rabbitmq_global_messages_received_confirm_total",
        "rabbitmq_global_messages_confirmed_total",
        "rabbitmq_global_messages_delivered_total",
    )
    before = scrape(measured)
    other = channel.connection.channel(2)
    other.call("confirm.select")
    other.call("exchange.declare", exchange="gone-soon", exchange_type="fanout")
    queue = other.declare("gone-soon")
    other.bind(queue, "gone-soon")
    other.publish("gone-soon", "", b"body")
    other.expect_confirms(1)
    other.get(queue)
    other.call("queue.delete", queue=queue)
    other.call("exchange.delete", exchange="gone-soon")
    other.close()

    def grown() -> list[float]:
        now = scrape(measured)
        return [total(now, name) - total(before, name) for name in names]

    eventually(grown, [1, 1, 1, 1])


def test_comings_and_goings_are_counted(measured: Broker, channel: Channel) -> None:
    """Connections, channels and queues count when they come and when they go."""
    before = scrape(measured)
    with Connection(measured.url) as connection:
        passing = connection.channel(1)
        passing.declare("passing")
        passing.declare("passing")
        passing.call("queue.delete", queue="passing")
    eventually(
        counted(
            measured,
            before,
            connections="connections",
            opened="connections_opened_total",
            closed="connections_closed_total",
            channels_opened="channels_opened_total",
            channels_closed="channels_closed_total",
            declared="queues_declared_total",
            created="queues_created_total",
            deleted="queues_deleted_total",
        ),
        {
            "connections": 0,
            "opened": 1,
            "closed": 1,
            "channels_opened": 1,
            "channels_closed": 1,
            "declared": 2,
            "created": 1,
            "deleted": 1,
        },
    )
    channel.sync()


def test_logins_are_counted(measured: Broker) -> None:
    """Logins that succeed and that fail are counted by protocol."""
    before = scrape(measured)
    Connection(measured.url).close()
    wrong = measured.url.replace("guest:guest", "guest:wrong")
    with pytest.raises(Exception, match="403"):
        Connection(wrong)

    def grown() -> dict[str, float]:
        now = scrape(measured)
        names = {
            name: f"rabbitmq_auth_attempts{name}_total" for name in ("", "_succeeded", "_failed")
        }
        return {
            name: total(now, metric, protocol="amqp091") - total(before, metric, protocol="amqp091")
            for name, metric in names.items()
        }

    eventually(grown, {"": 2, "_succeeded": 1, "_failed": 1})


def test_dead_letters_are_counted(measured: Broker, channel: Channel) -> None:
    """Messages that end without an ack are counted by the reason, with and without a DLX."""
    names = {
        "expired": "rabbitmq_global_messages_dead_lettered_expired_total",
        "rejected": "rabbitmq_global_messages_dead_lettered_rejected_total",
        "maxlen": "rabbitmq_global_messages_dead_lettered_maxlen_total",
    }
    arguments = {"x-dead-letter-exchange": "amq.fanout", "x-max-length": 1}
    queue = channel.declare(exclusive=True, arguments=arguments)
    plain = channel.declare(exclusive=True)
    before = scrape(measured)
    channel.publish("", queue, b"pushed out")
    channel.publish("", queue, b"rejected")
    channel.sync()
    tag = channel.get(queue, no_ack=False).method["delivery_tag"]
    channel.send("basic.reject", delivery_tag=tag, requeue=False)
    channel.publish("", plain, b"expired", expiration="1")

    def grown() -> dict[str, tuple[float, float]]:
        now = scrape(measured)
        return {
            name: tuple(
                total(now, metric, dead_letter_strategy=strategy)
                - total(before, metric, dead_letter_strategy=strategy)
                for strategy in ("at_most_once", "disabled")
            )
            for name, metric in names.items()
        }

    eventually(grown, {"expired": (0, 1), "rejected": (1, 0), "maxlen": (1, 0)})


def test_letters_taken_are_counted(measured: Broker, channel: Channel) -> None:
    """With the strategy at-least-once a dead letter counts by it, and again when it is taken."""
    arguments = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "amq.fanout",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    channel.declare("lettered", durable=True, arguments=arguments)
    taker = channel.declare(exclusive=True)
    channel.bind(taker, "amq.fanout")
    before = scrape(measured)
    channel.publish("", "lettered", b"rejected")
    channel.sync()
    eventually(
        lambda: channel.call("queue.declare", queue="lettered", passive=True)["message_count"], 1
    )
    tag = channel.get("lettered", no_ack=False).method["delivery_tag"]
    channel.send("basic.reject", delivery_tag=tag, requeue=False)
    names = [f"global_messages_dead_lettered_{name}_total" for name in ("rejected", "confirmed")]

    def grown() -> list[float]:
        now = scrape(measured)
        labels = {"dead_letter_strategy": "at_least_once", "queue_type": "rabbit_quorum_queue"}
        return [
            total(now, f"rabbitmq_{name}", **labels) - total(before, f"rabbitmq_{name}", **labels)
            for name in names
        ]

    eventually(grown, [1, 1])
    channel.call("queue.delete", queue="lettered")
