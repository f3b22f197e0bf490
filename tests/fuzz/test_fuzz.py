"""A short run of each fuzzer, so that they keep working; run them for longer by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 5


@pytest.mark.parametrize("target", ["fuzz_connection", "fuzz_log"])
def test_fuzzer(target: str, tmp_path: Path) -> None:
    """A few seconds of mutated input find nothing."""
    pytest.importorskip("atheris", reason="atheris is not installed (pip install atheris)")
    command = [sys.executable, "-m", f"tests.fuzz.{target}"]
    root = Path(__file__).parents[2]
    subprocess.run([*command, "--seeds", str(tmp_path / "seeds")], cwd=root, check=True)
    options = [f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/", "-max_len=4096"]
    done = subprocess.run(
        [*command, str(tmp_path / "seeds"), *options],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
