"""The route to a delay store: the fast path and the other one do the same."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from protocol.content import body_of
from tests.amqp.dialogue import TimedWorld, consume, declare, say, started
from tests.frames import message, method, publish
from tests.pages import tiny_pages

TOPOLOGY = (
    declare(durable=True),
    commands.Exchange.Declare(
        exchange="x",
        exchange_type="x-delayed-message",
        durable=True,
        arguments={"x-delayed-type": "fanout"},
    ),
    commands.Queue.Bind(queue="q", exchange="x", routing_key=""),
    commands.Confirm.Select(),
    consume(),
)

delays = st.sampled_from([None, 0, -5, 1, 20, 20, 500, "30", "soon"])
messages = st.tuples(delays, st.booleans(), st.sampled_from([None, "10"]), st.booleans())
steps = st.one_of(st.lists(messages, min_size=1, max_size=6), st.sampled_from([0.001, 0.02, 1.0]))


def octets(number: int, wish: tuple[Any, bool, str | None, bool]) -> bytes:
    """A publish with its content."""
    delay, persistent, expiration, mandatory = wish
    headers = {"n": number} if delay is None else {"x-delay": delay}
    content = message(
        1,
        b"%d" % number,
        headers=headers,
        delivery_mode=2 if persistent else 1,
        expiration=expiration,
    )
    return publish(1, "x", "k", mandatory=mandatory) + content


class Side:
    """A broker with a delayed exchange, a client, and all the client was told."""

    def __init__(self, *, fast_path: bool, paged: bool) -> None:
        self.world = TimedWorld(fast_path=fast_path, paged=paged)
        self.client = started(self.world, *TOPOLOGY)
        self.told: list[bytes] = []

    def take(self, step: Any, serial: int) -> None:
        """Publish some messages in one read, or let time pass."""
        if isinstance(step, float):
            self.world.wait(step)
        else:
            self.client.feed(b"".join(octets(serial + at, wish) for at, wish in enumerate(step)))
            self.world.run()
        self.told.append(self.client.said())

    @property
    def state(self) -> Any:
        """What the client was told, what waits, and what is on the queue."""
        vhost = self.world.broker.vhosts["/"]
        delayed = vhost.exchanges["x"].delayed
        assert delayed is not None
        waiting = [(due_ms, body_of(each.content)) for due_ms, each in delayed.listed()]
        ready = [body_of(each.content) for each in vhost.queues["q"].backlog.browse()]
        return self.told, waiting, ready, vhost.queues["q"].unacked


@settings(max_examples=60)
@given(st.lists(steps, max_size=12), st.booleans())
def test_both_paths_delay_the_same(program: list[Any], restarts: bool) -> None:
    """Delayed or not, in one read or many, in memory or in pages: the same confirms, the same
    deliveries at the same time, and the same is there after a kill."""
    with tiny_pages():
        sides = [
            Side(fast_path=fast_path, paged=paged)
            for fast_path, paged in ((True, False), (False, False), (True, True))
        ]
        serial = 0
        for step in program:
            for side in sides:
                side.take(step, serial)
            serial += 0 if isinstance(step, float) else len(step)
            assert sides[0].state == sides[1].state == sides[2].state
        if restarts:
            for side in sides:
                side.world.restart()
                side.world.run()
            assert sides[0].state == sides[1].state == sides[2].state


def test_a_delayed_message_is_not_routed_at_once() -> None:
    """It waits in the store, and is on the queue when it is due, its header negated."""
    side = Side(fast_path=True, paged=False)
    say(side.world, side.client, method(1, commands.Basic.Cancel("c")))
    side.take([(20, True, None, False), (None, True, None, False)], 0)
    assert [body for _, body in side.state[1]] == [b"0"]
    assert side.state[2] == [b"1"]
    side.world.wait(0.02)
    assert side.state[1:3] == ([], [b"1", b"0"])
