"""Bindings and routing: direct, fanout, topic, headers, default, exchange to exchange."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from conformance.channel import Channel
from conformance.conftest import Target

Declare = Callable[..., str]
Name = Callable[[str], str]


def reached(ch: Channel, exchange: str, key: str, queues: dict[str, str], **props: Any) -> set[str]:
    """Publish one message and tell which queues got it, each at most once."""
    ch.publish(exchange, key, "m", **props)
    ch.sync()
    found = {label: ch.drain(queue) for label, queue in queues.items()}
    assert all(len(bodies) <= 1 for bodies in found.values()), f"several copies: {found}"
    return {label for label, bodies in found.items() if bodies}


# -- direct, fanout and default


def test_direct(ch: Channel, exchange: Declare, name: Name) -> None:
    """A direct exchange compares the whole key, octet by octet."""
    direct = exchange("direct")
    queues = {}
    for key in ("a", "A", "a.b", "", "*", "#", "a b", "é"):
        queues[key] = ch.declare(name("q"))
        ch.bind(queues[key], direct, key)
    for key in queues:
        assert reached(ch, direct, key, queues) == {key}
    assert reached(ch, direct, "b", queues) == set()


def test_direct_many_keys_and_queues(ch: Channel, exchange: Declare, name: Name) -> None:
    """Several queues share a key, one queue has several; each gets one copy."""
    direct = exchange("direct")
    queues = {label: ch.declare(name("q")) for label in "xyz"}
    for label, keys in {"x": "ab", "y": "bc", "z": "abc"}.items():
        for key in keys:
            ch.bind(queues[label], direct, key)
    assert reached(ch, direct, "a", queues) == {"x", "z"}
    assert reached(ch, direct, "b", queues) == {"x", "y", "z"}
    assert reached(ch, direct, "c", queues) == {"y", "z"}


def test_routing_key_of_255_octets(ch: Channel, exchange: Declare, queue: str) -> None:
    """A key may be as long as a short string."""
    direct = exchange("direct")
    ch.bind(queue, direct, "k" * 255)
    ch.publish(direct, "k" * 254, "no")
    ch.publish(direct, "k" * 255, "yes")
    ch.sync()
    ch.get(queue, body="yes", routing_key="k" * 255)
    ch.get_empty(queue)


def test_fanout_ignores_keys(ch: Channel, exchange: Declare, name: Name) -> None:
    """A fanout exchange looks at no key, neither the binding's nor the message's."""
    fanout = exchange("fanout")
    queues = {label: ch.declare(name("q")) for label in "xy"}
    ch.bind(queues["x"], fanout, "a")
    ch.bind(queues["x"], fanout, "b")
    ch.bind(queues["y"], fanout)
    for key in ("", "a", "c"):
        assert reached(ch, fanout, key, queues) == {"x", "y"}


def test_default_exchange(ch: Channel, name: Name) -> None:
    """The default exchange routes by the queue's name, without a binding."""
    queues = {label: ch.declare(name("q")) for label in "xy"}
    for label, queue in queues.items():
        assert reached(ch, "", queue, queues) == {label}
    assert reached(ch, "", "nobody", queues) == set()


@pytest.mark.parametrize("method", ["queue.bind", "queue.unbind"])
def test_default_exchange_has_no_bindings(ch: Channel, queue: str, method: str) -> None:
    """Nobody may bind to the default exchange or unbind from it."""
    ch.send(method, queue=queue, exchange="", routing_key=queue)
    text = "ACCESS_REFUSED - operation not permitted on the default exchange"
    ch.expect_channel_close(403, text, 50, 20 if method == "queue.bind" else 50)


# -- topic


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("#", ["", "a", "a.b", "a.b.c", ".", "..", "a."], []),
        ("*", ["a", "*", "#", "a b"], ["", "a.b", ".", "a."]),
        ("*.*", ["a.b", ".", "a.", ".b"], ["", "a", "a.b.c", ".."]),
        ("a", ["a"], ["", "A", "a.", ".a", "a.a"]),
        ("", [""], ["a", ".", "#"]),
        ("a.*", ["a.b", "a.", "a.*"], ["a", "a.b.c", "b.b", "A.b"]),
        ("*.b", ["a.b", ".b"], ["b", "a.b.", "x.a.b"]),
        ("a.#", ["a", "a.b", "a.b.c", "a.", "a.."], ["", "b", "ab", "b.a"]),
        ("#.a", ["a", "b.a", "c.b.a", ".a"], ["", "a.b", "ab", "a."]),
        ("a.#.b", ["a.b", "a.x.b", "a.x.y.b", "a.b.b", "a.a.b", "a..b"], ["a", "b", "a.b.c", "ab"]),
        ("#.#", ["", "a", "a.b", "."], []),
        ("#.*", ["a", "a.b", ".", "a.b.c"], [""]),
        ("*.#", ["a", "a.b", "."], [""]),
        ("*.#.*", ["a.b", "a.b.c", "."], ["", "a"]),
        ("#.a.#", ["a", "b.a", "a.b", "b.a.c", "a.a", "b.b.a.b.b"], ["", "b", "b.b", "ab"]),
        ("#.a.#.b.#", ["a.b", "x.a.y.b.z", "b.a.b"], ["a", "b", "b.a"]),
        ("a.*.#.c", ["a.b.c", "a.b.x.c", "a.c.c"], ["a.c", "a.b", "a"]),
        ("a.*.c.*.e", ["a.b.c.d.e", "a..c..e"], ["a.b.c.d", "a.b.b.d.e"]),
        ("..", [".."], [".", "...", "a.b.c"]),
        ("a#", ["a#"], ["a", "ab", "a.b"]),
        ("a*", ["a*"], ["a", "ab"]),
        ("**", ["**"], ["a", "a.b"]),
        ("##", ["##"], ["a", ""]),
        ("#a.b", ["#a.b"], ["xa.b", "x.a.b"]),
        ("stock.*.nyse", ["stock.ibm.nyse"], ["stock.nyse", "stock.ibm.x.nyse"]),
        ("é.*", ["é.ü"], ["e.u"]),
    ],
)
def test_topic_pattern(
    ch: Channel, exchange: Declare, queue: str, pattern: str, yes: list[str], no: list[str]
) -> None:
    """`*` is one word, also an empty one; `#` any number of words; only between dots."""
    topic = exchange("topic")
    ch.bind(queue, topic, pattern)
    for key in yes + no:
        ch.publish(topic, key, key)
    ch.sync()
    assert ch.drain(queue) == yes


def test_topic_overlapping_patterns(ch: Channel, exchange: Declare, name: Name) -> None:
    """However many patterns of a queue match, it gets one copy."""
    topic = exchange("topic")
    queues = {label: ch.declare(name("q")) for label in "xy"}
    for pattern in ("#", "*", "a.#", "a.b", "*.b", "#.b", "a.*", "#.#", "#.a.#"):
        ch.bind(queues["x"], topic, pattern)
    ch.bind(queues["y"], topic, "a.b.c")
    assert reached(ch, topic, "a.b", queues) == {"x"}
    assert reached(ch, topic, "a.b.c", queues) == {"x", "y"}


def test_topic_unbind_one_of_several(ch: Channel, exchange: Declare, queue: str) -> None:
    """Unbinding a pattern leaves the others, also those that begin alike."""
    topic = exchange("topic")
    for pattern in ("a.b", "a.b.c", "a.*", "a.#"):
        ch.bind(queue, topic, pattern)
    for gone in ("a.b", "a.#", "a.*"):
        ch.call("queue.unbind", queue=queue, exchange=topic, routing_key=gone)
    for key in ("a", "a.b", "a.x", "a.b.c"):
        ch.publish(topic, key, key)
    ch.sync()
    assert ch.drain(queue) == ["a.b.c"]


@pytest.mark.parametrize("wildcards", [3, 20])
def test_topic_many_wildcards(
    broker: Target, ch: Channel, exchange: Declare, queue: str, wildcards: int
) -> None:
    """A pattern made to be expensive is answered in time."""
    if wildcards > 3 and not broker.is_leveret:
        pytest.skip("RabbitMQ's time for this grows exponentially")
    topic = exchange("topic")
    ch.bind(queue, topic, ".".join(["#", "a"] * wildcards) + ".b")
    ch.publish(topic, ".".join(["a"] * 3 * wildcards), "no")
    ch.publish(topic, ".".join(["a"] * 3 * wildcards + ["b"]), "yes")
    ch.sync()
    assert ch.drain(queue) == ["yes"]


# -- headers

BINDINGS: dict[str, dict[str, Any]] = {
    "all": {"x-match": "all", "a": 1, "b": "x"},
    "any": {"x-match": "any", "a": 1, "b": "x"},
    "default": {"a": 1, "b": "x"},
    "allx": {"x-match": "all-with-x", "a": 1, "x-k": "v"},
    "anyx": {"x-match": "any-with-x", "a": 1, "x-k": "v"},
    "all_xk": {"x-match": "all", "a": 1, "x-k": "v"},
    "any_xk": {"x-match": "any", "x-k": "v"},
    "empty": {},
    "empty_any": {"x-match": "any"},
    "empty_anyx": {"x-match": "any-with-x"},
    "void": {"x-match": "all", "p": None},
    "void_any": {"x-match": "any", "p": None},
    "nested": {"x-match": "all", "t": {"F": {"k": 1}}},
    "float": {"x-match": "all", "n": 1.0},
    "bool": {"x-match": "all", "f": True},
}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, "empty"),
        ({}, "empty"),
        ({"a": 1}, "any anyx all_xk empty"),
        ({"a": 1, "b": "x"}, "all any default anyx all_xk empty"),
        ({"a": 1, "b": "y"}, "any anyx all_xk empty"),
        ({"a": 2, "b": "x"}, "any empty"),
        ({"a": {"l": 1}, "b": "x"}, "all any default anyx all_xk empty"),
        ({"a": {"s": 1}, "b": {"x": {"hex": "78"}}}, "all any default anyx all_xk empty"),
        ({"a": "1", "b": "x"}, "any empty"),
        ({"a": 1.0, "b": "x"}, "all any default anyx all_xk empty"),
        ({"a": 1, "b": "x", "c": 3}, "all any default anyx all_xk empty"),
        ({"a": 1, "x-k": "v"}, "any allx anyx all_xk empty"),
        ({"x-k": "v"}, "anyx empty"),
        ({"a": 1, "x-k": "w"}, "any anyx all_xk empty"),
        ({"p": None}, "empty void void_any"),
        ({"p": "anything"}, "empty void void_any"),
        ({"p": 5}, "empty void void_any"),
        ({"t": {"F": {"k": 1}}}, "empty nested"),
        ({"t": {"F": {"k": 2}}}, "empty"),
        ({"n": 1}, "empty float"),
        ({"n": 1.0}, "empty float"),
        ({"f": True}, "empty bool"),
        ({"f": 1}, "empty"),
        ({"A": 1}, "empty"),
        ({"x-match": "any"}, "empty"),
    ],
)
def test_headers(
    ch: Channel, exchange: Declare, name: Name, headers: dict[str, Any] | None, expected: str
) -> None:
    """All four x-match modes: numbers compare by value, S equals x, void asks for presence."""
    match = exchange("headers")
    queues = {label: ch.declare(name("q")) for label in BINDINGS}
    for label, arguments in BINDINGS.items():
        ch.bind(queues[label], match, arguments=arguments)
    assert reached(ch, match, "", queues, headers=headers) == set(expected.split())


def test_headers_ignores_keys(ch: Channel, exchange: Declare, queue: str) -> None:
    """A headers exchange looks at no routing key."""
    match = exchange("headers")
    ch.bind(queue, match, "bound", arguments={"a": 1})
    ch.publish(match, "other", "x", headers={"a": 1})
    ch.publish(match, "bound", "y", headers={"a": 2})
    ch.sync()
    assert ch.drain(queue) == ["x"]


@pytest.mark.parametrize("value", ["bogus", "ALL", "", "all "])
def test_bad_x_match(ch: Channel, exchange: Declare, queue: str, value: str) -> None:
    """x-match has four values."""
    match = exchange("headers")
    ch.send("queue.bind", queue=queue, exchange=match, arguments={"x-match": value})
    shown = f'<<"{value}">>' if value else "<<>>"
    text = (
        f"PRECONDITION_FAILED - Invalid x-match field value {shown}; "
        "expected all, any, all-with-x, or any-with-x"
    )
    ch.expect_channel_close(406, text, 50, 20)


def test_x_match_elsewhere_is_an_argument(ch: Channel, exchange: Declare, queue: str) -> None:
    """Exchanges of other types do not look at x-match."""
    ch.bind(queue, exchange("direct"), "k", arguments={"x-match": "bogus"})


# -- bind and unbind


def test_bindings_differ_by_arguments(ch: Channel, exchange: Declare, queue: str) -> None:
    """Key and arguments make a binding: each is unbound by itself."""
    direct = exchange("direct")
    variants: list[dict[str, Any]] = [{}, {"a": 1}, {"a": 2}, {"a": 1, "b": "x"}]
    for arguments in variants:
        ch.bind(queue, direct, "k", arguments=arguments)
    for n, arguments in enumerate(variants):
        ch.publish(direct, "k", str(n), mandatory=True)
        ch.call("queue.unbind", queue=queue, exchange=direct, routing_key="k", arguments=arguments)
    ch.publish(direct, "k", "end", mandatory=True)
    ch.expect_content("basic.return", body="end")
    assert ch.drain(queue) == ["0", "1", "2", "3"]


def test_unbind_other_arguments(ch: Channel, exchange: Declare, queue: str) -> None:
    """Unbinding with arguments that no binding has unbinds nothing."""
    direct = exchange("direct")
    ch.bind(queue, direct, "k", arguments={"a": 1})
    for arguments in ({}, {"a": 2}, {"a": "1"}, {"b": 1}):
        ch.call("queue.unbind", queue=queue, exchange=direct, routing_key="k", arguments=arguments)
    ch.publish(direct, "k", "x")
    ch.sync()
    assert ch.drain(queue) == ["x"]


def test_bind_twice_unbind_once(ch: Channel, exchange: Declare, queue: str) -> None:
    """The same binding twice is one binding."""
    fanout = exchange("fanout")
    ch.bind(queue, fanout, "k")
    ch.bind(queue, fanout, "k")
    ch.call("queue.unbind", queue=queue, exchange=fanout, routing_key="k")
    ch.publish(fanout, "k", "x", mandatory=True)
    ch.expect_content("basic.return")


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("queue", "NOT_FOUND - no queue 'nope' in vhost '/'"),
        ("exchange", "NOT_FOUND - no exchange 'nope' in vhost '/'"),
    ],
)
def test_bind_missing(ch: Channel, queue: str, missing: str, text: str) -> None:
    """Both ends of a binding must exist."""
    ends = {"queue": queue, "exchange": "amq.direct"} | {missing: "nope"}
    ch.send("queue.bind", routing_key="k", **ends)
    ch.expect_channel_close(404, text, 50, 20)


@pytest.mark.parametrize("missing", ["queue", "exchange", "binding"])
def test_unbind_missing(ch: Channel, queue: str, missing: str) -> None:
    """Unbinding what is not there succeeds."""
    ends = {"queue": queue, "exchange": "amq.direct"} | {missing: "nope"}
    ends.pop("binding", None)
    ch.call("queue.unbind", routing_key="never", **ends)


def test_bindings_go_with_their_queue(ch: Channel, exchange: Declare, queue: str) -> None:
    """A deleted queue takes its bindings along; messages become unroutable at once."""
    fanout = exchange("fanout")
    ch.bind(queue, fanout)
    ch.call("queue.delete", queue=queue)
    ch.publish(fanout, "", "x", mandatory=True)
    ch.expect_content("basic.return", reply_code=312)


def test_bind_with_empty_names(ch: Channel, exchange: Declare) -> None:
    """Empty queue and key stand for the last queue and its name."""
    direct = exchange("direct")
    queue = ch.declare(exclusive=True)
    ch.bind("", direct)
    ch.publish(direct, queue, "x", mandatory=True)
    ch.publish(direct, "", "y", mandatory=True)
    ch.expect_content("basic.return", body="y")
    assert ch.drain(queue) == ["x"]


@pytest.mark.parametrize("nowait", [False, True])
def test_bind_nowait(ch: Channel, exchange: Declare, queue: str, nowait: bool) -> None:
    """nowait leaves out the answer and nothing else."""
    direct = exchange("direct")
    ch.send("queue.bind", queue=queue, exchange=direct, routing_key="k", nowait=nowait)
    if not nowait:
        ch.expect("queue.bind-ok")
    ch.publish(direct, "k", "x")
    ch.sync()
    assert ch.drain(queue) == ["x"]


# -- exchange to exchange


def test_e2e_filters_twice(ch: Channel, exchange: Declare, queue: str) -> None:
    """A message must match every binding on its way; the key stays the publisher's."""
    outer, inner = exchange("topic"), exchange("direct")
    ch.call("exchange.bind", destination=inner, source=outer, routing_key="a.#")
    ch.bind(queue, inner, "a.b")
    for key in ("a.b", "a.c", "b"):
        ch.publish(outer, key, key)
    ch.sync()
    ch.get(queue, body="a.b", exchange=outer, routing_key="a.b")
    ch.get_empty(queue)


def test_e2e_diamond(ch: Channel, exchange: Declare, queue: str) -> None:
    """Two ways to one queue bring one copy."""
    top, left, right = exchange("fanout"), exchange("fanout"), exchange("fanout")
    for side in (left, right):
        ch.call("exchange.bind", destination=side, source=top)
        ch.bind(queue, side)
    ch.publish(top, "", "x")
    ch.sync()
    assert ch.drain(queue) == ["x"]


def test_e2e_cycle(ch: Channel, exchange: Declare, queue: str) -> None:
    """Exchanges bound in a circle route a message once."""
    ring = [exchange("fanout") for _ in range(4)]
    for n, source in enumerate(ring):
        ch.call("exchange.bind", destination=ring[(n + 1) % 4], source=source)
    ch.bind(queue, ring[3])
    for source in ring:
        ch.publish(source, "", "x")
    ch.sync()
    assert ch.drain(queue) == ["x"] * 4


def test_e2e_long_chain(ch: Channel, exchange: Declare, queue: str) -> None:
    """A chain may be long."""
    chain = [exchange("fanout") for _ in range(30)]
    for source, destination in itertools.pairwise(chain):
        ch.call("exchange.bind", destination=destination, source=source)
    ch.bind(queue, chain[-1])
    ch.publish(chain[0], "k", "x")
    ch.sync()
    ch.get(queue, body="x", exchange=chain[0], routing_key="k")


def test_e2e_unbind(ch: Channel, exchange: Declare, queue: str) -> None:
    """exchange.unbind takes away one binding by key and arguments."""
    source, destination = exchange("direct"), exchange("fanout")
    ch.bind(queue, destination)
    for key in ("a", "b"):
        ch.call("exchange.bind", destination=destination, source=source, routing_key=key)
    ch.call("exchange.unbind", destination=destination, source=source, routing_key="a")
    for key in ("a", "b"):
        ch.publish(source, key, key)
    ch.sync()
    assert ch.drain(queue) == ["b"]


def test_e2e_headers(ch: Channel, exchange: Declare, queue: str) -> None:
    """A headers exchange can be a source, with its arguments on the exchange binding."""
    source, destination = exchange("headers"), exchange("fanout")
    arguments = {"x-match": "any", "a": 1, "b": 2}
    ch.call("exchange.bind", destination=destination, source=source, arguments=arguments)
    ch.bind(queue, destination)
    ch.publish(source, "", "x", headers={"b": 2})
    ch.publish(source, "", "y", headers={"c": 2})
    ch.sync()
    assert ch.drain(queue) == ["x"]


def test_e2e_goes_with_the_destination(ch: Channel, exchange: Declare) -> None:
    """A deleted destination takes the binding along."""
    source, destination = exchange("fanout"), exchange("fanout")
    ch.call("exchange.bind", destination=destination, source=source)
    ch.call("exchange.delete", exchange=destination)
    ch.call("exchange.delete", exchange=source, if_unused=True)


@pytest.mark.parametrize("method", ["exchange.bind", "exchange.unbind"])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_e2e_default(ch: Channel, method: str, side: str) -> None:
    """The default exchange is neither source nor destination."""
    ends = {"source": "amq.fanout", "destination": "amq.topic"} | {side: ""}
    ch.send(method, **ends)
    text = "ACCESS_REFUSED - operation not permitted on the default exchange"
    ch.expect_channel_close(403, text, 40, 30 if method == "exchange.bind" else 40)


def test_e2e_nowait(ch: Channel, exchange: Declare, queue: str) -> None:
    """exchange.bind and unbind with nowait have no answer."""
    source, destination = exchange("fanout"), exchange("fanout")
    ch.bind(queue, destination)
    ch.send("exchange.bind", destination=destination, source=source, nowait=True)
    ch.publish(source, "", "x")
    ch.send("exchange.unbind", destination=destination, source=source, nowait=True)
    ch.publish(source, "", "y")
    ch.sync()
    assert ch.drain(queue) == ["x"]


@pytest.mark.parametrize(
    "value",
    [True, {"b": -5}, {"B": 250}, {"s": -300}, {"u": 60000}, -70000, {"i": 4000000000},
     {"l": -5000000000}, {"f": 1.5}, 2.25, {"D": [2, 12345]}, "str", {"x": {"hex": "00ff"}},
     [1, "two", [3]], {"T": 1700000000}, {"F": {"k": {"F": {}}}}, None],
)  # fmt: skip
def test_arguments_of_every_type(ch: Channel, exchange: Declare, queue: str, value: Any) -> None:
    """A binding's arguments may hold every field type, and unbinding finds it by them."""
    direct = exchange("direct", arguments={"app": value})
    ch.bind(queue, direct, "k", arguments={"app": value})
    ch.call("queue.unbind", queue=queue, exchange=direct, routing_key="k", arguments={"app": value})
    ch.publish(direct, "k", "x", mandatory=True)
    ch.expect_content("basic.return")
