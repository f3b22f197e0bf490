"""The style of the page's files: formatting, no markup from text, no foreign address."""

import re
import subprocess
from pathlib import Path

UI = Path(__file__).parent.parent.parent / "broker" / "management" / "ui"
FILES = sorted(path for path in UI.rglob("*") if path.suffix in (".js", ".css", ".html"))
LINES_MAX = 400
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(")
ADDRESS = re.compile(r"//(?!www\.w3\.org/)[a-z0-9-]+\.[a-z]", re.IGNORECASE)


def test_formatting(npm_packages: Path) -> None:
    """The files are as prettier writes them, 100 columns wide."""
    program = npm_packages / "prettier" / "bin" / "prettier.cjs"
    command = ["node", str(program), "--print-width", "100", "--list-different", *map(str, FILES)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_no_markup_from_text() -> None:
    """No file makes markup from text, which is how a name would become a script."""
    faults = [f"{path.name}: {found[0]}" for path in FILES for found in MARKUP.finditer(text(path))]
    assert not faults


def test_everything_is_here() -> None:
    """No file refers to another host: the page works without the internet."""
    faults = [
        f"{path.name}: {found[0]}" for path in FILES for found in ADDRESS.finditer(text(path))
    ]
    assert not faults


def test_files_open_with_what_they_own() -> None:
    """Every script and style says first what it owns, and can be read in one sitting."""
    faults = [
        path.name
        for path in FILES
        if path.suffix != ".html"
        if not text(path).startswith("/* Owns ") or len(text(path).splitlines()) > LINES_MAX
    ]
    assert not faults


def text(path: Path) -> str:
    """Give the text of a file."""
    return path.read_text(encoding="utf-8")
