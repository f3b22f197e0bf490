"""Celery: real workers in processes of their own, tasks sent to them, remote control, events."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kombu.pools
from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError

from conformance.brokers import REPOSITORY
from conformance.clients import support
from conformance.clients.celery_app import exchange_type, tls_options
from conformance.clients.support import Target, equal, unique, wait_until

RESULT_S = 20.0


class Worker:
    """A worker process on a queue; the checks are its client, with an application of their own."""

    def __init__(
        self,
        url: str,
        queue: str,
        *options: str,
        results: str = "rpc://",
        queue_type: str = "classic",
    ) -> None:
        self.node = f"{unique('worker')}@conformance"
        self._log = tempfile.NamedTemporaryFile(prefix="celery-", suffix=".log")  # noqa: SIM115
        self._names = (url, results, queue, queue_type)
        self.app = self.new_app()
        env = {
            **os.environ,
            "CONFORMANCE_URL": url,
            "CONFORMANCE_QUEUE": queue,
            "CONFORMANCE_QUEUE_TYPE": queue_type,
            "CONFORMANCE_RESULTS": results,
        }
        command = [sys.executable, "-m", "celery", "-A", "conformance.clients.celery_app"]
        command += ["worker", "--hostname", self.node, "--loglevel", "INFO", *options]
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def __enter__(self) -> Worker:
        try:
            self.wait_for_answer()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    def new_app(self) -> Celery:
        """Make a client's application, with connections of its own."""
        url, results, queue, queue_type = self._names
        app = Celery("conformance", broker=url, backend=results)
        app.conf.task_default_queue = queue
        app.conf.task_default_queue_type = queue_type
        app.conf.task_send_sent_event = True
        app.conf.broker_transport_options = {"read_timeout": 20}
        app.conf.task_default_exchange_type = exchange_type(queue_type)
        app.conf.broker_use_ssl = tls_options()
        return app

    def wait_for_answer(self) -> None:
        """Wait until the worker answers a ping; show its log if it does not."""
        try:
            wait_until(self.answers, "the worker answers a ping", 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def answers(self) -> bool:
        """Tell whether the worker answers a ping by remote control."""
        assert self.process.poll() is None, f"the worker ended\n{self.log()}"
        return bool(self.app.control.ping([self.node], timeout=0.5, limit=1))

    def log(self) -> str:
        """Give what the worker has written."""
        return Path(self._log.name).read_text()

    def send(self, name: str, *args: Any, **options: Any) -> Any:
        """Send a task."""
        return self.app.send_task(name, args, **options)

    def task(self, name: str, *args: Any) -> Any:
        """Give a task to be sent later."""
        return self.app.signature(name, args)

    def close(self) -> None:
        """End the worker with all its processes, and close our connections."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        # It cannot, where no result was asked for, or results are in files, or the broker is gone.
        with contextlib.suppress(AttributeError, OSError, *self.app.connection().connection_errors):
            self.app.backend.result_consumer.stop()
        self.app.close()
        self._log.close()


@dataclass(frozen=True)
class Client:
    """What the checks take: the broker and one worker that all of them may use."""

    target: Target
    worker: Worker


@contextlib.contextmanager
def fresh_queue(target: Target) -> Iterator[str]:
    """Name a queue for workers of one check, deleted afterwards."""
    queue = unique("celery")
    try:
        yield queue
    finally:
        with Celery(broker=target.url).connection_for_write() as connection:
            connection.default_channel.queue_delete(queue)


@contextlib.contextmanager
def session(target: Target) -> Iterator[Client]:
    """Run a worker of two processes, with events, as an operator would."""
    with (
        fresh_queue(target) as queue,
        Worker(target.url, queue, "--pool", "prefork", "--concurrency", "2", "-E") as worker,
    ):
        yield Client(target, worker)
    kombu.pools.reset()


def ready(worker: Worker, queue: str | None = None) -> int:
    """Count the messages that wait in a queue, by default the worker's."""
    name = queue or worker.app.conf.task_default_queue
    with worker.app.connection_for_read() as connection:
        count: int = connection.default_channel.queue_declare(name, passive=True).message_count
        return count


def check_results(client: Client) -> None:
    """Results come back over rpc://, each to the one who asked."""
    sent = [client.worker.send("add", number, 1) for number in range(50)]
    equal([result.get(RESULT_S) for result in sent], list(range(1, 51)), "results")


def check_failure(client: Client) -> None:
    """A task that raises gives its exception and its text to whoever waits."""
    try:
        client.worker.send("fail", "no żółw").get(RESULT_S)
    except LookupError as error:
        equal(error.args, ("no żółw",), "text")
    else:
        raise AssertionError("no exception")


def check_retries(client: Client) -> None:
    """A task is published again for each retry, until it succeeds."""
    equal(client.worker.send("flaky", 3).get(RESULT_S), 3, "attempts before the success")


def check_countdown(client: Client) -> None:
    """A task with a countdown waits in the worker, and others overtake it."""
    sent = time.time()
    later = client.worker.send("now", countdown=1.0)
    at_once = client.worker.send("now")
    first = at_once.get(RESULT_S)
    second = later.get(RESULT_S)
    # Celery's clock is the worker's; both are on this machine.
    assert second - sent >= 1.0, f"{second - sent} s after it was sent"
    assert first < second, "the delayed task was first"


def check_group(client: Client) -> None:
    """A group's results come together, in the order of the tasks."""
    tasks = group(client.worker.task("add", number, number) for number in range(20))
    equal(tasks.apply_async().get(RESULT_S), [2 * number for number in range(20)], "results")


def check_chain(client: Client) -> None:
    """Each task of a chain gets the result of the one before."""
    tasks = chain(*(client.worker.task("add", *args) for args in ((1, 2), (10,), (100,))))
    equal(tasks.apply_async().get(RESULT_S), 113, "result")


def check_chord(client: Client) -> None:
    """A chord runs its last task when all others are done, here with results in files."""
    with tempfile.TemporaryDirectory() as place, fresh_queue(client.target) as queue:
        results = f"file://{place}"
        with Worker(client.target.url, queue, "--pool", "solo", results=results) as worker:
            tasks = [worker.task("add", number, number) for number in range(10)]
            equal(chord(tasks)(worker.task("total")).get(RESULT_S), 90, "result")


def check_expired_and_revoked(client: Client) -> None:
    """A task that expired or was revoked does not run."""
    worker = client.worker
    expired = worker.send("now", countdown=0.3, expires=0.1)
    revoked = worker.send("now", countdown=1.5)
    worker.app.control.revoke(revoked.id)
    for result in (expired, revoked):
        try:
            result.get(RESULT_S)
        except TaskRevokedError:
            pass
        else:
            raise AssertionError("it ran")


def check_inspect_and_control(client: Client) -> None:
    """Remote control reaches the worker by pidbox: ping, stats, queues, registered tasks."""
    worker = client.worker
    inspect = worker.app.control.inspect([worker.node], timeout=3)
    equal(inspect.ping(), {worker.node: {"ok": "pong"}}, "ping")
    (queue,) = inspect.active_queues()[worker.node]
    equal(queue["name"], worker.app.conf.task_default_queue, "active queue")
    assert {"add", "hold", "flaky"} <= set(inspect.registered()[worker.node]), "registered"
    stats = inspect.stats()[worker.node]
    equal(stats["broker"]["transport"], "amqp", "transport")
    assert stats["prefetch_count"] == 8, f"prefetch count {stats['prefetch_count']}"
    reply = worker.app.control.rate_limit("now", "50/s", [worker.node], reply=True, timeout=3)
    equal(reply, [{worker.node: {"ok": "new rate limit set successfully"}}], "rate limit")
    # The command line tool, as an operator's health check runs it.
    command = [sys.executable, "-m", "celery", "-b", client.target.url]
    command += ["inspect", "ping", "-d", worker.node, "--timeout", "5"]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"->  {worker.node}: OK" in done.stdout, done.stdout
    assert "1 node online" in done.stdout, done.stdout


def check_events(client: Client) -> None:
    """Events tell the life of a task in order, and that the worker lives."""
    worker = client.worker
    seen: list[dict[str, Any]] = []
    app = worker.app
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": seen.append})
        listening, done = threading.Event(), threading.Event()

        def capture() -> None:
            with receiver.consumer_context() as (own_connection, _, _):
                listening.set()
                while not done.is_set():
                    with contextlib.suppress(TimeoutError):
                        own_connection.drain_events(timeout=0.1)

        thread = threading.Thread(target=capture)
        thread.start()
        try:
            assert listening.wait(10), "not listening"
            result = worker.send("add", 1, 1)
            result.get(RESULT_S)

            def mine() -> list[str]:
                return [event["type"] for event in seen if event.get("uuid") == result.id]

            expected = {"task-sent", "task-received", "task-started", "task-succeeded"}
            wait_until(lambda: set(mine()) == expected, f"the events {expected}")
            alive = ("worker-heartbeat", worker.node)
            wait_until(
                lambda: alive in {(event["type"], event["hostname"]) for event in seen},
                "a heartbeat event of the worker",
            )
        finally:
            done.set()
            thread.join(10)
    from_worker = [name for name in mine() if name != "task-sent"]
    equal(from_worker, ["task-received", "task-started", "task-succeeded"], "order")


def check_warm_shutdown(client: Client) -> None:
    """A stopped worker ends its task; what it had only reserved goes back to the queue."""
    with tempfile.TemporaryDirectory() as place, fresh_queue(client.target) as queue:
        options = ("--concurrency", "1", "--prefetch-multiplier", "3")
        with Worker(client.target.url, queue, *options) as worker:
            sent = [worker.send("hold", place, str(number)) for number in range(6)]
            began = Path(place)
            wait_until(lambda: list(began.glob("0.*.began")), "the first task begins")
            wait_until(lambda: ready(worker) <= 3, "the worker reserves its prefetch")
            worker.process.terminate()
            wait_until(lambda: "Warm shutdown" in worker.log(), "the worker shuts down")
            (began / "release").touch()
            equal(worker.process.wait(20), 0, "exit code")
            equal(sent[0].get(RESULT_S), "0 redelivered=False", "the task that was running")
            waiting = ready(worker)
            ran = len(list(began.glob("*.began")))
            equal(waiting, 6 - ran, "tasks in the queue")
            assert waiting >= 4, f"only {waiting} tasks went back"
            with Worker(client.target.url, queue, *options) as successor:
                answers = [result.get(RESULT_S) for result in sent[ran:]]
                equal([text.split()[0] for text in answers], list("012345")[ran:], "the others")
                # The two that were reserved and came back, and those that never left the queue.
                assert answers[0].endswith("=True"), answers
                assert answers[-1].endswith("=False"), answers
                equal(ready(successor), 0, "tasks left")


def check_acks_late(client: Client) -> None:
    """A task that is acknowledged late runs again when its worker is killed."""
    with tempfile.TemporaryDirectory() as place, fresh_queue(client.target) as queue:
        began = Path(place)
        with Worker(client.target.url, queue, "--pool", "solo") as victim:
            result = victim.send("hold_late", place, "job")
            wait_until(lambda: list(began.glob("job.*.began")), "the task begins")
            os.killpg(victim.process.pid, signal.SIGKILL)
            victim.process.wait()
            wait_until(lambda: ready(victim) == 1, "the task goes back to the queue")
            (began / "release").touch()
            with Worker(client.target.url, queue, "--pool", "solo") as successor:
                equal(result.get(RESULT_S), "job redelivered=True", "result")
                equal(len(list(began.glob("job.*.began"))), 2, "times it began")
                wait_until(lambda: ready(successor) == 0, "the task is acknowledged")


def check_worker_survives_a_crash_of_the_broker(client: Client) -> None:
    """A worker reconnects after kill -9 of the broker, and the tasks sent before are not lost."""
    with client.target.another() as broker, tempfile.TemporaryDirectory() as place:
        # Not the threads pool: after a reconnection Celery uses one connection from two threads.
        with Worker(broker.url, "celery", "--concurrency", "2") as worker:
            equal(worker.send("add", 1, 1).get(RESULT_S), 2, "before")
            for name in ("a", "b"):
                worker.send("hold_late", place, name)
            began = Path(place)
            wait_until(lambda: len(list(began.glob("*.began"))) == 2, "both tasks begin")
            broker.kill()
            broker.start()
            (began / "release").touch()
            # A client that starts now; ours would first find that its pooled connection is dead.
            kombu.pools.reset()
            worker.app = worker.new_app()
            worker.wait_for_answer()
            equal(worker.send("add", 2, 2).get(RESULT_S), 4, "after")
            wait_until(lambda: ready(worker) == 0, "the redelivered tasks are done")
        # Not stopped in order: it would wait for clients that are only in our pools.
        broker.kill()


def check_quorum_queue(client: Client) -> None:
    """With a quorum queue Celery delays tasks in the broker, by a cascade of TTL queues."""
    with fresh_queue(client.target) as queue:
        options = ("--pool", "solo")
        with Worker(client.target.url, queue, *options, queue_type="quorum") as worker:
            equal(worker.send("add", 1, 2).get(RESULT_S), 3, "at once")
            sent = time.time()
            results = {
                countdown: worker.send("now", countdown=countdown) for countdown in (1, 2, 5)
            }
            # Two seconds are one bit, so the task waits in the second queue of the cascade.
            wait_until(lambda: ready(worker, "celery_delayed_1") == 1, "the broker has the task")
            for countdown, result in results.items():
                delay = result.get(RESULT_S) - sent
                # What kombu rounds down may make a countdown a second shorter.
                assert countdown - 1 <= delay <= countdown + 8, f"{countdown} s took {delay:.1f} s"
            assert "delayed delivery will not be available" not in worker.log(), worker.log()


def check_purge(client: Client) -> None:
    """Purging removes what waits in the queue and says how much it was."""
    with fresh_queue(client.target) as queue:
        app = Celery(broker=client.target.url, backend="rpc://")
        app.conf.task_default_queue = queue
        for number in range(7):
            app.send_task("add", (number, 1))
        equal(app.control.purge(), 7, "purged")
        app.close()


if __name__ == "__main__":
    sys.exit(support.main(__name__))
