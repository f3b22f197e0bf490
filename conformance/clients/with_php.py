"""php-amqplib; the checks are in with_php.php. Debian has ``php-amqplib`` and ``php-cli``."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from conformance.clients import foreign, support
from conformance.clients.support import Target

PROGRAM = Path(__file__).with_suffix(".php")


@contextlib.contextmanager
def session(target: Target) -> Iterator[foreign.Program]:
    """Make sure that PHP and php-amqplib are here."""
    foreign.needs(shutil.which("php"), "php")
    foreign.needs(Path("/usr/share/php/PhpAmqpLib/autoload.php").exists(), "php-amqplib")
    with foreign.running(target, ["php", "-d", "display_errors=stderr", str(PROGRAM)]) as program:
        yield program


globals().update(foreign.checks(PROGRAM, r"public function (\w+)\("))

if __name__ == "__main__":
    sys.exit(support.main(__name__))
