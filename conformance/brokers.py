"""Brokers to test against: a private Leveret or RabbitMQ that a test starts, ends and starts again.

Owns the processes: their free ports on 127.0.0.1, their directories, their environment, their end.

Invariants:
* A broker is up when it answers an AMQP protocol header with connection.start, not when its log
  says so; and ``start`` fails at once, showing the end of the log, when the process ends instead.
* Port and data directory stay the same from one ``start`` to the next, so that a test can kill a
  broker and find its messages again.
* Nothing outlives the ``with`` block: no process (RabbitMQ's epmd included), no temporary file;
  not even if the test's own process is killed, see ``Child``.

``python -m conformance.brokers leveret`` (or ``rabbitmq``) runs one until it is interrupted, for
people and for benchmarks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self

REPOSITORY = Path(__file__).resolve().parent.parent
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.05


class BrokerError(Exception):
    """A broker did not start or end as it should; the text has the end of its log."""


def free_port() -> int:
    """Find a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def speaks_amqp(port: int, preamble: bytes = b"") -> bool:
    """Tell whether 127.0.0.1:port answers the protocol header with connection.start."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as tcp:
            tcp.sendall(preamble + PROTOCOL_HEADER)
            head = b""
            while len(head) < 11:
                part = tcp.recv(11 - len(head))
                if not part:
                    return False
                head += part
    except OSError:
        return False
    # A method frame on channel 0 whose class and method are 10,10; octets 3 to 6 are its size.
    return head[:3] == b"\x01\x00\x00" and head[7:11] == b"\x00\x0a\x00\x0a"


class Child:
    """A process that is killed with us, should we be killed ourselves before we can end it.

    A guard, a shell, waits for the end of a pipe that only we can write to; the kernel closes it
    for us whichever way we end.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], temp: Path) -> None:
        # Sessions of their own: Ctrl-C reaches us only, and we end the broker in order.
        with (temp / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        script = 'read -r _; kill -9 "$1"; rm -rf "$2"'
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", script, "guard", str(self.process.pid), str(temp)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self, timeout_s: float) -> int:
        """Wait for the end, and end the guard: the pid may soon be another process's."""
        code = self.process.wait(timeout_s)
        self.dismiss()
        return code

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.dismiss()
        self.process.kill()
        self.process.wait()

    def dismiss(self) -> None:
        """End the guard."""
        self._guard.kill()
        self._guard.communicate()


class Broker:
    """What every broker here can do; used as ``with Leveret() as broker:``."""

    name = "broker"

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] = {},
        env: Mapping[str, str] = {},
    ) -> None:
        self._temp = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.data_dir = Path(data_dir) if data_dir is not None else self._temp / "data"
        self.log_path = self._temp / "log"
        self.port = free_port()
        self.management_port = free_port()
        self.prometheus_port = free_port()
        self.preamble = b""  # what goes before the protocol header, for a broker behind a balancer
        self._settings = dict(settings)
        self._env = dict(env)
        self._child: Child | None = None

    @classmethod
    def available(cls) -> bool:
        """Tell whether this machine has the program."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """The address, with the vhost written out: clients disagree on what an empty one means."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    @property
    def pid(self) -> int:
        """The broker's own process, not that of a script around it."""
        if self._child is None:
            raise BrokerError(f"{self.name} is not running")
        return self._child.process.pid

    @property
    def running(self) -> bool:
        """Tell whether the process is there; it may still be busy starting."""
        return self._child is not None and self._child.process.poll() is None

    def start(self) -> Self:
        """Start the process and wait until it speaks AMQP."""
        if self.running:
            raise BrokerError(f"{self.name} is already running")
        self._forget()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._prepare()
        self._child = Child(self._command(), {**os.environ, **self._environment()}, self._temp)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not speaks_amqp(self.port, self.preamble):
            if not self.running:
                self._fail(f"ended with exit code {self.stop()} before it accepted connections")
            if time.monotonic() > deadline:
                self.kill()
                self._fail(f"did not speak AMQP within {START_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)
        return self

    def stop(self) -> int:
        """Ask for an orderly end (SIGTERM), wait for it and return the exit code."""
        if self._child is None:
            raise BrokerError(f"{self.name} is not running")
        self._child.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended, and return the exit code."""
        if self._child is None:
            raise BrokerError(f"{self.name} is not running")
        try:
            return self._child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._fail(f"was still running after {STOP_TIMEOUT_S:.0f} s")
        finally:
            self._forget()

    def kill(self) -> None:
        """End it with no chance to tidy up (SIGKILL), as a crash would."""
        if self._child is None:
            raise BrokerError(f"{self.name} is not running")
        self._forget()

    def close(self) -> None:
        """Stop it if it runs, and remove what it left on disk unless the caller gave the place."""
        try:
            if self._child is not None:
                self.stop()
        finally:
            shutil.rmtree(self._temp, ignore_errors=True)

    def command(self, program: str) -> tuple[Sequence[str], Mapping[str, str]]:
        """What rabbitmqctl or rabbitmq-diagnostics is here: how to call it, and its environment."""
        raise NotImplementedError

    def log_text(self) -> str:
        """Give everything the broker has written so far, over all its starts."""
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    def _prepare(self) -> None:
        """Write files and start other processes that the broker needs."""

    def _ended(self) -> None:
        """End what ``_prepare`` started."""

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _environment(self) -> Mapping[str, str]:
        return self._env

    def _forget(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None
        self._ended()

    def _fail(self, what: str) -> NoReturn:
        tail = "\n".join(self.log_text().splitlines()[-40:]) or "(nothing was logged)"
        raise BrokerError(f"{self.name} {what}; the end of its log:\n{tail}")


class Leveret(Broker):
    """This repository's broker, run as ``python -m broker``; ``settings`` become ``--set``."""

    name = "leveret"

    @classmethod
    def available(cls) -> bool:
        """Tell whether the broker's package is beside this one."""
        return (REPOSITORY / "broker" / "__main__.py").exists()

    def _command(self) -> Sequence[str]:
        settings = {
            "listeners.tcp.default": f"127.0.0.1:{self.port}",
            "management.tcp.ip": "127.0.0.1",
            "management.tcp.port": self.management_port,
            "prometheus.tcp.ip": "127.0.0.1",
            "prometheus.tcp.port": self.prometheus_port,
            **self._settings,
        }
        overrides = [word for key in settings for word in ("--set", f"{key}={settings[key]}")]
        return [sys.executable, "-m", "broker", "--data-dir", str(self.data_dir), *overrides]

    def command(self, program: str) -> tuple[Sequence[str], Mapping[str, str]]:
        words = [sys.executable, "-m", "broker.admin", program]
        return words, {"LEVERET_DATA_DIR": str(self.data_dir)}


class RabbitMQ(Broker):
    """Debian's RabbitMQ, kept apart from an installed service: own node, epmd, ports and files.

    ``settings`` are lines of its rabbitmq.conf. It runs no plugins but those asked for, and guest
    may connect from anywhere; since every listener is on 127.0.0.1, that is here.
    """

    name = "rabbitmq"
    _root = Path("/usr/lib/rabbitmq/lib")

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] = {},
        env: Mapping[str, str] = {},
        plugins: Sequence[str] = (),
    ) -> None:
        super().__init__(data_dir, settings, env)
        self._plugins = plugins
        self._epmd_port = free_port()
        self._dist_port = free_port()
        self._epmd: Child | None = None

    @classmethod
    def _program(cls) -> Path | None:
        found = sorted(cls._root.glob("rabbitmq_server-*/sbin/rabbitmq-server"))
        return found[-1] if found else None

    @classmethod
    def available(cls) -> bool:
        """Tell whether Debian's rabbitmq-server package is installed."""
        return cls._program() is not None and shutil.which("epmd") is not None

    def _prepare(self) -> None:
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "loopback_users": "none",
            **self._plugin_settings(),
            **self._settings,
        }
        lines = (f"{key} = {value}\n" for key, value in settings.items())
        (self._temp / "rabbitmq.conf").write_text("".join(lines))
        (self._temp / "enabled_plugins").write_text(f"[{','.join(self._plugins)}].\n")
        # Started by us: RabbitMQ would start one as a daemon, and no one would end that.
        epmd = ["epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)]
        self._epmd = Child(epmd, os.environ, self._temp)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._epmd.process.poll() is None:
            with socket.socket() as tcp:
                if tcp.connect_ex(("127.0.0.1", self._epmd_port)) == 0:
                    return
            time.sleep(POLL_S)
        self._ended()
        self._fail("got no epmd")

    def _plugin_settings(self) -> Mapping[str, Any]:
        # Settings of a plugin that is not enabled end the start.
        listeners = {"management": self.management_port, "prometheus": self.prometheus_port}
        return {
            f"{name}.tcp.{key}": value
            for name, port in listeners.items()
            if f"rabbitmq_{name}" in self._plugins
            for key, value in (("ip", "127.0.0.1"), ("port", port))
        }

    def _ended(self) -> None:
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd = None

    def _command(self) -> Sequence[str]:
        program = self._program()
        if program is None:
            raise BrokerError("rabbitmq-server is not installed (apt-get install rabbitmq-server)")
        return [str(program)]

    def command(self, program: str) -> tuple[Sequence[str], Mapping[str, str]]:
        server = self._program()
        if server is None:
            raise BrokerError("rabbitmq-server is not installed (apt-get install rabbitmq-server)")
        return [str(server.with_name(program))], self._environment()

    def _environment(self) -> Mapping[str, str]:
        temp = str(self._temp)
        return {
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "HOME": temp,  # the Erlang cookie is written here
            "RABBITMQ_NODENAME": f"conformance-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            "RABBITMQ_MNESIA_BASE": str(self.data_dir),
            "RABBITMQ_LOG_BASE": temp,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{temp}/pid",
            "RABBITMQ_CONF_ENV_FILE": f"{temp}/none.conf",
            "RABBITMQ_CONFIG_FILE": f"{temp}/rabbitmq.conf",
            "RABBITMQ_CONFIG_FILES": f"{temp}/conf.d",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{temp}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{temp}/enabled_plugins",
            # The start script then becomes the server instead of waiting beside it.
            "RUNNING_UNDER_SYSTEMD": "true",
            **self._env,
        }


BROKERS: Mapping[str, type[Broker]] = {"leveret": Leveret, "rabbitmq": RabbitMQ}


def broker_of(kind: str, settings: Mapping[str, Any] = {}, plugins: Sequence[str] = ()) -> Broker:
    """A broker that is not started yet: ``leveret``, with its fast path ``fast`` or ``slow``.

    Or ``rabbitmq``, which needs plugins for some of what Leveret has without.
    """
    if kind == "rabbitmq":
        return RabbitMQ(settings=settings, plugins=plugins)
    paths = {"fast": "true", "slow": "false"}
    path = {"leveret.fast_path": paths[kind]} if kind in paths else {}
    return Leveret(settings={**path, **settings})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one broker until SIGINT or SIGTERM; print its address as the only line of output."""
    parser = argparse.ArgumentParser(prog="conformance.brokers", description=main.__doc__)
    parser.add_argument("broker", choices=sorted(BROKERS))
    parser.add_argument("--data-dir", help="keep the data here (default: a temporary directory)")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[])
    options = parser.parse_args(argv)
    settings = dict(word.split("=", 1) for word in options.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with BROKERS[options.broker](options.data_dir, settings) as broker:
            print(broker.url, flush=True)
            while broker.running:
                time.sleep(POLL_S)
            print(f"{broker.name} ended by itself:\n{broker.log_text()}", file=sys.stderr)
            return 1
    except BrokerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    # Once is enough: a second signal must not cut the orderly end short.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
