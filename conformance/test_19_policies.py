"""Policies, operator policies and limits of vhosts, set over HTTP: live, and after a restart."""

from __future__ import annotations

import http.client
import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conformance.brokers import Broker, broker_of
from conformance.channel import Channel
from conformance.conftest import URL, Target
from conformance.test_18_events import Listener, plain
from conformance.wire import Connection

TTL_MS = 300


class Operator:
    """Who sets policies, by the management API."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._headers = {
            "Authorization": f"Basic {b64encode(b'guest:guest').decode()}",
            "Content-Type": "application/json",
        }

    def call(self, verb: str, path: str, value: Any = None) -> int:
        """The status of a request."""
        port = self._broker.management_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(verb, f"/api{path}", json.dumps(value), self._headers)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def set_policy(
        self, name: str, definition: dict[str, Any], *, operator: bool = False, **more: Any
    ) -> None:
        """Create or replace a policy that holds for objects whose name begins with its own."""
        kind = "operator-policies" if operator else "policies"
        value = {"pattern": f"^{name}", "definition": definition, **more}
        assert self.call("PUT", f"/{kind}/%2F/{name}", value) in (201, 204)

    def clear_policy(self, name: str, *, operator: bool = False) -> None:
        """Delete a policy."""
        kind = "operator-policies" if operator else "policies"
        assert self.call("DELETE", f"/{kind}/%2F/{name}") == 204

    def is_up(self) -> bool:
        """Whether the API answers; RabbitMQ's comes later than AMQP."""
        try:
            return self.call("GET", "/whoami") == 200
        except OSError:
            return False


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds: RabbitMQ applies policies in processes of their own."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def restarted(target: Target) -> Iterator[Broker]:
    """A broker with policies, and queues that they hold for, that was ended and started again.

    One of the two Leverets is killed, the other one is stopped.
    """
    if URL:
        pytest.skip("a foreign broker is not ours to restart")
    plugins = ["rabbitmq_management", "rabbitmq_event_exchange"]
    with broker_of(target.kind, plugins=plugins) as broker:
        operator = Operator(broker)
        eventually(operator.is_up, "no API")
        with Connection(broker.url) as connection:
            prepare(connection.channel(1), operator)
        # RabbitMQ writes policies to the disk some time after it has said so.
        time.sleep(0.5 if broker.name == "rabbitmq" else 0)
        getattr(broker, "kill" if target.kind == "fast" else "stop")()
        broker.start()
        eventually(operator.is_up, "no API")
        yield broker


def prepare(ch: Channel, operator: Operator) -> None:
    """What the tests find after the restart."""
    ch.declare("dead", durable=True)
    for name in ("ttl", "length", "full", "letters", "leased", "lower", "limited", "ranked"):
        ch.declare(name, durable=True)
    ch.call("exchange.declare", exchange="fallback", exchange_type="fanout", durable=True)
    ch.declare("fallen", durable=True)
    ch.bind("fallen", "fallback")
    ch.call("exchange.declare", exchange="alternate", exchange_type="direct", durable=True)
    arguments = {"x-max-length": 5}
    ch.declare("both", durable=True, arguments=arguments)
    operator.set_policy("ttl", {"message-ttl": TTL_MS}, **{"apply-to": "queues"})
    operator.set_policy("length", {"max-length": 2})
    operator.set_policy("full", {"max-length": 1, "overflow": "reject-publish"})
    letters = {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"}
    operator.set_policy("letters", letters)
    operator.set_policy("alternate", {"alternate-exchange": "fallback"})
    operator.set_policy("both", {"max-length": 3})
    operator.set_policy("lower", {"max-length": 4, "overflow": "drop-head"})
    operator.set_policy("lower", {"max-length": 2}, operator=True)
    operator.set_policy("ranked", {"max-length": 1}, priority=1)
    operator.set_policy("rank", {"max-length": 3}, priority=2)
    assert operator.call("PUT", "/vhosts/limited", {}) in (201, 204)
    assert operator.call("PUT", "/vhost-limits/limited/max-queues", {"value": 1}) == 204


@pytest.fixture
def operator(restarted: Broker) -> Operator:
    """The operator of that broker."""
    return Operator(restarted)


@pytest.fixture
def ch(restarted: Broker) -> Iterator[Channel]:
    """Channel 1 of a connection to it, in confirm mode."""
    with Connection(restarted.url) as connection:
        channel = connection.channel(1)
        channel.call("confirm.select")
        yield channel


def put(ch: Channel, queue: str, *bodies: str, exchange: str = "") -> list[str]:
    """Publish some messages, one after the other; how each was answered."""
    answers = []
    for body in bodies:
        ch.publish(exchange, queue, body)
        answer = ch.next()
        answers.append(answer.name.removeprefix("basic."))  # type: ignore[union-attr]
    return answers


def test_message_ttl(ch: Channel) -> None:
    """Messages expire by the policy's TTL."""
    put(ch, "ttl", "a")
    eventually(lambda: ch.counts("ttl")[0] == 0, "not expired")


def test_max_length(ch: Channel, operator: Operator) -> None:
    """A limit holds; without the policy it holds no more; a new one drops what is too much."""
    put(ch, "length", "a", "b", "c")
    assert ch.drain("length") == ["b", "c"]
    operator.clear_policy("length")
    eventually(lambda: put(ch, "length", "x") == ["ack"] and ch.counts("length")[0] > 2, "limit")
    operator.set_policy("length", {"max-length": 2})
    eventually(lambda: ch.counts("length")[0] == 2, "nothing was dropped")
    ch.drain("length")


def test_overflow(ch: Channel) -> None:
    """A full queue refuses."""
    assert put(ch, "full", "a", "b") == ["ack", "nack"]
    assert ch.drain("full") == ["a"]


def test_dead_letters(ch: Channel) -> None:
    """A rejected message goes where the policy says."""
    put(ch, "letters", "m")
    got = ch.get("letters", no_ack=False)
    ch.send("basic.reject", delivery_tag=got["delivery_tag"], requeue=False)
    eventually(lambda: ch.counts("dead")[0] == 1, "no letter")
    assert ch.get("dead").headers["x-death"]["A"][0]["F"]["queue"] == {"S": "letters"}


def test_alternate_exchange(ch: Channel, operator: Operator) -> None:
    """Unroutable messages go to the policy's alternate exchange, while it has one."""
    assert put(ch, "nowhere", "m", exchange="alternate") == ["ack"]
    eventually(lambda: ch.drain("fallen") == ["m"], "no alternate exchange")
    operator.clear_policy("alternate")

    def is_returned() -> bool:
        ch.publish("alternate", "nowhere", "m", mandatory=True)
        answer = ch.next()
        if answer.name == "basic.ack":  # type: ignore[union-attr]
            return False
        ch.content_of(answer)  # type: ignore[arg-type]
        ch.expect("basic.ack")
        return True

    eventually(is_returned, "there still is an alternate exchange")
    operator.set_policy("alternate", {"alternate-exchange": "fallback"})
    ch.call("queue.purge", queue="fallen")


@pytest.mark.parametrize(("queue", "limit"), [("both", 3), ("lower", 2), ("ranked", 3)])
def test_which_limit_holds(ch: Channel, queue: str, limit: int) -> None:
    """The lowest of argument, policy and operator policy; of policies that of highest priority."""
    put(ch, queue, *"abcdef")
    assert len(ch.drain(queue)) == limit


def test_expires(ch: Channel, operator: Operator) -> None:
    """A queue that exists is deleted when it was not used for as long as a new policy says."""
    operator.set_policy("leased", {"expires": 300}, **{"apply-to": "queues"})
    time.sleep(1.0)
    ch.send("queue.declare", queue="leased", passive=True)
    assert "no queue 'leased'" in ch.expect_closed_with(404)
    ch.reopen()
    ch.call("confirm.select")


def test_delivery_limit(ch: Channel, operator: Operator) -> None:
    """A quorum queue drops a message that came back too often."""
    operator.set_policy("counted", {"delivery-limit": 1}, **{"apply-to": "queues"})
    ch.declare("counted", durable=True, arguments={"x-queue-type": "quorum"})
    put(ch, "counted", "m")
    for _ in range(2):
        got = ch.get("counted", no_ack=False)
        ch.send("basic.nack", delivery_tag=got["delivery_tag"], requeue=True)
        ch.sync()
    eventually(lambda: ch.counts("counted")[0] == 0, "it is still there")
    ch.call("queue.delete", queue="counted")


def test_apply_to(ch: Channel, operator: Operator) -> None:
    """A policy for exchanges, or for classic queues, leaves other objects alone."""
    operator.set_policy("apply-x", {"max-length": 0}, **{"apply-to": "exchanges"})
    operator.set_policy("apply-q", {"max-length": 0}, **{"apply-to": "queues"})
    for name in ("apply-x", "apply-q"):
        ch.declare(name)
        put(ch, name, "m")
    eventually(lambda: ch.counts("apply-q")[0] == 0, "the policy for queues holds for none")
    assert ch.drain("apply-x") == ["m"]


def test_queue_limit_of_a_vhost(restarted: Broker) -> None:
    """A vhost with a limit holds no more queues than that."""
    permissions = dict.fromkeys(("configure", "write", "read"), ".*")
    put = Operator(restarted).call("PUT", "/permissions/limited/guest", permissions)
    assert put in (201, 204)
    with Connection(restarted.url.replace("%2F", "limited")) as connection:
        ch = connection.channel(1)
        ch.declare("one", durable=True)
        ch.declare("one", durable=True)
        ch.send("queue.declare", queue="two")
        text = "cannot declare queue 'two': queue limit in vhost 'limited' (1) is reached"
        assert text in ch.expect_closed_with(406)


def test_invalid_policies(operator: Operator) -> None:
    """A value that makes no sense is refused, and so is a key nobody knows."""
    for definition in ({"max-length": -1}, {"message-ttl": "1"}, {"nonsense": 1}, {}):
        value = {"pattern": "^x", "definition": definition}
        assert operator.call("PUT", "/policies/%2F/invalid", value) == 400


def test_events_of_policies_and_users(restarted: Broker, operator: Operator) -> None:
    """What operators do is told on the event exchange, with the same facts."""
    with Connection(restarted.url) as connection:
        connection.channel(2).declare("told-queue")
        listener = Listener(connection.channel(1), "#")
        nobody = {"user_who_performed_action": "guest"}
        definition = {"max-length": 3, "dead-letter-exchange": "dx"}
        operator.set_policy("told", definition, priority=2, **{"apply-to": "queues"})
        told = listener.hear("policy.set", name="told")
        del told["timestamp_in_ms"]
        assert told.pop("definition")["F"] == {
            "max-length": {"l": 3},
            "dead-letter-exchange": {"S": "dx"},
        }
        assert told == {
            "name": {"S": "told"},
            "vhost": {"S": "/"},
            "pattern": {"S": "^told"},
            "priority": {"l": 2},
            "apply-to": {"S": "queues"},
            "user_who_performed_action": {"S": "guest"},
        }
        facts = plain(listener.hear("queue.policy.updated", name="told-queue"))
        assert (facts["pattern"], facts["type"]) == ("^told", "rabbit_classic_queue")
        operator.clear_policy("told")
        listener.hear("queue.policy.cleared", name="told-queue", type="rabbit_classic_queue")
        facts = plain(listener.hear("policy.cleared", name="told"))
        del facts["timestamp_in_ms"]
        assert facts == {"name": "told", "vhost": "/"} | nobody
        operator.call("PUT", "/vhosts/told", {})
        for name in ("", "amq.direct", "amq.rabbitmq.trace"):
            facts = plain(listener.hear("exchange.created", name=name, vhost="told"))
            assert (facts["durable"], facts["internal"]) == (True, name.endswith("trace"))
        assert listener.hear("vhost.created", name="told")["tracing"] == {"t": False}
        operator.call("PUT", "/vhosts/told", {"description": "d", "tags": "a,b"})
        facts = listener.hear("vhost.updated", name="told", description="d")
        assert facts["tags"] == {"A": [{"S": "a"}, {"S": "b"}]}
        operator.call("PUT", "/vhost-limits/told/max-queues", {"value": 7})
        assert listener.hear("vhost.limits.set", name="limits")["max-queues"] == {"l": 7}
        operator.call("DELETE", "/vhosts/told")
        listener.hear("permission.deleted", vhost="told", user="guest")
        facts = plain(listener.hear("vhost.deleted", name="told"))
        assert facts["user_who_performed_action"] == "guest"
        facts = plain(listener.hear("vhost.down", name="told"))
        assert facts["user_who_performed_action"] == "rmq-internal"
        assert facts["node"]
        operator.call("PUT", "/users/told", {"password": "secret", "tags": "monitoring"})
        listener.hear("user.created", name="told")
        tags = listener.hear("user.tags.set", name="told")
        assert tags["tags"] == {"A": [{"S": "monitoring"}]}
        operator.call("PUT", "/users/told", {"tags": "monitoring"})
        listener.hear("user.password.cleared", name="told")
        operator.call("DELETE", "/users/told")
        listener.hear("user.deleted", name="told")


def test_delays_by_policy(restarted: Broker, ch: Channel, operator: Operator) -> None:
    """With delayed-message x-delay is honoured on any exchange."""
    if restarted.name == "rabbitmq":
        pytest.skip("RabbitMQ has no such policy")
    operator.set_policy("later", {"delayed-message": True}, **{"apply-to": "exchanges"})
    ch.call("exchange.declare", exchange="later", exchange_type="topic", durable=True)
    ch.declare("on-time", durable=True)
    ch.bind("on-time", "later", "a.#")
    started = time.monotonic()
    ch.publish("later", "a.b", "late", headers={"x-delay": 300})
    ch.expect("basic.ack")
    assert put(ch, "a.b", "early", exchange="later") == ["ack"]
    ch.get("on-time", body="early")
    ch.consume("on-time", no_ack=True)
    content = ch.expect_content("basic.deliver", "late", exchange="later", routing_key="a.b")
    assert content.headers["x-delay"] == {"I": -300}
    assert time.monotonic() - started >= 0.3


def test_firehose(restarted: Broker, ch: Channel, operator: Operator) -> None:
    """With tracing on, publishes and deliveries of a vhost are copied to amq.rabbitmq.trace."""
    with Connection(restarted.url) as connection:
        tracer = connection.channel(1)
        traces = tracer.declare(exclusive=True)
        tracer.bind(traces, "amq.rabbitmq.trace", "publish.#")
        tracer.bind(traces, "amq.rabbitmq.trace", "deliver.#")
        ch.declare("traced", durable=True)
        assert operator.call("PUT", "/vhosts/%2F", {"tracing": True}) == 204
        put(ch, "traced", "m")
        ch.get("traced", body="m")
        eventually(lambda: tracer.counts(traces)[0] == 2, "no traces")
        published, delivered = tracer.get(traces, body="m"), tracer.get(traces, body="m")
        assert operator.call("PUT", "/vhosts/%2F", {"tracing": False}) == 204
        put(ch, "traced", "untraced")
        assert tracer.counts(traces)[0] == 0
    assert (published["routing_key"], delivered["routing_key"]) == ("publish.", "deliver.traced")
    facts = plain(published.headers)
    assert facts["exchange_name"] == ""
    assert facts["routing_keys"] == [{"S": "traced"}]
    assert (facts["vhost"], facts["user"], facts["channel"]) == ("/", "guest", 1)
    assert plain(delivered.headers)["redelivered"] == 0
