"""What the machine has for this process: its memory, or the part that a container may use.

A limit of a control group (``docker run --memory``, a pod's limit, systemd's ``MemoryMax=``) holds
for everything in the group, so of the limits on the way from the process's group to the root the
lowest counts. Above it the kernel kills the process, long before the machine is short of memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def memory_bytes(own_groups: Path = _OWN_GROUPS, groups: Path = _GROUPS) -> int:
    """How much memory this process can have at most."""
    physical = os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES
    return min([physical, *_limits(own_groups, groups)])


def _limits(own_groups: Path, groups: Path) -> Iterator[int]:
    """The limits of the groups that the process is in; of either version of control groups."""
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = top / path.lstrip("/")
        # Inside a container some of them may not be there: the container's own is then the top.
        while group.is_relative_to(top):
            try:
                text = (group / name).read_text().strip()
            except OSError:
                text = ""
            if text.isdigit():  # not "max"
                yield int(text)
            group = group.parent
