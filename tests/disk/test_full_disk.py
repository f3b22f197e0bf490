"""A real broker on a real file system that is full: acks go on, and the end is an honest one."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conformance.brokers import BrokerError, Leveret
from conformance.channel import Channel
from conformance.codec import Method
from conformance.wire import Connection

MIB = 1 << 20
DISK_BYTES = 16 * MIB
SETTINGS = {
    "leveret.log.segment_bytes": MIB,
    "leveret.disk_reserve": 2 * MIB,
    "disk_free_limit.absolute": 0,  # so that nothing but the reserve stands in the way
}
BODY = "x" * 2000


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 16 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes rights that are not here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def publish_until_blocked(channel: Channel) -> set[int]:
    """Publish persistent messages until the broker says that it is blocked; what was confirmed."""
    channel.call("confirm.select")
    connection, confirmed, tag = channel.connection, set[int](), 0
    waiting: set[int] = set()
    while True:
        while len(waiting) < 50:
            tag += 1
            waiting.add(tag)
            channel.publish("", "q", f"{tag} {BODY}", delivery_mode=2)
        event = connection.next(None, timeout=20.0)
        assert isinstance(event, Method), event
        if event.name == "connection.blocked":
            assert event["reason"] == "low on disk"
            return confirmed
        assert event.name == "basic.ack", event
        last = event["delivery_tag"]
        done = {one for one in waiting if one <= last} if event["multiple"] else {last}
        waiting -= done
        confirmed |= done


def fill(place: Path) -> Path:
    """Leave no octet to anybody; the file that took them."""
    hog = place / "hog"
    with hog.open("ab", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while file.write(b"h" * size):
                    pass
            except OSError:
                continue
    return hog


def test_acks_go_on_when_the_disk_is_full(small: Path) -> None:
    """The disk fills up: publishers are blocked, consumers drain the queue, publishers go on."""
    with Leveret(small, SETTINGS) as broker, Connection(broker.url) as publisher:
        channel = publisher.channel(1)
        channel.declare("q", durable=True)
        confirmed = publish_until_blocked(channel)
        assert len(confirmed) * len(BODY) > DISK_BYTES / 2
        seen = []
        with Connection(broker.url) as consumer:
            taking = consumer.channel(1)
            taking.call("basic.qos", prefetch_count=100)
            taking.consume("q")
            while not confirmed <= set(seen):
                content = taking.expect_content()
                seen.append(int(content.text.split()[0]))
                taking.send("basic.ack", delivery_tag=content["delivery_tag"])
            # The disk is free again, and publishers may go on: the rest of their messages comes.
            while True:
                event = publisher.next(None, timeout=20.0)
                if isinstance(event, Method) and event.name == "connection.unblocked":
                    break
        assert seen == sorted(set(seen))
        assert broker.running
        assert "the disk is full: what is left is kept for acknowledgements" in broker.log_text()


def test_when_the_reserve_is_used_up_too(small: Path) -> None:
    """The broker ends with what to do, refuses to start on a full disk, and has lost nothing."""
    broker = Leveret(small / "data", SETTINGS)
    try:
        broker.start()
        with Connection(broker.url) as publisher:
            channel = publisher.channel(1)
            channel.declare("q", durable=True)
            confirmed = publish_until_blocked(channel)
            hog = fill(small)
            with suppress(OSError, AssertionError), Connection(broker.url) as other:
                other.channel(1)
                for number in range(10_000):
                    name = f"{number} ".ljust(250, "n")
                    other.send("queue.declare", channel=1, queue=name, durable=True)
                    if not broker.running:
                        break
            assert broker.wait() == 74
        assert "free some disk space and start the broker again" in broker.log_text()
        with pytest.raises(BrokerError, match=r"cannot start: .*; free some disk space"):
            broker.start()
        hog.unlink()
        broker.start()
        with Connection(broker.url) as consumer:
            found = {int(body.split()[0]) for body in consumer.channel(1).drain("q")}
        assert confirmed <= found
    finally:
        broker.close()
