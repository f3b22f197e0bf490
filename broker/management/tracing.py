"""Traces: messages that pass a vhost, written to files, as RabbitMQ's plugin rabbitmq_tracing does.

A trace is a queue bound to the firehose's exchange (``broker.amqp.firehose``), and a task that gets
what is in it, in slices, and writes it on a thread. Files lie in ``tracing.dir`` and outlive
traces; traces end with the broker.

Invariants:
* A vhost's firehose is on while it has a trace; it goes off with the last, unless it was on before.
* Only files directly in the directory are written, read or removed: names have no slash.
* Messages hold what others wrote, so files are for the broker's user only.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from broker.amqp.firehose import TRACE
from broker.management import shapes
from broker.management.answers import Slices
from protocol.content import body_of, decode_properties, header_payload
from protocol.tables import plain

if TYPE_CHECKING:
    from broker.core.message import Message
    from broker.core.queue import Queue
    from broker.core.vhost import Vhost
    from broker.server import Server

FORMATS = ("json", "text")
POLL_S = 0.1  # how long a message may wait for being written
SUFFIX = ".log"
_LINE = "=" * 80

_log = logging.getLogger("leveret.management")


class Settings(NamedTuple):
    """What a trace is to do."""

    format: str
    pattern: str
    max_payload_bytes: int | None


class Trace:
    """One trace that runs; ``ended`` is called when it ends by itself."""

    def __init__(
        self, queue: Queue, settings: Settings, path: Path, ended: Callable[[], None]
    ) -> None:
        self.queue = queue
        self.settings = settings
        self._path = path
        self._ended = ended
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._file = os.open(path, flags, 0o600)
        # In a context of its own: what it does later is not the doing of who started it.
        self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    async def stop(self) -> None:
        """Write what is there, and end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while not self.queue.deleted:
                if not await self._write_some():
                    await asyncio.sleep(POLL_S)
            self._ended()
        except asyncio.CancelledError:
            while await self._write_some():
                pass
        except OSError as error:
            _log.error("a trace ended, because %s cannot be written: %s", self._path, error)
            self._ended()
        finally:
            os.close(self._file)

    async def _write_some(self) -> bool:
        """Write what can be described in a slice; false if there is nothing."""
        slices = Slices()
        described = []
        while not slices.over and (found := self.queue.get(no_ack=True)) is not None:
            if found[0].exchange == TRACE:  # and not one bound to it
                described.append(describe(found[0], self.settings))
        if described:
            octets = "".join(described).encode("utf-8", "replace")
            await asyncio.get_running_loop().run_in_executor(None, self._write, octets)
        return bool(described)

    def _write(self, octets: bytes) -> None:
        while octets:
            octets = octets[os.write(self._file, octets) :]


Key = tuple[str, str]  # vhost and name


class Traces:
    """The traces that run, by vhost and name, and the files of all that ever ran."""

    def __init__(self, server: Server) -> None:
        config = server.config
        self.directory = Path(config.tracing_dir or Path(config.data_dir, "traces"))
        self._broker = server.broker
        self._running: dict[Key, Trace] = {}
        self._switched_on: set[str] = set()  # vhosts whose firehose is on because of a trace

    @property
    def running(self) -> Mapping[Key, Trace]:
        """Those of queues that still exist."""
        return {key: one for key, one in self._running.items() if not one.queue.deleted}

    def start(self, vhost: Vhost, name: str, settings: Settings, queue_name: str) -> None:
        """Begin a trace; raises ``OSError`` if its file cannot be written."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        queue = vhost.declare_queue(
            queue_name,
            durable=False,
            exclusive=False,
            auto_delete=False,
            arguments={},
            owner=self,
            generated=True,
        )
        key, path = (vhost.name, name), self.directory / f"{name}{SUFFIX}"
        try:
            vhost.bind(TRACE, queue, settings.pattern, {})
            self._running[key] = Trace(queue, settings, path, lambda: self._forget(key, queue))
        except BaseException:
            vhost.drop_queue(queue)
            raise
        if not vhost.tracing:
            self._switched_on.add(vhost.name)
            vhost.trace(on=True)

    async def stop(self, vhost: Vhost, name: str) -> None:
        """End a trace."""
        key = vhost.name, name
        trace = self._running[key]
        await trace.stop()
        self._forget(key, trace.queue)

    def _forget(self, key: Key, queue: Queue) -> None:
        trace = self._running.get(key)
        if trace is None or trace.queue is not queue:
            return  # another one has its name meanwhile
        del self._running[key]
        vhost = self._broker.vhosts.get(key[0])
        if vhost is None:
            self._switched_on.discard(key[0])
            return
        vhost.drop_queue(queue)
        if vhost.name in self._switched_on and all(place != key[0] for place, _ in self._running):
            self._switched_on.discard(vhost.name)
            vhost.trace(on=False)

    async def stop_all(self) -> None:
        """End all: the broker stops."""
        for trace in self._running.values():
            await trace.stop()
        self._running.clear()

    def files(self) -> dict[str, os.stat_result]:
        """The files that traces wrote, by name."""
        try:
            found = sorted(os.scandir(self.directory), key=lambda entry: entry.name)
        except FileNotFoundError:
            return {}
        return {
            entry.name: entry.stat(follow_symlinks=False)
            for entry in found
            if entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False)
        }


# -- what is written -------------------------------------------------------------------


def describe(message: Message, settings: Settings) -> str:
    """A copy that the firehose made, as it stands in the file."""
    headers = decode_properties(header_payload(message.content))["headers"]
    told: dict[str, Any] = {name: plain(value) for name, value in headers.items()}
    kind, _, rest = message.routing_key.partition(".")
    is_published = kind == "publish"
    payload = body_of(message.content)[: settings.max_payload_bytes]
    record = {
        "timestamp": shapes.timestamp(message.published_ms),
        "type": "published" if is_published else "received",
        "node": told["node"],
        "connection": told["connection"],
        "vhost": told["vhost"],
        "user": told["user"],
        "channel": told["channel"],
        "exchange": told["exchange_name"],
        "queue": "none" if is_published else rest,
        "routed_queues": told.get("routed_queues", "none"),
        "routing_keys": told["routing_keys"],
        "properties": shapes.of_table(headers["properties"].value),
    }
    if settings.format == "json":
        record["payload"] = base64.b64encode(payload).decode()
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
    return _as_text(record, payload.decode("utf-8", "replace"))


def _as_text(record: Mapping[str, Any], payload: str) -> str:
    where = "Routed queues" if record["type"] == "published" else "Queue"
    shown = {
        "Node": record["node"],
        "Connection": record["connection"],
        "Virtual host": record["vhost"],
        "User": record["user"],
        "Channel": record["channel"],
        "Exchange": record["exchange"],
        "Routing keys": json.dumps(record["routing_keys"], ensure_ascii=False),
        where: record["queue"]
        if where == "Queue"
        else json.dumps(record["routed_queues"], ensure_ascii=False),
        "Properties": json.dumps(record["properties"], ensure_ascii=False),
    }
    lines = "".join(f"{name + ':':14}{value}\n" for name, value in shown.items())
    head = f"\n{_LINE}\n{record['timestamp']}: Message {record['type']}\n\n"
    return f"{head}{lines}Payload: \n{payload}\n"
