"""Which broker is judged, and what every test is handed.

Owns the choice of the broker and the fixtures. By default two private Leverets run for the whole
session, ``fast`` and ``slow`` (``leveret.fast_path`` on and off), and every test runs on both.

* ``CONFORMANCE_URL=amqp://...`` judges the broker at that address instead, once.
* ``CONFORMANCE_BROKER=rabbitmq`` judges a private RabbitMQ, which shows that an expectation holds.
* ``LEVERET_FAST_PATH=off`` (or ``on``) runs one of the two Leverets only.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from conformance.brokers import Broker, Leveret, RabbitMQ, broker_of
from conformance.channel import Channel
from conformance.replay import RECORDED, Replay
from conformance.wire import Connection

URL = os.environ.get("CONFORMANCE_URL")
PRIVATE = os.environ.get("CONFORMANCE_BROKER", "leveret")
FAST_PATH = os.environ.get("LEVERET_FAST_PATH")
RABBITMQ_PLUGINS = (
    "[rabbitmq_consistent_hash_exchange,rabbitmq_event_exchange,rabbitmq_federation,"
    "rabbitmq_random_exchange,rabbitmq_recent_history_exchange,"
    "rabbitmq_sharding]."
)


def _targets() -> list[str]:
    if URL:
        return ["foreign"]
    if PRIVATE == "rabbitmq":
        return ["rabbitmq"]
    return {"on": ["fast"], "off": ["slow"]}.get(FAST_PATH or "", ["fast", "slow"])


class Target:
    """The broker under test; ``process`` is there when this suite started it."""

    def __init__(self, kind: str, url: str, process: Broker | None = None) -> None:
        self.kind = kind
        self.url = url
        self.process = process
        with Connection(url, stage="start") as connection:
            platform = connection.server["server_properties"]["platform"]["S"]
        self.is_leveret = "leveret" in platform.lower()
        """It is this repository's broker, so pending lists apply; its product says RabbitMQ."""
        self.is_rabbitmq = platform.startswith("Erlang")


def private_broker(kind: str, plugins: Path, settings: Mapping[str, str] = {}) -> Broker:
    """A broker of our own, not started yet."""
    settings = {"load_definitions": str(RECORDED / "definitions.json"), **settings}
    if kind == "rabbitmq":
        plugins.write_text(RABBITMQ_PLUGINS)
        return RabbitMQ(
            settings=settings,
            env={"RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins)},
        )
    return broker_of(kind, settings)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a broker to judge there is nothing to run."""
    if URL is None and PRIVATE == "leveret" and not Leveret.available():
        for item in items:
            if Path(__file__).parent in Path(item.fspath).parents:
                item.add_marker(pytest.mark.skip(reason="no broker package, no CONFORMANCE_URL"))


@pytest.fixture(scope="session", params=_targets())
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """The broker under test, for the whole session."""
    kind: str = request.param
    if URL:
        yield Target(kind, URL)
        return
    plugins = tmp_path_factory.mktemp("broker") / "enabled_plugins"
    with private_broker(kind, plugins) as process:
        yield Target(kind, process.url, process)


@pytest.fixture
def broker(target: Target) -> Iterator[Target]:
    """The broker under test; a test that ends its process fails, and the next gets it again."""
    yield target
    if target.process is not None and not target.process.running:
        log = "\n".join(target.process.log_text().splitlines()[-40:])
        target.process.start()
        pytest.fail(f"the broker died; the end of its log:\n{log}")


@pytest.fixture
def restartable(request: pytest.FixtureRequest, target: Target, tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test alone, to kill and start again; data and port stay."""
    if URL:
        pytest.skip("a foreign broker is not ours to restart")
    with private_broker(target.kind, tmp_path / "enabled_plugins") as process:
        yield process


@pytest.fixture
def connect(broker: Target, name: Callable[[str], str]) -> Iterator[Callable[..., Connection]]:
    """Open connections that are closed at the end of the test, before its names are deleted."""
    opened: list[Connection] = []

    def open_connection(**options: object) -> Connection:
        connection = Connection(broker.url, **options)  # type: ignore[arg-type]
        opened.append(connection)
        return connection

    yield open_connection
    for connection in opened:
        connection.close()


@pytest.fixture
def ch(connect: Callable[..., Connection]) -> Channel:
    """Channel 1 of a connection of its own."""
    return connect().channel(1)


@pytest.fixture
def other(connect: Callable[..., Connection]) -> Channel:
    """Channel 1 of a second connection."""
    return connect().channel(1)


@pytest.fixture
def name(broker: Target) -> Iterator[Callable[[str], str]]:
    """Names nobody else uses; queues and exchanges of these names are deleted afterwards."""
    given: list[str] = []

    def unique(what: str = "q") -> str:
        given.append(f"{what}-{secrets.token_hex(4)}")
        return given[-1]

    yield unique
    if not given:
        return
    with Connection(broker.url) as connection:
        channel = connection.channel()
        for one in given:
            channel.call("queue.delete", queue=one)
            channel.call("exchange.delete", exchange=one)


@pytest.fixture
def queue(ch: Channel, name: Callable[[str], str]) -> str:
    """A transient, empty queue; it may be used from any connection."""
    return ch.declare(name("q"))


@pytest.fixture
def exchange(ch: Channel, name: Callable[[str], str]) -> Callable[..., str]:
    """Declare exchanges of any type with a fresh name."""

    def declare(exchange_type: str = "direct", **args: object) -> str:
        fresh = name("x")
        ch.call("exchange.declare", exchange=fresh, exchange_type=exchange_type, **args)
        return fresh

    return declare


@pytest.fixture(scope="session")
def replay(target: Target) -> Iterator[Replay]:
    """All recorded scenarios, playing in the background."""
    replay = Replay(target.url, deviations=target.is_leveret)
    yield replay
    replay.close()


@pytest.fixture(scope="session")
def measured(target: Target) -> Iterator[Broker]:
    """A broker with metrics, which only tests of metrics use."""
    if URL:
        pytest.skip("where a foreign broker has its metrics is not known")
    settings = {"collect_statistics_interval": "200"}
    with broker_of(target.kind, settings, ["rabbitmq_prometheus"]) as broker:
        yield broker
