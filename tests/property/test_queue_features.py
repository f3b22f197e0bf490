"""TTL, limits, priorities, message groups and dead-lettering: the broker against a slow twin.

A whole broker with its log and a clock that the test moves, restarts included. After each step
every queue must hold the same messages in the same order, with the same history in their headers.
"""

from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from pamqp import commands

from broker.core.message import Message as Stored
from broker.core.policies import delete_policy, set_policy
from protocol.content import body_of, headers_of
from protocol.tables import plain
from tests.amqp.dialogue import Heard, TimedWorld, hear, say, started
from tests.frames import ack, channel_open, message, method, publish
from tests.reference.features import FANOUT, Death, Features, Message, Settings

NAMES = ("a", "b", "c")
FANOUT_TO = ("a", "b")
STEP_MS = 100  # between two steps, so that no two messages are published at the same time
# Times of which no two sums are equal, however often a message moves on: what happens in the
# same millisecond in two queues happens in no defined order.
TTLS_MS = {"a": 1103, "b": 507, "c": 2311}
EXPIRATIONS_MS = (0, 213, 1717)

names = st.sampled_from(NAMES)


@st.composite
def declarations(draw: st.DrawFn, name: str) -> Settings:
    """Any combination of features that is allowed."""
    order = draw(st.sampled_from(["plain", "priority", "groups"]))
    keys = st.sampled_from([None, *NAMES])
    letters = st.tuples(st.sampled_from(["", FANOUT]), keys)
    return Settings(
        ttl_ms=draw(st.sampled_from([None, None, TTLS_MS[name]])),
        max_length=draw(st.sampled_from([None, None, 1, 3])),
        max_length_bytes=draw(st.sampled_from([None, None, None, 5])),
        overflow=draw(st.sampled_from(["drop-head", "reject-publish", "reject-publish-dlx"])),
        max_priority=2 if order == "priority" else None,
        grouped=order == "groups",
        dead_letters_to=draw(st.one_of(st.none(), letters, letters)),
    )


def arguments_of(settings: Settings) -> dict[str, Any]:
    """The arguments that declare a queue with these settings."""
    exchange, key = settings.dead_letters_to or (None, None)
    stated = {
        "x-message-ttl": settings.ttl_ms,
        "x-max-length": settings.max_length,
        "x-max-length-bytes": settings.max_length_bytes,
        "x-overflow": settings.overflow,
        "x-max-priority": settings.max_priority,
        "x-message-group-header": "group" if settings.grouped else None,
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-routing-key": key,
    }
    return {name: value for name, value in stated.items() if value is not None}


POLICY_KEYS = {
    "ttl_ms": "message-ttl",
    "max_length": "max-length",
    "max_length_bytes": "max-length-bytes",
}


class QueueFeatures(RuleBasedStateMachine):
    """See the module."""

    @initialize(declared=st.fixed_dictionaries({name: declarations(name) for name in NAMES}))
    def begin(self, declared: dict[str, Settings]) -> None:
        """Declare the queues."""
        self.model = Features(declared, FANOUT_TO)
        self.world = TimedWorld()
        self.model.now_ms = int(self.world.now_s * 1000)
        self.serial = 0
        self.tags: dict[str, str] = {}  # consumer tags by queue
        wishes: list[Any] = [
            commands.Queue.Declare(queue=name, durable=True, arguments=arguments_of(settings))
            for name, settings in declared.items()
        ]
        wishes += [commands.Queue.Bind(queue=name, exchange=FANOUT) for name in FANOUT_TO]
        self.client = started(self.world, *wishes, commands.Confirm.Select())

    # -- comparing --------------------------------------------------------------------------------

    def tell(self, *octets: bytes) -> list[Heard]:
        """Say something; what is answered besides deliveries to consumers, which are compared."""
        answers = say(self.world, self.client, *octets)
        return self.compare(answers)

    def compare(self, answers: list[Heard]) -> list[Heard]:
        """Deliveries, and everything that queues hold."""
        for answer in answers:
            got = answer.command
            if answer.name == "Basic.Deliver":
                expected = self.model.tag(got.consumer_tag.split(".")[0], got.delivery_tag)
                assert expected is not None, f"{answer.body!r} too much"
                assert (answer.body, got.redelivered) == (expected.body, expected.redelivered)
        assert not self.model.leaving, "not delivered"
        vhost = self.world.broker.vhosts["/"]
        for name, twin in self.model.queues.items():
            queue = vhost.queues[name]
            stored = sorted(queue.backlog, key=lambda each: each.id)
            assert [facts(each) for each in stored] == [facts_of(each) for each in twin.ready], name
            assert len(queue) == len(twin.ready)
            assert queue.backlog.size_bytes == twin.size
            assert queue.unacked == sum(held is twin for held, _, _ in self.model.held.values())
            ages = [self.model.now_ms - each.published_ms for each in twin.ready]
            assert queue.oldest_age_ms == max(ages, default=None)
        return [answer for answer in answers if answer.name != "Basic.Deliver"]

    def pass_time(self, ms: int) -> None:
        """Let time pass on both sides."""
        self.model.pass_time(ms)
        self.world.wait(ms / 1000)
        assert self.compare(hear(self.client.said())) == []

    # -- rules ------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from([*NAMES, *NAMES, FANOUT]),
        size=st.integers(1, 3),
        persistent=st.booleans(),
        priority=st.integers(0, 3),
        group=st.sampled_from([None, "x", "x", "y"]),
        expiration_ms=st.sampled_from([None, None, None, *EXPIRATIONS_MS]),
    )
    def publish(self, name: str, size: int, expiration_ms: int | None, **more: Any) -> None:
        """basic.publish: confirmed, or refused."""
        self.serial += 1
        body = bytes([65 + self.serial % 26]) * size
        exchange, key = (FANOUT, "k") if name == FANOUT else ("", name)
        if exchange:
            expiration_ms = None  # it would expire in two queues at once
        properties: dict[str, Any] = {"priority": more["priority"]}
        properties["delivery_mode"] = 2 if more["persistent"] else 1
        if more["group"] is not None:
            properties["headers"] = {"group": more["group"]}
        if expiration_ms is not None:
            properties["expiration"] = str(expiration_ms)
        wanted = Message(0, body, exchange=exchange, key=key, published_ms=0, **more)
        taken = self.model.publish(Message(**{**vars(wanted), "expiration_ms": expiration_ms}))
        (answer,) = self.tell(publish(1, exchange, key) + message(1, body, **properties))
        assert answer.name == ("Basic.Ack" if taken else "Basic.Nack")
        self.pass_time(STEP_MS)

    @rule(name=names, no_ack=st.booleans())
    def get(self, name: str, no_ack: bool) -> None:
        """basic.get."""
        expected = self.model.get(name, no_ack=no_ack)
        get = method(1, commands.Basic.Get(queue=name, no_ack=no_ack))
        answers = say(self.world, self.client, get)
        (answer,) = [each for each in answers if each.name != "Basic.Deliver"]
        got = answer.command
        if expected is not None and not no_ack:
            self.model.tag(name, got.delivery_tag)
        self.compare(answers)
        if expected is None:
            assert answer.name == "Basic.GetEmpty"
            return
        wanted, left = expected
        assert (answer.body, got.redelivered, got.message_count) == (
            wanted.body,
            wanted.redelivered,
            left,
        )
        assert (got.exchange, got.routing_key) == (wanted.exchange, wanted.key)

    @rule(name=names, prefetch=st.integers(1, 2))
    def consume(self, name: str, prefetch: int) -> None:
        """basic.consume, or basic.cancel of the consumer there is."""
        if self.model.queues[name].consumer is not None:
            self.model.cancel(name)
            self.tell(method(1, commands.Basic.Cancel(self.tags.pop(name))))
            return
        self.serial += 1
        tag = self.tags[name] = f"{name}.{self.serial}"
        self.model.consume(name, prefetch)
        qos = commands.Basic.Qos(prefetch_count=prefetch)
        self.tell(method(1, qos), method(1, commands.Basic.Consume(queue=name, consumer_tag=tag)))

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), how=st.sampled_from(["ack", "requeue", "reject"]))
    def settle(self, data: st.DataObject, how: str) -> None:
        """basic.ack, or basic.reject in both ways."""
        tag = data.draw(st.sampled_from(sorted(self.model.held)))
        if how == "ack":
            self.model.ack(tag)
            self.tell(ack(1, tag))
        else:
            self.model.reject(tag, requeue=how == "requeue")
            self.tell(method(1, commands.Basic.Reject(tag, how == "requeue")))

    @rule(ms=st.sampled_from([200, 600, 1700]))
    def wait(self, ms: int) -> None:
        """Time passes."""
        self.pass_time(ms)

    @rule(name=names)
    def purge(self, name: str) -> None:
        """queue.purge."""
        count = self.model.purge(name)
        (answer,) = self.tell(method(1, commands.Queue.Purge(queue=name)))
        assert answer.command.message_count == count

    @rule(
        name=names,
        key=st.sampled_from([None, *POLICY_KEYS]),
        limit=st.integers(0, 3),
    )
    def change_policy(self, name: str, key: str | None, limit: int) -> None:
        """A policy that holds for one queue comes, changes or goes."""
        vhost = self.world.broker.vhosts["/"]
        if key is None:
            self.model.set_policy(name, {})
            delete_policy(vhost, name)
        else:
            value = TTLS_MS[name] // 2 if key == "ttl_ms" else limit
            self.model.set_policy(name, {key: value})
            set_policy(vhost, name, pattern=f"^{name}$", definition={POLICY_KEYS[key]: value})
        self.tell()

    @rule(how=st.sampled_from(["channel", "restart"]))
    def end_something(self, how: str) -> None:
        """The channel or the process ends, and begins again."""
        self.tags.clear()
        if how == "channel":
            self.model.close_channel()
            close = method(1, commands.Channel.Close(200, "", 0, 0))
            self.tell(close, channel_open(1), method(1, commands.Confirm.Select()))
            return
        self.model.restart()
        self.world.timers.clear()
        self.world.restart()
        self.world.tick.wake()
        self.client = started(self.world, commands.Confirm.Select())
        self.compare([])


def facts(stored: Stored) -> tuple[Any, ...]:
    """What a stored message tells."""
    headers = {name: plain(value) for name, value in headers_of(stored.content).items()}
    deaths = tuple(
        Death(
            death["queue"],
            death["reason"],
            death["count"],
            death["exchange"],
            tuple(death["routing-keys"]),
            int(death["original-expiration"]) if "original-expiration" in death else None,
        )
        for death in headers.get("x-death", ())
    )
    ends = [
        tuple(headers[f"x-{end}-death-{what}"] for what in ("reason", "queue", "exchange"))
        if deaths
        else None
        for end in ("first", "last")
    ]
    return (body_of(stored.content), stored.exchange, stored.routing_key, deaths, *ends)


def facts_of(twin: Message) -> tuple[Any, ...]:
    """The same of the model's message."""
    return (twin.body, twin.exchange, twin.key, twin.deaths, twin.first_death, twin.last_death)


QueueFeatures.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
TestQueueFeatures = QueueFeatures.TestCase
