"""aio-pika: robust connections, confirms, iterators, its RPC and worker patterns, reconnection."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aio_pika
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel
from aio_pika.exceptions import (
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
    QueueEmpty,
)
from aio_pika.patterns import RPC, Master

from conformance.clients import support
from conformance.clients.support import Target, equal, unique

AsyncCheck = Callable[[Target], Awaitable[None]]
TIMEOUT_S = 40.0


def in_loop(check: AsyncCheck) -> support.Check:
    """Let a check be a coroutine."""

    @functools.wraps(check)
    def run(target: Target) -> None:
        asyncio.run(asyncio.wait_for(check(target), TIMEOUT_S))

    return run


@contextlib.asynccontextmanager
async def channel(target: Target, **arguments: Any) -> AsyncIterator[AbstractRobustChannel]:
    """Open a robust connection with one channel."""
    connection = await aio_pika.connect_robust(target.url, reconnect_interval=0.2)
    async with connection:
        yield await connection.channel(**arguments)


async def own_queue(ch: AbstractRobustChannel, **arguments: Any) -> Any:
    """Declare an exclusive queue; it has a name, since a robust channel declares it again."""
    return await ch.declare_queue(unique("aio"), exclusive=True, **arguments)


async def bodies(queue: Any) -> list[bytes]:
    """Get all ready messages, acknowledged."""
    got = []
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        got.append(message.body)
    return got


@in_loop
async def check_confirms_and_iterator(target: Target) -> None:
    """Concurrent publishes are all confirmed; an iterator hands them out once, within qos."""
    async with channel(target) as ch:
        queue = await own_queue(ch)
        exchange = ch.default_exchange
        confirmations = await asyncio.gather(
            *(
                exchange.publish(
                    Message(b"%d" % number, delivery_mode=DeliveryMode.PERSISTENT), queue.name
                )
                for number in range(200)
            )
        )
        equal({type(answer).__name__ for answer in confirmations}, {"Ack"}, "confirmations")
        await ch.set_qos(prefetch_count=16)
        seen = []
        async with queue.iterator(timeout=10) as messages:
            async for message in messages:
                async with message.process():
                    seen.append(message.body)
                if len(seen) == 200:
                    break
        equal(seen, [b"%d" % number for number in range(200)], "order")
        equal((await queue.declare()).message_count, 0, "messages left")


@in_loop
async def check_process_requeues_and_rejects(target: Target) -> None:
    """``process`` requeues or dead-letters when its block fails, as it is told to."""
    async with channel(target) as ch:
        dead = await own_queue(ch)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name}
        queue = await own_queue(ch, arguments=arguments)
        await ch.default_exchange.publish(Message(b"job"), queue.name)
        for requeue in (True, False):
            message = await queue.get(timeout=5)
            equal(message.redelivered, not requeue, "redelivered")
            with contextlib.suppress(LookupError):
                async with message.process(requeue=requeue):
                    raise LookupError
        equal(await bodies(queue), [], "queue")
        letter = await dead.get(timeout=5, no_ack=True)
        equal((letter.body, letter.headers["x-first-death-reason"]), (b"job", "rejected"), "letter")
        equal(letter.headers["x-death"][0]["queue"], queue.name, "x-death")


@in_loop
async def check_unroutable(target: Target) -> None:
    """A mandatory message without a queue comes back, as a value or as an exception."""
    async with channel(target, on_return_raises=True) as ch:
        missing = unique("aio.nowhere")
        try:
            await ch.default_exchange.publish(Message(b"back"), missing)
        except PublishError as error:
            equal(error.message.body, b"back", "returned body")
            equal(error.message.delivery.reply_text, "NO_ROUTE", "reason")
        else:
            raise AssertionError("no PublishError")
    async with channel(target) as ch:
        answer = await ch.default_exchange.publish(Message(b"back"), missing)
        equal((answer.delivery.reply_code, answer.body), (312, b"back"), "returned")
        answer = await ch.default_exchange.publish(Message(b"gone"), missing, mandatory=False)
        equal(type(answer).__name__, "Ack", "without mandatory")


@in_loop
async def check_full_queue_nacks(target: Target) -> None:
    """A queue that rejects publishes makes the publish raise DeliveryError."""
    async with channel(target) as ch:
        queue = await own_queue(ch, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
        for body in (b"1", b"2"):
            await ch.default_exchange.publish(Message(body), queue.name)
        try:
            await ch.default_exchange.publish(Message(b"3"), queue.name)
        except DeliveryError as error:
            equal(type(error.frame).__name__, "Nack", "answer")
        else:
            raise AssertionError("no DeliveryError")
        equal(await bodies(queue), [b"1", b"2"], "queue")


@in_loop
async def check_exchanges(target: Target) -> None:
    """Exchanges bind to queues and to each other, and an alternate exchange takes the rest."""
    async with channel(target) as ch:
        rest = await ch.declare_exchange(unique("aio.rest"), ExchangeType.FANOUT, auto_delete=True)
        logs = await ch.declare_exchange(
            unique("aio.logs"),
            ExchangeType.TOPIC,
            auto_delete=True,
            arguments={"alternate-exchange": rest.name},
        )
        errors = await ch.declare_exchange(
            unique("aio.errors"), ExchangeType.HEADERS, auto_delete=True
        )
        unmatched, alarms = await own_queue(ch), await own_queue(ch)
        await unmatched.bind(rest)
        await errors.bind(logs, "*.error")
        await alarms.bind(errors, arguments={"x-match": "any", "urgent": True, "code": 500})
        for key, headers in (
            ("web.error", {"urgent": True}),
            ("db.error", {"code": 500}),
            ("db.error", {"code": 404}),
            ("db.info", {"urgent": True}),
        ):
            await logs.publish(Message(key.encode(), headers=headers), key, mandatory=False)
        equal(await bodies(alarms), [b"web.error", b"db.error"], "by headers")
        # The third matched a binding of `logs`, though `errors` then had no queue for it.
        equal(await bodies(unmatched), [b"db.info"], "by the alternate exchange")


@in_loop
async def check_rpc_pattern(target: Target) -> None:
    """aio-pika's RPC calls, raises what the server raised, and expires calls nobody takes."""
    async with channel(target) as server_channel, channel(target) as client_channel:
        server, client = await RPC.create(server_channel), await RPC.create(client_channel)

        async def multiply(*, x: int, y: int) -> int:
            return x * y

        method = unique("aio.multiply")
        await server.register(method, multiply, auto_delete=True)
        calls = (client.call(method, {"x": x, "y": 3}) for x in range(20))
        equal(await asyncio.gather(*calls), [x * 3 for x in range(20)], "results")
        failure = ""
        try:
            await client.call(method, {"x": 1, "z": 2})
        except TypeError as error:
            failure = str(error)
        assert "unexpected keyword argument 'z'" in failure, f"the server's exception: {failure!r}"

        # Expired calls come back through a headers exchange, rpc.dlx.
        idle = await own_queue(server_channel, arguments={"x-dead-letter-exchange": RPC.DLX_NAME})
        try:
            await client.call(idle.name, {}, expiration=0.1)
        except TimeoutError:
            pass
        else:
            raise AssertionError("the call did not expire")
        await client.close()
        await server.unregister(multiply)
        await server.close()


@in_loop
async def check_master_and_workers(target: Target) -> None:
    """Tasks of the master/worker pattern are done once each, by either of two workers."""
    async with channel(target) as one, channel(target) as two:
        name = unique("aio.tasks")
        done: dict[str, list[int]] = {"one": [], "two": []}
        finished = asyncio.Event()
        workers = []
        for label, ch in (("one", one), ("two", two)):
            await ch.set_qos(prefetch_count=1)

            async def work(*, number: int, label: str = label) -> None:
                done[label].append(number)
                await asyncio.sleep(0.01)
                if sum(map(len, done.values())) == 20:
                    finished.set()

            workers.append(await Master(ch).create_worker(name, work, auto_delete=True))
        master = Master(one)
        for number in range(20):
            await master.create_task(name, {"number": number})
        await finished.wait()
        equal(sorted(done["one"] + done["two"]), list(range(20)), "tasks done")
        assert min(map(len, done.values())) >= 5, f"one worker did nearly everything: {done}"
        for worker in workers:
            await worker.close()


@in_loop
async def check_transactions(target: Target) -> None:
    """A transaction publishes at its commit; one that fails publishes nothing."""
    async with channel(target, publisher_confirms=False) as ch, channel(target) as other:
        queue = await other.declare_queue(unique("aio.tx"), auto_delete=True)
        async with ch.transaction():
            await ch.default_exchange.publish(Message(b"kept"), queue.name)
            equal((await queue.declare()).message_count, 0, "before commit")
        with contextlib.suppress(LookupError):
            async with ch.transaction():
                await ch.default_exchange.publish(Message(b"withdrawn"), queue.name)
                raise LookupError
        equal(await bodies(queue), [b"kept"], "after commit and rollback")
        await queue.delete()


@in_loop
async def check_timeouts(target: Target) -> None:
    """Waiting for a message ends with the time given, and the channel goes on working."""
    async with channel(target) as ch:
        queue = await own_queue(ch)
        try:
            await queue.get()
        except QueueEmpty:
            pass
        else:
            raise AssertionError("got a message from an empty queue")
        try:
            async with queue.iterator(timeout=0.2) as messages:
                async for _ in messages:
                    raise AssertionError("a message from an empty queue")
        except TimeoutError:
            pass
        equal((await queue.declare()).consumer_count, 0, "consumers after the timeout")
        await ch.default_exchange.publish(Message(b"late"), queue.name, timeout=5)
        equal((await queue.get(timeout=5, no_ack=True)).body, b"late", "later message")


@in_loop
async def check_errors_by_type(target: Target) -> None:
    """Channel errors become aio-pika's exceptions for their codes; the connection lives on."""
    async with channel(target) as ch:
        connection = ch._connection
        missing = unique("aio.missing")
        for error_type, text, call in (
            (
                ChannelNotFoundEntity,
                f"NOT_FOUND - no queue '{missing}' in vhost '/'",
                lambda c: c.get_queue(missing),
            ),
            (
                ChannelNotFoundEntity,
                f"NOT_FOUND - no exchange '{missing}' in vhost '/'",
                lambda c: c.get_exchange(missing),
            ),
            (
                ChannelPreconditionFailed,
                "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.topic' in vhost "
                "'/': received 'fanout' but current is 'topic'",
                lambda c: c.declare_exchange("amq.topic", ExchangeType.FANOUT, durable=True),
            ),
        ):
            victim = await connection.channel()
            failure = None
            try:
                await call(victim)
            except error_type as error:
                failure = str(error)
            assert failure is not None, f"no {error_type.__name__}"
            assert text in failure, failure
        queue = await own_queue(ch)
        await ch.default_exchange.publish(Message(b"fine"), queue.name)
        equal(await bodies(queue), [b"fine"], "after the errors")


@in_loop
async def check_header_types(target: Target) -> None:
    """Properties and header values come back with their types."""
    headers = {
        "text": "żółw",
        "bytes": bytearray(b"\x00\xff"),
        "yes": True,
        "byte": 100,
        "short": -30_000,
        "int": 2**31 - 1,
        "long": -(2**62),
        "float": 0.5,  # aiormq writes 32 bits
        "decimal": Decimal("3.14"),
        "time": datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC),
        "none": None,
        "list": [1, "two", {"three": [True]}],
        "table": {"nested": {"empty": {}}},
    }
    sent = Message(
        b"x",
        headers=headers,
        content_type="text/plain",
        content_encoding="utf-8",
        delivery_mode=DeliveryMode.PERSISTENT,
        priority=3,
        correlation_id="c",
        reply_to="r",
        expiration=60,
        message_id="m",
        timestamp=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        type="t",
        app_id="a",
    )
    async with channel(target) as ch:
        queue = await own_queue(ch)
        await ch.default_exchange.publish(sent, queue.name)
        got: AbstractIncomingMessage = await queue.get(timeout=5, no_ack=True)
        equal(dict(got.headers), headers, "headers")
        fields = ("content_type", "content_encoding", "delivery_mode", "priority")
        fields += ("correlation_id", "reply_to", "expiration", "message_id", "timestamp")
        fields += ("type", "app_id")
        for field in fields:
            equal(getattr(got, field), getattr(sent, field), field)


@in_loop
async def check_expiry_needs_no_other_traffic(target: Target) -> None:
    """Messages expire by themselves on an idle broker, transient and unconfirmed ones too."""
    async with channel(target, publisher_confirms=False) as ch:
        dead = await own_queue(ch)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name}
        for mode in (DeliveryMode.NOT_PERSISTENT, DeliveryMode.PERSISTENT):
            queue = await own_queue(ch, arguments=arguments)
            async with dead.iterator(no_ack=True, timeout=5) as letters:
                message = Message(b"late", expiration=0.2, delivery_mode=mode)
                await ch.default_exchange.publish(message, queue.name)
                letter = await anext(letters)
            equal(letter.headers["x-first-death-reason"], "expired", f"reason ({mode.name})")

            plain = await own_queue(ch)
            await ch.default_exchange.publish(message, plain.name)
            await asyncio.sleep(0.5)
            async with plain.iterator(no_ack=True, timeout=0.3) as late:
                with contextlib.suppress(TimeoutError):
                    raise AssertionError(f"{await anext(late)} after its expiry")


@in_loop
async def check_large_messages_and_many_channels(target: Target) -> None:
    """Large messages on many channels of one connection do not mix."""
    async with channel(target) as first:
        channels = [await first._connection.channel() for _ in range(20)]
        queue = await own_queue(first)

        async def send(number: int, ch: Any) -> None:
            body = bytes([number]) * (300_000 + number)
            await ch.default_exchange.publish(Message(body), queue.name)

        await asyncio.gather(*(send(number, ch) for number, ch in enumerate(channels)))
        got = sorted(await bodies(queue))
        equal([len(body) for body in got], [300_000 + n for n in range(20)], "sizes")
        equal([len(set(body)) for body in got], [1] * 20, "mixed bodies")


@in_loop
async def check_reconnects_after_a_crash(target: Target) -> None:
    """After kill -9 and a restart, a robust consumer goes on; confirmed messages are there."""
    with target.another() as broker:
        connection = await aio_pika.connect_robust(broker.url, reconnect_interval=0.2)
        async with connection:
            ch = await connection.channel()
            exchange = await ch.declare_exchange("orders", ExchangeType.DIRECT, durable=True)
            kept = await ch.declare_queue("kept", durable=True)
            await kept.bind(exchange, "kept")
            for number in range(50):
                message = Message(b"%d" % number, delivery_mode=DeliveryMode.PERSISTENT)
                await exchange.publish(message, "kept")
            live = await ch.declare_queue("live", auto_delete=True)
            await live.bind(exchange, "live")
            arrived: asyncio.Queue[bytes] = asyncio.Queue()

            async def note(message: AbstractIncomingMessage) -> None:
                async with message.process():
                    arrived.put_nowait(message.body)

            await live.consume(note)
            await exchange.publish(Message(b"before"), "live")
            equal(await asyncio.wait_for(arrived.get(), 10), b"before", "before the crash")
            reconnected = asyncio.Event()
            connection.reconnect_callbacks.add(lambda *_: reconnected.set())

            broker.kill()
            await asyncio.to_thread(broker.start)
            await asyncio.wait_for(reconnected.wait(), 15)
            await exchange.publish(Message(b"after"), "live")
            equal(await asyncio.wait_for(arrived.get(), 10), b"after", "after the crash")
            equal(await bodies(kept), [b"%d" % number for number in range(50)], "kept")


@in_loop
async def check_told_of_a_shutdown(target: Target) -> None:
    """An orderly stop closes connections with 320, so that clients know it was no accident."""
    with target.another() as broker:
        connection = await aio_pika.connect(broker.url)
        reasons: asyncio.Queue[BaseException | None] = asyncio.Queue()
        connection.close_callbacks.add(lambda _, error: reasons.put_nowait(error))
        await connection.channel()
        equal(await asyncio.to_thread(broker.stop), 0, "exit code")
        reason = repr(await asyncio.wait_for(reasons.get(), 10))
        assert "CONNECTION_FORCED - broker forced connection closure" in reason, reason
        assert "shutdown" in reason, reason


if __name__ == "__main__":
    sys.exit(support.main(__name__))
