"""A week of churn: the disk that the log takes follows what lives, not what has been."""

from math import pi, sin
from random import Random

import pytest

from broker.wal import segment
from tests.broker.histories import History

HOURS = 7 * 24
SEGMENT_BYTES = 1 << 16
BATCH_BYTES = 10_000  # a segment ends with the batch that fills it


def live_octets(history: History) -> int:
    """What the messages that somebody still holds take in the log."""
    held = [message for _, message in history.held]
    stored = [message for queue in history.queues.values() for message in queue.stored()]
    contents = {message.id: len(message.content) for message in stored + held}
    return sum(contents.values())


def work_an_hour(history: History, random: Random, hour: int) -> None:
    """Publish by day, drain by night; some messages are kept long, and acked out of order."""
    history.world.run()
    tide = 1 + sin(hour / 24 * 2 * pi)
    for number in range(int(150 * tide) + 5):
        if number % 10 == 0:
            history.world.run()  # or the batch would be larger than a segment
        names = random.choice([["plain"], ["plain", "other"], ["other"]])
        history.publish(names, size=random.randrange(100, 900))
    late_tide = 1 + sin((hour - 4) / 24 * 2 * pi)
    while len(history.queues["plain"]) > 250 * late_tide:
        history.get("plain", no_ack=True)
    while len(history.queues["other"]) > 20:
        history.get("other")
    while len(history.held) > 60:
        history.settle(random.randrange(1, len(history.held)), "ack")
    idle = 0
    while idle < 2:  # a segment that is full gives way to the next with a batch
        history.publish(["other"])
        idle = 0 if history.reclaim() else idle + 1


@pytest.mark.parametrize("seed", range(2))
def test_a_week_of_churn(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The segments take less than twice what lives, and a segment; one old message pins nothing."""
    monkeypatch.setattr(segment, "EXTEND_BYTES", 1000)
    history, random = History(SEGMENT_BYTES), Random(seed)
    pinned = history.publish(["limited"], size=500)
    history.get("limited")
    published = 0
    for hour in range(HOURS):
        work_an_hour(history, random, hour)
        most = 2 * live_octets(history) + SEGMENT_BYTES + BATCH_BYTES
        assert history.world.log.disk_bytes < most, f"hour {hour}"
        names = [name for name in history.world.disk.names if name.endswith(".spare")]
        assert len(names) <= 2
        published = max(published, history.serial)
    assert published * 500 > 50 * SEGMENT_BYTES, "there was hardly any churn"
    history.restart()
    history.check()
    assert list(history.expected["limited"]) == [pinned]
