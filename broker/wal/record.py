"""What a batch holds."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field


@dataclass(slots=True)
class Batch:
    """A decoded batch. The publish columns are parallel; so are the fields of each tuple."""

    number: int
    is_snapshot: bool
    operations: list[bytes] = field(default_factory=list)
    routes: list[tuple[bytes, tuple[int, ...]]] = field(default_factory=list)
    publish_route: array[int] = field(default_factory=lambda: array("I"))
    publish_id: array[int] = field(default_factory=lambda: array("Q"))
    publish_ms: array[int] = field(default_factory=lambda: array("Q"))
    contents: list[bytes] = field(default_factory=list)
    counts: list[tuple[int, int, int]] = field(default_factory=list)
    settles: list[tuple[int, array[int]]] = field(default_factory=list)
