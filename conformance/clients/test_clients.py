"""Every check of every client program as one pytest; see support.py for which broker is used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.clients import support


def _cases() -> Iterator[Any]:
    for program in support.PROGRAMS:
        try:
            names = list(support.checks(support.load(program)))
        except support.Skip as reason:
            yield pytest.param(program, "", marks=pytest.mark.skip(str(reason)), id=program)
            continue
        for name in names:
            yield pytest.param(program, name, id=f"{program}-{name}")


class Sessions:
    """The one broker, and each program's session, opened when its first check runs."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._target: support.Target | None = None
        self._open: dict[str, Any] = {}

    def client(self, program: str) -> Any:
        """Give what the checks of the program take."""
        if self._target is None:
            self._target = self._stack.enter_context(support.target())
        if program not in self._open:
            around = support.session(support.load(program), self._target)
            self._open[program] = self._stack.enter_context(around)
        return self._open[program]


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    """Open sessions as they are needed, and close all of them after the last check."""
    with contextlib.ExitStack() as stack:
        yield Sessions(stack)


@pytest.mark.timeout(support.CHECK_S)
@pytest.mark.parametrize(("program", "name"), list(_cases()))
def test_client(sessions: Sessions, program: str, name: str) -> None:
    """An unmodified client gets from the broker what its users rely on."""
    try:
        client = sessions.client(program)
        support.checks(support.load(program))[name](client)
    except support.Skip as reason:
        pytest.skip(str(reason))
