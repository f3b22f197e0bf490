"""Quorum queues with dead-letter-strategy at-least-once: no dead letter is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.brokers import Broker, Leveret, RabbitMQ, broker_of
from conformance.channel import Channel
from conformance.conftest import URL, Target
from conformance.wire import Connection

ARGUMENTS = {
    "x-queue-type": "quorum",
    "x-overflow": "reject-publish",
    "x-dead-letter-strategy": "at-least-once",
    "x-dead-letter-exchange": "dlx",
    "x-dead-letter-routing-key": "dead",
}


@pytest.fixture
def patient(target: Target, tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test alone; RabbitMQ tries again after three minutes unless told."""
    if URL:
        pytest.skip("a foreign broker is not ours to restart")
    broker: Broker
    if target.is_rabbitmq:
        advanced = tmp_path / "advanced.config"
        advanced.write_text("[{rabbit,[{dead_letter_worker_publisher_confirm_timeout,1000}]}].\n")
        broker = RabbitMQ(env={"RABBITMQ_ADVANCED_CONFIG_FILE": str(advanced)})
    else:
        broker = broker_of(target.kind)
    with broker:
        yield broker


def reject(ch: Channel, body: str) -> None:
    """A message that a consumer refuses."""
    ch.fill("q", body, delivery_mode=2)
    got = ch.get("q", no_ack=False)
    ch.send("basic.reject", delivery_tag=got["delivery_tag"], requeue=False)
    ch.sync()


def wait_for(ch: Channel, queue: str, count: int) -> None:
    """Return when so many messages are ready."""
    deadline = time.monotonic() + 20
    while ch.counts(queue)[0] < count:
        assert time.monotonic() < deadline, ch.counts(queue)
        time.sleep(0.1)


def test_letters_wait(patient: Broker) -> None:
    """Without the exchange, without a binding, with a full queue: the letter comes later."""
    with Connection(patient.url) as connection:
        ch = connection.channel(1)
        ch.declare("q", durable=True, arguments=ARGUMENTS)
        reject(ch, "no exchange")
        assert ch.counts("q")[0] == 0
        ch.call("exchange.declare", exchange="dlx", exchange_type="direct", durable=True)
        reject(ch, "no binding")
        limit = {"x-max-length": 2, "x-overflow": "reject-publish"}
        ch.declare("dead", durable=True, arguments=limit)
        ch.bind("dead", "dlx", "dead")
        wait_for(ch, "dead", 2)
        reject(ch, "full")
        came = ch.drain("dead")
        # RabbitMQ may take a letter that comes just when the limit is reached.
        if isinstance(patient, Leveret) or "full" not in came:
            assert sorted(came) == ["no binding", "no exchange"]
            wait_for(ch, "dead", 1)
            came += ch.drain("dead")
        assert sorted(came) == ["full", "no binding", "no exchange"]


def test_no_letter_is_lost_by_a_restart(patient: Broker) -> None:
    """After a restart a letter that waited is one again, or its message is in its queue again."""
    # RabbitMQ 3.10 answers nothing for a quorum queue for long after a kill.
    end = patient.kill if isinstance(patient, Leveret) else patient.stop
    with Connection(patient.url) as connection:
        ch = connection.channel(1)
        ch.declare("q", durable=True, arguments=ARGUMENTS)
        reject(ch, "m")
        time.sleep(0.5)
        connection.drop()
        end()
    patient.start()
    with Connection(patient.url) as connection:
        ch = connection.channel(1)
        ch.call("exchange.declare", exchange="dlx", exchange_type="direct", durable=True)
        ch.declare("dead", durable=True)
        ch.bind("dead", "dlx", "dead")
        if isinstance(patient, Leveret):
            got = ch.get("q", no_ack=False, body="m", redelivered=True)
            ch.send("basic.reject", delivery_tag=got["delivery_tag"], requeue=False)
        wait_for(ch, "dead", 1)
        assert ch.drain("dead") == ["m"]
