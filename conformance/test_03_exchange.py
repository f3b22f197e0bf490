"""Exchanges: declaring, equivalence, names, deletion, auto-delete, internal, alternate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.channel import Channel

Declare = Callable[..., str]
Name = Callable[[str], str]
NO_DEFAULT = "ACCESS_REFUSED - operation not permitted on the default exchange"


def exists(channel: Channel, exchange: str) -> bool:
    """Ask by passive declare; the channel is open afterwards."""
    channel.send("exchange.declare", exchange=exchange, passive=True)
    event = channel.next()
    if event.name == "exchange.declare-ok":  # type: ignore[union-attr]
        return True
    text = f"NOT_FOUND - no exchange '{exchange}' in vhost '/'"
    assert (event["reply_code"], event["reply_text"]) == (404, text)  # type: ignore[index]
    channel.send("channel.close-ok")
    channel.reopen()
    return False


@pytest.mark.parametrize(
    ("predeclared", "exchange_type"),
    [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ],
)
def test_predeclared(ch: Channel, predeclared: str, exchange_type: str) -> None:
    """The standard exchanges exist, are durable and can be declared again as they are."""
    ch.call("exchange.declare", exchange=predeclared, exchange_type=exchange_type, durable=True)
    ch.call("exchange.declare", exchange=predeclared, passive=True)


def test_trace_exchange_is_predeclared(ch: Channel) -> None:
    """amq.rabbitmq.trace exists; it is an internal topic exchange."""
    ch.call("exchange.declare", exchange="amq.rabbitmq.trace", passive=True)
    ch.publish("amq.rabbitmq.trace", "k", "x")
    text = "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"
    ch.expect_channel_close(403, text, 60, 40)


@pytest.mark.parametrize("exchange_type", ["direct", "fanout", "topic", "headers"])
@pytest.mark.parametrize("durable", [False, True])
def test_declare_and_delete(
    ch: Channel, exchange: Declare, exchange_type: str, durable: bool
) -> None:
    """Each type can be declared transient and durable, again, and deleted."""
    fresh = exchange(exchange_type, durable=durable)
    ch.call("exchange.declare", exchange=fresh, exchange_type=exchange_type, durable=durable)
    ch.call("exchange.delete", exchange=fresh)
    assert not exists(ch, fresh)


@pytest.mark.parametrize(
    ("field", "value", "received", "current"),
    [
        ("durable", True, "true", "false"),
        ("auto_delete", True, "true", "false"),
        ("internal", True, "true", "false"),
        ("exchange_type", "fanout", "fanout", "direct"),
        ("exchange_type", "headers", "headers", "direct"),
    ],
)
def test_inequivalent(
    ch: Channel, exchange: Declare, field: str, value: Any, received: str, current: str
) -> None:
    """A second declaration that differs is a 406 that names the first difference."""
    fresh = exchange("direct")
    ch.send("exchange.declare", **({"exchange": fresh, "exchange_type": "direct"} | {field: value}))
    shown = {"exchange_type": "type"}.get(field, field)
    text = (
        f"PRECONDITION_FAILED - inequivalent arg '{shown}' for exchange '{fresh}' in vhost '/': "
        f"received '{received}' but current is '{current}'"
    )
    ch.expect_channel_close(406, text, 40, 10)


def test_type_is_compared_first(ch: Channel, exchange: Declare) -> None:
    """Of several differences the type is named."""
    fresh = exchange("direct", durable=True, auto_delete=True)
    ch.send("exchange.declare", exchange=fresh, exchange_type="topic")
    assert "inequivalent arg 'type'" in ch.expect_closed_with(406)


def test_nowait_declare_reports_errors(ch: Channel, exchange: Declare) -> None:
    """nowait asks for no declare-ok; an error closes the channel all the same."""
    fresh = exchange("direct")
    ch.send("exchange.declare", exchange=fresh, exchange_type="fanout", nowait=True)
    assert "inequivalent arg 'type'" in ch.expect_closed_with(406)


def test_unknown_type(ch: Channel, name: Name) -> None:
    """An exchange type nobody knows is a 503 of the connection."""
    ch.send("exchange.declare", exchange=name("x"), exchange_type="no-such-type")
    text = "COMMAND_INVALID - unknown exchange type 'no-such-type'"
    ch.connection.expect_connection_close(503, text, 40, 10)


def test_empty_type(ch: Channel, name: Name) -> None:
    """An exchange needs a type."""
    ch.send("exchange.declare", exchange=name("x"))
    ch.connection.expect("connection.close", reply_code=503, class_id=40, method_id=10)


@pytest.mark.parametrize("passive", [False, True])
def test_declare_default(ch: Channel, passive: bool) -> None:
    """The default exchange cannot be declared, not even passively."""
    ch.send("exchange.declare", exchange_type="direct", durable=True, passive=passive)
    ch.expect_channel_close(403, NO_DEFAULT, 40, 10)


@pytest.mark.parametrize("reserved", ["amq.", "amq.x", "amq.direct2", "amq.rabbitmq.x"])
def test_reserved_prefix(ch: Channel, reserved: str) -> None:
    """Names with amq. are the server's."""
    ch.send("exchange.declare", exchange=reserved, exchange_type="direct")
    text = f"ACCESS_REFUSED - exchange name '{reserved}' contains reserved prefix 'amq.*'"
    ch.expect_channel_close(403, text, 40, 10)


@pytest.mark.parametrize("free", ["amq", "AMQ.x", "amqp.x", "x.amq."])
def test_names_that_look_reserved(ch: Channel, free: str) -> None:
    """Only the very prefix amq. is reserved."""
    ch.call("exchange.declare", exchange=free, exchange_type="direct")
    ch.call("exchange.delete", exchange=free)


def test_delete_twice(ch: Channel, exchange: Declare) -> None:
    """Deleting what is gone succeeds."""
    fresh = exchange("fanout")
    for _ in range(2):
        ch.call("exchange.delete", exchange=fresh)


def test_delete_removes_bindings(ch: Channel, exchange: Declare, queue: str) -> None:
    """An exchange of the same name declared anew starts without bindings."""
    fresh = exchange("fanout")
    ch.bind(queue, fresh)
    ch.call("exchange.delete", exchange=fresh)
    ch.call("exchange.declare", exchange=fresh, exchange_type="fanout")
    ch.publish(fresh, "", "x", mandatory=True)
    ch.expect_content("basic.return", reply_code=312)
    assert ch.drain(queue) == []


def test_delete_if_unused_after_publish(ch: Channel, exchange: Declare) -> None:
    """Use means bindings, not publishes."""
    fresh = exchange("fanout")
    ch.publish(fresh, "", "x")
    ch.call("exchange.delete", exchange=fresh, if_unused=True)


def test_delete_if_unused_with_e2e(ch: Channel, exchange: Declare) -> None:
    """A binding to another exchange is use."""
    source, destination = exchange("fanout"), exchange("fanout")
    ch.call("exchange.bind", destination=destination, source=source)
    ch.send("exchange.delete", exchange=source, if_unused=True)
    text = f"PRECONDITION_FAILED - exchange '{source}' in vhost '/' in use"
    ch.expect_channel_close(406, text, 40, 20)


def test_publish_while_routes_change(ch: Channel, exchange: Declare, queue: str) -> None:
    """Each publish sees the bindings of its moment, on one channel in one write."""
    fresh = exchange("direct")
    for n in range(6):
        ch.publish(fresh, "k", str(n))
        ch.send(
            "queue.unbind" if n % 2 else "queue.bind", queue=queue, exchange=fresh, routing_key="k"
        )
    for n in range(6):
        ch.expect("queue.unbind-ok" if n % 2 else "queue.bind-ok")
    assert ch.drain(queue) == ["1", "3", "5"]


# -- auto-delete


def test_auto_delete_never_bound(ch: Channel, exchange: Declare) -> None:
    """An auto-delete exchange that was never bound stays."""
    fresh = exchange("direct", auto_delete=True)
    ch.publish(fresh, "k", "x")
    assert exists(ch, fresh)


def test_auto_delete_after_last_unbind(ch: Channel, exchange: Declare, queue: str) -> None:
    """An auto-delete exchange goes with its last binding, not before."""
    fresh = exchange("direct", auto_delete=True)
    ch.bind(queue, fresh, "a")
    ch.bind(queue, fresh, "b")
    ch.call("queue.unbind", queue=queue, exchange=fresh, routing_key="a")
    assert exists(ch, fresh)
    ch.call("queue.unbind", queue=queue, exchange=fresh, routing_key="b")
    assert not exists(ch, fresh)


def test_auto_delete_with_exclusive_queue(
    ch: Channel, other: Channel, exchange: Declare, name: Name
) -> None:
    """The end of a connection takes its exclusive queue and with it the exchange."""
    fresh = exchange("fanout", auto_delete=True)
    mine = other.declare(name("q"), exclusive=True)
    other.bind(mine, fresh)
    other.connection.close()
    assert not exists(ch, fresh)


def test_auto_delete_chain(ch: Channel, exchange: Declare, queue: str) -> None:
    """Exchanges bound in a row go one after another."""
    first = exchange("fanout", auto_delete=True)
    second = exchange("fanout", auto_delete=True)
    ch.call("exchange.bind", destination=second, source=first)
    ch.bind(queue, second)
    ch.call("queue.unbind", queue=queue, exchange=second)
    assert not exists(ch, second)
    assert not exists(ch, first)


def test_auto_delete_unbind_of_nothing(ch: Channel, exchange: Declare, queue: str) -> None:
    """Unbinding what was never bound deletes nothing."""
    fresh = exchange("direct", auto_delete=True)
    ch.call("queue.unbind", queue=queue, exchange=fresh, routing_key="never")
    assert exists(ch, fresh)


def test_redeclare_auto_delete(ch: Channel, exchange: Declare, queue: str) -> None:
    """After it went, the exchange can be declared differently."""
    fresh = exchange("direct", auto_delete=True)
    ch.bind(queue, fresh, "k")
    ch.call("queue.unbind", queue=queue, exchange=fresh, routing_key="k")
    ch.call("exchange.declare", exchange=fresh, exchange_type="topic", durable=True)


# -- internal


def test_internal_through_another(ch: Channel, exchange: Declare, queue: str) -> None:
    """An internal exchange routes what comes from an exchange."""
    outer, inner = exchange("direct"), exchange("fanout", internal=True)
    ch.call("exchange.bind", destination=inner, source=outer, routing_key="k")
    ch.bind(queue, inner)
    ch.publish(outer, "k", "x")
    ch.sync()
    assert ch.drain(queue) == ["x"]


def test_internal_mandatory(ch: Channel, exchange: Declare) -> None:
    """Publishing to an internal exchange is a 403 and no basic.return."""
    inner = exchange("fanout", internal=True)
    ch.call("confirm.select")
    ch.publish(inner, "k", "x", mandatory=True)
    text = f"ACCESS_REFUSED - cannot publish to internal exchange '{inner}' in vhost '/'"
    ch.expect_channel_close(403, text, 60, 40)


# -- alternate exchange


def test_alternate_takes_the_unroutable_only(ch: Channel, exchange: Declare, name: Name) -> None:
    """What finds a queue does not go to the alternate exchange."""
    spare = exchange("fanout")
    main = exchange("direct", arguments={"alternate-exchange": spare})
    found, lost = ch.declare(name("q")), ch.declare(name("q"))
    ch.bind(found, main, "k")
    ch.bind(lost, spare)
    ch.publish(main, "k", "routed")
    ch.publish(main, "other", "unrouted")
    ch.sync()
    assert (ch.drain(found), ch.drain(lost)) == (["routed"], ["unrouted"])


def test_alternate_declared_later(ch: Channel, exchange: Declare, name: Name, queue: str) -> None:
    """The alternate exchange is looked up when a message needs it."""
    spare = name("x")
    main = exchange("direct", arguments={"alternate-exchange": spare})
    ch.publish(main, "k", "lost")
    ch.call("exchange.declare", exchange=spare, exchange_type="fanout")
    ch.bind(queue, spare)
    ch.publish(main, "k", "kept")
    ch.call("exchange.delete", exchange=spare)
    ch.publish(main, "k", "lost again")
    ch.sync()
    assert ch.drain(queue) == ["kept"]


def test_empty_alternate(ch: Channel, exchange: Declare, queue: str) -> None:
    """An empty alternate exchange is accepted and takes nothing, not even by queue name."""
    main = exchange("fanout", arguments={"alternate-exchange": ""})
    ch.publish(main, queue, "x", mandatory=True)
    ch.expect_content("basic.return", reply_code=312, exchange=main)
    assert ch.drain(queue) == []


def test_alternate_of_headers_exchange(ch: Channel, exchange: Declare, queue: str) -> None:
    """Exchanges of any type have an alternate."""
    spare = exchange("topic")
    ch.bind(queue, spare, "a.#")
    for exchange_type in ("headers", "topic", "fanout"):
        main = exchange(exchange_type, arguments={"alternate-exchange": spare})
        ch.publish(main, "a.b", exchange_type)
    ch.sync()
    assert ch.drain(queue) == ["headers", "topic", "fanout"]


def test_alternate_of_an_inner_exchange(ch: Channel, exchange: Declare, queue: str) -> None:
    """An exchange reached by a binding sends what it cannot route to its own alternate."""
    spare = exchange("fanout")
    inner = exchange("direct", arguments={"alternate-exchange": spare})
    outer = exchange("fanout")
    ch.call("exchange.bind", destination=inner, source=outer)
    ch.bind(queue, spare)
    ch.publish(outer, "nowhere", "x", mandatory=True)
    ch.sync()
    assert ch.drain(queue) == ["x"]


@pytest.mark.parametrize(
    ("value", "kind"), [({"l": 5}, "long"), (1.5, "double"), ({"F": {}}, "table"), ([], "array")]
)
def test_alternate_of_wrong_type(ch: Channel, name: Name, value: Any, kind: str) -> None:
    """The alternate exchange is named by a string."""
    fresh = name("x")
    ch.send(
        "exchange.declare",
        exchange=fresh,
        exchange_type="direct",
        arguments={"alternate-exchange": value},
    )
    text = (
        f"PRECONDITION_FAILED - invalid type '{kind}' for arg 'alternate-exchange' "
        f"in exchange '{fresh}' in vhost '/'"
    )
    ch.expect_channel_close(406, text, 40, 10)


def test_alternate_compared(ch: Channel, exchange: Declare) -> None:
    """The alternate exchange is part of what a second declaration must repeat."""
    fresh = exchange("direct", arguments={"alternate-exchange": "amq.fanout"})
    ch.send("exchange.declare", exchange=fresh, exchange_type="direct")
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange '{fresh}' "
        "in vhost '/': received none but current is the value 'amq.fanout' of type 'longstr'"
    )
    ch.expect_channel_close(406, text, 40, 10)
