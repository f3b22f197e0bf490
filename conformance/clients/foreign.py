"""Client programs in other languages: how Python asks them for a check, and what they may ask for.

A program is started as ``PROGRAM CA-FILE``. It reads lines ``NAME URL``, makes that check with
that broker, and writes one line: ``ok`` or ``failed: TEXT``. It ends when its input does. Before
that it may write ``restart``, and reads ``done`` when the broker was shut down in order and runs
again. So a program pays once for its start, and each of its checks passes or fails by itself.

Most checks use the common broker. ``in_alarm`` gets one that never has enough disk; ``over_tls``
and ``after_restart`` one that may restart and has a certificate of the authority in CA-FILE.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from conformance.brokers import Broker, free_port
from conformance.certificates import Certificates
from conformance.clients.support import Check, Skip, Target

PATIENCE_S = 40
ENOUGH_DISK = 10**15
"""More octets than any disk has free: a broker that wants them is in alarm from the start."""


class Spares:
    """The brokers for checks that would harm the common one, each started when first needed."""

    def __init__(self, target: Target, directory: Path, stack: contextlib.ExitStack) -> None:
        self.target = target
        self.certificates = Certificates(directory)
        self._stack = stack
        self._tls_port = free_port()

    def url(self, check: str) -> str:
        """Give the address for a check."""
        if check == "in_alarm":
            return self.in_alarm.url
        if check == "after_restart":
            return self.restartable.url
        if check == "over_tls" and self.restartable:
            return f"amqps://guest:guest@localhost:{self._tls_port}/%2F"
        return self.target.url

    @cached_property
    def restartable(self) -> Broker:
        """The broker that may restart at any time, with TLS."""
        certificate = self.certificates.server()
        return self._start(self.certificates.settings(self._tls_port, certificate))

    @cached_property
    def in_alarm(self) -> Broker:
        """The broker that never has enough disk."""
        return self._start({"disk_free_limit.absolute": ENOUGH_DISK})

    def _start(self, settings: Mapping[str, object]) -> Broker:
        words = {name.replace(".", "__"): value for name, value in settings.items()}
        return self._stack.enter_context(self.target.another(**words))


@contextlib.contextmanager
def spares(target: Target) -> Iterator[Spares]:
    """Make the spare brokers' owner; end them afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="spares-") as directory,
        contextlib.ExitStack() as stack,
    ):
        yield Spares(target, Path(directory), stack)


class Program:
    """One client program: started at its first check, and again after it has died or was late."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], spares: Spares, errors: Path
    ) -> None:
        self._command = [*command, str(spares.certificates.cacertfile)]
        self._env = {**os.environ, **env}
        self._spares = spares
        self._errors = errors
        self._process: subprocess.Popen[str] | None = None

    def check(self, name: str) -> None:
        """Let the program make one check; fail with what it says."""
        if self._process is None:
            with self._errors.open("wb") as errors:
                self._process = subprocess.Popen(
                    self._command,
                    env=self._env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    encoding="utf-8",
                )
        answer = self._ask(self._process, f"{name} {self._spares.url(snake_case(name))}")
        while answer == "restart":
            self._spares.restartable.stop()
            self._spares.restartable.start()
            answer = self._ask(self._process, "done")
        if not answer:
            self.end()
        assert answer == "ok", f"{name}: {answer or 'died'}\n{self._errors.read_text('utf-8')}"

    def end(self) -> None:
        """End the program, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, process: subprocess.Popen[str], line: str) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(PATIENCE_S, process.kill)
        late.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(line + "\n")
                process.stdin.flush()
            return process.stdout.readline().strip()
        finally:
            late.cancel()


@contextlib.contextmanager
def running(target: Target, command: Sequence[str], **env: str) -> Iterator[Program]:
    """Give what the checks of one program take; end the program afterwards."""
    with tempfile.TemporaryDirectory(prefix="client-") as directory:
        shared = target.shared(spares)
        program = Program(command, env, shared, Path(directory, "stderr"))
        try:
            yield program
        finally:
            program.end()


def build(command: Sequence[str], **env: str) -> None:
    """Compile a program; what does not compile is a fault of ours, not a reason to skip."""
    done = subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"


def needs(there: object, what: str) -> None:
    """Skip what needs something that is not there."""
    if not there:
        raise Skip(f"{what} is not installed")


def checks(source: Path, definition: str) -> dict[str, Check]:
    """Make a function for each check in a program, to be module globals.

    ``definition`` matches the line that begins a check, with the name as its group; the comment
    line before it says what is checked.
    """
    found = re.findall(rf"^\s*(?://|#) (.+)\n\s*{definition}", source.read_text("utf-8"), re.M)
    return {f"check_{snake_case(name)}": _check(name, meaning) for meaning, name in found}


def snake_case(name: str) -> str:
    """Give the name that a check has here, whatever its language makes of names."""
    return re.sub("(?<!^)(?=[A-Z])", "_", name).lower()


def _check(name: str, meaning: str) -> Check:
    def run(program: Program) -> None:
        program.check(name)

    run.__doc__ = meaning
    return run
