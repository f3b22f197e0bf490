"""librabbitmq, the client in C; the checks are in with_rabbitmq_c.c, this compiles and runs them.

The library is Debian's ``librabbitmq-dev``. It leaves heartbeats and connecting again to the
program that uses it, so these are not checked.
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

PROGRAM = Path(__file__).with_suffix(".c")


@contextlib.contextmanager
def session(target: Target) -> Iterator[foreign.Program]:
    """Compile the program, and start it when it is asked for a check."""
    foreign.needs(shutil.which("cc"), "a C compiler")
    foreign.needs(Path("/usr/include/amqp_ssl_socket.h").exists(), "librabbitmq-dev")
    with tempfile.TemporaryDirectory(prefix="c-") as directory:
        binary = f"{directory}/client"
        foreign.build(["cc", "-w", "-o", binary, str(PROGRAM), "-lrabbitmq"])
        with foreign.running(target, [binary]) as program:
            yield program


globals().update(foreign.checks(PROGRAM, r"static void (\w+)\(amqp_connection_state_t c, "))

if __name__ == "__main__":
    sys.exit(support.main(__name__))
