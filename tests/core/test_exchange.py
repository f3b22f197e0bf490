"""Exchange kinds: which bindings a routing key and headers select, and identity of bindings."""

import pytest

from broker.core.broker import Broker
from broker.core.exchange import Binding, Envelope, Exchange
from broker.core.vhost import Vhost
from protocol.content import encode_header, frame_content
from protocol.tables import Field, Table, table
from tests.core.doubles import make_exchange, make_queue, make_vhost

KINDS = ("direct", "fanout", "topic", "headers")


@pytest.fixture
def vhost() -> Vhost:
    """A vhost with the queues q1 to q3 and an exchange of each kind, named as its kind."""
    vhost = make_vhost()
    for name in ("q1", "q2", "q3"):
        make_queue(vhost, name)
    for kind in KINDS:
        make_exchange(vhost, kind, kind)
    return vhost


def bind(vhost: Vhost, exchange: str, queue: str, key: str = "", **arguments: object) -> None:
    """Bind a queue."""
    vhost.bind(exchange, vhost.queues[queue], key, table(arguments))


def reached(vhost: Vhost, exchange: str, key: str, headers: Table | None = None) -> set[str]:
    """The queues that the exchange's bindings lead to."""
    content = frame_content(1, encode_header(1, {"headers": headers or {}}), b"m")
    envelope = Envelope(vhost.broker, (key,), content)
    return {one.name for one in vhost.exchanges[exchange].destinations(envelope)}


def test_direct(vhost: Vhost) -> None:
    """A direct exchange takes the bindings whose key is the routing key."""
    bind(vhost, "direct", "q1", "a")
    bind(vhost, "direct", "q2", "a")
    bind(vhost, "direct", "q3", "")
    assert reached(vhost, "direct", "a") == {"q1", "q2"}
    assert reached(vhost, "direct", "") == {"q3"}
    assert reached(vhost, "direct", "A") == set()


def test_fanout(vhost: Vhost) -> None:
    """A fanout exchange takes every binding."""
    bind(vhost, "fanout", "q1", "a")
    bind(vhost, "fanout", "q2", "b")
    assert reached(vhost, "fanout", "c") == {"q1", "q2"}


def test_topic(vhost: Vhost) -> None:
    """A topic exchange takes the bindings whose pattern matches."""
    bind(vhost, "topic", "q1", "a.*")
    bind(vhost, "topic", "q2", "#")
    assert reached(vhost, "topic", "a.b") == {"q1", "q2"}
    assert reached(vhost, "topic", "b") == {"q2"}


def test_headers(vhost: Vhost) -> None:
    """A headers exchange takes the bindings whose arguments match, whatever the key."""
    bind(vhost, "headers", "q1", "k", a=1)
    bind(vhost, "headers", "q2", "k", a=2, b=3, **{"x-match": "any"})
    assert reached(vhost, "headers", "other", table({"a": 1})) == {"q1"}
    assert reached(vhost, "headers", "k", table({"b": 3})) == {"q2"}
    assert not vhost.exchanges["headers"].cacheable


@pytest.mark.parametrize("kind", KINDS)
def test_unbinding_takes_one_binding(vhost: Vhost, kind: str) -> None:
    """Unbinding removes that binding and no other of the same key."""
    bind(vhost, kind, "q1", "a")
    bind(vhost, kind, "q2", "a")
    vhost.unbind(kind, vhost.queues["q1"], "a", {})
    assert reached(vhost, kind, "a") == {"q2"}
    vhost.unbind(kind, vhost.queues["q2"], "a", {})
    assert reached(vhost, kind, "a") == set()


def binding(vhost: Vhost, key: str, arguments: Table, exchange: bool = False) -> Binding:
    """A binding that is not added anywhere."""
    destination = vhost.exchanges["fanout"] if exchange else vhost.queues["q1"]
    return Binding(vhost.exchanges["direct"], destination, key, arguments)


def test_identity_of_bindings(vhost: Vhost) -> None:
    """Bindings are the same if destination, key and arguments are, in any order of arguments."""
    plain = binding(vhost, "k", {})
    assert plain.identity == binding(vhost, "k", {}).identity
    assert plain.identity != binding(vhost, "l", {}).identity
    assert plain.identity != binding(vhost, "k", table({"a": 1})).identity
    assert plain.identity != binding(vhost, "k", {}, exchange=True).identity
    forward, back = table({"a": 1, "b": 2}), table({"b": 2, "a": 1})
    assert binding(vhost, "k", forward).identity == binding(vhost, "k", back).identity
    assert binding(vhost, "k", {"a": Field("I", 1)}).identity != (
        binding(vhost, "k", table({"a": 2})).identity
    )


def test_binding_is_as_durable_as_its_ends(vhost: Vhost) -> None:
    """A binding survives a restart if both its ends do."""
    durable = make_queue(vhost, "durable", durable=True)
    lasting = vhost.exchanges["amq.direct"]
    assert Binding(lasting, durable, "k", {}).durable
    assert not Binding(lasting, vhost.queues["q1"], "k", {}).durable
    assert not Binding(vhost.exchanges["direct"], durable, "k", {}).durable


def test_an_exchange_kind_must_say_how_it_routes() -> None:
    """The base class routes nothing."""
    with pytest.raises(NotImplementedError):
        Exchange("x", durable=False).destinations(Envelope(Broker(), ("",), b""))
