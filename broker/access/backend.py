"""What a backend is asked, and what it answers."""

from __future__ import annotations

from asyncio import Future, ensure_future
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from broker.core.permissions import Question

May = Callable[[Question], bool | Future[bool]]


Answer = TypeVar("Answer")


class Refused(Exception):
    """A backend does not let the client in; the text is for the operator, not for the client."""


class Unavailable(Refused):
    """A backend cannot be asked; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a client claims. No password: who it is was proven otherwise, by its certificate."""

    name: str
    password: bytes | None = field(repr=False)
    peer_host: str = ""


@dataclass(frozen=True, slots=True)
class Granted:
    """A user that a backend knows, and how to ask what it may do."""

    name: str
    may: May
    tags: frozenset[str] = frozenset()
    expires_s: float | None = None  # seconds of the epoch; None: never
    # Take a new secret in place of the old one, or raise Refused. None: there is none to renew.
    renew: Renew | None = None
    asks_outside: bool = False  # what it may do can change without anybody here noticing


Renew = Callable[[bytes], Awaitable[Granted]]


class Backend(Protocol):
    """Somebody who knows users."""

    async def authenticate(self, login: Login) -> Granted:
        """Let the client in, or raise ``Refused``."""

    async def authorize(self, login: Login) -> Granted:
        """The same for a client whom another backend has authenticated."""

    async def close(self) -> None:
        """Give back what it holds."""


def later(asking: Coroutine[Any, Any, Answer]) -> Future[Answer]:
    """Begin to ask. If nobody cares for the outcome any more, it is dropped in silence."""
    answer = ensure_future(asking)
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
    return answer
