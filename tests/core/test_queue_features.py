"""What queues do by their arguments: expire, limit, dead-letter, prioritise, count, end."""

from typing import Any

import pytest

from broker.core import retention
from broker.core.queue import Queue
from broker.core.vhost import Vhost
from protocol.content import (
    body_of,
    decode_properties,
    header_payload,
)
from tests.core.doubles import (
    NOW_MS,
    ListeningLog,
    bodies,
    headers,
    make_exchange,
    make_queue,
    make_vhost,
    pass_time,
    publish,
    settle_down,
    subscribe,
    take,
)

# -- expiry ---------------------------------------------------------------------------------------


def test_messages_expire_with_the_queue_ttl(vhost: Vhost) -> None:
    """A message lives as long as the queue says, counted from publishing, and not a tick longer."""
    queue = make_queue(vhost, arguments={"x-message-ttl": 1000})
    publish(vhost, "q", b"1")
    pass_time(vhost.broker, 400)
    publish(vhost, "q", b"2")
    pass_time(vhost.broker, 599)
    assert bodies(queue) == [b"1", b"2"]
    pass_time(vhost.broker, 1)
    assert bodies(queue) == [b"2"]
    pass_time(vhost.broker, 400)
    assert (bodies(queue), len(queue), queue.backlog.size_bytes) == ([], 0, 0)


def test_messages_expire_by_their_own_ttl(vhost: Vhost) -> None:
    """The lower of the message's and the queue's TTL counts, wherever the message stands."""
    queue = make_queue(vhost, arguments={"x-message-ttl": 1000})
    publish(vhost, "q", b"long", expiration="5000")
    publish(vhost, "q", b"short", expiration="10")
    publish(vhost, "q", b"none")
    pass_time(vhost.broker, 10)
    assert bodies(queue) == [b"long", b"none"]
    pass_time(vhost.broker, 990)
    assert bodies(queue) == []


def test_expiration_without_queue_ttl(vhost: Vhost) -> None:
    """A queue without arguments expires messages that ask for it, also behind others."""
    queue = make_queue(vhost)
    publish(vhost, "q", b"stays")
    publish(vhost, "q", b"goes", expiration="10")
    pass_time(vhost.broker, 10)
    assert bodies(queue) == [b"stays"]
    assert body_of(take(queue).content) == b"stays"


@pytest.mark.parametrize("options", [{"arguments": {"x-message-ttl": 0}}, {}])
def test_ttl_of_zero_delivers_to_who_is_ready(vhost: Vhost, options: dict[str, Any]) -> None:
    """A message with a TTL of 0 reaches a ready consumer, and nobody otherwise."""
    queue = make_queue(vhost, **options)
    own = {} if options else {"expiration": "0"}
    publish(vhost, "q", **own)
    pass_time(vhost.broker, 0)
    assert bodies(queue) == []
    consumer = subscribe(queue)
    publish(vhost, "q", **own)
    assert len(consumer.ids) == 1


def test_unacked_messages_do_not_expire(vhost: Vhost) -> None:
    """A message that is out does not expire; given back too late it does at once."""
    queue = make_queue(vhost, arguments={"x-message-ttl": 100})
    publish(vhost, "q", b"1")
    publish(vhost, "q", b"2")
    held = [take(queue), take(queue)]
    pass_time(vhost.broker, 50)
    queue.requeue([held[1]])
    settle_down(vhost.broker)
    assert bodies(queue) == [b"2"]
    pass_time(vhost.broker, 50)
    assert bodies(queue) == []
    queue.requeue([held[0]])
    pass_time(vhost.broker, 0)
    assert (bodies(queue), queue.unacked) == ([], 0)


@pytest.mark.parametrize("own", [True, False])
def test_much_goes_in_steps(vhost: Vhost, monkeypatch: pytest.MonkeyPatch, *, own: bool) -> None:
    """What expires together goes step by step, and a consumer that comes meanwhile gets none."""
    monkeypatch.setattr(retention, "DROP_BATCH_MAX", 3)
    queue = make_queue(vhost, arguments={} if own else {"x-message-ttl": 10})
    for _ in range(8):
        publish(vhost, "q", b"old", **({"expiration": "10"} if own else {}))
    pass_time(vhost.broker, 5)
    publish(vhost, "q", b"new")
    vhost.broker.now_ms += 5
    vhost.broker.timers.run(vhost.broker.now_ms)
    assert len(queue) == 6
    consumer = subscribe(queue)
    settle_down(vhost.broker)
    assert consumer.ids == []
    pass_time(vhost.broker, 0)
    pass_time(vhost.broker, 0)
    assert len(consumer.ids) == 1


def test_a_get_waits_for_no_step(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    """basic.get gives what is left when everything expired is gone, however much that is."""
    monkeypatch.setattr(retention, "DROP_BATCH_MAX", 3)
    queue = make_queue(vhost, arguments={"x-message-ttl": 10})
    for _ in range(8):
        publish(vhost, "q", b"old")
    pass_time(vhost.broker, 5)
    publish(vhost, "q", b"new")
    vhost.broker.now_ms += 5
    assert body_of(take(queue).content) == b"new"


# -- limits ---------------------------------------------------------------------------------------


def test_max_length_drops_the_oldest(vhost: Vhost) -> None:
    """Above its length limit a queue keeps the newest; what is unacked does not count."""
    queue = make_queue(vhost, arguments={"x-max-length": 2})
    for body in (b"1", b"2", b"3"):
        publish(vhost, "q", body)
    assert bodies(queue) == [b"2", b"3"]
    held = take(queue)
    publish(vhost, "q", b"4")
    assert bodies(queue) == [b"3", b"4"]
    queue.requeue([held])
    settle_down(vhost.broker)
    assert bodies(queue) == [b"3", b"4"], "the requeued one is the oldest"


def test_max_length_bytes_counts_bodies(vhost: Vhost) -> None:
    """The limit in octets is on bodies: headers do not count."""
    queue = make_queue(vhost, arguments={"x-max-length-bytes": 5})
    publish(vhost, "q", b"123", headers={"big": "x" * 100})
    publish(vhost, "q", b"45")
    assert bodies(queue) == [b"123", b"45"]
    publish(vhost, "q", b"6")
    assert bodies(queue) == [b"45", b"6"]
    publish(vhost, "q", b"too large")
    assert bodies(queue) == []


def test_max_length_of_zero_delivers_to_who_is_ready(vhost: Vhost) -> None:
    """A queue that keeps nothing still hands messages to a ready consumer."""
    queue = make_queue(vhost, arguments={"x-max-length": 0})
    publish(vhost, "q")
    assert bodies(queue) == []
    consumer = subscribe(queue, credit=1)
    publish(vhost, "q")
    publish(vhost, "q")
    assert (len(consumer.ids), bodies(queue)) == (1, [])


def test_a_full_queue_rejects_if_it_says_so(vhost: Vhost) -> None:
    """With reject-publish a full queue refuses, and does not drop what it has."""
    queue = make_queue(vhost, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    assert not queue.rejects(1)
    publish(vhost, "q")
    assert queue.rejects(1)
    take(queue)
    assert not queue.rejects(1)
    assert not make_queue(vhost, "other", arguments={"x-max-length": 0}).rejects(1)


# -- dead letters ---------------------------------------------------------------------------------


@pytest.fixture
def grave(vhost: Vhost) -> Queue:
    """A queue bound to the exchange `dlx` by every key."""
    make_exchange(vhost, "dlx", "topic")
    grave = make_queue(vhost, "grave")
    vhost.bind("dlx", grave, "#", {})
    return grave


def die(vhost: Vhost, reason: str, **more: Any) -> Queue:
    """Have a message die on a queue that dead-letters to `dlx`."""
    arguments: dict[str, Any] = {"x-dead-letter-exchange": "dlx"} | more
    if reason == "expired":
        arguments["x-message-ttl"] = 10
    elif reason == "maxlen":
        arguments["x-max-length"] = 0
    elif reason == "delivery_limit":
        arguments |= {"x-delivery-limit": 0, "x-queue-type": "quorum"}
    queue = make_queue(vhost, durable=True, arguments=arguments)
    publish(vhost, "q", b"m", message_id="id", expiration="5000", delivery_mode=2)
    if reason == "rejected":
        queue.reject([take(queue)])
    elif reason == "delivery_limit":
        queue.requeue([take(queue)], failed=True)
    pass_time(vhost.broker, 10)
    return queue


@pytest.mark.parametrize("reason", ["rejected", "expired", "maxlen", "delivery_limit"])
def test_dead_letters_tell_their_story(vhost: Vhost, grave: Queue, reason: str) -> None:
    """What a queue gives up is published to its dead-letter exchange, with the reason."""
    queue = die(vhost, reason)
    assert (len(queue), queue.unacked) == (0, 0)
    (letter,) = grave.stored()
    assert (letter.exchange, letter.routing_key) == ("dlx", "q")
    story = headers(letter)
    (death,) = story["x-death"]
    assert abs(death.pop("time") - NOW_MS // 1000) <= 1
    assert death == {
        "count": 1,
        "reason": reason,
        "queue": "q",
        "exchange": "",
        "routing-keys": ["q"],
        "original-expiration": "5000",
    }
    for which in ("first", "last"):
        assert story[f"x-{which}-death-reason"] == reason
        assert story[f"x-{which}-death-queue"] == "q"
        assert story[f"x-{which}-death-exchange"] == ""
    properties = decode_properties(header_payload(letter.content))
    assert "expiration" not in properties
    assert (properties["message_id"], properties["delivery_mode"]) == (b"id", 2)
    assert body_of(letter.content) == b"m"


def test_dead_letters_may_get_another_key(vhost: Vhost, grave: Queue) -> None:
    """The queue's dead-letter routing key replaces the message's, and its CC goes."""
    arguments = {"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": "other"}
    queue = make_queue(vhost, arguments=arguments)
    publish(vhost, "q", headers={"CC": ["cc"], "kept": 1})
    queue.reject([take(queue)])
    (letter,) = grave.stored()
    assert letter.routing_key == "other"
    story = headers(letter)
    assert "CC" not in story
    assert story["kept"] == 1
    assert story["x-death"][0]["routing-keys"] == ["q", "cc"]


def test_deaths_on_the_same_queue_are_counted(vhost: Vhost) -> None:
    """A message that dies again the same way raises the count of its entry."""
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"}
    queue = make_queue(vhost, arguments=arguments)
    publish(vhost, "q")
    for expected in (1, 2, 3):
        queue.reject([take(queue)])
        settle_down(vhost.broker)
        (letter,) = queue.stored()
        (death,) = headers(letter)["x-death"]
        assert death["count"] == expected


def test_automatic_cycles_end(vhost: Vhost) -> None:
    """A message never comes back by expiry or overflow alone; after a rejection it may."""
    arguments = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "q",
        "x-message-ttl": 10,
    }
    queue = make_queue(vhost, arguments=arguments)
    publish(vhost, "q")
    pass_time(vhost.broker, 100)
    assert bodies(queue) == []
    waiting = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "work",
        "x-message-ttl": 10,
    }
    make_queue(vhost, "wait", arguments=waiting)
    back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "wait"}
    work = make_queue(vhost, "work", arguments=back)
    publish(vhost, "work")
    for _ in range(3):
        work.reject([take(work)])
        pass_time(vhost.broker, 10)
    assert len(work) == 1


def test_missing_dead_letter_exchange_drops(vhost: Vhost) -> None:
    """Without its exchange, or without a binding there, a dead letter is gone."""
    queue = die(vhost, "expired")
    assert bodies(queue) == []


def test_purge_and_delete_do_not_dead_letter(vhost: Vhost, grave: Queue) -> None:
    """What a client throws away is not dead-lettered."""
    queue = make_queue(vhost, arguments={"x-dead-letter-exchange": "dlx"})
    publish(vhost, "q")
    queue.purge()
    publish(vhost, "q")
    vhost.delete_queue("q")
    assert bodies(grave) == []


def test_dead_letter_and_end_share_a_batch() -> None:
    """The copy is in the log before the original is settled, in one batch."""
    log = ListeningLog()
    vhost = make_vhost(log)
    make_queue(vhost, "grave", durable=True)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "grave"}
    queue = make_queue(vhost, durable=True, arguments=arguments)
    publish(vhost, "q", delivery_mode=2)
    log.told.clear()
    queue.reject([take(queue)])
    assert [entry[0] for entry in log.told] == ["route", "publish", "settle"]


# -- counting, priorities, single active consumer, leases -----------------------------------------


def test_delivery_limit(vhost: Vhost) -> None:
    """A message that came back more often than allowed is dropped, and says how often it did."""
    arguments = {"x-delivery-limit": 2, "x-queue-type": "quorum"}
    queue = make_queue(vhost, durable=True, arguments=arguments)
    publish(vhost, "q")
    for expected in (0, 1, 2):
        message = take(queue)
        assert headers(message).get("x-delivery-count") == expected
        queue.requeue([message], failed=True)
    assert (len(queue), queue.unacked) == (0, 0)


def test_priorities(vhost: Vhost) -> None:
    """Higher priorities come first, equal ones in order; above the highest is the highest."""
    queue = make_queue(vhost, arguments={"x-max-priority": 5})
    for body, priority in ((b"1", 0), (b"2", 3), (b"3", 9), (b"4", 5), (b"5", 3), (b"6", 0)):
        publish(vhost, "q", body, priority=priority)
    assert [body_of(take(queue).content) for _ in range(6)] == [b"3", b"4", b"2", b"5", b"1", b"6"]


def test_requeue_keeps_priority_and_place(vhost: Vhost) -> None:
    """A requeued message returns to its place within its priority."""
    queue = make_queue(vhost, arguments={"x-max-priority": 5})
    for body, priority in ((b"1", 5), (b"2", 5), (b"3", 0)):
        publish(vhost, "q", body, priority=priority)
    queue.requeue([take(queue)])
    assert [body_of(take(queue).content) for _ in range(3)] == [b"1", b"2", b"3"]


def test_single_active_consumer(vhost: Vhost) -> None:
    """One consumer gets everything; when it leaves, the next takes over."""
    queue = make_queue(vhost, arguments={"x-single-active-consumer": True})
    first, second = subscribe(queue, "1"), subscribe(queue, "2")
    for _ in range(3):
        publish(vhost, "q")
    assert (len(first.ids), len(second.ids)) == (3, 0)
    queue.remove_consumer(first)
    publish(vhost, "q")
    settle_down(vhost.broker)
    assert (len(first.ids), len(second.ids)) == (3, 1)


def test_unused_queues_expire(vhost: Vhost, caplog: pytest.LogCaptureFixture) -> None:
    """A queue nobody uses for so long goes with its messages, which the log says."""
    caplog.set_level("INFO")
    queue = make_queue(vhost, arguments={"x-expires": 100})
    pass_time(vhost.broker, 60)
    publish(vhost, "q")
    queue.used()
    pass_time(vhost.broker, 60)
    assert "q" in vhost.queues
    publish(vhost, "q")
    pass_time(vhost.broker, 40)
    assert "q" not in vhost.queues
    assert queue.deleted
    assert "queue 'q' in vhost '/' expired: nobody used it; 2 messages go with it" in caplog.text


def test_consumed_queues_do_not_expire(vhost: Vhost) -> None:
    """A queue with a consumer stays; its time counts from when the last one leaves."""
    queue = make_queue(vhost, arguments={"x-expires": 100})
    consumer = subscribe(queue)
    pass_time(vhost.broker, 1000)
    assert "q" in vhost.queues
    queue.remove_consumer(consumer)
    pass_time(vhost.broker, 99)
    assert "q" in vhost.queues
    pass_time(vhost.broker, 101)
    assert "q" not in vhost.queues
