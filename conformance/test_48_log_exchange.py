"""The log as messages: ``amq.rabbitmq.log``, which ``log.exchange`` switches on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.brokers import Broker, Leveret, RabbitMQ
from conformance.channel import Channel
from conformance.conftest import URL, Target
from conformance.wire import Connection

EXCHANGE = "amq.rabbitmq.log"
DEADLINE_S = 20.0


@pytest.fixture(scope="module", params=["plaintext", "json"])
def logging_broker(request: pytest.FixtureRequest, target: Target) -> Iterator[tuple[Broker, str]]:
    """A broker that publishes its log, and how lines look."""
    if URL or target.kind == "slow":
        pytest.skip("this is a setting, the same on both paths")
    if target.is_rabbitmq and request.param == "json":
        pytest.skip("RabbitMQ takes long to start, and is known well enough by one form")
    settings = {"log.exchange": "true", "log.exchange.formatter": request.param}
    broker: Broker
    if target.is_rabbitmq:  # which has one output only where RABBITMQ_LOGS names it
        console = {"log.console": "true", **settings}
        broker = RabbitMQ(settings=console, env={"RABBITMQ_LOGS": ""})
    else:
        broker = Leveret(settings=settings)
    with broker:
        yield broker, request.param


@pytest.fixture
def lines(logging_broker: tuple[Broker, str]) -> Iterator[Channel]:
    """A channel with a consumer of errors in the log."""
    broker, _ = logging_broker
    with Connection(broker.url) as connection:
        deadline = time.monotonic() + DEADLINE_S
        number = 1
        channel = connection.channel(number)
        while True:  # RabbitMQ declares it a moment after the start
            channel.send("exchange.declare", exchange=EXCHANGE, exchange_type="topic", passive=True)
            if channel.next().name == "exchange.declare-ok":  # type: ignore[union-attr]
                break
            assert time.monotonic() < deadline
            channel.send("channel.close-ok")
            number += 1
            channel = connection.channel(number)
            time.sleep(0.1)
        queue = channel.declare(exclusive=True)
        channel.bind(queue, EXCHANGE, "error")
        channel.consume(queue, no_ack=True)
        yield channel


def cause_error(broker: Broker, name: str) -> None:
    """Have a line of level error logged, with a name in it."""
    with Connection(broker.url) as connection:
        connection.channel(1).send("queue.declare", queue=name, passive=True)
        connection.next(1)


def test_lines_are_published(logging_broker: tuple[Broker, str], lines: Channel) -> None:
    """A line is a transient message by its level, with the node and the time."""
    broker, formatter = logging_broker
    cause_error(broker, "nobody-declared-this")
    content = lines.expect_content()
    assert content.method["routing_key"] == "error"
    properties: dict[str, Any] = dict(content.header.props)
    assert set(properties) == {"content_type", "headers", "timestamp"}
    assert list(properties["headers"]) == ["node"]
    assert abs(properties["timestamp"] - time.time()) < 60
    text = content.body.decode()
    assert text.endswith("\n")
    if formatter == "json":
        assert properties["content_type"] == "application/json"
        fields = json.loads(text)
        assert fields["level"] == "error"
        assert "nobody-declared-this" in fields["msg"]
    else:
        assert properties["content_type"] == "text/plain"
        assert "[error]" in text
        assert "nobody-declared-this" in text


def test_nobody_publishes_to_it(logging_broker: tuple[Broker, str]) -> None:
    """The exchange is internal: clients cannot forge lines there."""
    broker, _ = logging_broker
    with Connection(broker.url) as connection:
        channel = connection.channel(1)
        channel.publish(EXCHANGE, "error", b"forged")
        channel.expect("channel.close", reply_code=403)
