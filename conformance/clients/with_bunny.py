"""bunny for Ruby; the checks are in with_bunny.rb. Debian's package is ``ruby-bunny``."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from conformance.clients import foreign, support
from conformance.clients.support import Target

PROGRAM = Path(__file__).with_suffix(".rb")


@contextlib.contextmanager
def session(target: Target) -> Iterator[foreign.Program]:
    """Make sure that Ruby and bunny are here."""
    foreign.needs(shutil.which("ruby"), "ruby")
    there = subprocess.run(["ruby", "-e", "require 'bunny'"], capture_output=True, check=False)
    foreign.needs(there.returncode == 0, "bunny")
    with foreign.running(target, ["ruby", str(PROGRAM)]) as program:
        yield program


globals().update(foreign.checks(PROGRAM, r"def (\w+)$"))

if __name__ == "__main__":
    sys.exit(support.main(__name__))
