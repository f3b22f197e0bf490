"""Operations: as data they survive; applied they make the topology, applied again nothing."""

from typing import Any

import pytest

from broker.core.broker import Broker
from broker.core.operations import apply, decode_operation, encode_operation
from broker.core.vhost import Vhost
from protocol.tables import NESTING_MAX, Field, decode_table, encode_table, table
from tests.core.doubles import ListeningLog, make_exchange, make_queue, make_vhost


def rich_vhost(log: ListeningLog | None = None) -> Vhost:
    """A vhost with something of everything, durable and not, and some of it deleted again."""
    vhost = make_vhost(log)
    arguments = {"x-message-ttl": Field("l", 5), "x-foo": Field("A", [Field("t", True)])}
    vhost.declare_queue(
        "d", durable=True, exclusive=False, auto_delete=True, arguments=arguments, owner=1
    )
    make_queue(vhost, "é", durable=True)
    make_queue(vhost, "transient")
    make_queue(vhost, "gone", durable=True)
    make_queue(vhost, "mine", exclusive=True)
    make_exchange(vhost, "x", "topic", durable=True, arguments=table({"alternate-exchange": "y"}))
    make_exchange(vhost, "y", "fanout", durable=True, internal=True, auto_delete=True)
    make_exchange(vhost, "tx", "headers")
    make_exchange(vhost, "gone", "direct", durable=True)
    vhost.bind("x", vhost.queues["d"], "a.#", {})
    vhost.bind("x", vhost.queues["transient"], "a.#", {})
    vhost.bind("tx", vhost.queues["d"], "", table({"x-match": "any"}))
    vhost.bind("y", vhost.exchange("x"), "", table({"n": 1}))
    vhost.bind("y", vhost.queues["gone"], "", {})
    vhost.bind("gone", vhost.queues["é"], "", {})
    vhost.bind("amq.headers", vhost.queues["é"], "k", table({"a": 1, "x-match": "any"}))
    vhost.bind("amq.direct", vhost.queues["é"], "k", {})
    vhost.unbind("amq.direct", vhost.queues["é"], "k", {})
    vhost.delete_queue("gone")
    vhost.delete_exchange("gone")
    vhost.broker.declare_vhost("other")
    vhost.broker.declare_vhost("gone")
    vhost.broker.change({"op": "vhost.delete", "name": "gone"}, durable=True)
    return vhost


def topology(broker: Broker, *, durable_only: bool = False) -> dict[str, Any]:
    """Everything a client could see of the topology, as plain values."""
    described = {}
    for vhost in broker.vhosts.values():
        exchanges = {
            name: (x.type, x.durable, x.auto_delete, x.internal, x.arguments, x.alternate)
            for name, x in vhost.exchanges.items()
            if x.durable or not durable_only
        }
        queues = {
            name: (q.id, q.durable, q.auto_delete, q.arguments)
            for name, q in vhost.queues.items()
            if q.durable or not durable_only
        }
        bindings = {
            (x.name, binding.identity)
            for x in vhost.exchanges.values()
            for binding in x.bindings.values()
            if binding.durable or not durable_only
        }
        described[vhost.name] = (exchanges, queues, bindings)
    return described


def replayed(operations: list[bytes], times: int = 1) -> Broker:
    """A broker made of encoded operations, each applied so many times."""
    broker = Broker()
    for octets in operations:
        for _ in range(times):
            apply(broker, decode_operation(octets))
    return broker


@pytest.mark.parametrize("times", [1, 2])
def test_a_snapshot_rebuilds_what_is_durable(times: int) -> None:
    """The snapshot, applied to nothing, gives the durable topology; applied twice, the same."""
    broker = rich_vhost().broker
    rebuilt = replayed(broker.snapshot(), times)
    assert topology(rebuilt) == topology(broker, durable_only=True)
    assert rebuilt.next_queue_id > max(queue.id for queue in rebuilt.vhosts["/"].queues.values())


@pytest.mark.parametrize("times", [1, 2])
def test_the_log_rebuilds_what_is_durable(times: int) -> None:
    """What the log was told, in order, gives the durable topology; each told twice, the same."""
    log = ListeningLog()
    broker = rich_vhost(log).broker
    rebuilt = replayed([encode_operation(operation) for operation in log.operations], times)
    assert topology(rebuilt) == topology(broker, durable_only=True)


def test_rebuilt_exchanges_route() -> None:
    """What was rebuilt routes as the original does."""
    vhost = replayed(rich_vhost().broker.snapshot()).vhosts["/"]
    for exchange, key, queues in (("x", "a.b", ["d"]), ("x", "b", []), ("y", "a.b", ["d"])):
        found = vhost.route(vhost.exchanges[exchange], key, b"")
        assert [queue.name for queue in found] == queues


def test_operations_survive_as_octets() -> None:
    """An operation is the same after encoding and decoding, wire types of arguments included."""
    log = ListeningLog()
    rich_vhost(log)
    assert log.operations
    for operation in log.operations:
        assert decode_operation(encode_operation(operation)) == operation
    declared = next(o for o in log.operations if o["op"] == "queue.declare" and o["name"] == "d")
    assert declared["arguments"]["x-message-ttl"] == Field("l", 5)


def test_what_a_client_may_nest_can_be_read_back() -> None:
    """Arguments as deep as a client may send them are no obstacle to a restart."""
    arguments = {"a": Field("I", 1)}
    for _ in range(NESTING_MAX):
        arguments = {"n": Field("F", arguments)}
    arguments, _ = decode_table(encode_table(arguments))
    log = ListeningLog()
    make_queue(make_vhost(log), durable=True, arguments=arguments)
    (declared,) = (one for one in log.operations if one["op"] == "queue.declare")
    assert declared["arguments"] == arguments


@pytest.mark.parametrize("value", ["\ud800", 1 << 63, {"n" * 256: 1}])
def test_what_cannot_be_read_back_changes_nothing(value: Any) -> None:
    """It is refused before it is applied; text that is no UTF-8 is not among it."""
    broker = Broker(ListeningLog())
    with pytest.raises(ValueError, match=r"surrogates|large|range"):
        broker.change({"op": "vhost.declare", "name": "v", "x": value}, durable=True)
    assert not broker.vhosts
    broker.change({"op": "vhost.declare", "name": "\udcff"}, durable=True)
    assert list(broker.vhosts) == ["\udcff"]


def test_operations_on_what_is_missing_change_nothing() -> None:
    """Deleting and unbinding what is not there, in a vhost or without one, is no error."""
    vhost = make_vhost()
    before = topology(vhost.broker)
    binding = {
        "source": "nope",
        "destination": "q",
        "destination_type": "queue",
        "routing_key": "",
        "arguments": {},
    }
    for vhost_name in ("/", "nope"):
        for operation in (
            {"op": "queue.delete", "name": "q"},
            {"op": "exchange.delete", "name": "x"},
            {"op": "bind", **binding},
            {"op": "unbind", **binding},
            {"op": "unbind", **binding, "source": "amq.direct"},
        ):
            apply(vhost.broker, operation | {"vhost": vhost_name})
    apply(vhost.broker, {"op": "vhost.delete", "name": "nope"})
    apply(vhost.broker, {"op": "vhost.declare", "name": "/"})
    assert topology(vhost.broker) == before


def test_a_queue_id_is_never_used_twice() -> None:
    """A queue declared after a replay gets an id no queue had, also if that one was deleted."""
    log = ListeningLog()
    vhost = make_vhost(log)
    make_queue(vhost, "q", durable=True)
    vhost.delete_queue("q")
    used = {o["id"] for o in log.operations if o["op"] == "queue.declare"}
    rebuilt = replayed([encode_operation(operation) for operation in log.operations])
    assert make_queue(rebuilt.vhosts["/"], "q").id not in used
