"""What queues do beyond RabbitMQ 3.13: delayed retry and message groups."""

import pytest

from broker.core.backlog import Backlog
from broker.core.groups import GroupedBacklog
from broker.core.message import Message
from broker.core.vhost import Vhost
from protocol.content import body_of
from protocol.errors import PreconditionFailed
from tests.core.doubles import (
    bodies,
    headers,
    make_queue,
    pass_time,
    publish,
    settle_down,
    subscribe,
    take,
)

# -- delayed retry --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "delays_ms"),
    [("linear", [100, 200, 300, 350]), ("exponential", [100, 200, 350, 350])],
)
def test_retry_delays(vhost: Vhost, strategy: str, delays_ms: list[int]) -> None:
    """A message that came back waits: longer each time, at most the maximum."""
    arguments = {
        "x-delayed-retry-type": "all",
        "x-delayed-retry-min": 100,
        "x-delayed-retry-max": 350,
        "x-delayed-retry-strategy": strategy,
    }
    queue = make_queue(vhost, arguments=arguments)
    publish(vhost, "q")
    for count, delay_ms in enumerate(delays_ms, start=1):
        queue.requeue([take(queue)])
        assert (len(queue), queue.unacked, bodies(queue)) == (0, 0, [b"m"])
        pass_time(vhost.broker, delay_ms - 1)
        assert queue.get(no_ack=False) is None
        pass_time(vhost.broker, 1)
        message = take(queue)
        assert headers(message)["x-delivery-count"] == count
        queue.backlog.put_back(message)
        queue.unacked -= 1


@pytest.mark.parametrize(
    ("kind", "failed", "waits"),
    [
        ("failed", True, True),
        ("failed", False, False),
        ("returned", True, False),
        ("returned", False, True),
        ("disabled", True, False),
    ],
)
def test_what_waits(vhost: Vhost, kind: str, failed: bool, waits: bool) -> None:
    """The type says whether failed messages wait, or returned ones."""
    queue = make_queue(vhost, arguments={"x-delayed-retry-type": kind})
    publish(vhost, "q")
    queue.requeue([take(queue)], failed=failed)
    assert (len(queue) == 0) == waits


def test_a_waiting_message_goes_to_a_waiting_consumer(vhost: Vhost) -> None:
    """When its time has come the message is delivered, redelivered, without another push."""
    arguments = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 100}
    queue = make_queue(vhost, arguments=arguments)
    consumer = subscribe(queue)
    publish(vhost, "q")
    queue.requeue(consumer.give_back())
    settle_down(vhost.broker)
    assert consumer.got == [(1, False)]
    pass_time(vhost.broker, 100)
    assert consumer.got == [(1, False), (1, True)]


def test_waiting_messages_end_with_their_queue(vhost: Vhost) -> None:
    """A purge takes what is ready, not what waits; deleting the queue takes both."""
    arguments = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 100}
    queue = make_queue(vhost, arguments=arguments)
    publish(vhost, "q")
    queue.requeue([take(queue)])
    assert queue.purge() == 0
    assert bodies(queue) == [b"m"]
    vhost.delete_queue("q")
    pass_time(vhost.broker, 1000)
    assert bodies(queue) == []


# -- message groups -------------------------------------------------------------------------------


def test_a_group_has_one_message_out(vhost: Vhost) -> None:
    """Of a group only one message is out at a time, and others proceed; order is kept."""
    queue = make_queue(vhost, arguments={"x-message-group-header": "key"})
    for body, key in ((b"a1", "a"), (b"a2", "a"), (b"b1", "b"), (b"a3", "a"), (b"-", None)):
        publish(vhost, "q", body, headers={"key": key} if key else {"other": "a"})
    first, second = subscribe(queue, "1"), subscribe(queue, "2")
    settle_down(vhost.broker)
    out = first.unacked | second.unacked
    assert sorted(body_of(each.content) for each in out.values()) == [b"-", b"a1", b"b1"]
    for number, following in ((1, b"a2"), (2, b"a3")):
        holder = first if number in first.unacked else second
        queue.ack(holder.give_back(number))
        queue.wake()
        settle_down(vhost.broker)
        out = first.unacked | second.unacked
        assert following in [body_of(each.content) for each in out.values()]
    assert len(queue) == 0


def test_a_returned_message_comes_before_its_group(vhost: Vhost) -> None:
    """A message that comes back is the next of its group."""
    queue = make_queue(vhost, arguments={"x-message-group-header": "key"})
    for body in (b"1", b"2"):
        publish(vhost, "q", body, headers={"key": "a"})
    queue.requeue([take(queue)])
    message = take(queue)
    assert body_of(message.content) == b"1"
    assert queue.get(no_ack=False) is None, "the group is busy"
    queue.ack([message])
    assert body_of(take(queue).content) == b"2"


def test_messages_without_acks_free_their_group(vhost: Vhost) -> None:
    """A consumer that never acks gets a group's messages one after the other."""
    queue = make_queue(vhost, arguments={"x-message-group-header": "key"})
    for body in (b"1", b"2", b"3"):
        publish(vhost, "q", body, headers={"key": "a"})
    consumer = subscribe(queue, no_ack=True)
    settle_down(vhost.broker)
    assert consumer.ids == [1, 2, 3]


@pytest.mark.parametrize("ending", ["reject", "expire", "limit", "purge"])
def test_a_message_that_ends_frees_its_group(vhost: Vhost, ending: str) -> None:
    """However a message ends, the next one of its group can be had."""
    arguments: dict[str, object] = {"x-message-group-header": "key"}
    if ending == "expire":
        arguments["x-message-ttl"] = 100
    elif ending == "limit":
        arguments["x-max-length"] = 1
    queue = make_queue(vhost, arguments=arguments)
    publish(vhost, "q", b"1", headers={"key": "a"})
    if ending == "reject":
        queue.reject([take(queue)])
    elif ending == "expire":
        pass_time(vhost.broker, 100)
    elif ending == "purge":
        queue.purge()
    publish(vhost, "q", b"2", headers={"key": "a"})
    assert body_of(take(queue).content) == b"2"


def test_groups_have_no_priorities(vhost: Vhost) -> None:
    """Strict order and priorities contradict each other: such a queue is refused."""
    arguments = {"x-message-group-header": "key", "x-max-priority": 5}
    with pytest.raises(PreconditionFailed, match="not_with_max_priority"):
        make_queue(vhost, arguments=arguments)


def test_size_and_order_of_groups(vhost: Vhost) -> None:
    """A queue with groups counts and lists what is ready as any other."""
    queue = make_queue(vhost, arguments={"x-message-group-header": "key"})
    for body, key in ((b"1", "a"), (b"22", 5), (b"333", "a")):
        publish(vhost, "q", body, headers={"key": key})
    assert (len(queue), queue.backlog.size_bytes, bodies(queue)) == (3, 6, [b"1", b"22", b"333"])
    take(queue)
    assert (len(queue), queue.backlog.size_bytes) == (2, 5)
    assert queue.purge() == 2


def test_work_does_not_grow_with_the_number_of_groups(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes and goes costs a look at a few groups, however many there are."""
    arguments = {"x-message-group-header": "key", "x-message-ttl": 60_000, "x-max-length": 3000}
    queue = make_queue(vhost, arguments=arguments)
    for number in range(3000):
        publish(vhost, "q", headers={"key": number})
    looks = 0
    look = Backlog.head

    def counted(self: Backlog) -> Message:
        nonlocal looks
        looks += 1
        return look(self)

    monkeypatch.setattr(Backlog, "head", counted)
    for number in range(100):
        publish(vhost, "q", headers={"key": number})
        queue.requeue([take(queue)])
        queue.ack([take(queue)])
    assert len(queue) == 2999
    assert looks < 100 * 60


def test_groups_that_come_and_go_leave_nothing(vhost: Vhost) -> None:
    """What a queue keeps to find the next group is bounded by the groups there are."""
    queue = make_queue(vhost, arguments={"x-message-group-header": "key"})
    publish(vhost, "q", headers={"key": "a"})
    publish(vhost, "q", headers={"key": "a"})
    for _ in range(3000):
        queue.requeue([take(queue)])
    backlog = queue.backlog
    assert isinstance(backlog, GroupedBacklog)
    assert len(backlog._heads) + len(backlog._offers) < 3000


# -- the age of the oldest message ----------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [{}, {"x-max-priority": 5}, {"x-message-group-header": "key"}], ids=str
)
def test_the_age_of_the_oldest_message(vhost: Vhost, arguments: dict[str, object]) -> None:
    """It is that of the message published first, of whatever priority or group, or none."""
    queue = make_queue(vhost, arguments=arguments)
    assert queue.oldest_age_ms is None
    for number in range(3):
        publish(vhost, "q", headers={"key": "a"}, priority=number)
        pass_time(vhost.broker, 100)
    assert queue.oldest_age_ms == 300
    oldest = queue.backlog.take_oldest()
    assert queue.oldest_age_ms == 200
    queue.unacked += 1
    queue.requeue([oldest])
    assert queue.oldest_age_ms == 300


def test_the_age_of_a_message_that_waits_for_its_retry(vhost: Vhost) -> None:
    """It counts from publishing, not from the return."""
    arguments = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 1000}
    queue = make_queue(vhost, arguments=arguments)
    publish(vhost, "q")
    pass_time(vhost.broker, 300)
    queue.requeue([take(queue)])
    assert (len(queue), queue.oldest_age_ms) == (0, 300)
