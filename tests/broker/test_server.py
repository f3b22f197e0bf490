"""The parts of the process: who starts and stops when, and what makes it end."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from broker.config import Config, load
from broker.core import purging
from broker.ending import EX_IOERR, Ending
from broker.engine import Engine
from broker.server import Server
from broker.sessions import Sessions
from broker.upkeep import Job, Upkeep
from broker.wal import DirectoryInUse, LogFailed
from tests.core.doubles import make_queue, publish


def config_of(directory: Path, *overrides: str) -> Config:
    """Settings of a broker that takes any free ports of this machine."""
    free = ["listeners.tcp.default=127.0.0.1:0", "prometheus.tcp.port=0", "management.tcp.port=0"]
    local = ["prometheus.tcp.ip=127.0.0.1", "management.tcp.ip=127.0.0.1"]
    return load(None, [*free, *local, f"leveret.data_dir={directory}", *overrides], {})[0]


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Play a scene in an event loop."""
    asyncio.run(scene())


@dataclass
class Told:
    """A part that notes when it is started and stopped, and does what another one does."""

    name: str
    log: list[str]
    part: Any

    async def start(self) -> None:
        """Note it."""
        await self.part.start()
        self.log.append(f"start {self.name}")

    async def stop(self) -> None:
        """Note it."""
        self.log.append(f"stop {self.name}")
        await self.part.stop()


def watched(server: Server) -> list[str]:
    """What the parts of a server will be told."""
    told: list[str] = []
    server.parts = [Told(type(part).__name__, told, part) for part in server.parts]
    return told


def test_parts_stop_in_the_opposite_order(tmp_path: Path) -> None:
    """AMQP is the last to start and the first to stop, the log is written last of all."""

    async def scene() -> None:
        server = Server(config_of(tmp_path))
        told = watched(server)
        server.ending.ask()
        assert await server.serve(0.0) == 0
        started, stopped = told[: len(told) // 2], told[len(told) // 2 :]
        assert [line.replace("stop", "start") for line in reversed(stopped)] == started
        assert (started[0], started[-1]) == ("start Engine", "start AmqpListeners")
        places = [place.protocol for place in server.listening]
        assert places == ["amqp", "http", "http/prometheus"]

    run(scene)


def test_a_port_in_use_ends_the_start_in_order(tmp_path: Path) -> None:
    """What had started is stopped: the exit code is 74, and the directory is free again."""

    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = Server(config_of(tmp_path, f"listeners.tcp.default=127.0.0.1:{port}"))
            told = watched(server)
            assert await server.serve(0.0) == EX_IOERR
        started = [line.removeprefix("start ") for line in told if line.startswith("start")]
        stopped = [line.removeprefix("stop ") for line in told if line.startswith("stop")]
        assert "AmqpListeners" not in started
        assert stopped == started[::-1]
        again = Server(config_of(tmp_path))
        again.ending.ask()
        assert await again.serve(0.0) == 0

    run(scene)


def test_a_log_that_failed_ends_the_process(tmp_path: Path) -> None:
    """The exit code is 74; no client is waited for, and the log is not written again."""

    async def scene() -> None:
        ending = Ending()
        engine = Engine(config_of(tmp_path), asyncio.get_running_loop(), ending, lambda: None)
        written = engine.disk.writes
        engine.log.operation(engine.broker.snapshot()[0])  # gathers, and is never committed
        engine._failed(LogFailed("a test"))
        await ending.wait()
        assert ending.exit_code == EX_IOERR
        engine.tick.run()
        await engine.stop()
        assert engine.disk.writes == written

        client: Any = Client("guest")
        sessions = Sessions(config_of(tmp_path), ending)
        sessions.add(client)
        await sessions.stop()
        assert client.heard == ["abort"]

    run(scene)


def test_a_purge_is_finished_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops the broker in order, however soon, finds nothing of what was purged."""
    monkeypatch.setattr(purging, "SLICE_MESSAGES", 10)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        engine = Engine(config_of(tmp_path), loop, Ending(), lambda: None)
        vhost = engine.broker.vhosts["/"]
        queue = make_queue(vhost, "q", durable=True)
        for _ in range(25):
            publish(vhost, "q", delivery_mode=2)
        assert queue.purge() == 25
        assert vhost.broker.purging
        await engine.stop()
        again = Engine(config_of(tmp_path), loop, Ending(), lambda: None)
        assert len(again.broker.vhosts["/"].queues["q"]) == 0
        await again.stop()

    run(scene)


def test_a_log_belongs_to_one_broker(tmp_path: Path) -> None:
    """A second broker in the same directory does not start, and does not harm the first."""

    async def scene() -> None:
        server = Server(config_of(tmp_path))
        with pytest.raises(DirectoryInUse):
            Server(config_of(tmp_path))
        server.ending.ask()
        assert await server.serve(0.0) == 0

    run(scene)


@dataclass(eq=False)
class Client:
    """A session that notes what it is told."""

    user: str
    opened: bool = False
    heard: list[str] = field(default_factory=list)

    def close_for(self, error: Exception) -> None:
        """The connection is to close."""
        self.heard.append(str(error))

    def abort(self) -> None:
        """The socket is to close."""
        self.heard.append("abort")


def test_sessions_of_a_user_that_goes_are_closed(tmp_path: Path) -> None:
    """Deleting a user concerns that user's connections, and deleting a vhost those in it."""

    async def scene() -> None:
        sessions = Sessions(config_of(tmp_path, "connection_max=2"), Ending())
        ann: Any = Client("ann")
        bob: Any = Client("bob")
        for client in (ann, bob):
            assert sessions.has_room(1)
            sessions.add(client)
        assert not sessions.has_room(1)
        sessions.close_deleted({"op": "user.delete", "name": "ann"})
        sessions.close_deleted({"op": "vhost.delete", "name": "bob"})
        assert (len(ann.heard), bob.heard) == (1, [])
        assert "user 'ann' is deleted" in ann.heard[0]

    run(scene)


def test_clients_are_waited_for(tmp_path: Path) -> None:
    """A stop ends when the last connection is gone; without that, when the drain is over."""

    async def scene() -> None:
        sessions = Sessions(config_of(tmp_path, "leveret.drain_timeout_ms=3600000"), Ending())
        client: Any = Client("guest")
        sessions.add(client)
        stopping = asyncio.ensure_future(sessions.stop())
        await asyncio.sleep(0)
        assert "shutdown" in client.heard[0]
        assert not stopping.done()
        sessions.remove(client)
        await stopping
        assert "abort" not in client.heard

        sessions = Sessions(config_of(tmp_path, "leveret.drain_timeout_ms=0"), Ending())
        sessions.add(client)
        await sessions.stop()
        assert client.heard[-1] == "abort"

    run(scene)


class Alarm:
    """A timer of a clock that is turned by hand."""

    def __init__(self, pending: list["Alarm"], delay_s: float, call: Callable[[], None]) -> None:
        self.pending, self.delay_s, self.call = pending, delay_s, call
        pending.append(self)

    def ring(self) -> None:
        """It is time."""
        self.pending.remove(self)
        self.call()

    def cancel(self) -> None:
        """It is not to ring."""
        with contextlib.suppress(ValueError):
            self.pending.remove(self)


def test_upkeep_goes_on_until_it_is_stopped() -> None:
    """A job is done at each of its intervals, and not at the start or after the stop."""
    done: list[str] = []
    pending: list[Alarm] = []
    jobs = [Job(1.0, lambda: done.append("often")), Job(10.0, lambda: done.append("seldom"))]
    upkeep = Upkeep(jobs, lambda delay_s, call: Alarm(pending, delay_s, call))
    asyncio.run(upkeep.start())
    assert not done
    for _ in range(2):
        next(alarm for alarm in pending if alarm.delay_s == 1.0).ring()
    assert done == ["often", "often"]
    assert sorted(alarm.delay_s for alarm in pending) == [1.0, 10.0]
    asyncio.run(upkeep.stop())
    assert not pending
