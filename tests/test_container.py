"""The container: what its files name exists. The image itself is not built here."""

import fnmatch
import os
import re
import subprocess
from pathlib import Path

import pytest

from broker.config import load

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "config/docker"


def copied() -> list[str]:
    """What the Dockerfile takes from the repository."""
    text = (DOCKER / "Dockerfile").read_text()
    lines = re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_what_is_copied_is_there() -> None:
    """Each source of the Dockerfile exists and is not kept out by .dockerignore."""
    patterns = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in patterns if line.startswith("!")]
    sources = copied()
    assert "broker" in sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in let_in), source


def test_commands_are_there() -> None:
    """Each program the Dockerfile links to is one that the package installs."""
    scripts = (ROOT / "pyproject.toml").read_text().split("[project.scripts]")[1].split("[")[0]
    linked = re.findall(r"ln -s /opt/leveret/bin/(\S+)", (DOCKER / "Dockerfile").read_text())
    assert "leveret" in linked
    for name in linked:
        assert re.search(rf"^{name} = ", scripts, re.MULTILINE), name


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ([], "leveret serve"),
        (["serve", "--set", "a=b"], "leveret serve --set a=b"),
        (["log", "verify", "a b"], "leveret log verify a b"),
        (["rabbitmq-server"], "leveret serve"),
        (["rabbitmqctl", "status"], "rabbitmqctl status"),
        (["sh", "-c", "exec rabbitmq-server"], "leveret serve"),
    ],
)
def test_what_a_container_runs(tmp_path: Path, words: list[str], run: str) -> None:
    """A command of leveret, or a program, as files made for RabbitMQ's image name them."""
    for name in ("leveret", "rabbitmqctl"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{DOCKER}:{os.environ['PATH']}"
    done = subprocess.run(
        [DOCKER / "docker-entrypoint.sh", *words],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{run}\n"


def test_defaults_are_settings() -> None:
    """The image's defaults are settings that mean something here."""
    config, warnings = load(str(DOCKER / "10-defaults.conf"), (), {})
    assert warnings == []
    assert config.data_dir == "/var/lib/rabbitmq"
    assert "guest" not in config.loopback_users


def test_mounted_files_are_there() -> None:
    """Each file that the compose file mounts exists."""
    mounts = re.findall(r"- (\.\.?/\S+?):", (DOCKER / "compose.yml").read_text())
    assert len(mounts) == 4
    for mount in mounts:
        assert (DOCKER / mount).exists(), mount


def test_scraped_alike() -> None:
    """Prometheus's two configurations differ in where the broker is, and nothing else."""
    local, container = (
        [line for line in path.read_text().splitlines() if not line.startswith("#")]
        for path in (ROOT / "config/monitoring/prometheus.yml", DOCKER / "prometheus.yml")
    )
    assert [line.replace("127.0.0.1", "leveret") for line in local] == container
