"""The Java client; the checks are in WithJava.java, this compiles and runs them.

Compiler and client are Debian's: ``openjdk-17-jdk-headless``, ``librabbitmq-client-java``.
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

PROGRAM = Path(__file__).with_name("WithJava.java")
TOOLS = PROGRAM.with_name("JavaTools.java")
JARS = [Path("/usr/share/java", jar) for jar in ("amqp-client.jar", "slf4j-api.jar")]


@contextlib.contextmanager
def session(target: Target) -> Iterator[foreign.Program]:
    """Compile the program, and start it when it is asked for a check."""
    foreign.needs(shutil.which("javac"), "javac")
    foreign.needs(JARS[0].exists(), "the Java client (librabbitmq-client-java)")
    with tempfile.TemporaryDirectory(prefix="java-") as directory:
        path = ":".join(map(str, JARS))
        foreign.build(["javac", "-cp", path, "-d", directory, str(PROGRAM), str(TOOLS)])
        command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{path}:{directory}", "WithJava"]
        with foreign.running(target, command) as program:
            yield program


globals().update(foreign.checks(PROGRAM, r"public void (\w+)\("))

if __name__ == "__main__":
    sys.exit(support.main(__name__))
