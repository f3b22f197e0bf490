"""Any program of commands: clients of the broker see what the model says, restarts included.

Commands are collected and sent together, so that one read may hold many; then the broker works
until it is quiet, and everything it said is compared: replies in order, deliveries, returns,
confirms, cancels, closes; and what each queue holds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from pamqp import commands, frame

from tests.frames import channel_open, method, publish, raw_frame, split
from tests.frames import message as content
from tests.pages import tiny_pages
from tests.reference.model import Channel, Model, Refusal, Reply
from tests.reference.routing import PlainExchange
from tests.world import Client, World

EXCHANGES = {
    "d": PlainExchange("direct", durable=True),
    "t": PlainExchange("topic", durable=True, alternate="f"),
    "f": PlainExchange("fanout", auto_delete=True),
    "h": PlainExchange("headers"),
}
QUEUES = {
    "transient": {"durable": False},
    "durable": {"durable": True},
    "quorum": {"durable": True, "arguments": {"x-queue-type": "quorum"}},
    "auto": {"durable": True, "auto_delete": True},
    "mine": {"durable": False, "exclusive": True},
}
UNASKED = ("Basic.Deliver", "Basic.Ack", "Basic.Cancel")
ENDS = [(0, 1), (0, 2), (1, 1)]

modes = st.fixed_dictionaries({key: st.booleans() for key in ("fast_path", "slow_disk", "paged")})
ends = st.sampled_from(ENDS)
exchange_names = st.sampled_from(sorted(EXCHANGES))
queue_names = st.sampled_from(sorted(QUEUES))
targets = st.one_of(
    st.tuples(st.just(""), st.sampled_from(["durable", "quorum", "transient", "auto", "mine"])),
    st.tuples(st.sampled_from(["d", "t", "f", "h"]), st.sampled_from(["a", "a.b"])),
)
messages = st.tuples(
    st.booleans(), st.booleans(), st.sampled_from([{}, {}, {"n": 1}, {"CC": ["transient"]}])
)
bindings = st.one_of(
    st.tuples(exchange_names, st.just("queue"), queue_names, st.sampled_from(["a", "#", "a.*"])),
    st.tuples(st.just("t"), st.just("exchange"), exchange_names, st.sampled_from(["a", "#"])),
).map(lambda parts: (*parts, {"n": 1} if parts[0] == "h" else {}))


Place = tuple[int, int]  # connection and channel number
Action = Callable[..., list[Reply]]


@dataclass
class End:
    """A channel as its client and as the model see it."""

    channel: Channel
    expected: list[Reply] = field(default_factory=list)
    confirmed: int = 0
    closing: bool = False
    """The server is expected to have closed it, or has."""


def described(command: Any, body: bytes) -> Reply:
    """What matters of a method the server sent."""
    name = command.name
    if name == "Queue.DeclareOk":
        return (name, command.queue, command.message_count, command.consumer_count)
    if name in ("Queue.DeleteOk", "Queue.PurgeOk"):
        return (name, command.message_count)
    if name in ("Basic.ConsumeOk", "Basic.CancelOk", "Basic.Cancel"):
        return (name, command.consumer_tag)
    if name == "Basic.GetOk":
        return (name, command.delivery_tag, command.redelivered, body, command.message_count)
    if name == "Basic.Deliver":
        tag = command.consumer_tag
        return (name, tag, command.delivery_tag, command.redelivered, body)
    if name == "Basic.Return":
        return (name, body)
    if name == "Basic.Ack":
        return (name, command.delivery_tag, command.multiple)
    if name in ("Channel.Close", "Connection.Close"):
        return (name, command.reply_code)
    return (name,)


def said(octets: bytes) -> dict[int, list[Reply]]:
    """What the server said on each channel, contents taken together with their methods."""
    found: dict[int, list[tuple[Any, list[bytes]]]] = {}
    for kind, channel, payload in split(octets):
        if kind == 1:
            _, _, command = frame.unmarshal(raw_frame(1, channel, payload))
            found.setdefault(channel, []).append((command, []))
        elif kind == 3:
            found[channel][-1][1].append(payload)
    return {
        channel: [described(command, b"".join(bodies)) for command, bodies in replies]
        for channel, replies in found.items()
    }


class BrokerAndModel(RuleBasedStateMachine):
    """Both, with the commands that are not sent yet."""

    @initialize(modes=modes)
    def begin(self, modes: dict[str, bool]) -> None:
        """Start with some topology, or tests would mostly meet nothing."""
        self.pages = tiny_pages()
        self.world = World(segment_bytes=1000, **modes)
        self.model = Model()
        self.serial = 0
        self.clients: dict[int, Client] = {}
        self.ends: dict[Place, End] = {}
        self.unsent: list[tuple[int, bytes]] = []
        for connection in {connection for connection, _ in ENDS}:
            self.reconnect(connection)
        for name in QUEUES:
            self.declare_queue((0, 1), name)
        for name in EXCHANGES:
            self.declare_exchange((0, 1), name)
            self.bind((0, 1), (name, "queue", "durable", "a", {"n": 1} if name == "h" else {}))
        for queue in ("auto", "quorum"):
            self.bind((0, 1), ("f", "queue", queue, "", {}))
        self.settle_down()

    # -- sending and comparing --------------------------------------------------------------------

    def reconnect(self, connection: int) -> None:
        """Open a connection and its channels."""
        client = self.clients[connection] = self.world.connect()
        for place in ENDS:
            if place[0] == connection:
                client.feed(channel_open(place[1]))
                self.ends[place] = End(self.model.open(client))
        self.world.run()
        client.said()

    def send(self, place: Place, octets: bytes, act: Action, *facts: Any, **more: Any) -> None:
        """Note octets for later; have the model act on them, unless the channel is closed."""
        end = self.ends[place]
        self.unsent.append((place[0], octets))
        if end.closing:
            return
        try:
            end.expected += act(end.channel, *facts, **more)
        except Refusal as refusal:
            end.expected.append(("Channel.Close", refusal.code))
            end.closing = True
            self.model.close(end.channel)

    def look_at(self, name: str) -> None:
        """Before a command that sees how many messages are ready: have deliveries come first.

        The broker does that too, but which consumer gets what is its choice, not the model's.
        """
        queue = self.model.queues.get(name)
        if queue is not None and queue.ready and any(each.room > 0 for each in queue.consumers):
            self.settle_down()

    def tell(self, place: Place, said: Any, act: Action, *facts: Any, **more: Any) -> None:
        """As `send`, for a method."""
        self.send(place, method(place[1], said), act, *facts, **more)

    def settle_down(self) -> None:
        """Send everything, let the broker work, and compare."""
        self.flush()
        self.world.run()
        for connection, client in self.clients.items():
            replies = said(client.said())
            assert 0 not in replies, replies[0]
            for place, end in self.ends.items():
                if place[0] == connection:
                    self.compare(end, replies.pop(place[1], []))
            assert not replies
        self.model.at_rest()
        self.compare_queues()
        self.compare_log()
        self.reopen()

    def flush(self) -> None:
        """Send what is unsent: what one connection says in a row comes in one read."""
        unsent, self.unsent = self.unsent, []
        while unsent:
            connection = unsent[0][0]
            octets = b""
            while unsent and unsent[0][0] == connection:
                octets += unsent.pop(0)[1]
            self.clients[connection].feed(octets)

    def compare(self, end: End, replies: list[Reply]) -> None:
        """Hold what one channel was told against what the model expects."""
        asked = [reply for reply in replies if reply[0] not in UNASKED]
        assert asked == end.expected
        end.expected = []
        started = set(end.channel.consumers)
        for reply in replies:
            if reply[0] == "Basic.Deliver":
                assert reply[1] in started, "delivered to nobody"
                self.model.delivered(end.channel, reply)
            elif reply[0] == "Basic.Ack":
                assert end.channel.confirming
                assert reply[1] > end.confirmed, "confirms grow"
                assert reply[2] or reply[1] == end.confirmed + 1, "skipped without multiple"
                end.confirmed = reply[1]
        cancelled = [reply[1] for reply in replies if reply[0] == "Basic.Cancel"]
        assert sorted(cancelled) == sorted(end.channel.notices)
        end.channel.notices.clear()
        if end.channel.confirming and not end.closing:
            assert end.confirmed == end.channel.published, "not everything is confirmed"

    def reopen(self) -> None:
        """Channels that the server closed are opened again."""
        for (connection, number), end in self.ends.items():
            if end.closing:
                client = self.clients[connection]
                client.feed(method(number, commands.Channel.CloseOk()) + channel_open(number))
                self.world.run()
                assert said(client.said()) == {number: [("Channel.OpenOk",)]}
                self.ends[connection, number] = End(self.model.open(client))

    def compare_queues(self) -> None:
        """Queues and what they hold, exchanges and bindings: the same on both sides."""
        vhost = self.world.broker.vhosts["/"]
        assert set(vhost.queues) == set(self.model.queues)
        for name, queue in vhost.queues.items():
            twin = self.model.queues[name]
            waiting = sorted(queue.backlog.browse(), key=lambda each: each.id)
            bodies = [each.content[-1 - each.size : -1] for each in waiting]
            assert bodies == [each.body for each in twin.ready], name
            assert queue.backlog.size_bytes == sum(map(len, bodies))
            assert len(queue.consumers) == len(twin.consumers)
            held = [
                delivery
                for channel in self.model.channels
                for delivery in self.held(channel)
                if delivery.queue is twin
            ]
            assert queue.unacked == len(held)
        known = {name for name in vhost.exchanges if not name.startswith("amq.")} - {""}
        assert known == {n for n in self.model.topology.exchanges if not n.startswith("amq.")} - {
            ""
        }
        count = sum(len(exchange.bindings) for exchange in vhost.exchanges.values())
        assert count == len(self.model.topology.bindings)

    def compare_log(self) -> None:
        """The log counts as live exactly the messages that durable queues hold."""
        world = self.world
        queues = world.broker.vhosts["/"].queues.values()
        holding = [(queue, message) for queue in queues for message in queue.backlog.browse()]
        held = [m.batch for queue, m in [*holding, *world.unacked()] if queue.durable and m.batch]
        held += world.log._released  # taken into account with the next batch
        for segment in world.log._space.segments:
            batches = range(segment.first_batch, segment.last_batch + 1)
            assert segment.live == sum(batch in batches for batch in held)

    @staticmethod
    def held(channel: Channel) -> list[Any]:
        """Everything a channel has not settled for good."""
        found = list(channel.unacked.values())
        if channel.transaction is not None:
            found += channel.transaction.acked.values()
            for rejected, _ in channel.transaction.rejected:
                found += rejected.values()
        return found

    # -- rules: what goes on often has a rule by itself -------------------------------------------

    @rule()
    def work(self) -> None:
        """Let the broker work until it is quiet, and tidy up its log."""
        self.settle_down()
        self.world.reclaim()

    @rule(place=ends, where=targets, message=messages, count=st.integers(1, 4))
    def publish(self, place: Place, where: Any, message: Any, count: int) -> None:
        """basic.publish, some times in a row."""
        (exchange, key), (persistent, mandatory, headers) = where, message
        for _ in range(count):
            self.serial += 1
            body = b"m%d" % self.serial
            properties: dict[str, Any] = {"delivery_mode": 2} if persistent else {}
            if headers:
                properties["headers"] = headers
            octets = publish(place[1], exchange, key, mandatory=mandatory)
            octets += content(place[1], body, **properties)
            facts = {"persistent": persistent, "mandatory": mandatory, "headers": headers}
            self.send(place, octets, self.model.publish, exchange, key, body, **facts)

    @rule(place=ends, where=targets, count=st.integers(1, 4))
    def publish_persistent(self, place: Place, where: Any, count: int) -> None:
        """basic.publish of what survives a restart."""
        self.publish(place, where, (True, False, {}), count)

    @rule(place=ends, name=queue_names, no_ack=st.booleans(), priority=st.sampled_from([0, 0, 5]))
    def consume(self, place: Place, name: str, no_ack: bool, priority: int) -> None:
        """basic.consume."""
        self.serial += 1
        tag = f"c{self.serial}"
        arguments = {"x-priority": priority} if priority else {}
        consume = commands.Basic.Consume(0, name, tag, False, no_ack, False, False, arguments)
        options = {"no_ack": no_ack, "priority": priority}
        if name == "quorum" and self.ends[place].channel.global_prefetch:
            return  # closes the connection
        self.tell(place, consume, self.model.consume, name, tag, **options)

    @rule(place=ends, name=queue_names, no_ack=st.booleans())
    def get(self, place: Place, name: str, no_ack: bool) -> None:
        """basic.get."""
        self.look_at(name)
        get = commands.Basic.Get(0, name, no_ack)
        self.tell(place, get, self.model.get, name, no_ack=no_ack)

    @rule(place=ends, multiple=st.booleans(), data=st.data())
    def ack(self, place: Place, multiple: bool, data: st.DataObject) -> None:
        """basic.ack."""
        tag = self.some_tag(place, data)
        multiple = multiple or tag == 0
        self.tell(place, commands.Basic.Ack(tag, multiple), self.model.ack, tag, multiple=multiple)

    @rule(place=ends, multiple=st.booleans(), requeue=st.booleans(), data=st.data())
    def nack(self, place: Place, multiple: bool, requeue: bool, data: st.DataObject) -> None:
        """basic.nack, or basic.reject for one."""
        tag = self.some_tag(place, data)
        options = {"multiple": multiple or tag == 0, "requeue": requeue}
        reject = commands.Basic.Reject(tag, requeue)
        nack = commands.Basic.Nack(tag, **options) if options["multiple"] else reject
        self.tell(place, nack, self.model.nack, tag, **options)

    def some_tag(self, place: Place, data: st.DataObject) -> int:
        """A delivery tag that is mostly outstanding, or 0 for all; now and then a wrong one."""
        wrong = [999] if data.draw(st.integers(0, 19)) == 0 else []
        return data.draw(st.sampled_from(wrong or [0, *self.ends[place].channel.unacked]))

    @rule(place=ends, what=st.sampled_from(["exchange", "queue", "bind", "bind"]), data=st.data())
    def build(self, place: Place, what: str, data: st.DataObject) -> None:
        """Declare or bind something."""
        if what == "exchange":
            self.declare_exchange(place, data.draw(exchange_names))
        elif what == "queue":
            self.declare_queue(place, data.draw(queue_names))
        else:
            self.bind(place, data.draw(bindings))

    def declare_exchange(self, place: Place, name: str) -> None:
        """exchange.declare."""
        exchange = EXCHANGES[name]
        arguments = {"alternate-exchange": exchange.alternate} if exchange.alternate else {}
        declare = commands.Exchange.Declare(
            exchange=name,
            exchange_type=exchange.type,
            durable=exchange.durable,
            auto_delete=exchange.auto_delete,
            arguments=arguments,
        )
        self.tell(place, declare, self.model.declare_exchange, name, exchange)

    def declare_queue(self, place: Place, name: str) -> None:
        """queue.declare."""
        self.look_at(name)
        declare = commands.Queue.Declare(queue=name, **QUEUES[name])
        self.tell(place, declare, self.model.declare_queue, name, **QUEUES[name])

    def bind(self, place: Place, binding: Any) -> None:
        """queue.bind and exchange.bind."""
        source, kind, destination, key, arguments = binding
        cls = commands.Queue.Bind if kind == "queue" else commands.Exchange.Bind
        bind = cls(0, destination, source, key, False, arguments)
        self.tell(place, bind, self.model.bind, binding)

    @rule(
        place=ends,
        what=st.sampled_from(["exchange", "queue", "unbind", "purge", "cancel", "cancel"]),
        data=st.data(),
    )
    def dismantle(self, place: Place, what: str, data: st.DataObject) -> None:
        """Delete, unbind, purge or cancel something."""
        if what == "exchange":
            name = data.draw(exchange_names)
            delete = commands.Exchange.Delete(exchange=name)
            self.tell(place, delete, self.model.delete_exchange, name)
        elif what == "queue":
            name = data.draw(queue_names)
            self.look_at(name)
            conditions = {
                flag: name != "quorum" and data.draw(st.booleans())  # it knows no conditions
                for flag in ("if_unused", "if_empty")
            }
            delete = commands.Queue.Delete(queue=name, **conditions)
            self.tell(place, delete, self.model.delete_queue, name, **conditions)
        elif what == "unbind":
            self.unbind(place, data.draw(bindings))
        elif what == "purge":
            name = data.draw(queue_names)
            self.look_at(name)
            self.tell(place, commands.Queue.Purge(queue=name), self.model.purge, name)
        else:
            tag = data.draw(st.sampled_from(["nobody", *self.ends[place].channel.consumers]))
            self.tell(place, commands.Basic.Cancel(tag), self.model.cancel, tag)

    def unbind(self, place: Place, binding: Any) -> None:
        """queue.unbind and exchange.unbind."""
        source, kind, destination, key, arguments = binding
        unbind = (
            commands.Queue.Unbind(0, destination, source, key, arguments)
            if kind == "queue"
            else commands.Exchange.Unbind(0, destination, source, key, False, arguments)
        )
        self.tell(place, unbind, self.model.unbind, binding)

    @rule(
        place=ends,
        what=st.sampled_from(["qos", "qos", "recover", "confirm", "tx"]),
        count=st.integers(0, 3),
        whole_channel=st.booleans(),
    )
    def change_mode(self, place: Place, what: str, count: int, whole_channel: bool) -> None:
        """Prefetch limits, confirm mode, tx mode; basic.recover."""
        if what == "qos":
            qos = commands.Basic.Qos(0, count, whole_channel)
            self.tell(place, qos, self.model.qos, count, whole_channel=whole_channel)
        elif what == "recover":
            self.tell(place, commands.Basic.Recover(True), self.model.recover)
        elif what == "confirm":
            self.tell(place, commands.Confirm.Select(), self.model.select_confirms)
        else:
            self.tell(place, commands.Tx.Select(), self.model.select_tx)

    @rule(place=ends, roll_back=st.booleans())
    def end_transaction(self, place: Place, roll_back: bool) -> None:
        """tx.commit or tx.rollback, where there is a transaction."""
        if self.ends[place].channel.transaction is None:
            return
        if roll_back:
            self.tell(place, commands.Tx.Rollback(), self.model.rollback)
        else:
            self.tell(place, commands.Tx.Commit(), self.model.commit)

    @rule(
        place=ends,
        what=st.sampled_from(["channel", "channel", "close", "vanish", "restart", "restart"]),
    )
    def end_something(self, place: Place, what: str) -> None:
        """A channel, a connection or the process ends, and begins again."""
        self.settle_down()
        if what == "channel":
            self.close_channel(place)
        elif what == "restart":
            self.world.restart()
            self.model.restart()
            for connection in self.clients:
                self.reconnect(connection)
        else:
            self.disconnect(place[0], politely=what == "close")
        self.settle_down()  # what was given back is delivered again before anything else

    def close_channel(self, place: Place) -> None:
        """channel.close by the client, and channel.open."""
        client = self.clients[place[0]]
        client.feed(method(place[1], commands.Channel.Close(200, "", 0, 0)))
        self.model.close(self.ends[place].channel)
        client.feed(channel_open(place[1]))
        self.ends[place] = End(self.model.open(client))
        self.ends[place].expected = [("Channel.CloseOk",), ("Channel.OpenOk",)]

    def disconnect(self, connection: int, *, politely: bool) -> None:
        """A connection ends, with connection.close or without, and another one begins."""
        client = self.clients[connection]
        if politely:
            client.feed(method(0, commands.Connection.Close(200, "", 0, 0)))
            self.world.run()
            assert said(client.said())[0] == [("Connection.CloseOk",)]
        client.vanish()
        self.world.clients.remove(client)
        self.model.disconnect(client)
        self.reconnect(connection)

    def teardown(self) -> None:
        """Whatever was sent last is compared too."""
        if hasattr(self, "world"):
            with self.pages:
                self.settle_down()


BrokerAndModel.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=60,
    report_multiple_bugs=False,
    # Without the phase that explains a failure: it takes minutes here.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
TestBrokerAndModel = BrokerAndModel.TestCase
