"""What queues do by themselves, as lists and loops: TTL, limits, priorities, groups, dead letters.

A broker of a few queues that says after each step which messages are where, in which order, and
what their headers tell of their deaths. Nothing is indexed or remembered: what may be handed out
next, what has expired and what is above a limit is found by looking at everything again.
"""

from dataclasses import dataclass, field, replace

FANOUT = "amq.fanout"


@dataclass(frozen=True)
class Death:
    """One entry of x-death."""

    queue: str
    reason: str
    count: int
    exchange: str
    keys: tuple[str, ...]
    expiration_ms: int | None


@dataclass(frozen=True)
class Message:
    """A message on one queue; `number` is the order of arrival in the broker."""

    number: int
    body: bytes
    persistent: bool
    exchange: str
    key: str
    published_ms: int
    priority: int = 0
    group: str | None = None
    expiration_ms: int | None = None
    redelivered: bool = False
    deaths: tuple[Death, ...] = ()
    first_death: tuple[str, str, str] | None = None  # reason, queue, exchange
    last_death: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Settings:
    """What a queue was declared with."""

    ttl_ms: int | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: str = "drop-head"
    max_priority: int | None = None
    grouped: bool = False
    dead_letters_to: tuple[str, str | None] | None = None  # exchange, routing key


@dataclass
class Consumer:
    """Who is handed what comes, up to `prefetch` at a time."""

    prefetch: int
    outstanding: int = 0


@dataclass(eq=False)
class Queue:
    """Ready messages in order of arrival; who holds which others."""

    name: str
    declared: Settings
    policy: dict[str, int] = field(default_factory=dict)
    ready: list[Message] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)  # groups with a message handed out
    consumer: Consumer | None = None

    @property
    def settings(self) -> Settings:
        """With a policy: of two limits the lower one holds."""
        lowered = {}
        for name, value in self.policy.items():
            stated = getattr(self.declared, name)
            lowered[name] = value if stated is None else min(value, stated)
        return replace(self.declared, **lowered)

    def put(self, message: Message) -> None:
        """A message is ready, at its place."""
        self.ready.append(message)
        self.ready.sort(key=lambda each: each.number)

    def offered(self) -> Message | None:
        """What a consumer gets next."""
        highest = self.settings.max_priority
        if highest is not None:
            best = max((min(each.priority, highest) for each in self.ready), default=None)
            return next((each for each in self.ready if min(each.priority, highest) == best), None)
        if self.settings.grouped:
            return next((each for each in self.ready if each.group not in self.busy), None)
        return self.ready[0] if self.ready else None

    def hand_out(self) -> Message | None:
        """Take out what a consumer gets next."""
        message = self.offered()
        if message is not None:
            self.ready.remove(message)
            if self.settings.grouped and message.group is not None:
                self.busy.add(message.group)
        return message

    def is_above_limits(self, count: int, size: int) -> bool:
        """Whether so many messages of so many octets are too much."""
        settings = self.settings
        return (settings.max_length is not None and count > settings.max_length) or (
            settings.max_length_bytes is not None and size > settings.max_length_bytes
        )

    @property
    def size(self) -> int:
        """Octets that are ready."""
        return sum(len(each.body) for each in self.ready)

    def is_full_for(self, message: Message) -> bool:
        """Whether a publish is refused."""
        above = self.is_above_limits(len(self.ready) + 1, self.size + len(message.body))
        return self.settings.overflow != "drop-head" and above

    def expired(self, now_ms: int) -> list[Message]:
        """What has to go because of its age."""
        return [message for message in self.ready if self.is_over(message, now_ms)]

    def is_over(self, message: Message, now_ms: int) -> bool:
        """Whether the message's time has passed."""
        limits = [self.settings.ttl_ms, message.expiration_ms]
        lowest = min((each for each in limits if each is not None), default=None)
        return lowest is not None and message.published_ms + lowest <= now_ms


Held = tuple[Queue, Message, Consumer | None]


class Features:
    """The broker. `fanout` names the queues that the fanout exchange leads to."""

    def __init__(self, queues: dict[str, Settings], fanout: tuple[str, ...]) -> None:
        self.queues = {name: Queue(name, settings) for name, settings in queues.items()}
        self.fanout = fanout
        self.held: dict[int, Held] = {}  # by delivery tag
        self.numbers = 0
        self.now_ms = 0
        self.leaving: list[Held] = []  # handed out in this step, without a tag yet

    # -- steps ------------------------------------------------------------------------------------

    def publish(self, message: Message) -> bool:
        """basic.publish; false if a full queue refused it."""
        taken = self._publish(message)
        self._settle_down()
        return taken

    def _publish(self, message: Message, avoid: tuple[str, ...] = ()) -> bool:
        self.numbers += 1
        message = replace(message, number=self.numbers, published_ms=self.now_ms)
        names = self.fanout if message.exchange == FANOUT else (message.key,)
        targets = [self.queues[name] for name in names if name in self.queues and name not in avoid]
        for queue in targets:
            if queue.settings.overflow != "drop-head":
                self._work(queue)  # it is judged once its consumers have what they can get
        refusing = [queue for queue in targets if queue.is_full_for(message)]
        for queue in targets:
            if queue not in refusing:
                queue.put(message)
        for queue in refusing:
            if queue.settings.overflow == "reject-publish-dlx":
                self._bury(queue, message, "maxlen")
        return not refusing

    def get(self, name: str, *, no_ack: bool) -> tuple[Message, int] | None:
        """basic.get: the message, and how many are left."""
        queue = self.queues[name]
        message = queue.hand_out()
        if message is None:
            return None
        left = len(queue.ready)
        if no_ack:
            self._free(queue, message)
        else:
            self.leaving.append((queue, message, None))
        self._settle_down()
        return message, left

    def tag(self, name: str, tag: int) -> Message | None:
        """The next message that left this queue has a tag: across queues no order is defined."""
        for held in self.leaving:
            if held[0].name == name:
                self.leaving.remove(held)
                self.held[tag] = held
                return held[1]
        return None

    def consume(self, name: str, prefetch: int) -> None:
        """basic.consume, where there is no consumer."""
        self.queues[name].consumer = Consumer(prefetch)
        self._settle_down()

    def cancel(self, name: str) -> None:
        """basic.cancel."""
        self.queues[name].consumer = None

    def ack(self, tag: int) -> None:
        """basic.ack."""
        queue, message, consumer = self.held.pop(tag)
        self._let_go(consumer)
        self._free(queue, message)
        self._settle_down()

    def reject(self, tag: int, *, requeue: bool) -> None:
        """basic.reject."""
        queue, message, consumer = self.held.pop(tag)
        if requeue:
            self._take_back(queue, message)
        else:
            self._bury(queue, message, "rejected")
        self._free(queue, message)  # only now may the consumer get another one
        self._let_go(consumer)
        self._settle_down()

    def purge(self, name: str) -> int:
        """queue.purge."""
        count = len(self.queues[name].ready)
        self.queues[name].ready.clear()
        return count

    def set_policy(self, name: str, policy: dict[str, int]) -> None:
        """A policy for one queue takes the place of the one before."""
        self.queues[name].policy = policy
        self._settle_down()

    def pass_time(self, ms: int) -> None:
        """Millisecond by millisecond, as far as anything happens in them."""
        for _ in range(ms):
            self.now_ms += 1
            if any(queue.expired(self.now_ms) for queue in self.queues.values()):
                self._settle_down()

    def close_channel(self) -> None:
        """All consumers are gone, all deliveries come back."""
        for queue in self.queues.values():
            queue.consumer = None
        for queue, message, _ in self.held.values():
            self._free(queue, message)
            self._take_back(queue, message)
        self.held.clear()
        self._settle_down()

    def restart(self) -> None:
        """All queues are durable; what is persistent comes back as redelivered."""
        for queue, message, _ in self.held.values():
            queue.put(message)
        self.held.clear()
        for queue in self.queues.values():
            queue.consumer = None
            queue.busy.clear()
            queue.ready = [replace(m, redelivered=True) for m in queue.ready if m.persistent]
        self._settle_down()

    # -- what follows -----------------------------------------------------------------------------

    @staticmethod
    def _let_go(consumer: Consumer | None) -> None:
        if consumer is not None:
            consumer.outstanding -= 1

    @staticmethod
    def _free(queue: Queue, message: Message) -> None:
        if message.group is not None:
            queue.busy.discard(message.group)

    def _take_back(self, queue: Queue, message: Message) -> None:
        """What comes back too late is not handed out again, even if a consumer is waiting."""
        if queue.is_over(message, self.now_ms):
            self._bury(queue, message, "expired")
        else:
            queue.put(replace(message, redelivered=True))

    def _settle_down(self) -> None:
        """Consumers first: then what is too old, then what is too much, until nothing changes."""
        worked = True
        while worked:
            worked = False
            for queue in self.queues.values():
                worked = self._work(queue) or worked

    def _work(self, queue: Queue) -> bool:
        worked = self._deliver(queue)
        expired = queue.expired(self.now_ms)
        for message in expired:
            queue.ready.remove(message)
        excess = []
        while queue.settings.overflow == "drop-head" and queue.is_above_limits(
            len(queue.ready), queue.size
        ):
            first = queue.ready[0] if queue.settings.max_priority is None else queue.offered()
            assert first is not None
            queue.ready.remove(first)
            excess.append(first)
        for message in expired:
            self._bury(queue, message, "expired")
        for message in excess:
            self._bury(queue, message, "maxlen")
        return bool(worked or expired or excess)

    def _deliver(self, queue: Queue) -> bool:
        worked = False
        consumer = queue.consumer
        while consumer is not None and consumer.outstanding < consumer.prefetch:
            message = queue.hand_out()
            if message is None:
                break
            consumer.outstanding += 1
            self.leaving.append((queue, message, consumer))
            worked = True
        return worked

    def _bury(self, queue: Queue, message: Message, reason: str) -> None:
        """A message ends: publish its dead letter, but never back into a cycle nobody rejects."""
        if queue.settings.dead_letters_to is None:
            return
        exchange, key = queue.settings.dead_letters_to
        same = [d for d in message.deaths if (d.queue, d.reason) == (queue.name, reason)]
        others = tuple(death for death in message.deaths if death not in same)
        if same:
            death = replace(same[0], count=same[0].count + 1)
        else:
            keys = (message.key,)
            death = Death(queue.name, reason, 1, message.exchange, keys, message.expiration_ms)
        deaths = (death, *others)
        rejections = [at for at, each in enumerate(deaths) if each.reason == "rejected"]
        since = deaths[: rejections[0]] if rejections else deaths
        last = (reason, queue.name, message.exchange)
        letter = replace(
            message,
            exchange=exchange,
            key=message.key if key is None else key,
            expiration_ms=None,
            redelivered=False,
            deaths=deaths,
            first_death=message.first_death or last,
            last_death=last,
        )
        self._publish(letter, avoid=tuple(each.queue for each in since))
