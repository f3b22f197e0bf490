"""Talking to a broker in memory: say frames, hear answers, let time pass, make the disk slow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pamqp import commands, frame

from tests.frames import channel_open, message, method, publish, raw_frame, split
from tests.world import Client, World


@dataclass
class Heard:
    """A method the broker sent, with its content if it carries one."""

    channel: int
    command: Any
    body: bytes = b""
    body_frames: int = 0

    @property
    def name(self) -> str:
        """The method's name."""
        name: str = self.command.name
        return name


def hear(octets: bytes) -> list[Heard]:
    """Take the broker's output apart; heartbeats are left out."""
    heard: list[Heard] = []
    open_contents: dict[int, Heard] = {}
    for kind, channel, payload in split(octets):
        if kind == 1:
            _, _, command = frame.unmarshal(raw_frame(1, channel, payload))
            heard.append(Heard(channel, command))
            open_contents[channel] = heard[-1]
        elif kind == 3:
            open_contents[channel].body += payload
            open_contents[channel].body_frames += 1
    return heard


def heard(world: World, client: Client) -> list[Heard]:
    """What the broker said since the last time, once it is quiet."""
    world.run()
    return hear(client.said())


def say(world: World, client: Client, *octets: bytes) -> list[Heard]:
    """Say everything in one read, and hear the answers."""
    client.feed(b"".join(octets))
    return heard(world, client)


def names(answers: list[Heard]) -> list[str]:
    """The names of methods."""
    return [answer.name for answer in answers]


def bodies(answers: list[Heard], name: str = "Basic.Deliver") -> list[bytes]:
    """The bodies of the deliveries, or of another method with content."""
    return [answer.body for answer in answers if answer.name == name]


def tags(answers: list[Heard]) -> list[int]:
    """The delivery tags of the deliveries."""
    return [a.command.delivery_tag for a in answers if a.name == "Basic.Deliver"]


def started(world: World, *wishes: Any, channels: int = 1) -> Client:
    """A client with channels open, after some methods on the first."""
    client = world.connect()
    opened = b"".join(channel_open(number) for number in range(1, channels + 1))
    say(world, client, opened, *(method(1, wish) for wish in wishes))
    return client


def declare(name: str = "q", **options: Any) -> Any:
    """queue.declare."""
    return commands.Queue.Declare(queue=name, **options)


def consume(queue: str = "q", tag: str = "c", **options: Any) -> Any:
    """basic.consume."""
    return commands.Basic.Consume(queue=queue, consumer_tag=tag, **options)


def send(body: bytes = b"m", key: str = "q", channel: int = 1, **properties: Any) -> bytes:
    """A message to a queue, by the default exchange."""
    return publish(channel, "", key) + message(channel, body, **properties)


def stored(body: bytes = b"m", key: str = "q", channel: int = 1) -> bytes:
    """A persistent message to a queue."""
    return send(body, key, channel, delivery_mode=2)


class TimedWorld(World):
    """A world whose time passes when told to."""

    def __init__(self, **settings: Any) -> None:
        self.now_s = 1000.0
        self.timers: list[RingingTimer] = []
        super().__init__(**settings)

    def _boot(self) -> None:
        super()._boot()
        self.tick.read_clock = self._read_clock

    def _read_clock(self) -> None:
        self.broker.now_ms = int(self.now_s * 1000)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Any:
        """Keep the callback for `wait`."""
        timer = RingingTimer(self.now_s + delay_s, callback)
        self.timers.append(timer)
        return timer

    def wait(self, delay_s: float) -> None:
        """Let time pass; every timer rings when it is due."""
        end_s = self.now_s + delay_s
        self.run()
        while due := [timer for timer in self.timers if timer.due_s <= end_s]:
            timer = min(due, key=lambda timer: timer.due_s)
            self.timers.remove(timer)
            self.now_s = max(self.now_s, timer.due_s)
            if not timer.cancelled:
                timer.callback()
            self.run()
        self.now_s = end_s
        self._read_clock()


@dataclass(eq=False)
class RingingTimer:
    """A timer of a `TimedWorld`."""

    due_s: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        """Do not ring."""
        self.cancelled = True


class SlowDisk:
    """Stands for the log's worker: disk work is done when the test says so."""

    def __init__(self, world: World) -> None:
        self.total_us = 0
        self._job: tuple[Callable[[], None], Callable[[Exception | None], None]] | None = None
        self._world = world
        world.log._worker = self  # type: ignore[assignment]

    @property
    def busy(self) -> bool:
        """Whether work is waiting to be done."""
        return self._job is not None

    def run(self, work: Any, done: Any, *, large: bool = False) -> None:
        """Keep the work."""
        assert self._job is None
        self._job = work, done

    def finish(self) -> None:
        """Do the work that is under way, and what follows from it in the broker."""
        assert self._job is not None, "the disk has nothing to do"
        (work, done), self._job = self._job, None
        work()
        done(None)
        self._world.run()

    def finish_all(self) -> None:
        """Do work until none is left."""
        while self._job is not None:
            self.finish()
