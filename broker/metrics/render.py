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

from broker.metrics.family import Part, Step

SLICE_S = 0.001
GZIP_WINDOW_BITS = 31  # zlib's way to say gzip
COMPRESSION_LEVEL = 1  # five times smaller already; more would take longer than writing the text
_END = b"# EOF\n"  # the end of a text in OpenMetrics, which the library writes after each part

Encoder = Callable[[Part], bytes]


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
    """Write all families, giving way to the loop every ``SLICE_S``."""
    text = Text()
    packer = zlib.compressobj(COMPRESSION_LEVEL, wbits=GZIP_WINDOW_BITS) if compress else None

    def add(octets: bytes) -> None:
        text.size += len(octets)
        text.pieces.append(packer.compress(octets) if packer is not None else octets)

    end = b""
    begun = time.perf_counter()
    for step in steps:
        if isinstance(step, bytes):
            add(step)
        elif step is not None:
            octets = encode(Part(step))
            if octets.endswith(_END):
                octets, end = octets[: -len(_END)], _END
            add(octets)
        if time.perf_counter() - begun > SLICE_S:
            await asyncio.sleep(0)
            begun = time.perf_counter()
    add(end)
    if packer is not None:
        text.pieces.append(packer.flush())
    return text
