"""Metrics as text: the library writes each part of a family, and the loop gets its turn between.

Doing it all at once would keep every client waiting for a second at 10,000 queues; doing it on a
thread would make each callback of the loop wait for the interpreter lock.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from prometheus_client.core import Metric

from broker.metrics.family import Step

SLICE_S = 0.002
GZIP_WINDOW_BITS = 31  # zlib's way to say gzip
COMPRESSION_LEVEL = 1  # five times smaller already; more would take longer than writing the text
_END = b"# EOF\n"  # the end of a text in OpenMetrics, which the library writes after each part

Encoder = Callable[["Part"], bytes]


class Part:
    """One part of a family, as the registry that the library wants."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """See ``prometheus_client.registry.Collector``."""
        return (self._metric,)


@dataclass
class Text:
    """A finished page, in pieces."""

    pieces: list[bytes] = field(default_factory=list)
    size: int = 0  # before compression

    @property
    def encoded_size(self) -> int:
        """Octets to send."""
        return sum(map(len, self.pieces))


async def render(steps: Iterable[Step], encode: Encoder, *, compress: bool) -> Text:
    """Write all families. A part of the same family as the one before has no heading."""
    text = Text()
    packer = zlib.compressobj(COMPRESSION_LEVEL, wbits=GZIP_WINDOW_BITS) if compress else None
    name, ended = "", False
    begun = time.perf_counter()
    for metric in steps:
        if metric is not None:
            octets = encode(Part(metric))
            if octets.endswith(_END):
                octets, ended = octets[: -len(_END)], True
            if metric.name == name:
                octets = _without_heading(octets)
            name = metric.name
            text.size += len(octets)
            text.pieces.append(packer.compress(octets) if packer is not None else octets)
        if time.perf_counter() - begun > SLICE_S:
            await asyncio.sleep(0)
            begun = time.perf_counter()
    if ended:
        text.size += len(_END)
        text.pieces.append(packer.compress(_END) if packer is not None else _END)
    if packer is not None:
        text.pieces.append(packer.flush())
    return text


def _without_heading(octets: bytes) -> bytes:
    while octets.startswith(b"# "):
        octets = octets[octets.index(b"\n") + 1 :]
    return octets
