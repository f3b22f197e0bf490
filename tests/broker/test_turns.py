"""How clients share the turns of the loop: portions, rounds, rests; and that nothing changes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.amqp.weight import LIGHT_BYTES, WINDOW_MS, Weight
from broker.turns import (
    LONG_TURN_MS,
    REST_MAX_MS,
    TURN_ALONE_S,
    TURN_S,
    Turns,
)
from protocol.connection import WORK_MAX, WORK_SHARED
from tests.amqp.dialogue import bodies, consume, declare, heard, say, send, started
from tests.frames import message, method, publish
from tests.world import World

NOW_MS = 1_000_000


@dataclass(eq=False)
class Reader:
    """Somebody with a large read, which takes a while and some portions."""

    scene: "Scene"
    name: str
    portions: int
    takes_s: float

    def unthrottle(self) -> bool:
        """See `host.Reads`."""
        self.scene.served.append(self.name)
        self.scene.now_s += self.takes_s
        self.portions -= 1
        if self.portions:
            self.scene.turns.waiting.append(self)
        return not self.portions


@dataclass
class Scene:
    """Turns with a clock that only work moves."""

    now_s: float = 5.0
    served: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turns = Turns(clock=lambda: self.now_s)

    def wait(self, name: str, portions: int = 1, takes_s: float = 0.0) -> None:
        """Have somebody wait."""
        self.turns.waiting.append(Reader(self, name, portions, takes_s))

    def turn(self, now_ms: int = NOW_MS, deliveries_s: float = 0.0) -> str:
        """Run one turn; who was served."""
        self.turns.begin()
        self.now_s += deliveries_s
        self.served.clear()
        self.turns.serve(now_ms)
        return "".join(self.served)


def test_alone_everybody_goes_on_at_once() -> None:
    """Without light clients all who wait are served in each turn, once, in large portions."""
    scene = Scene()
    scene.wait("a", portions=2, takes_s=0.2 * TURN_ALONE_S)
    scene.wait("b", takes_s=0.2 * TURN_ALONE_S)
    assert scene.turns.work == WORK_MAX
    assert [scene.turn(), scene.turn(), scene.turn()] == ["ab", "a", ""]


def test_many_do_not_make_a_turn_endless() -> None:
    """However many have a large read, new clients get their chance before all are served."""
    scene = Scene()
    for name in "abcd":
        scene.wait(name, takes_s=0.6 * TURN_ALONE_S)
    assert [scene.turn(), scene.turn(), scene.turn()] == ["ab", "cd", ""]


def test_beside_a_light_client_a_turn_is_short() -> None:
    """With a light client a turn ends soon, and the next goes on with who has waited longest."""
    scene = Scene()
    scene.turns.light_read(NOW_MS)
    for name in "abc":
        scene.wait(name, portions=2, takes_s=0.6 * TURN_S)
    assert scene.turns.work == WORK_SHARED
    assert [scene.turn(), scene.turn(), scene.turn(), scene.turn()] == ["ab", "ca", "bc", ""]


def test_a_light_client_is_soon_forgotten() -> None:
    """When the light clients are quiet, large reads are acted on at once again."""
    scene = Scene()
    scene.turns.light_read(NOW_MS)
    scene.wait("a", takes_s=1.0)
    scene.wait("b")
    assert scene.turn(NOW_MS + WINDOW_MS - 1) == "a"
    assert scene.turn(NOW_MS + WINDOW_MS) == "b"
    assert scene.turns.work == WORK_MAX


def test_after_a_long_turn_the_others_rest() -> None:
    """What takes long leaves light clients at least as much time, and never rests for ever."""
    scene = Scene()
    scene.turns.light_read(NOW_MS)
    scene.wait("a", portions=9, takes_s=2 * LONG_TURN_MS / 1000)
    assert scene.turn() == "a"
    assert scene.turn() == ""
    rest_ms = scene.turns.rest_ms(NOW_MS)
    assert 2 * LONG_TURN_MS <= rest_ms <= 4 * LONG_TURN_MS
    assert scene.turn(NOW_MS + rest_ms - 1) == ""
    assert scene.turn(NOW_MS + rest_ms) == "a"
    scene.turns.light_read(NOW_MS + rest_ms)
    scene.turn(NOW_MS + rest_ms, deliveries_s=60.0)
    assert scene.turns.rest_ms(NOW_MS + rest_ms) == REST_MAX_MS


def test_what_the_served_cause_counts() -> None:
    """A turn is as long as what those who were served have caused, in the tick that follows."""
    scene = Scene()
    scene.turns.light_read(NOW_MS)
    scene.wait("a", portions=9, takes_s=TURN_S / 100)
    assert scene.turn() == "a" * 9
    scene.wait("b")
    assert scene.turn(deliveries_s=2 * LONG_TURN_MS / 1000) == ""
    assert scene.turns.rest_ms(NOW_MS) > 0


@pytest.mark.parametrize(("octets", "light"), [(LIGHT_BYTES, True), (LIGHT_BYTES + 1, False)])
def test_who_is_light(octets: int, light: bool) -> None:
    """A client is light once a window has passed in which it sent and got little."""
    weight = Weight(NOW_MS)
    weight.weigh(NOW_MS + WINDOW_MS - 1, octets)
    assert not weight.is_light, "nobody knows yet"
    weight.weigh(NOW_MS + WINDOW_MS, octets)
    assert weight.is_light == light
    weight.weigh(NOW_MS + 2 * WINDOW_MS, octets + 10)
    assert weight.is_light


def flood(count: int) -> bytes:
    """Many messages, of which each says which one it is."""
    return b"".join(publish(1, "", "q") + message(1, b"%d" % number) for number in range(count))


def ticks(world: World, monkeypatch: pytest.MonkeyPatch, look: Callable[[], int]) -> list[int]:
    """What one sees at the beginning of each tick from now on."""
    seen: list[int] = []
    run = world.tick._run
    monkeypatch.setattr(world.tick, "_run", lambda: (seen.append(look()), run()))
    return seen


def test_a_flood_is_acted_on_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large read a portion is acted on in a turn; until all are, nothing is read."""
    world = World(shares_turns=True)
    client = started(world, declare())
    queue = world.broker.vhosts["/"].queues["q"]
    seen = ticks(world, monkeypatch, lambda: len(queue) * (not client.transport.reading))
    say(world, client, flood(1000))
    assert len(queue) == 1000
    assert client.transport.reading
    steps = [after - before for before, after in pairwise(seen[:-1])]
    assert len(steps) > 3
    assert 0 < max(steps) < 500


def play(world: World, reads: list[tuple[int, bytes]]) -> tuple[list[bytes], list[bytes], bytes]:
    """Publish with two clients, consume with one; bodies by publisher, and what is left."""
    clients = [started(world, declare()), started(world)]
    consumer = started(world, consume(no_ack=True))
    for number, octets in reads:
        clients[number].feed(octets)
    got = bodies(heard(world, consumer))
    assert not world.tick.turns.waiting
    by_client = [[body for body in got if body.startswith(b"%d:" % n)] for n in (0, 1)]
    return by_client[0], by_client[1], b"".join(client.said() for client in clients)


octets = st.builds(
    lambda count, size: [b"x" * size] * count, st.integers(1, 300), st.sampled_from([1, 50, 3000])
)


@given(st.lists(st.tuples(st.integers(0, 1), octets), min_size=1, max_size=6), st.integers(1, 7))
def test_portions_change_nothing(batches: list[tuple[int, list[bytes]]], cut: int) -> None:
    """Acted on in portions or at once, all messages arrive, those of one client in its order."""
    reads: list[tuple[int, bytes]] = []
    sent: list[list[bytes]] = [[], []]
    for client, batch in batches:
        said = b""
        for body in batch:
            sent[client].append(b"%d:%d:" % (client, len(sent[client])) + body)
            said += send(sent[client][-1])
        size = len(said) // cut + 1
        reads += [(client, said[at : at + size]) for at in range(0, len(said), size)]
    for fast_path in (True, False):
        for shares in (True, False):
            world = World(fast_path=fast_path, shares_turns=shares)
            assert play(world, reads) == (sent[0], sent[1], b"")


def test_methods_are_portions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many methods in one read one is acted on in a turn, and all are answered in order."""
    world = World(shares_turns=True)
    client = started(world)
    seen = ticks(world, monkeypatch, lambda: len(world.broker.vhosts["/"].queues))
    answers = say(world, client, *(method(1, declare(f"q{n}")) for n in range(5)))
    assert [answer.command.queue for answer in answers] == [f"q{n}" for n in range(5)]
    assert seen[:5] == [1, 2, 3, 4, 5]
