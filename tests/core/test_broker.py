"""The root of the model: vhosts, and the queues a tick has to visit."""

from broker.core.broker import Broker
from tests.core.doubles import (
    ListeningLog,
    fill,
    make_queue,
    make_vhost,
    settle_down,
    subscribe,
)


def test_vhosts_are_declared_once() -> None:
    """Declaring a vhost again gives the same one, and the log hears of it once."""
    log = ListeningLog()
    broker = Broker(log)
    assert broker.declare_vhost("/") is broker.declare_vhost("/")
    assert log.operations == [{"op": "vhost.declare", "name": "/"}]


def test_vhosts_are_apart() -> None:
    """Queues of the same name in two vhosts are two queues."""
    broker = Broker()
    vhosts = [broker.declare_vhost(name) for name in ("one", "two")]
    one, two = (make_queue(vhost) for vhost in vhosts)
    assert one.id != two.id
    assert [v.route(v.default_exchange, "q", b"") for v in vhosts] == [[one], [two]]


def test_a_deleted_vhost_takes_its_queues_along() -> None:
    """Deleting a vhost drops messages, and tells consumers."""
    log = ListeningLog()
    vhost = make_vhost(log)
    queue = make_queue(vhost, durable=True)
    fill(queue, 2, batch=3)
    consumer = subscribe(queue)
    vhost.broker.change({"op": "vhost.delete", "name": "/"}, durable=True)
    assert consumer.gone
    assert vhost.broker.vhosts == {}
    assert vhost.queues == {}
    assert log.of("release") == [([3, 3],)]
    settle_down(vhost.broker)


def test_a_change_names_the_batch_that_holds_it() -> None:
    """After a durable change, and only then, the batch to wait for is the one that gathers it."""
    log = ListeningLog()
    vhost = make_vhost(log)
    log.gathering = 7
    make_queue(vhost, "transient")
    assert vhost.broker.changed_batch != 7
    make_queue(vhost, "durable", durable=True)
    assert vhost.broker.changed_batch == 7


def test_whatever_reaches_the_log_asks_for_a_tick() -> None:
    """Changes of topology and settled messages are committed soon, though nothing is answered."""
    log = ListeningLog()
    vhost = make_vhost(log)
    asked: list[str] = []
    vhost.broker.wake = lambda: asked.append(log.told[-1][0])
    make_queue(vhost, "transient")
    assert asked == []
    queue = make_queue(vhost, "durable", durable=True)
    fill(queue, 2, batch=1)
    queue.reject([queue.get(no_ack=False)[0]])  # type: ignore[index]
    queue.purge()
    assert asked == ["operation", "settle", "settle"]


def test_pump_visits_each_dirty_queue() -> None:
    """One pump lets every queue that asked deliver, and queues that asked during it come next."""
    vhost = make_vhost()
    queues = [make_queue(vhost, name) for name in "abc"]
    consumers = [subscribe(queue, credit=1) for queue in queues]
    for queue in queues:
        fill(queue, 2)
    vhost.broker.pump()
    assert [len(consumer.ids) for consumer in consumers] == [1, 1, 1]
    assert vhost.broker.dirty == []
    consumers[1].credit = 1
    queues[1].wake()
    assert vhost.broker.dirty == [queues[1]]
