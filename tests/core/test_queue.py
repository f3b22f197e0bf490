"""Queues: order, redelivery, sharing among consumers, and what the log is told."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.backlog import TAKE_BYTES_MAX
from broker.core.queue import DELIVER_BATCH_MAX, Queue
from tests.core.doubles import (
    ListeningLog,
    fill,
    make_message,
    make_queue,
    make_vhost,
    settle_down,
    subscribe,
)


@pytest.fixture
def queue() -> Queue:
    """A queue without durability."""
    return make_queue(make_vhost())


def durable_queue(name: str = "q") -> tuple[Queue, ListeningLog]:
    """A durable queue and what its log was told since the declaration."""
    log = ListeningLog()
    queue = make_queue(make_vhost(log), name, durable=True)
    log.told.clear()
    return queue, log


def deliver(queue: Queue) -> None:
    """Let everything that can be delivered be delivered."""
    settle_down(queue.broker)


# -- order ----------------------------------------------------------------------------------------


def test_messages_arrive_in_order(queue: Queue) -> None:
    """A single consumer gets messages in the order of publishing, none redelivered."""
    fill(queue, 3)
    consumer = subscribe(queue)
    fill(queue, 2)
    deliver(queue)
    assert consumer.got == [(n, False) for n in range(1, 6)]
    assert (len(queue), queue.unacked, queue.counters.deliver) == (0, 5, 5)


def test_nothing_is_delivered_inside_a_push(queue: Queue) -> None:
    """A publish never delivers: that is left for the tick, which is asked for once."""
    woken = []
    queue.broker.wake = lambda: woken.append(1)
    consumer = subscribe(queue)
    fill(queue, 5)
    assert consumer.got == []
    assert queue.broker.dirty == [queue]
    assert len(woken) == 1


def test_a_queue_without_consumers_asks_for_no_tick(queue: Queue) -> None:
    """Filling a queue nobody reads costs no tick."""
    fill(queue, 5)
    assert queue.broker.dirty == []


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_requeued_messages_return_to_their_place(queue: Queue, order: tuple[int, ...]) -> None:
    """Requeued messages come before younger ones, in their old order, marked redelivered."""
    fill(queue, 5)
    first = subscribe(queue, credit=3)
    deliver(queue)
    queue.remove_consumer(first)
    for number in order:
        queue.requeue(first.give_back(number))
    assert (len(queue), queue.unacked) == (5, 0)
    second = subscribe(queue, "second")
    deliver(queue)
    assert second.got == [(1, True), (2, True), (3, True), (4, False), (5, False)]


def test_requeue_to_a_waiting_consumer(queue: Queue) -> None:
    """A requeued message is delivered again, also to the consumer that gave it back."""
    fill(queue, 1)
    consumer = subscribe(queue, credit=1)
    deliver(queue)
    queue.requeue(consumer.give_back())
    deliver(queue)
    assert consumer.got == [(1, False), (1, True)]


def test_get_takes_the_head(queue: Queue) -> None:
    """get takes messages in order, says which are redelivered, and nothing from an empty queue."""
    fill(queue, 2)
    taken = queue.get(no_ack=False)
    assert taken is not None
    assert (taken[0].id, taken[1]) == (1, False)
    queue.requeue([taken[0]])
    again = queue.get(no_ack=True)
    assert again is not None
    assert (again[0].id, again[1]) == (1, True)
    assert (len(queue), queue.unacked) == (1, 0)
    assert queue.get(no_ack=True) is not None
    assert queue.get(no_ack=True) is None
    assert queue.backlog.size_bytes == 0


def test_recovered_messages_are_redelivered_before_new_ones(queue: Queue) -> None:
    """Messages older than a restart count as redelivered, later ones do not."""
    for _ in range(2):
        queue.recover(make_message(queue.broker))
    queue.backlog.recovered_below = queue.broker.next_message_id
    fill(queue, 2)
    consumer = subscribe(queue)
    deliver(queue)
    assert consumer.got == [(1, True), (2, True), (3, False), (4, False)]
    assert queue.backlog.size_bytes == 0


# -- credit and sharing ---------------------------------------------------------------------------


def test_credit_bounds_what_a_consumer_holds(queue: Queue) -> None:
    """A consumer never gets more than it has room for; credit that comes back fetches the rest."""
    fill(queue, 5)
    consumer = subscribe(queue, credit=2)
    deliver(queue)
    assert consumer.ids == [1, 2]
    queue.ack(consumer.give_back(1))
    queue.wake()
    deliver(queue)
    assert consumer.ids == [1, 2, 3]
    assert (len(queue), queue.unacked) == (2, 2)


def test_a_queue_whose_consumers_are_full_rests(queue: Queue) -> None:
    """Without credit a queue does not ask for tick after tick."""
    fill(queue, 5)
    subscribe(queue, credit=1)
    assert settle_down(queue.broker) <= 2


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5),
    st.integers(0, 200),
)
def test_sharing_is_even_and_in_order(credits: list[int], count: int) -> None:
    """Consumers of equal priority get equal shares as far as their credit allows, each in order."""
    queue = make_queue(make_vhost())
    fill(queue, count)
    consumers = [subscribe(queue, str(n), credit=credit) for n, credit in enumerate(credits)]
    settle_down(queue.broker)
    delivered = sorted(number for consumer in consumers for number in consumer.ids)
    assert delivered == list(range(1, min(count, sum(credits)) + 1))
    for consumer, credit in zip(consumers, credits, strict=True):
        assert consumer.ids == sorted(consumer.ids)
        least = min(credit, *(len(other.ids) - 1 for other in consumers))
        assert len(consumer.ids) >= least, "starved by another"


def test_sharing_continues_with_whose_turn_it_is(queue: Queue) -> None:
    """Single messages go to consumers in turn."""
    consumers = [subscribe(queue, str(n)) for n in range(3)]
    for _ in range(6):
        fill(queue, 1)
        deliver(queue)
    assert Counter(len(consumer.ids) for consumer in consumers) == {2: 3}


def test_higher_priority_consumers_come_first(queue: Queue) -> None:
    """Lower priorities get only what those above have no room for, whoever came first."""
    low = subscribe(queue, "low")
    high = subscribe(queue, "high", priority=5, credit=2)
    negative = subscribe(queue, "negative", priority=-1)
    fill(queue, 4)
    deliver(queue)
    assert high.ids == [1, 2]
    assert low.ids == [3, 4]
    assert negative.ids == []
    assert [consumer.tag for consumer in queue.consumers] == ["high", "low", "negative"]


def test_one_pump_is_bounded_by_count(queue: Queue) -> None:
    """A deep queue hands over a bounded batch a tick, and asks for the next tick itself."""
    fill(queue, 2 * DELIVER_BATCH_MAX + 1)
    consumer = subscribe(queue, no_ack=True)
    queue.broker.pump()
    assert 0 < len(consumer.ids) <= DELIVER_BATCH_MAX
    deliver(queue)
    assert consumer.ids == list(range(1, 2 * DELIVER_BATCH_MAX + 2))
    assert (len(queue), queue.backlog.size_bytes, queue.unacked) == (0, 0, 0)


def test_one_take_is_bounded_by_bytes(queue: Queue) -> None:
    """Large messages leave in order and their bytes are counted down to nothing."""
    for _ in range(5):
        queue.push(make_message(queue.broker, size=TAKE_BYTES_MAX))
    assert queue.backlog.size_bytes == 5 * TAKE_BYTES_MAX
    consumer = subscribe(queue)
    deliver(queue)
    assert consumer.ids == [1, 2, 3, 4, 5]
    assert queue.backlog.size_bytes == 0


# -- settling and the log -------------------------------------------------------------------------


def test_the_log_hears_of_each_logged_message_once() -> None:
    """Acked, rejected, purged and auto-acked messages are settled in the log, each exactly once."""
    queue, log = durable_queue()
    fill(queue, 6, batch=4)
    fill(queue, 1)  # not persistent
    consumer = subscribe(queue, credit=2)
    deliver(queue)
    queue.ack(consumer.give_back(1))
    queue.reject(consumer.give_back(2))
    queue.remove_consumer(consumer)
    assert queue.get(no_ack=True) is not None
    subscribe(queue, "auto", no_ack=True, credit=1)
    deliver(queue)
    assert queue.purge() == 3
    assert queue.unacked == 0
    settled = [number for _, numbers, _ in log.of("settle") for number in numbers]
    assert sorted(settled) == [1, 2, 3, 4, 5, 6]
    assert {queue_id for queue_id, _, _ in log.of("settle")} == {queue.id}
    assert all(batches == [4] * len(numbers) for _, numbers, batches in log.of("settle"))
    assert log.of("release") == []


def test_requeue_is_no_end() -> None:
    """A requeued message stays in the log."""
    queue, log = durable_queue()
    fill(queue, 1, batch=1)
    consumer = subscribe(queue)
    deliver(queue)
    queue.remove_consumer(consumer)
    queue.requeue(consumer.give_back())
    assert log.told == []


def test_a_transient_queue_tells_the_log_nothing() -> None:
    """A message that is in the log for other queues is not settled by a transient one."""
    log = ListeningLog()
    queue = make_queue(make_vhost(log))
    log.told.clear()
    fill(queue, 2, batch=9)
    queue.purge()
    queue.delete()
    assert log.told == []


def test_purge_drops_ready_and_requeued_but_not_unacked(queue: Queue) -> None:
    """Purging counts and drops what is ready; what is unacked can still be given back."""
    fill(queue, 4)
    consumer = subscribe(queue, credit=2)
    deliver(queue)
    queue.remove_consumer(consumer)
    queue.requeue(consumer.give_back(2))
    assert queue.purge() == 3
    assert (len(queue), queue.backlog.size_bytes, queue.unacked) == (0, 0, 1)
    queue.requeue(consumer.give_back(1))
    assert len(queue) == 1


def test_delete_releases_and_cancels() -> None:
    """Deleting drops what is ready, tells consumers once, and releases what comes back later."""
    queue, log = durable_queue()
    fill(queue, 3, batch=2)
    consumer = subscribe(queue, credit=2)
    deliver(queue)
    assert queue.delete() == 1
    assert consumer.gone
    assert queue.consumers == []
    queue.ack(consumer.give_back(1))
    queue.requeue(consumer.give_back(2))
    assert [batch for (batches,) in log.of("release") for batch in batches] == [2, 2, 2]
    assert log.of("settle") == []
    assert (len(queue), queue.unacked) == (0, 0)
    deliver(queue)


# -- consumers ------------------------------------------------------------------------------------


def test_auto_delete_after_the_last_consumer() -> None:
    """Only an auto-delete queue asks to go, and only when its last consumer leaves."""
    vhost = make_vhost()
    queue = make_queue(vhost, auto_delete=True)
    first, second = subscribe(queue, "1"), subscribe(queue, "2")
    assert not queue.remove_consumer(first)
    assert not queue.remove_consumer(first), "already gone"
    assert queue.remove_consumer(second)
    other = make_queue(vhost, "other")
    assert not other.remove_consumer(subscribe(other))


def test_a_consumer_that_left_gets_nothing(queue: Queue) -> None:
    """Messages that were about to be delivered stay when the consumer leaves before the tick."""
    consumer = subscribe(queue)
    fill(queue, 2)
    queue.remove_consumer(consumer)
    deliver(queue)
    assert consumer.got == []
    assert len(queue) == 2
    late = subscribe(queue, "late")
    deliver(queue)
    assert late.ids == [1, 2]


def test_exclusive_consumer_is_known(queue: Queue) -> None:
    """A queue knows whether its consumer wants to be the only one."""
    assert not queue.dispatch.is_exclusive
    consumer = subscribe(queue, exclusive=True)
    assert queue.dispatch.is_exclusive
    queue.remove_consumer(consumer)
    subscribe(queue, "2")
    assert not queue.dispatch.is_exclusive


def test_a_queue_says_what_it_is(queue: Queue) -> None:
    """Error texts name a queue as RabbitMQ does."""
    assert str(queue) == "queue 'q' in vhost '/'"
    assert queue.type == "classic"
