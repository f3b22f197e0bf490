"""The event exchange: a queue bound to ``amq.rabbitmq.event`` hears what happens in the broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from conformance.brokers import Broker
from conformance.channel import Channel, Content
from conformance.conftest import Target
from conformance.wire import Connection

Name = Callable[[str], str]
Declare = Callable[..., str]
EVENTS = "amq.rabbitmq.event"


class Listener:
    """Hears events in any order: RabbitMQ's come from many processes, some from other tests."""

    def __init__(self, channel: Channel, *keys: str) -> None:
        self._channel = channel
        self._passed: list[Content] = []
        queue = channel.declare(exclusive=True)
        for key in keys:
            channel.bind(queue, EVENTS, key)
        channel.consume(queue, no_ack=True)

    def hear(self, key: str, **facts: Any) -> dict[str, Any]:
        """The headers of the event of this key with these facts; others are kept for later."""
        for content in self._passed:
            if is_about(content, key, facts):
                self._passed.remove(content)
                return content.headers
        while True:
            content = self._channel.expect_content("basic.deliver", "", exchange=EVENTS)
            check_frame(content)
            if is_about(content, key, facts):
                return content.headers
            self._passed.append(content)


def is_about(content: Content, key: str, facts: dict[str, Any]) -> bool:
    """Whether it is the event that is looked for."""
    return content["routing_key"] == key and facts.items() <= plain(content.headers).items()


def plain(headers: dict[str, Any]) -> dict[str, Any]:
    """Headers without their wire types."""
    return {name: next(iter(value.values())) for name, value in headers.items()}


def check_frame(content: Content) -> None:
    """What all events have in common: no body, persistent, the time twice."""
    now_ms = time.time() * 1000
    at_ms = content.headers["timestamp_in_ms"]["l"]
    assert abs(now_ms - at_ms) < 60_000
    assert content.props["timestamp"] == at_ms // 1000
    assert content.props["delivery_mode"] == 2


def wait_for(ch: Channel, queue: str, count: int) -> None:
    """Return when so many messages are ready."""
    deadline = time.monotonic() + 10
    while ch.counts(queue)[0] < count:
        assert time.monotonic() < deadline, ch.counts(queue)
        time.sleep(0.02)


@pytest.fixture
def listen(other: Channel) -> Callable[..., Listener]:
    """Start to listen on a connection of its own."""
    return lambda *keys: Listener(other, *(keys or ("#",)))


def test_the_exchange_is_the_brokers(ch: Channel) -> None:
    """It is a durable internal topic exchange: to be bound to, not to be published to."""
    ch.call("exchange.declare", exchange=EVENTS, passive=True)
    ch.publish(EVENTS, "k")
    text = "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.event' in vhost '/'"
    assert ch.expect_closed_with(403) == text


def test_queues(ch: Channel, listen: Callable[..., Listener], name: Name) -> None:
    """A queue tells of its declaration, its arguments as Erlang terms, and of its end."""
    listener = listen("queue.*")
    queue = name("q")
    arguments = {
        "x-max-length": {"I": 5},
        "x-overflow": "drop-head",
        "n": {"F": {"a": True, "l": [1, "x"], "d": {"d": 1.5}}},
    }
    ch.declare(queue, durable=True, arguments=arguments)
    ch.declare(queue, durable=True, arguments=arguments)
    created = listener.hear("queue.created", name=queue)
    assert created.pop("arguments") == {
        "A": [
            {"S": '{<<"x-max-length">>,signedint,5}'},
            {"S": '{<<"x-overflow">>,longstr,<<"drop-head">>}'},
            {
                "S": '{<<"n">>,table,[{<<"a">>,bool,true},'
                '{<<"l">>,array,[{signedint,1},{longstr,<<"x">>}]},{<<"d">>,double,1.5}]}'
            },
        ]
    }
    del created["timestamp_in_ms"]
    assert created == {
        "name": {"S": queue},
        "vhost": {"S": "/"},
        "durable": {"t": True},
        "auto_delete": {"t": False},
        "exclusive": {"t": False},
        "owner_pid": {"S": ""},
        "user_who_performed_action": {"S": "guest"},
    }
    ch.call("queue.delete", queue=queue)
    deleted = listener.hear("queue.deleted", name=queue)
    assert set(deleted) == {"name", "vhost", "user_who_performed_action", "timestamp_in_ms"}
    assert deleted["user_who_performed_action"] == {"S": "guest"}


def test_what_nobody_did(ch: Channel, listen: Callable[..., Listener], name: Name) -> None:
    """A queue that expires is deleted by the broker itself."""
    listener = listen("queue.deleted")
    queue = ch.declare(name("q"), arguments={"x-expires": 50})
    deleted = listener.hear("queue.deleted", name=queue)
    assert deleted["user_who_performed_action"] == {"S": "rmq-internal"}


def test_exchanges_and_bindings(
    ch: Channel, listen: Callable[..., Listener], exchange: Declare, name: Name
) -> None:
    """Exchanges and bindings tell when they come and go, bindings also with one of their ends."""
    listener = listen("exchange.*", "binding.*")
    source = exchange("topic", arguments={"alternate-exchange": "amq.fanout"})
    created = listener.hear("exchange.created", name=source)
    facts = {fact: created[fact] for fact in ("type", "durable", "auto_delete", "internal")}
    assert facts == {
        "type": {"S": "topic"},
        "durable": {"t": False},
        "auto_delete": {"t": False},
        "internal": {"t": False},
    }
    alternate = '{<<"alternate-exchange">>,longstr,<<"amq.fanout">>}'
    assert created["arguments"] == {"A": [{"S": alternate}]}
    assert created["policy"] == {"S": ""}
    queue = ch.declare(name("q"))
    ch.bind(queue, source, "a.b", arguments={"k": 1})
    bound = listener.hear("binding.created", source_name=source)
    del bound["timestamp_in_ms"]
    assert bound == {
        "source_name": {"S": source},
        "source_kind": {"S": "exchange"},
        "destination_name": {"S": queue},
        "destination_kind": {"S": "queue"},
        "routing_key": {"S": "a.b"},
        "arguments": {"A": [{"S": '{<<"k">>,signedint,1}'}]},
        "vhost": {"S": "/"},
        "user_who_performed_action": {"S": "guest"},
    }
    ch.call("queue.unbind", queue=queue, exchange=source, routing_key="a.b", arguments={"k": 1})
    gone = listener.hear("binding.deleted", source_name=source)
    del gone["timestamp_in_ms"]
    assert gone == bound
    ch.bind(queue, source, "again")
    ch.call("exchange.bind", destination=source, source="amq.topic", routing_key="e")
    ch.call("queue.delete", queue=queue)
    listener.hear("binding.deleted", source_name=source, routing_key="again")
    ch.call("exchange.delete", exchange=source)
    listener.hear("exchange.deleted", name=source)
    facts = listener.hear("binding.deleted", destination_name=source, routing_key="e")
    assert facts["destination_kind"] == {"S": "exchange"}


def test_a_connection(
    connect: Callable[..., Connection], listen: Callable[..., Listener], name: Name
) -> None:
    """Login, connection, channel, consumer: each tells of its beginning and its end."""
    listener = listen("connection.*", "channel.*", "consumer.*", "user.#", "queue.*")
    connection = connect()
    login = listener.hear("user.authentication.success", name="guest")
    opened = listener.hear("connection.created", name=plain(login)["connection_name"])
    kinds = {fact: next(iter(value)) for fact, value in opened.items()}
    assert kinds == {
        **dict.fromkeys(("type", "pid", "name", "host", "peer_host", "protocol", "user"), "S"),
        **dict.fromkeys(("auth_mechanism", "vhost", "node", "user_who_performed_action"), "S"),
        **dict.fromkeys(("peer_cert_subject", "peer_cert_issuer", "peer_cert_validity"), "S"),
        **dict.fromkeys(("ssl_protocol", "ssl_key_exchange", "ssl_cipher", "ssl_hash"), "S"),
        **dict.fromkeys(("port", "peer_port", "timeout", "frame_max", "channel_max"), "l"),
        **dict.fromkeys(("connected_at", "timestamp_in_ms"), "l"),
        "ssl": "t",
        "client_properties": "A",
    }
    facts = plain(opened)
    assert (facts["user"], facts["vhost"], facts["peer_host"]) == ("guest", "/", "{127,0,0,1}")
    assert facts["name"].startswith(f"127.0.0.1:{facts['peer_port']} -> ")
    assert facts["frame_max"] == connection.frame_max
    ch = connection.channel(7)
    channel = plain(listener.hear("channel.created", connection=facts["pid"]))
    assert (channel["number"], channel["name"]) == (7, f"{facts['name']} (7)")
    own = ch.declare(exclusive=True)
    assert plain(listener.hear("queue.created", name=own))["owner_pid"] == facts["pid"]
    ch.call("basic.qos", prefetch_count=3)
    ch.consume(own, consumer_tag="tag", arguments={"x-priority": 2})
    consumer = listener.hear("consumer.created", queue=own)
    del consumer["timestamp_in_ms"]
    assert consumer == {
        "consumer_tag": {"S": "tag"},
        "queue": {"S": own},
        "vhost": {"S": "/"},
        "channel": {"S": channel["pid"]},
        "exclusive": {"t": False},
        "ack_required": {"t": True},
        "prefetch_count": {"l": 3},
        "arguments": {"A": [{"S": '{<<"x-priority">>,signedint,2}'}]},
        "user_who_performed_action": {"S": "guest"},
    }
    ch.call("basic.cancel", consumer_tag="tag")
    listener.hear("consumer.deleted", consumer_tag="tag", queue=own)
    ch.consume(own, consumer_tag="again")
    connection.close()
    ended = listener.hear("consumer.deleted", consumer_tag="again", queue=own)
    assert ended["user_who_performed_action"] == {"S": "rmq-internal"}
    listener.hear("channel.closed", pid=channel["pid"])
    listener.hear("queue.deleted", name=own)
    closed = plain(listener.hear("connection.closed", pid=facts["pid"]))
    assert (closed["name"], closed["node"]) == (facts["name"], facts["node"])


def test_a_refused_login(broker: Target, listen: Callable[..., Listener]) -> None:
    """Who does not prove to be a user is told of too."""
    listener = listen("user.authentication.failure")
    with pytest.raises(AssertionError, match="ACCESS_REFUSED"):
        Connection(broker.url.replace("guest:guest", "guest:wrong"))
    facts = listener.hear("user.authentication.failure")
    assert facts["auth_mechanism"] == {"S": "PLAIN"}
    assert facts["peer_host"] == {"S": "{127,0,0,1}"}


def test_patterns_and_copies(ch: Channel, listen: Callable[..., Listener], name: Name) -> None:
    """Who binds to some keys hears nothing else."""
    listener = listen("queue.created")
    first = ch.declare(name("q"))
    ch.call("queue.delete", queue=first)
    second = ch.declare(name("q"))
    assert listener.hear("queue.created")["name"] == {"S": first}
    assert listener.hear("queue.created")["name"] == {"S": second}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_events_outlive_a_restart(restartable: Broker, end: str) -> None:
    """A durable binding goes on after a restart; events that nobody took yet are still there."""
    if end == "kill" and restartable.name == "rabbitmq":
        pytest.skip("nobody waits for an event to be durable, and RabbitMQ does not sync it")
    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        ch.declare("events", durable=True)
        ch.bind("events", EVENTS, "queue.*")
        ch.declare("before", durable=True)
        wait_for(ch, "events", 1)
        connection.drop()
        getattr(restartable, end)()
    restartable.start()
    with Connection(restartable.url) as connection:
        ch = connection.channel(1)
        ch.declare("after")
        wait_for(ch, "events", 2)
        ch.consume("events", no_ack=True)
        for created in ("before", "after"):
            assert ch.expect_content().headers["name"] == {"S": created}
