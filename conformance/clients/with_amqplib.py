"""amqplib for Node.js; the checks are in with_amqplib.js, this installs amqplib and runs them.

amqplib comes from npm as the machine is configured, into a cache directory of the user's, once.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from conformance.clients import foreign, support
from conformance.clients.support import Skip, Target

PACKAGE = "amqplib@2"
PROGRAM = Path(__file__).with_suffix(".js")


@contextlib.contextmanager
def session(target: Target) -> Iterator[foreign.Program]:
    """Install amqplib, unless it is there from an earlier run."""
    foreign.needs(shutil.which("node"), "node")
    place = support.cache() / PACKAGE
    if not (place / "node_modules" / "amqplib" / "package.json").exists():
        foreign.needs(shutil.which("npm"), "npm")
        place.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(place), PACKAGE]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=45, check=False)
        except subprocess.TimeoutExpired:
            raise Skip(f"npm did not get {PACKAGE} within 45 s") from None
        if done.returncode != 0:
            raise Skip(f"npm cannot install {PACKAGE}: {done.stderr.strip()[-300:]}")
    modules = str(place / "node_modules")
    with foreign.running(target, ["node", str(PROGRAM)], NODE_PATH=modules) as program:
        yield program


globals().update(foreign.checks(PROGRAM, r"async (\w+)\("))

if __name__ == "__main__":
    sys.exit(support.main(__name__))
