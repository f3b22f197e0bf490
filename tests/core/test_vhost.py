"""What clients may do with exchanges, queues and bindings, with RabbitMQ's answers; routing."""

from collections.abc import Callable
from typing import Any

import pytest

from broker.core.vhost import Vhost
from protocol.errors import (
    AccessRefused,
    AmqpError,
    CommandInvalid,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)
from protocol.tables import table
from tests.core.doubles import (
    ListeningLog,
    fill,
    make_exchange,
    make_queue,
    make_vhost,
    subscribe,
)
from tests.frames import message

LOCKED = (
    "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally "
    "declared on another connection or the exclusive property value does not match that of the "
    "original declaration."
)


def refused(error: type[AmqpError], call: Callable[[], Any]) -> str:
    """The text of the error that a call raises."""
    with pytest.raises(error) as caught:
        call()
    return caught.value.text


def reached(vhost: Vhost, exchange: str, key: str, **headers: object) -> set[str]:
    """The names of the queues a message reaches."""
    content = message(1, b"m", headers=headers) if headers else message()
    queues = vhost.route(vhost.exchanges[exchange], key, content)
    assert len(set(queues)) == len(queues), "a queue is reached once"
    return {queue.name for queue in queues}


# -- exchanges ------------------------------------------------------------------------------------


def test_predeclared_exchanges(vhost: Vhost) -> None:
    """Every vhost has the default exchange and those of the reserved prefix."""
    assert {name: (x.type, x.durable, x.internal) for name, x in vhost.exchanges.items()} == {
        "": ("direct", True, False),
        "amq.direct": ("direct", True, False),
        "amq.fanout": ("fanout", True, False),
        "amq.topic": ("topic", True, False),
        "amq.headers": ("headers", True, False),
        "amq.match": ("headers", True, False),
        "amq.rabbitmq.trace": ("topic", True, True),
        "amq.rabbitmq.event": ("topic", True, True),  # in the vhost chosen for it alone
    }


def test_redeclaring_an_exchange(vhost: Vhost) -> None:
    """An identical redeclaration is no error, also of a predeclared exchange; unknown arguments
    are not compared."""
    make_exchange(vhost, arguments=table({"x-foo": "a"}))
    make_exchange(vhost, arguments=table({"x-foo": "b"}))
    make_exchange(vhost)
    make_exchange(vhost, "amq.direct", "direct", durable=True)


@pytest.mark.parametrize(
    ("properties", "name", "values"),
    [
        ({"kind": "topic"}, "type", "received 'topic' but current is 'direct'"),
        ({"durable": True}, "durable", "received 'true' but current is 'false'"),
        ({"auto_delete": True}, "auto_delete", "received 'true' but current is 'false'"),
        ({"internal": True}, "internal", "received 'true' but current is 'false'"),
        (
            {"arguments": table({"alternate-exchange": "amq.topic"})},
            "alternate-exchange",
            "received the value 'amq.topic' of type 'longstr' but current is none",
        ),
    ],
)
def test_redeclaring_an_exchange_differently(
    vhost: Vhost, properties: dict[str, Any], name: str, values: str
) -> None:
    """A redeclaration that differs is refused, with what differs."""
    make_exchange(vhost)
    found = refused(PreconditionFailed, lambda: make_exchange(vhost, **properties))
    assert found == f"inequivalent arg '{name}' for exchange 'x' in vhost '/': {values}"


def test_redeclaring_with_another_alternate(vhost: Vhost) -> None:
    """The alternate exchange is compared by name."""
    make_exchange(vhost, arguments=table({"alternate-exchange": "amq.fanout"}))
    other = table({"alternate-exchange": "amq.topic"})
    assert refused(PreconditionFailed, lambda: make_exchange(vhost, arguments=other)) == (
        "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': "
        "received 'amq.topic' but current is 'amq.fanout'"
    )


def test_unknown_exchange_types(vhost: Vhost) -> None:
    """A type nobody knows closes the connection; the text tells unknown from malformed."""
    assert refused(CommandInvalid, lambda: make_exchange(vhost, kind="x-event")) == (
        "unknown exchange type 'x-event'"
    )
    assert refused(CommandInvalid, lambda: make_exchange(vhost, kind="Direct")) == (
        "invalid exchange type 'Direct'"
    )


def test_reserved_exchange_names(vhost: Vhost) -> None:
    """New names may not begin with amq., whatever the arguments; such names cannot be deleted."""
    reserved = "exchange name 'amq.foo' contains reserved prefix 'amq.*'"
    bad = table({"alternate-exchange": 5})
    assert refused(AccessRefused, lambda: make_exchange(vhost, "amq.foo")) == reserved
    assert (
        refused(AccessRefused, lambda: make_exchange(vhost, "amq.foo", arguments=bad)) == reserved
    )
    assert refused(AccessRefused, lambda: vhost.delete_exchange("amq.topic")) == (
        "deletion of system exchange 'amq.topic' in vhost '/' not allowed"
    )
    assert refused(AccessRefused, lambda: vhost.delete_exchange("amq.nope")) == (
        "deletion of system exchange 'amq.nope' in vhost '/' not allowed"
    )
    assert refused(AccessRefused, lambda: vhost.delete_exchange("")) == (
        "operation not permitted on the default exchange"
    )


def test_deleting_exchanges(vhost: Vhost) -> None:
    """Deleting takes the bindings along; a missing exchange is no error; if-unused counts only
    bindings that the exchange is the source of."""
    queue = make_queue(vhost)
    make_exchange(vhost, "x", "fanout")
    make_exchange(vhost, "source", "fanout")
    vhost.bind("source", vhost.exchange("x"), "", {})
    vhost.bind("x", queue, "", {})
    assert refused(PreconditionFailed, lambda: vhost.delete_exchange("x", if_unused=True)) == (
        "exchange 'x' in vhost '/' in use"
    )
    vhost.unbind("x", queue, "", {})
    vhost.delete_exchange("x", if_unused=True)
    vhost.delete_exchange("x", if_unused=True)
    assert refused(NotFound, lambda: vhost.exchange("x")) == "no exchange 'x' in vhost '/'"
    assert reached(vhost, "source", "") == set()
    assert not vhost.exchanges["source"].bindings


@pytest.mark.parametrize("last", ["unbind", "delete queue", "delete exchange"])
def test_auto_delete_exchange(vhost: Vhost, last: str) -> None:
    """An auto-delete exchange goes with the last binding it is the source of, and a chain goes."""
    make_exchange(vhost, "x", "fanout", auto_delete=True)
    make_exchange(vhost, "middle", "fanout", auto_delete=True)
    make_exchange(vhost, "end", "fanout")
    queue = make_queue(vhost)
    vhost.bind("x", vhost.exchange("middle"), "", {})
    vhost.bind("middle", queue, "", {})
    vhost.bind("middle", vhost.exchange("end"), "", {})
    vhost.unbind("middle", vhost.exchange("end"), "", {})
    assert "middle" in vhost.exchanges
    if last == "unbind":
        vhost.unbind("middle", queue, "", {})
    elif last == "delete queue":
        vhost.delete_queue("q")
    else:
        vhost.delete_exchange("middle")
    assert "middle" not in vhost.exchanges
    assert "x" not in vhost.exchanges
    assert not queue.incoming


def test_auto_delete_exchange_as_destination_stays(vhost: Vhost) -> None:
    """An auto-delete exchange that was only a destination, or never bound, stays."""
    make_exchange(vhost, "x", "fanout", auto_delete=True)
    make_exchange(vhost, "source", "fanout")
    vhost.bind("source", vhost.exchange("x"), "", {})
    vhost.unbind("source", vhost.exchange("x"), "", {})
    assert "x" in vhost.exchanges


# -- queues ---------------------------------------------------------------------------------------


def test_redeclaring_a_queue(vhost: Vhost) -> None:
    """An identical redeclaration gives the same queue; exclusive and durable is exclusive."""
    queue = make_queue(vhost, durable=True, arguments={"x-message-ttl": 5})
    assert make_queue(vhost, durable=True, arguments={"x-message-ttl": 5}) is queue
    mine = make_queue(vhost, "mine", exclusive=True, durable=True)
    assert not mine.durable
    assert make_queue(vhost, "mine", exclusive=True, durable=True) is mine
    assert make_queue(vhost, "mine", exclusive=True) is mine


@pytest.mark.parametrize(
    ("properties", "name", "values"),
    [
        ({"durable": True}, "durable", "received 'true' but current is 'false'"),
        ({"auto_delete": True}, "auto_delete", "received 'true' but current is 'false'"),
        (
            {"arguments": {"x-max-length": 1}},
            "x-max-length",
            "received the value '1' of type 'signedint' but current is none",
        ),
    ],
)
def test_redeclaring_a_queue_differently(
    vhost: Vhost, properties: dict[str, Any], name: str, values: str
) -> None:
    """A redeclaration that differs is refused, with what differs."""
    make_queue(vhost)
    found = refused(PreconditionFailed, lambda: make_queue(vhost, **properties))
    assert found == f"inequivalent arg '{name}' for queue 'q' in vhost '/': {values}"


def test_reserved_queue_names(vhost: Vhost) -> None:
    """Names that begin with amq. are the server's, also if such a queue exists."""
    name = "amq.gen-1"
    options = {"durable": False, "exclusive": False, "auto_delete": False, "arguments": {}}
    assert vhost.declare_queue(name, owner=1, generated=True, **options).name == name  # type: ignore[arg-type]
    assert refused(AccessRefused, lambda: make_queue(vhost, name)) == (
        f"queue name '{name}' contains reserved prefix 'amq.*'"
    )


def test_invalid_arguments_declare_nothing(vhost: Vhost) -> None:
    """A queue with refused arguments does not come to be."""
    with pytest.raises(PreconditionFailed):
        make_queue(vhost, arguments={"x-message-ttl": -1})
    assert vhost.queues == {}


def test_exclusive_queues_are_locked(vhost: Vhost) -> None:
    """Another connection's exclusive queue is locked for all but publishing; and an exclusive
    flag that differs is 405, whatever else differs."""
    mine, other = object(), object()
    queue = make_queue(vhost, exclusive=True, owner=mine)
    assert vhost.queue("q", mine) is queue
    for call in (
        lambda: vhost.queue("q", other),
        lambda: vhost.delete_queue("q", other),
        lambda: make_queue(vhost, exclusive=True, owner=other),
        lambda: make_queue(vhost, owner=other),
        lambda: make_queue(vhost, owner=mine),
        lambda: make_queue(vhost, owner=mine, auto_delete=True),
    ):
        assert refused(ResourceLocked, call) == LOCKED
    assert reached(vhost, "", "q") == {"q"}
    make_queue(vhost, "shared")
    text = refused(ResourceLocked, lambda: make_queue(vhost, "shared", exclusive=True))
    assert text == LOCKED.replace("'q'", "'shared'")


def test_exclusive_queues_go_with_their_connection(vhost: Vhost) -> None:
    """All exclusive queues of a connection go when it ends, and nobody else's."""
    mine, other = object(), object()
    make_queue(vhost, "a", exclusive=True, owner=mine)
    make_queue(vhost, "b", exclusive=True, owner=mine)
    make_queue(vhost, "c", exclusive=True, owner=other)
    make_queue(vhost, "d", owner=mine)
    vhost.delete_queue("a", mine)
    make_queue(vhost, "a", owner=other)
    vhost.drop_exclusive(mine)
    vhost.drop_exclusive(mine)
    assert set(vhost.queues) == {"a", "c", "d"}


def test_deleted_exclusive_queues_are_not_remembered(vhost: Vhost) -> None:
    """A connection that declares and deletes exclusive queues for ever costs no memory."""
    mine = object()
    for _ in range(3):
        make_queue(vhost, exclusive=True, owner=mine)
        vhost.delete_queue("q", mine)
    assert not vhost._owned


def test_deleting_queues(vhost: Vhost) -> None:
    """Deleting counts the ready messages; conditions are checked; a missing queue is no error."""
    queue = make_queue(vhost)
    fill(queue, 3)
    assert refused(PreconditionFailed, lambda: vhost.delete_queue("q", if_empty=True)) == (
        "queue 'q' in vhost '/' not empty"
    )
    consumer = subscribe(queue, credit=0)
    assert refused(PreconditionFailed, lambda: vhost.delete_queue("q", if_unused=True)) == (
        "queue 'q' in vhost '/' in use"
    )
    queue.get(no_ack=False)
    assert vhost.delete_queue("q") == 2
    assert consumer.gone
    assert queue.deleted
    assert vhost.delete_queue("q", if_unused=True, if_empty=True) == 0
    assert vhost.drop_queue(queue) == 0
    assert refused(NotFound, lambda: vhost.queue("q")) == "no queue 'q' in vhost '/'"


def test_a_queue_with_only_unacked_messages_is_empty(vhost: Vhost) -> None:
    """if-empty looks at ready messages only."""
    queue = make_queue(vhost)
    fill(queue, 1)
    queue.get(no_ack=False)
    assert vhost.delete_queue("q", if_empty=True) == 0


# -- bindings and routing -------------------------------------------------------------------------


def test_bindings_are_idempotent(vhost: Vhost) -> None:
    """Binding twice is one binding, unbinding what is missing is no error."""
    queue = make_queue(vhost)
    for _ in range(2):
        vhost.bind("amq.direct", queue, "k", {})
    assert len(vhost.exchanges["amq.direct"].bindings) == 1
    vhost.bind("amq.direct", queue, "k", table({"a": 1}))
    assert len(vhost.exchanges["amq.direct"].bindings) == 2
    assert reached(vhost, "amq.direct", "k") == {"q"}
    for _ in range(2):
        vhost.unbind("amq.direct", queue, "k", {})
    assert len(vhost.exchanges["amq.direct"].bindings) == 1
    vhost.unbind("nope", queue, "k", {})


def test_binding_to_what_is_missing(vhost: Vhost) -> None:
    """A binding needs its source, and arguments that its kind can hold."""
    queue = make_queue(vhost)
    assert refused(NotFound, lambda: vhost.bind("nope", queue, "", {})) == (
        "no exchange 'nope' in vhost '/'"
    )
    with pytest.raises(PreconditionFailed):
        vhost.bind("amq.headers", queue, "", table({"x-match": "bogus"}))
    assert not queue.incoming


def test_default_exchange_routes_by_queue_name(vhost: Vhost) -> None:
    """Every queue is reached through the default exchange under its name."""
    make_queue(vhost, "q1")
    assert reached(vhost, "", "q1") == {"q1"}
    assert reached(vhost, "", "q2") == set()


def test_routing_through_exchanges(vhost: Vhost) -> None:
    """Exchanges bound to exchanges pass a message on, each queue gets it once, cycles end."""
    make_exchange(vhost, "a", "fanout")
    make_exchange(vhost, "b", "topic")
    one, two = make_queue(vhost, "one"), make_queue(vhost, "two")
    vhost.bind("a", vhost.exchange("b"), "", {})
    vhost.bind("b", vhost.exchange("a"), "#", {})
    vhost.bind("a", one, "", {})
    vhost.bind("b", one, "k.*", {})
    vhost.bind("b", two, "k.1", {})
    assert reached(vhost, "a", "k.1") == {"one", "two"}
    assert reached(vhost, "b", "k.2") == {"one"}


def test_alternate_exchanges(vhost: Vhost) -> None:
    """What matches no binding goes to the alternate, its alternate, and so on; cycles end."""
    make_queue(vhost, "q")
    make_queue(vhost, "k")
    make_exchange(vhost, "a", arguments=table({"alternate-exchange": "b"}))
    make_exchange(vhost, "b", arguments=table({"alternate-exchange": "c"}))
    make_exchange(vhost, "c", "fanout", arguments=table({"alternate-exchange": "a"}))
    assert reached(vhost, "a", "k") == set()
    vhost.bind("c", vhost.queues["q"], "", {})
    assert reached(vhost, "a", "k") == {"q"}
    vhost.bind("a", vhost.queues["k"], "k", {})
    assert reached(vhost, "a", "k") == {"k"}
    make_exchange(vhost, "d", "fanout")
    vhost.bind("d", vhost.exchange("a"), "", {})
    vhost.bind("d", vhost.queues["k"], "", {})
    assert reached(vhost, "d", "other") == {"k", "q"}, "each exchange on the way has its own"
    make_exchange(vhost, "missing", arguments=table({"alternate-exchange": "nope"}))
    assert reached(vhost, "missing", "k") == set()
    make_exchange(vhost, "default", arguments=table({"alternate-exchange": ""}))
    assert reached(vhost, "default", "k") == set(), "as in RabbitMQ, an empty name is none"


def test_headers_are_read_when_they_matter(vhost: Vhost) -> None:
    """A headers exchange anywhere on the way sees the message's headers."""
    make_exchange(vhost, "x", "fanout")
    queue = make_queue(vhost)
    vhost.bind("x", vhost.exchange("amq.headers"), "", {})
    vhost.bind("amq.headers", queue, "", table({"a": 1}))
    assert reached(vhost, "x", "k", a=1) == {"q"}
    assert reached(vhost, "x", "k", a=2) == set()
    assert reached(vhost, "x", "k") == set()


def test_a_route_may_be_cached_if_no_headers_can_matter(vhost: Vhost) -> None:
    """A route is cacheable unless a headers exchange can be reached, by binding or as alternate."""
    make_exchange(vhost, "x", "fanout", arguments=table({"alternate-exchange": "y"}))
    exchange = vhost.exchange("x")
    assert vhost.is_cacheable(exchange)
    assert vhost.is_cacheable(vhost.default_exchange)
    assert not vhost.is_cacheable(vhost.exchange("amq.headers"))
    make_exchange(vhost, "y", "topic")
    vhost.bind("x", vhost.exchange("y"), "", {})
    vhost.bind("y", exchange, "#", {})
    assert vhost.is_cacheable(exchange)
    vhost.bind("y", vhost.exchange("amq.match"), "never", {})
    assert not vhost.is_cacheable(exchange)
    vhost.unbind("y", vhost.exchange("amq.match"), "never", {})
    make_exchange(vhost, "z", arguments=table({"alternate-exchange": "amq.match"}))
    assert not vhost.is_cacheable(vhost.exchange("z"))


def test_every_change_of_topology_is_a_new_generation(vhost: Vhost) -> None:
    """Whatever changes where a message goes changes `generation`."""
    seen = {vhost.generation}

    def changed() -> None:
        assert vhost.generation not in seen
        seen.add(vhost.generation)

    queue = make_queue(vhost)
    changed()
    make_exchange(vhost, "x", "fanout")
    changed()
    vhost.bind("x", queue, "", {})
    changed()
    vhost.unbind("x", queue, "", {})
    changed()
    vhost.delete_exchange("x")
    changed()
    vhost.delete_queue("q")
    changed()
    make_queue(vhost, "mine", exclusive=True, owner=1)
    changed()
    vhost.drop_exclusive(1)
    changed()
    vhost.broker.remove_vhost("/")
    changed()


# -- durability -----------------------------------------------------------------------------------


def test_only_what_is_durable_is_logged() -> None:
    """The log hears of durable exchanges, queues and bindings between them, and of no others."""
    log = ListeningLog()
    vhost = make_vhost(log)
    log.told.clear()
    transient = make_queue(vhost, "t")
    make_queue(vhost, "e", durable=True, exclusive=True, owner=1)
    make_exchange(vhost, "tx", "fanout")
    durable = make_queue(vhost, "d", durable=True)
    make_exchange(vhost, "dx", "fanout", durable=True)
    for source in ("tx", "dx", "amq.fanout"):
        for queue in (transient, durable):
            vhost.bind(source, queue, "", {})
    vhost.unbind("dx", durable, "", {})
    vhost.delete_exchange("dx")
    vhost.delete_queue("t")
    vhost.delete_queue("d")
    named = [(o["op"], o.get("name") or (o["source"], o["destination"])) for o in log.operations]
    assert named == [
        ("queue.declare", "d"),
        ("exchange.declare", "dx"),
        ("bind", ("dx", "d")),
        ("bind", ("amq.fanout", "d")),
        ("unbind", ("dx", "d")),
        ("exchange.delete", "dx"),
        ("queue.delete", "d"),
    ]
