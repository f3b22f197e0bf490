"""Questions that something outside may have to answer: may this client log in, may it do that?

Who is asked (``Identity.may``, ``Host.authenticate``) answers at once, or with a future. In the
second case the handler that asked is left by ``Undecided``; the session reads no more, waits, and
when the answer is there handles the same event again from its beginning. So a handler asks
before it changes anything, and asks the same questions each time.

A late answer is remembered for ``REMEMBERED_S``; answers given at once are asked for each time, so
that a change of permissions holds from that moment. What was routed on the strength of an answer
(fast path invariant F2) is forgotten with ``Vhost.generation``, and every ``REMEMBERED_S`` if the
answers come from outside.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

from broker.amqp.reading import DECISION

if TYPE_CHECKING:
    from broker.amqp.session import Session
    from protocol.events import Event

REMEMBERED_S = 60.0
ANSWERS_MAX = 1024

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class Undecided(Exception):
    """The answer to a question is still to come."""

    def __init__(self, answer: Future[Any]) -> None:
        super().__init__()
        self.answer = answer


class Decisions:
    """What one session asked and waits for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._answers: dict[Hashable, Future[Any]] = {}
        self._awaited: Event | None = None

    def decide(self, question: Key, ask: Callable[[Key], Answer | Future[Answer]]) -> Answer:
        """The answer, or what it raises; ``Undecided`` if there is none yet."""
        answer = self._answers.get(question) if self._answers else None
        if answer is None:
            given = ask(question)
            if not isinstance(given, Future):
                return given
            if len(self._answers) >= ANSWERS_MAX:
                self.forget()
            answer = self._answers[question] = given
            self.forget_later()
        if not answer.done():
            raise Undecided(answer)
        result: Answer = answer.result()
        return result

    @property
    def waiting(self) -> bool:
        """Whether an event waits for an answer: nothing behind it may be acted on."""
        return self._awaited is not None

    def wait(self, event: Event, undecided: Undecided) -> None:
        """Have ``event`` handled again when the answer is there."""
        self._awaited = event
        self._session.reading.pause(DECISION)
        undecided.answer.add_done_callback(self._decided)

    def _decided(self, _: Future[Any]) -> None:
        event, self._awaited = self._awaited, None
        self._session.reading.resume(DECISION)
        if event is not None:
            self._session.handle_again(event)

    def released(self) -> None:
        """The connection is over: what waits is void, but a close-ok is to be read."""
        self._awaited = None
        self._session.reading.resume(DECISION)

    def forget_later(self) -> None:
        """Let what was answered from outside hold for a while, and no longer."""
        session = self._session
        if "answers" not in session.timers:
            session.timers["answers"] = session.host.call_later(REMEMBERED_S, self._expire)

    def _expire(self) -> None:
        self.forget()
        if self._session.access.identity.asks_outside:
            self.forget_later()

    def forget(self) -> None:
        """Remember no answers, and no routes that they allowed."""
        if "answers" in self._session.timers:
            self._session.timers.pop("answers").cancel()
        self._answers = {
            question: answer for question, answer in self._answers.items() if not answer.done()
        }
        if self._session.opened:
            self._session.forget_routes()
