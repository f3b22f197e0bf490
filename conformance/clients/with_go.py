"""amqp091-go; the checks are in with_go.go, this compiles and runs them.

Both the compiler and the library are Debian's: ``golang-go`` and
``golang-github-rabbitmq-amqp091-go-dev``.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conformance.clients import foreign, support
from conformance.clients.support import Target

PROGRAM = Path(__file__).with_suffix(".go")
TOOLS = PROGRAM.with_name("with_go_tools.go")
SOURCES = Path("/usr/share/gocode")


@contextlib.contextmanager
def session(target: Target) -> Iterator[foreign.Program]:
    """Compile the program, and start it when it is asked for a check."""
    foreign.needs(shutil.which("go"), "go")
    foreign.needs((SOURCES / "src/github.com/rabbitmq/amqp091-go").exists(), "amqp091-go")
    with tempfile.TemporaryDirectory(prefix="go-") as directory:
        binary = f"{directory}/client"
        env = {"GO111MODULE": "off", "GOPATH": str(SOURCES), "GOCACHE": str(support.cache() / "go")}
        foreign.build(["go", "build", "-o", binary, str(PROGRAM), str(TOOLS)], **env)
        with foreign.running(target, [binary]) as program:
            yield program


globals().update(foreign.checks(PROGRAM, r"func \(Checks\) (\w+)\("))

if __name__ == "__main__":
    sys.exit(support.main(__name__))
