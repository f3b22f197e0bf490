"""amqplib for Node.js; the checks are in with_amqplib.js, this installs amqplib and runs them.

amqplib comes from npm as the machine is configured, into a cache directory of the user's, once.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conformance.clients import support
from conformance.clients.support import Check, Skip, Target

PACKAGE = "amqplib@2"
PROGRAM = Path(__file__).with_suffix(".js")


@dataclass(frozen=True)
class Client:
    """What the checks take: where the broker is, and where amqplib is."""

    url: str
    modules: Path


@contextlib.contextmanager
def session(target: Target) -> Iterator[Client]:
    """Install amqplib, unless it is there from an earlier run."""
    if shutil.which("node") is None:
        raise Skip("node is not installed")
    place = support.cache() / PACKAGE
    if not (place / "node_modules" / "amqplib" / "package.json").exists():
        if shutil.which("npm") is None:
            raise Skip("npm is not installed")
        place.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(place), PACKAGE]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=45, check=False)
        except subprocess.TimeoutExpired:
            raise Skip(f"npm did not get {PACKAGE} within 45 s") from None
        if done.returncode != 0:
            raise Skip(f"npm cannot install {PACKAGE}: {done.stderr.strip()[-300:]}")
    yield Client(target.url, place / "node_modules")


def _check(name: str, meaning: str) -> Check:
    def run(client: Client) -> None:
        done = subprocess.run(
            ["node", str(PROGRAM), client.url, name],
            env={**os.environ, "NODE_PATH": str(client.modules)},
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert done.returncode == 0, f"{name}:\n{done.stdout}{done.stderr}"

    run.__doc__ = meaning
    return run


# One function for each check of the program, so that each passes or fails by itself.
for _meaning, _name in re.findall(r"  // (.+)\n  async (\w+)\(", PROGRAM.read_text("utf-8")):
    globals()[f"check_{_name}"] = _check(_name, _meaning)


if __name__ == "__main__":
    sys.exit(support.main(__name__))
