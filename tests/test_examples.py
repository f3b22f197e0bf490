"""The example clients: each one runs as it stands and says what its page promises."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.brokers import Leveret

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

SAYS = {
    "retry_with_backoff": [
        r"\d+\.\d s: job fails, after 0 tries before",
        r"\d+\.\d s: job fails, after 1 tries before",
        r"\d+\.\d s: job fails, after 2 tries before",
        r"\d+\.\d s: job fails, after 3 tries before",
        "job was given up: delivery_limit",
    ],
    "message_groups": [f"customer {name}: {name}1 {name}2 {name}3" for name in "ABC"],
    "more_time": [r"film took \d+ s, with a timeout of 1 s"],
    "oldest_age": [r"the oldest message is \d+ s old"],
    "delayed_messages": [
        r"due in -?\d s: 12 octets for remind",
        r"due in 3\d\d\d s: 7 octets for remind",
        r"due in 86\d\d\d s: 8 octets for remind",
        r"\d left after one was cancelled",
        "tea is ready, delayed by 500 ms",
    ],
    "delay_by_policy": [r"\d+\.\d s: now", r"\d+\.\d s: later"],
}


@pytest.fixture(scope="module")
def broker() -> Iterator[Leveret]:
    """A broker as an operator would start it."""
    with Leveret() as broker:
        yield broker


def test_every_example_is_run() -> None:
    """No example is forgotten here, and none in the page about them."""
    programs = {path.stem for path in EXAMPLES.glob("*.py")}
    assert programs == {*SAYS, "place"}
    page = (ROOT / "docs" / "beyond-rabbitmq.md").read_text()
    assert programs == set(re.findall(r"\.\./examples/(\w+)\.py", page))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", SAYS)
def test_example(broker: Leveret, name: str) -> None:
    """It ends in order and says what it should."""
    env = os.environ | {
        "LEVERET_URL": broker.url,
        "LEVERET_API": f"http://127.0.0.1:{broker.management_port}/api",
    }
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        env=env,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(SAYS[name]), done.stdout
    for line, pattern in zip(lines, SAYS[name], strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)
