"""What the client programs share: which broker to use, names nobody else has, and the runner.

A client program is a module with functions called ``check_*``, each taking a ``Target`` and
failing by an exception. It may have ``session(target)``, a context manager around all its checks,
which gives what they take instead of the target. ``Skip`` says why something cannot be tried here.

The broker is the one at CONFORMANCE_URL. Without that, one is started: Leveret, or what
CONFORMANCE_BROKER names (``leveret`` or ``rabbitmq``).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, TypeVar

from conformance.brokers import BROKERS, Broker

Check = Callable[[Any], None]
Thing = TypeVar("Thing")

PROGRAMS = (
    "with_pika",
    "with_pika_async",
    "with_aio_pika",
    "with_kombu",
    "with_celery",
    "with_amqplib",
    "with_java",
    "with_go",
    "with_bunny",
    "with_php",
    "with_rabbitmq_c",
    "with_amqp_tools",
    "with_tls",
)


CHECK_S = 60
"""A check that takes longer than this has failed; most take a fraction of a second."""


class Skip(Exception):
    """A check cannot be made on this machine; the text says why."""


@dataclass(frozen=True)
class Target:
    """The broker under test."""

    url: str
    kind: type[Broker] | None
    """How to start another one like it; None when CONFORMANCE_URL named it."""
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _shared: dict[object, Any] = field(default_factory=dict)

    def shared(self, make: Callable[[Target], contextlib.AbstractContextManager[Thing]]) -> Thing:
        """Give what ``make`` makes for all programs together, until the target closes."""
        if make not in self._shared:
            self._shared[make] = self._stack.enter_context(make(self))
        thing: Thing = self._shared[make]
        return thing

    def close(self) -> None:
        """End what was shared."""
        self._stack.close()

    def another(self, **settings: Any) -> Broker:
        """Give a broker of the same kind, not started, that the check may kill."""
        if self.kind is None:
            raise Skip("needs a broker that it may kill, and CONFORMANCE_URL names a given one")
        return self.kind(settings={key.replace("__", "."): settings[key] for key in settings})


@contextlib.contextmanager
def target() -> Iterator[Target]:
    """Find the broker to test, or start one for as long as the block lasts."""
    url = os.environ.get("CONFORMANCE_URL")
    if url:
        yield Target(url, None)
        return
    kind = BROKERS[os.environ.get("CONFORMANCE_BROKER") or "leveret"]
    if not kind.available():
        raise Skip(f"{kind.name} is not installed here")
    with kind() as broker, contextlib.closing(Target(broker.url, kind)) as found:
        yield found


def cache() -> Path:
    """Give the directory for what the programs download, outside the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "leveret-tests")


def unique(stem: str) -> str:
    """Make a name that no other test and no earlier run uses."""
    return f"{stem}.{uuid.uuid4().hex[:12]}"


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 15.0) -> None:
    """Poll until the condition holds; fail saying what did not happen."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)


def equal(got: object, expected: object, what: str) -> None:
    """Fail with both values; the programs run without pytest as well, so assert alone says less."""
    assert got == expected, f"{what}: got {got!r}, expected {expected!r}"


def load(program: str) -> ModuleType:
    """Import one client program; Skip if its client is not installed."""
    return optional(f"conformance.clients.{program}")


def optional(name: str) -> ModuleType:
    """Import a module; Skip if it is not installed, or something that it needs."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "conformance").startswith("conformance"):
            raise
        raise Skip(f"the Python package {error.name} is not installed") from None


def checks(program: ModuleType) -> Mapping[str, Check]:
    """Give the checks of a client program by name, in the order they are written."""
    found = vars(program).items()
    return {name.removeprefix("check_"): f for name, f in found if name.startswith("check_")}


def session(program: ModuleType, where: Target) -> contextlib.AbstractContextManager[Any]:
    """Enter what a program wants around its checks; by default they get the target itself."""
    opened: contextlib.AbstractContextManager[Any] = (
        program.session(where) if hasattr(program, "session") else contextlib.nullcontext(where)
    )
    return opened


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"not done after {CHECK_S} s")


def main(name: str) -> int:
    """Run the checks of one program, or those named as arguments; print a line for each."""
    program = sys.modules[name]
    wanted = sys.argv[1:]
    failed = 0
    try:
        with target() as where, session(program, where) as client:
            for check, run in checks(program).items():
                if wanted and check not in wanted:
                    continue
                started = time.monotonic()
                signal.signal(signal.SIGALRM, _too_long)
                signal.alarm(CHECK_S)
                try:
                    run(client)
                    word = "ok"
                except Skip as reason:
                    word = f"skipped: {reason}"
                except Exception:
                    word = f"FAILED\n{traceback.format_exc()}"
                    failed += 1
                finally:
                    signal.alarm(0)
                print(f"{check} ({time.monotonic() - started:.1f} s): {word}", flush=True)
    except Skip as reason:
        print(f"all skipped: {reason}")
    return 1 if failed else 0
