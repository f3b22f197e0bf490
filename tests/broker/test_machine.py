"""How much memory a process can have: limits of control groups, in files like the kernel's."""

from pathlib import Path

import pytest

from broker.machine import memory_bytes

MIB = 1 << 20
PHYSICAL = memory_bytes(Path("/nonexistent"))


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/", {"memory.max": str(512 * MIB)}, 512 * MIB),
        ("0::/", {"memory.max": "max"}, PHYSICAL),
        ("0::/", {}, PHYSICAL),
        ("0::/a/b", {"a/memory.max": str(MIB), "a/b/memory.max": str(2 * MIB)}, MIB),
        ("0::/a/b", {"a/memory.max": "max", "a/b/memory.max": str(2 * MIB)}, 2 * MIB),
        ("0::/not/seen/here", {"memory.max": str(MIB)}, MIB),
        ("5:cpu,memory:/a", {"memory/a/memory.limit_in_bytes": str(MIB)}, MIB),
        ("5:memory:/not/seen", {"memory/memory.limit_in_bytes": str(MIB)}, MIB),
        ("5:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, PHYSICAL),
        ("4:cpu:/a", {"cpu/a/memory.limit_in_bytes": str(MIB)}, PHYSICAL),
    ],
)
def test_lowest_limit_on_the_way(
    tmp_path: Path, own: str, files: dict[str, str], limit: int
) -> None:
    """The lowest limit between the process's group and the root holds, else the machine's."""
    (tmp_path / "own").write_text(f"{own}\n")
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert memory_bytes(tmp_path / "own", tmp_path / "groups") == limit
