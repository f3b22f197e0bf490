"""The Celery application that the worker processes of with_celery.py run; no check in itself."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

QUEUE_TYPE = os.environ.get("CONFORMANCE_QUEUE_TYPE", "classic")


def exchange_type(queue_type: str) -> str:
    """Choose as Celery's manual says: delays in the broker do not work with a direct exchange."""
    return "topic" if queue_type == "quorum" else "direct"


def tls_options() -> dict[str, Any] | None:
    """Give what `broker_use_ssl` is to be, if with_tls.py has set it."""
    options = os.environ.get("CONFORMANCE_TLS")
    return json.loads(options) if options else None


app = Celery(
    "conformance",
    broker=os.environ.get("CONFORMANCE_URL", "amqp://"),
    backend=os.environ.get("CONFORMANCE_RESULTS", "rpc://"),
)
app.conf.update(
    task_default_queue=os.environ.get("CONFORMANCE_QUEUE", "celery"),
    task_default_queue_type=QUEUE_TYPE,
    task_default_exchange_type=exchange_type(QUEUE_TYPE),
    broker_connection_retry_on_startup=True,
    broker_connection_retry_delay=0.5,
    result_chord_retry_interval=0.1,
    worker_hijack_root_logger=False,
    broker_use_ssl=tls_options(),
)


@app.task(name="add")
def add(x: int, y: int) -> int:
    """Add."""
    return x + y


@app.task(name="total")
def total(numbers: list[int]) -> int:
    """Add what a chord's tasks returned."""
    return sum(numbers)


@app.task(name="fail")
def fail(text: str) -> None:
    """Raise."""
    raise LookupError(text)


@app.task(name="flaky", bind=True, max_retries=5)
def flaky(self: Any, failures: int) -> int:
    """Fail so many times, asking for a retry; return which attempt this is."""
    if self.request.retries < failures:
        raise self.retry(countdown=0.1)
    attempt: int = self.request.retries
    return attempt


@app.task(name="now")
def now() -> float:
    """Tell the time at which the worker ran this."""
    return time.time()


@app.task(name="hold", bind=True)
def hold(self: Any, directory: str, name: str) -> str:
    """Say that the task began, and go on until the file ``release`` appears."""
    place = Path(directory)
    (place / f"{name}.{os.getpid()}.began").touch()
    deadline = time.monotonic() + 30
    while not (place / "release").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return f"{name} redelivered={self.request.delivery_info['redelivered']}"


@app.task(name="hold_late", bind=True, acks_late=True)
def hold_late(self: Any, directory: str, name: str) -> str:
    """Do as ``hold`` does, acknowledged only at the end."""
    held: str = hold.run.__func__(self, directory, name)
    return held
