"""The style of this repository, executable: layering, sizes, docstrings and forbidden words.

Each test gathers every fault in the tree before it fails, so one run shows all there is to do.
To allow an exception, add it to `ALLOWANCES` with the reason.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PRODUCT = ("protocol", "broker")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = {"protocol": 400, "broker": 400, "tests": 500, "conformance": 500}

ALLOWANCES: dict[tuple[str, str], str] = {}
"""(rule, path or path:function) -> why this one may break the rule."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Layer:
    """What the modules of one folder may import: `ours` as prefixes, others by top-level name.

    `never` are parts of `ours` that are left out.
    """

    folder: str
    ours: tuple[str, ...]
    packages: frozenset[str]
    never: tuple[str, ...] = ()


STDLIB = frozenset(sys.stdlib_module_names)
DEPENDENCIES = frozenset(
    {"aiohttp", "click", "cryptography", "pamqp", "prometheus_client", "uvloop"}
)
CLOCK_AND_IO = frozenset({"asyncio", "os", "time", "random", "socket", "threading"})

WHOLE = ("broker", "protocol")
SERVICES = ("broker.management", "broker.metrics")
COMMANDS = ("broker.admin", "broker.cli", "broker.logtool")

# The first layer whose folder contains a file is its layer.
LAYERS = (
    Layer("protocol", ("protocol",), STDLIB - CLOCK_AND_IO | {"pamqp"}),
    Layer("broker/config", ("broker.config",), STDLIB - {"asyncio"} | {"pcre2"}),
    Layer("broker/logs", ("broker.logs", "broker.config"), STDLIB - {"asyncio"}),
    Layer("broker/wal", ("broker.wal",), STDLIB - {"asyncio"}),
    Layer("broker/core", ("broker.core", "protocol"), STDLIB - CLOCK_AND_IO | {"pcre2"}),
    Layer("broker/amqp", ("broker.amqp", "broker.core", "protocol"), STDLIB | {"pamqp"}),
    Layer(
        "broker/access",
        (
            "broker.access",
            "broker.amqp.access",
            "broker.config",
            "broker.core",
            "broker.net",
            "protocol",
        ),
        STDLIB | {"aiohttp", "cryptography", "jwt", "ldap3"},
    ),
    Layer(
        "broker/definitions",
        ("broker.definitions", "broker.config", "broker.core", "protocol"),
        STDLIB - {"asyncio"},
    ),
    Layer(
        "broker/net",
        ("broker.net", "broker.amqp.host", "broker.config", "broker.services", "protocol"),
        STDLIB | {"cryptography"},
    ),
    Layer(
        "broker/admin",
        ("broker.admin", "broker.local_socket", "broker.plugins", "broker.__version__"),
        STDLIB - {"asyncio"} | {"click", "tabulate"},
    ),
    Layer(
        "broker/logtool",
        ("broker.logtool", "broker.core", "broker.wal", "protocol"),
        STDLIB - {"asyncio"} | {"click"},
    ),
    Layer("broker/management", WHOLE, STDLIB | DEPENDENCIES, (*COMMANDS, "broker.metrics")),
    Layer("broker/metrics", WHOLE, STDLIB | DEPENDENCIES, (*COMMANDS, "broker.management")),
    # The two places that choose: what the process serves, and what a command is.
    Layer("broker/services.py", WHOLE, STDLIB, COMMANDS),
    Layer("broker/cli.py", WHOLE, STDLIB | {"click"}, SERVICES),
    Layer("broker/__main__.py", ("broker.cli",), STDLIB),
    Layer("broker", WHOLE, STDLIB | DEPENDENCIES, (*COMMANDS, *SERVICES)),
)
OURS = frozenset({"broker", "protocol", "tests", "conformance"})


def test_layering() -> None:
    """Imports only follow the edges drawn in ARCHITECTURE.md."""
    faults = [fault for path in files(*PRODUCT) for fault in layering_faults(path)]
    assert not faults, listing(faults)


def test_conformance_knows_no_broker_code() -> None:
    """The conformance suite imports nothing of ours, so it can judge any broker."""
    faults = [
        f"{path}:{line}: imports {name}"
        for path in files("conformance")
        for line, name in imports(parse(path), path)
        if name.split(".")[0] in OURS - {"conformance"}
    ]
    assert not faults, listing(faults)


def test_layering_check_sees_an_edge() -> None:
    """The layering rule catches each way to write a forbidden import."""
    path = Path("broker/core/queue.py")
    for line in (
        "import time",
        "import os.path",
        "from asyncio import sleep",
        "from broker import wal",
        "from broker.wal.log import Wal",
        "from .. import session",
        "def f():\n    import socket",
        "import uvloop",
    ):
        assert len(layering_faults(path, line)) == 1, line
    for path_of, line in (
        ("broker/server.py", "from broker.management.service import Management"),
        ("broker/metrics/node.py", "from broker.management import nodes"),
        ("broker/management/nodes.py", "from broker import admin"),
    ):
        assert len(layering_faults(Path(path_of), line)) == 1, line
    assert layering_faults(path, "import heapq\nfrom protocol import errors\nfrom . import x") == []


def test_functions_are_short() -> None:
    """A function fits on a screen."""
    faults = []
    for path in files(*PRODUCT):
        for function in functions(parse(path)):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX and not allowed("function", f"{path}:{function.name}"):
                faults.append(f"{path}:{function.lineno}: {function.name} has {lines} lines")
    assert not faults, listing(faults)


def test_files_are_short() -> None:
    """A module can be read in one sitting."""
    lengths = {path: len(source(path).splitlines()) for path in files(*FILE_LINES_MAX)}
    faults = [
        f"{path}: {lines} lines"
        for path, lines in lengths.items()
        if lines > FILE_LINES_MAX[path.parts[0]] and not allowed("file", str(path))
    ]
    assert not faults, listing(faults)


def test_docstrings() -> None:
    """Every module, public class and public function of the product says what it is for."""
    faults = []
    for path in files(*PRODUCT):
        tree = parse(path)
        if not ast.get_docstring(tree):
            faults.append(f"{path}: module has no docstring")
        faults += [
            f"{path}:{node.lineno}: {node.name} has no docstring"
            for node in public_definitions(tree)
            if not ast.get_docstring(node)
        ]
    assert not faults, listing(faults)


def test_tests_state_a_behaviour() -> None:
    """Every test opens with the sentence it proves."""
    faults = [
        f"{path}:{function.lineno}: {function.name} has no docstring"
        for path in files("tests", "conformance")
        for function in functions(parse(path))
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert not faults, listing(faults)


def test_only_the_command_line_prints() -> None:
    """Output of the broker is its log; `print` belongs to cli.py."""
    faults = [
        f"{path}:{node.lineno}: print"
        for path in files(*PRODUCT)
        if path != Path("broker/cli.py")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "print"
    ]
    assert not faults, listing(faults)


def test_no_bare_except() -> None:
    """An except names what it expects."""
    faults = [
        f"{path}:{node.lineno}: bare except"
        for path in files(*PRODUCT, "tests", "conformance")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not faults, listing(faults)


def test_no_notes_to_self() -> None:
    """Unfinished work is in the issue tracker, not in the code."""
    # Spelt in two parts, so that this file does not contain them.
    words = re.compile(
        r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b"
    )
    faults = [
        f"{path}:{number}: {line.strip()}"
        for path in files(*PRODUCT, "tests", "conformance")
        for number, line in enumerate(source(path).splitlines(), start=1)
        if words.search(line)
    ]
    assert not faults, listing(faults)


def test_allowances_are_needed() -> None:
    """Every allowance still points at something that exists."""
    for _, place in ALLOWANCES:
        path, _, function = place.partition(":")
        assert (ROOT / path).exists()
        assert not function or function in {f.name for f in functions(parse(Path(path)))}


def listing(faults: list[str]) -> str:
    """Show every fault: pytest would shorten a list."""
    return "\n".join(["", *faults])


def files(*folders: str) -> list[Path]:
    """List the Python files of some folders, relative to the repository."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path.relative_to(ROOT) for path in found)


def source(path: Path) -> str:
    """Give the text of one file."""
    return (ROOT / path).read_text(encoding="utf-8")


def parse(path: Path) -> ast.Module:
    """Give the syntax tree of one file."""
    return ast.parse(source(path), filename=str(path))


def imports(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """Give every imported name in full, with its line; relative imports are resolved."""
    package = path.parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def layering_faults(path: Path, text: str | None = None) -> list[str]:
    """List the imports of one file (or of `text` in its place) that its layer does not allow."""
    layer = next(layer for layer in LAYERS if path.is_relative_to(layer.folder))
    tree = parse(path) if text is None else ast.parse(text)
    return [
        f"{path}:{line}: {layer.folder} may not import {name}"
        for line, name in imports(tree, path)
        if not layer_allows(layer, name)
    ]


def layer_allows(layer: Layer, name: str) -> bool:
    """Tell whether a module of this layer may import this full name."""
    top = name.split(".")[0]
    if top in OURS:
        return is_within(name, layer.ours) and not is_within(name, layer.never)
    return top in layer.packages


def is_within(name: str, prefixes: tuple[str, ...]) -> bool:
    """Tell whether a full name is one of these, or within one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def functions(tree: ast.Module) -> Iterator[Function]:
    """Give every function and method, however deeply nested."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def public_definitions(tree: ast.Module) -> Iterator[Function | ast.ClassDef]:
    """Give public functions and classes of a module, and the public methods of those classes.

    A method that overrides one of a class in the same module is left out: what it does is said
    there.
    """
    public = (node for node in tree.body if not getattr(node, "name", "_").startswith("_"))
    said: dict[str, set[str]] = {}  # public methods of each class, its bases' included
    for node in public:
        if isinstance(node, Function):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield node
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            inherited = {name for base in bases for name in said.get(base, ())}
            methods = [item for item in node.body if isinstance(item, Function)]
            said[node.name] = inherited | {item.name for item in methods}
            yield from (
                item
                for item in methods
                if not item.name.startswith("_") and item.name not in inherited
            )


def allowed(rule: str, place: str) -> bool:
    """Tell whether the table of allowances excuses this place."""
    return (rule, place) in ALLOWANCES
