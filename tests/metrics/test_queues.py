"""Metrics of queues in the model: what is in memory, what is not, and how old it is."""

from types import SimpleNamespace
from typing import Any

from prometheus_client.core import Metric

from broker.metrics.family import Scope
from broker.metrics.queues import queue_coarse_metrics, queue_metrics
from tests.amqp.dialogue import TimedWorld, declare, say, send, started, stored
from tests.frames import method
from tests.pages import tiny_pages
from tests.world import World


def values(world: World, family: Any) -> dict[str, float]:
    """The samples of a family over all queues, by their names without prefix."""
    sessions = [client.session for client in world.clients]
    server: Any = SimpleNamespace(broker=world.broker, sessions=sessions)
    metrics = [step for step in family(Scope(server)) if isinstance(step, Metric)]
    return {
        sample.name.removeprefix("rabbitmq_queue_"): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def test_messages_in_memory_and_not() -> None:
    """Messages that were paged out count as messages, and not as messages in memory."""
    with tiny_pages():
        world = World(paged=True)
        client = started(world)
        say(world, client, method(1, declare("durable", durable=True)))
        for _ in range(5):
            say(world, client, *(stored(b"m" * 100, "durable") for _ in range(4)))
        found = values(world, queue_metrics)
    assert found["messages_bytes"] == found["messages_ready_bytes"] == 2000
    assert found["messages_paged_out"] >= 3
    assert found["messages_paged_out"] + found["messages_ram"] == 20
    assert found["messages_ram_bytes"] == 100 * found["messages_ram"]
    assert found["messages_paged_out_bytes"] == 100 * found["messages_paged_out"]


def test_age_of_the_oldest_message() -> None:
    """Over all queues the oldest message counts; without messages there is no age."""
    world = TimedWorld()
    client = started(world, declare("first"), declare("second"))
    own = "leveret_queue_oldest_message_age_seconds"
    assert own not in values(world, queue_coarse_metrics)
    say(world, client, send(b"m", "first"))
    world.wait(2)
    say(world, client, send(b"m", "second"))
    world.wait(0.5)
    found = values(world, queue_coarse_metrics)
    assert found["messages_ready"] == 2
    assert found[own] == 2.5
