"""Routes: one message for all queues, logged once if it is to survive."""

import pytest

from broker.core.message import Message, shown_address, with_blind_copies
from broker.core.route import Route
from broker.core.vhost import Vhost
from protocol.methods import shortstr
from tests.core.doubles import (
    ListeningLog,
    StandInPublisher,
    make_queue,
    make_vhost,
)
from tests.frames import message

ADDRESS = b"\x01x\x02\xc3\xa9"
CONTENT = message(1, b"hello", delivery_mode=2)


@pytest.fixture
def log() -> ListeningLog:
    """A log that listens."""
    return ListeningLog()


@pytest.fixture
def vhost(log: ListeningLog) -> Vhost:
    """A vhost with the durable queues d1 and d2 and the transient queue t."""
    vhost = make_vhost(log)
    make_queue(vhost, "d1", durable=True)
    make_queue(vhost, "d2", durable=True)
    make_queue(vhost, "t")
    log.told.clear()
    vhost.broker.now_ms = 1234
    return vhost


def route(vhost: Vhost, *names: str) -> tuple[Route, StandInPublisher]:
    """A route to some queues."""
    publisher = StandInPublisher()
    queues = [vhost.queues[name] for name in names]
    return Route(vhost.broker, publisher, ADDRESS, queues), publisher


def test_a_message_says_where_it_came_from(vhost: Vhost) -> None:
    """The stored message has the publisher's content, address, time, expiration and priority."""
    found, _ = route(vhost, "t")
    found.publish(CONTENT, 5, True, 7, 5000)
    (stored,) = vhost.queues["t"].backlog.ready
    assert (stored.exchange, stored.routing_key) == ("x", "é")
    assert (stored.content, stored.size) == (CONTENT, 5)
    assert (stored.published_ms, stored.ttl_ms, stored.priority) == (1234, 5000, 7)


def test_all_queues_share_one_message(vhost: Vhost) -> None:
    """A message that goes to several queues is stored once, and ids grow with arrival."""
    found, publisher = route(vhost, "d1", "t")
    found.publish(CONTENT, 5, False, 0, -1)
    found.publish(CONTENT, 5, False, 0, -1)
    first, second = vhost.queues["d1"].backlog.ready
    assert list(vhost.queues["t"].backlog.ready) == [first, second]
    assert first.id < second.id
    assert publisher.published == 2


def test_a_persistent_message_is_logged_once(vhost: Vhost, log: ListeningLog) -> None:
    """The log gets the message once, for its durable queues, and the publisher waits for it."""
    log.gathering = 5
    found, publisher = route(vhost, "d1", "t", "d2")
    found.publish(CONTENT, 5, True, 0, -1)
    ids = (vhost.queues["d1"].id, vhost.queues["d2"].id)
    assert log.told == [("route", ADDRESS, ids), ("publish", 1, 1, 1234, CONTENT)]
    assert publisher.awaited_batch == 5
    assert vhost.queues["d1"].backlog.ready[0].batch == 5


def test_a_route_is_told_to_each_batch_once(vhost: Vhost, log: ListeningLog) -> None:
    """Within a batch the route is stated once, in the next one again."""
    found, _ = route(vhost, "d1")
    for gathering in (1, 1, 2, 2):
        log.gathering = gathering
        found.publish(CONTENT, 5, True, 0, -1)
    assert [entry[0] for entry in log.told] == [
        "route",
        "publish",
        "publish",
        "route",
        "publish",
        "publish",
    ]


def test_a_transient_message_is_logged_for_quorum_queues_alone(
    vhost: Vhost, log: ListeningLog
) -> None:
    """A quorum queue keeps every message; others do not settle what is not logged for them."""
    quorum = make_queue(vhost, "quorum", durable=True, arguments={"x-queue-type": "quorum"})
    log.told.clear()
    found, publisher = route(vhost, "d1", "quorum", "t")
    found.publish(CONTENT, 5, False, 0, -1)
    assert [entry[0] for entry in log.told] == ["route", "publish"]
    assert log.of("route") == [(ADDRESS, (quorum.id,))]
    assert publisher.awaited_batch == 1
    for name in ("d1", "t"):
        vhost.queues[name].purge()
    assert log.of("settle") == []
    assert quorum.get(no_ack=True) is not None
    assert log.of("settle") == [(quorum.id, [1], [1])]


def test_what_is_logged_asks_for_a_tick(vhost: Vhost, log: ListeningLog) -> None:
    """A message in the log is committed soon, though nobody consumes it or waits for a confirm."""
    asked: list[int] = []
    vhost.broker.wake = lambda: asked.append(log.gathering)
    found, _ = route(vhost, "d1")
    found.publish(CONTENT, 5, False, 0, -1)
    assert asked == []
    for gathering in (1, 1, 1, 2):
        log.gathering = gathering
        found.publish(CONTENT, 5, True, 0, -1)
    assert asked == [1, 2]


@pytest.mark.parametrize(("names", "persistent"), [(("d1",), False), (("t",), True), ((), True)])
def test_what_need_not_survive_is_not_logged(
    vhost: Vhost, log: ListeningLog, names: tuple[str, ...], persistent: bool
) -> None:
    """Transient messages, and messages without a durable queue, are only counted."""
    found, publisher = route(vhost, *names)
    found.publish(CONTENT, 5, persistent, 0, -1)
    assert log.told == []
    assert (publisher.published, publisher.awaited_batch) == (1, 0)
    assert all(vhost.queues[name].backlog.ready[0].batch == 0 for name in names)


def test_a_publisher_hears_of_its_first_message(vhost: Vhost) -> None:
    """A publisher that asked is told of the next message, already counted, and once."""
    found, publisher = route(vhost)
    publisher.fresh = True
    for _ in range(3):
        found.publish(CONTENT, 5, False, 0, -1)
    assert publisher.told_at == [1]


def test_an_address_with_blind_copies() -> None:
    """Keys of BCC go with an address, of any length, and are not shown to clients."""
    shown = shortstr("x") + shortstr("key")
    assert shown_address(shown) == shown
    address = with_blind_copies(shown, ["a" * 300, "", "\udcff"])
    message = Message(1, address, b"", 0, 0, -1, 0, 0)
    assert (message.exchange, message.routing_key) == ("x", "key")
    assert message.blind_copies == ["a" * 300, "", "\udcff"]
    assert shown_address(address) == shown
