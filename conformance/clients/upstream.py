"""The clients' own integration tests, unmodified, on two brokers, compared test by test.

``python -m conformance.clients.upstream`` fetches the sources of the installed py-amqp and kombu
with pip into the user's cache, runs the tests that need a broker on RabbitMQ and on Leveret, and
prints every test that passes on the first and not on the second. Other brokers may be named, by
kind or by URL (whose user must be guest, as the tests assume).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from conformance.brokers import BROKERS
from conformance.clients import support

TESTS: Mapping[str, str] = {
    "amqp": "t/integration/test_rmq.py",
    "kombu": "t/integration/test_py_amqp.py",
}
NOT_TLS = "not tls and not test_tls"
"""Neither broker is given certificates here."""


def sources(package: str) -> Path:
    """Fetch and unpack the source of the installed version, once."""
    place = support.cache() / "sdists"
    name = f"{package}-{version(package)}"
    if not (place / name).exists():
        place.mkdir(parents=True, exist_ok=True)
        wanted = [f"{package}=={version(package)}", "--dest", str(place)]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--no-binary", ":all:", *wanted], check=True)
        with tarfile.open(place / f"{name}.tar.gz") as archive:
            archive.extractall(place, filter="data")
    return place / name


def outcomes(package: str, port: int, host: str) -> dict[str, str]:
    """Run the tests of one client; give what became of each."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "report.xml")
        command = [sys.executable, "-m", "pytest", TESTS[package], "-q", "-k", NOT_TLS]
        command += ["-p", "no:cacheprovider", "--timeout", "60", f"--junit-xml={report}"]
        env = {**os.environ, "RABBITMQ_HOST": host, "RABBITMQ_5672_TCP": str(port)}
        done = subprocess.run(
            command, cwd=sources(package), env=env, capture_output=True, text=True, check=False
        )
        if not report.exists():
            raise SystemExit(f"{package}: no test was run\n{done.stdout}{done.stderr}")
        return dict(_results(package, report))


def _results(package: str, report: Path) -> Iterator[tuple[str, str]]:
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{package}: {case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"
        bad = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
        if bad is None:
            yield name, "passed"
        else:
            text = (bad.get("message") or "").strip().splitlines() or [""]
            yield name, f"{bad.tag}: {text[0][:200]}"


def on_broker(broker: str) -> dict[str, str]:
    """Run all of the tests on one broker, named by kind or URL."""
    results: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        if broker in BROKERS:
            broker = stack.enter_context(BROKERS[broker]()).url
        address = urlsplit(broker)
        for package in TESTS:
            host, port = address.hostname or "127.0.0.1", address.port or 5672
            results.update(outcomes(package, port, host))
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Compare two brokers; exit with 1 if the second fails what the first passes."""
    parser = argparse.ArgumentParser(prog="conformance.clients.upstream")
    parser.add_argument("first", nargs="?", default="rabbitmq")
    parser.add_argument("second", nargs="?", default="leveret")
    options = parser.parse_args(argv)
    first, second = on_broker(options.first), on_broker(options.second)
    for name, results in ((options.first, first), (options.second, second)):
        counts = Counter(result.partition(":")[0] for result in results.values())
        print(f"{name}: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    worse = [
        test
        for test, result in first.items()
        if result == "passed" and second.get(test) != "passed"
    ]
    for test in worse:
        print(f"{test}\n    {options.second}: {second.get(test, 'not run')}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
