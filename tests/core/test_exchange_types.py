"""Exchange kinds beyond the specification's: hashes, chance, history, delay, deduplication."""

from collections.abc import Callable

import pytest

from broker.core.broker import Broker
from broker.core.exchange import EXCHANGE_TYPES
from broker.core.exchanges.delayed import RELEASE_BATCH_MAX, DelayStore, delay_of
from broker.core.operations import apply, decode_operation
from broker.core.queue import Queue
from broker.core.route import Route
from broker.core.vhost import Vhost
from protocol.content import body_of, headers_of, peek_content
from protocol.errors import AmqpError
from protocol.tables import Field, table
from tests.core.doubles import ListeningLog, StandInPublisher, make_exchange, make_queue, make_vhost
from tests.frames import message

FANOUT = table({"x-delayed-type": "fanout"})
CACHEABLE = {"direct", "fanout", "topic", "x-consistent-hash", "x-modulus-hash"}


class CountingLog(ListeningLog):
    """Says that messages are kept from the first batch on, so that settling them matters."""

    def __init__(self) -> None:
        super().__init__()
        self.gathering = 1


def vhost_at(now_ms: int, log: ListeningLog | None = None) -> Vhost:
    """A vhost whose broker lives at this time."""
    vhost = make_vhost(log)
    vhost.broker.now_ms = now_ms
    return vhost


def send(vhost: Vhost, exchange: str, body: bytes, **headers: object) -> None:
    """Publish a persistent message."""
    content = message(1, body, headers=headers, delivery_mode=2)
    queues = vhost.route(vhost.exchanges[exchange], "k", content)
    route = Route(vhost.broker, StandInPublisher(), b"\x01x\x01k", queues)
    route.publish(content, len(body), *peek_content(content))


def bodies(queue: Queue) -> list[bytes]:
    """What a queue holds."""
    return [body_of(each.content) for each in queue.backlog]


def advance(vhost: Vhost, to_ms: int) -> None:
    """Let time pass, and what is due happen."""
    vhost.broker.now_ms = to_ms
    vhost.broker.timers.run(to_ms)


def delayed(vhost: Vhost, *, durable: bool = True) -> tuple[DelayStore, Queue]:
    """A delayed fanout exchange named x, and a queue bound to it."""
    make_exchange(vhost, "x", "x-delayed-message", durable=durable, arguments=FANOUT)
    queue = make_queue(vhost, "q", durable=durable)
    vhost.bind("x", queue, "", {})
    [store] = vhost.exchanges["x"].stores
    assert isinstance(store, DelayStore)
    return store, queue


def test_which_routes_may_be_cached() -> None:
    """A route may be remembered by key if nothing else decides it, and it leaves no trace."""
    vhost = make_vhost()
    needed = {
        "x-federation-upstream": {"x-max-hops": Field("l", 1)},
        "x-delayed-message": FANOUT,
        "x-message-deduplication": table({"x-cache-size": 1}),
    }
    for kind in EXCHANGE_TYPES:
        make_exchange(vhost, kind, kind, arguments=needed.get(kind))
    found = {kind for kind in EXCHANGE_TYPES if vhost.is_cacheable(vhost.exchanges[kind])}
    assert found == CACHEABLE
    by_header = table({"hash-header": "h"})
    make_exchange(vhost, "h", "x-consistent-hash", arguments=by_header)
    assert not vhost.is_cacheable(vhost.exchanges["h"])
    vhost.bind("fanout", vhost.exchanges["h"], "", {})
    assert not vhost.is_cacheable(vhost.exchanges["fanout"])


def test_random_asks_for_a_number() -> None:
    """The shell's chance chooses among the bindings."""
    vhost = make_vhost()
    make_exchange(vhost, "x", "x-random")
    queues = [make_queue(vhost, name) for name in "abc"]
    for queue in queues:
        vhost.bind("x", queue, "", {})
    asked: list[int] = []
    vhost.broker.random = lambda below: asked.append(below) or 2  # type: ignore[func-returns-value]
    assert vhost.route(vhost.exchanges["x"], "k", message()) == [queues[2]]
    assert asked == [3]


def test_consistent_hash_depends_on_names_and_weights_alone() -> None:
    """The order of binding, and anything that came and went, changes no key's queue."""
    found = []
    for names in ("abcd", "dcba"):
        vhost = make_vhost()
        make_exchange(vhost, "x", "x-consistent-hash")
        for weight, name in enumerate(names):
            make_queue(vhost, name)
            vhost.bind("x", vhost.queues[name], str(1 + "abcd".index(name)), {})
            if weight == 2:
                vhost.bind("x", make_queue(vhost, "gone"), "9", {})
        vhost.drop_queue(vhost.queues["gone"])
        routed = [vhost.route(vhost.exchanges["x"], f"{n}", b"")[0].name for n in range(200)]
        found.append(routed)
    assert found[0] == found[1]
    assert set(found[0]) == set("abcd")


# -- delayed


def test_due_messages_leave_in_order() -> None:
    """What is due goes by due time, then by age; the rest waits; each goes once."""
    vhost = vhost_at(1000)
    _, queue = delayed(vhost)
    for body, delay in ((b"c", 30), (b"a", 10), (b"b", 10), (b"d", 1 << 40)):
        send(vhost, "x", body, **{"x-delay": delay})
    advance(vhost, 1009)
    assert bodies(queue) == []
    advance(vhost, 1010)
    assert bodies(queue) == [b"a", b"b"]
    advance(vhost, 5000)
    assert bodies(queue) == [b"a", b"b", b"c"]
    advance(vhost, 1000 + (1 << 40))
    assert bodies(queue) == [b"a", b"b", b"c", b"d"]


def test_one_batch_holds_release_and_end() -> None:
    """The message in the store is settled where its copy is published, and it is logged once."""
    log = CountingLog()
    vhost = vhost_at(1000, log)
    store, queue = delayed(vhost)
    send(vhost, "x", b"m", **{"x-delay": 5})
    assert log.of("route")[-1][1] == (store.id,)
    log.gathering = 2
    advance(vhost, 1005)
    [kept] = queue.backlog
    assert kept.batch == 2
    assert headers_of(kept.content) == {"x-delay": Field("I", -5)}
    assert log.of("route")[-1][1] == (queue.id,)
    [(queue_id, _, batches)] = log.of("settle")
    assert (queue_id, batches) == (store.id, [1])


def test_a_flood_of_due_messages_leaves_in_parts() -> None:
    """Not more than a batch goes at once, so that others get their turn."""
    vhost = vhost_at(0)
    store, queue = delayed(vhost)
    for _ in range(RELEASE_BATCH_MAX + 1):
        send(vhost, "x", b"m", **{"x-delay": 5})
    advance(vhost, 5)
    assert (len(store), len(queue)) == (1, RELEASE_BATCH_MAX)
    assert vhost.broker.timers.next_due_ms == 5
    advance(vhost, 5)
    assert (len(store), len(queue)) == (0, RELEASE_BATCH_MAX + 1)


def test_a_timer_for_the_first_message_only() -> None:
    """A message due later than the first sets no timer of its own."""
    vhost = vhost_at(0)
    delayed(vhost)
    for delay, due in ((50, 50), (70, 50), (20, 20), (30, 20)):
        send(vhost, "x", b"m", **{"x-delay": delay})
        assert vhost.broker.timers.next_due_ms == due
    advance(vhost, 30)
    assert vhost.broker.timers.next_due_ms == 50


def test_waiting_messages_can_be_listed_and_cancelled() -> None:
    """The list is in order of due times; a cancelled message is settled and never due."""
    log = CountingLog()
    vhost = vhost_at(1000, log)
    store, queue = delayed(vhost)
    for body, delay in ((b"b", 20), (b"a", 10), (b"c", 30)):
        send(vhost, "x", body, **{"x-delay": delay})
    listed = store.listed()
    assert [(due, body_of(each.content)) for due, each in listed] == [
        (1010, b"a"), (1020, b"b"), (1030, b"c"),
    ]  # fmt: skip
    assert store.cancel([listed[0][1].id, listed[2][1].id, 999]) == 2
    assert len(log.of("settle")[0][1]) == 2
    advance(vhost, 2000)
    assert bodies(queue) == [b"b"]


@pytest.mark.parametrize("drop", [
    lambda vhost: vhost.delete_exchange("x"),
    lambda vhost: vhost.broker.remove_vhost("/"),
])  # fmt: skip
def test_waiting_messages_go_with_their_exchange(drop: Callable[[Vhost], None]) -> None:
    """Their references on the log are released, and the timer finds nothing."""
    log = CountingLog()
    vhost = vhost_at(0, log)
    store, _ = delayed(vhost)
    send(vhost, "x", b"m", **{"x-delay": 5})
    drop(vhost)
    assert [1] in [batches for (batches,) in log.of("release")]
    assert len(store) == 0
    advance(vhost, 10)


def test_transient_exchange_keeps_nothing_in_the_log() -> None:
    """What waits on an exchange that is not durable is not logged."""
    log = CountingLog()
    vhost = vhost_at(0, log)
    delayed(vhost, durable=False)
    send(vhost, "x", b"m", **{"x-delay": 5})
    assert log.of("publish") == []


def test_stores_keep_their_queue_ids() -> None:
    """A snapshot gives an exchange's stores the ids they had, and ids are never given twice."""
    vhost = make_vhost()
    make_queue(vhost, "before", durable=True)
    inner = table({"x-delayed-type": "x-recent-history"})
    make_exchange(vhost, "x", "x-delayed-message", durable=True, arguments=inner)
    make_queue(vhost, "after", durable=True)
    ids = [queue.id for queue in vhost.keepers()]
    assert len(set(ids)) == 4
    again = Broker()
    for octets in vhost.broker.snapshot():
        apply(again, decode_operation(octets))
    assert [queue.id for queue in again.vhosts["/"].keepers()] == ids
    assert again.next_queue_id == vhost.broker.next_queue_id


@pytest.mark.parametrize(
    ("value", "delay_ms"),
    [(Field("b", 5), 5), (Field("l", 1 << 40), 1 << 40), (Field("S", b"+7"), 7),
     (Field("S", b"7 "), 0), (Field("S", b"9" * 30), (1 << 63) - 1), (Field("d", 2.9), 2),
     (Field("d", float("nan")), 0), (Field("f", float("inf")), 0), (Field("D", (1, 25)), 2),
     (Field("t", True), 0), (Field("T", 5), 0), (Field("F", {}), 0), (Field("I", -3), -3)],
)  # fmt: skip
def test_delay_of(value: Field, delay_ms: int) -> None:
    """Integers, numbers as text, floats and decimals say a delay; nothing else does."""
    assert delay_of({"x-delay": value}) == delay_ms


# -- history and deduplication


def test_history_settles_what_falls_out() -> None:
    """The log need not keep what the history forgot."""
    log = CountingLog()
    vhost = vhost_at(0, log)
    length = table({"x-recent-history-length": 2})
    make_exchange(vhost, "x", "x-recent-history", durable=True, arguments=length)
    [store] = vhost.exchanges["x"].stores
    for body in (b"a", b"b", b"c"):
        send(vhost, "x", body)
    assert bodies(store) == [b"b", b"c"]
    assert log.of("settle") == [(store.id, [1], [1])]


def test_history_is_given_to_new_bindings_only() -> None:
    """A binding that is recovered brings nothing: its queue has it already."""
    vhost = make_vhost()
    make_exchange(vhost, "x", "x-recent-history")
    send(vhost, "x", b"m")
    queue = make_queue(vhost)
    operation = {
        "op": "bind", "vhost": "/", "source": "x", "destination": "q",
        "destination_type": "queue", "routing_key": "", "arguments": {},
    }  # fmt: skip
    apply(vhost.broker, operation)
    assert bodies(queue) == []
    vhost.bind("x", queue, "new", {})
    assert bodies(queue) == [b"m"]


def test_a_remembered_header_is_a_small_message_in_the_log() -> None:
    """It is settled when the cache is full, or when its time is found to be over."""
    log = CountingLog()
    vhost = vhost_at(1000, log)
    arguments = table({"x-cache-size": 2, "x-cache-ttl": 50})
    make_exchange(vhost, "x", "x-message-deduplication", durable=True, arguments=arguments)
    [store] = vhost.exchanges["x"].stores
    for value in ("a", "b", "c"):
        send(vhost, "x", b"m" * 1000, **{"x-deduplication-header": value})
    assert all(len(content) < 100 for *_, content in log.of("publish"))
    assert [queue_id for queue_id, _, _ in log.of("settle")] == [store.id]
    vhost.broker.now_ms = 1050
    queue = make_queue(vhost)
    vhost.bind("x", queue, "", {})
    send(vhost, "x", b"again", **{"x-deduplication-header": "b"})
    assert bodies(queue) == [b"again"]
    assert len(log.of("settle")) == 2


def test_a_duplicate_on_a_queue_is_settled() -> None:
    """A message that a deduplicating queue does not take is not kept for it."""
    log = CountingLog()
    vhost = vhost_at(0, log)
    queue = make_queue(vhost, durable=True, arguments={"x-message-deduplication": True})
    make_exchange(vhost, "x", "fanout")
    vhost.bind("x", queue, "", {})
    for body in (b"a", b"dup"):
        send(vhost, "x", body, **{"x-deduplication-header": "h"})
    assert bodies(queue) == [b"a"]
    assert log.of("settle") == [(queue.id, [2], [1])]


def test_arguments_are_checked_before_anything_is_made() -> None:
    """A refused exchange does not exist, and has taken no queue id."""
    vhost = make_vhost()
    for kind in ("x-delayed-message", "x-message-deduplication", "x-federation-upstream"):
        with pytest.raises(AmqpError):
            make_exchange(vhost, "x", kind)
    assert "x" not in vhost.exchanges
    assert vhost.broker.next_queue_id == 1
