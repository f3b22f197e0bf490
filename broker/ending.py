"""When the process ends, and with which exit code: told by a signal, or because the log failed."""

from __future__ import annotations

import asyncio

EX_IOERR = 74


class Ending:
    """See the module. The first reason given is the one that counts."""

    def __init__(self) -> None:
        self.failed = False
        self._asked = asyncio.Event()

    @property
    def exit_code(self) -> int:
        """What to return to whoever started the process."""
        return EX_IOERR if self.failed else 0

    def ask(self) -> None:
        """End in order."""
        self._asked.set()

    def fail(self) -> None:
        """End at once: the disk cannot be trusted any more."""
        self.failed = True
        self._asked.set()

    async def wait(self) -> None:
        """Wait until there is a reason to end."""
        await self._asked.wait()
