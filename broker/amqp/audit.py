"""The audit log: who logged in, who was not let do something, and who changed definitions.

Logger ``leveret.audit``; a line is a JSON object, which begins with ``event``. Text of clients is
escaped in it, so that nobody forges a line. Passwords, their hashes and values of parameters, which
may have addresses with passwords, are left out. Queues, exchanges and bindings, which clients
declare all the time, are told at level debug.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from broker.core.permissions import Question, VhostAccess
from protocol.tables import Field, plain

if TYPE_CHECKING:
    from broker.amqp.session import Session
    from broker.core.broker import Broker
    from broker.core.operations import Operation

_log = logging.getLogger("leveret.audit")

_SECRET = ("op", "password_hash", "hashing_algorithm", "value")
_FREQUENT = ("queue.", "exchange.", "bind", "unbind")


def record(event: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """Write one line."""
    if _log.isEnabledFor(level):
        _log.log(level, "%s", json.dumps({"event": event, **facts}, default=str))


def logged_in(session: Session) -> None:
    """A client proved who it is."""
    record("login", user=session.user, mechanism=session.mechanism, **_place(session))


def login_refused(session: Session, mechanism: str, error: Exception) -> None:
    """A client did not; the operator is told why."""
    reason = str(error.__cause__ or error)
    record("login_refused", mechanism=mechanism, reason=reason, **_place(session))


def access_refused(session: Session, question: Question) -> None:
    """A client may not do what it wants to."""
    what = "vhost_access" if isinstance(question, VhostAccess) else "access"
    user = session.access.identity.name
    record(f"{what}_refused", user=user, **question._asdict(), **_place(session))


def changed(broker: Broker, operation: Operation) -> None:
    """Definitions change; by whom is what the event exchange says too."""
    op = operation["op"]
    level = logging.DEBUG if op.startswith(_FREQUENT) else logging.INFO
    if _log.isEnabledFor(level):
        facts = {name: value for name, value in operation.items() if name not in _SECRET}
        facts = {name: _readable(value) for name, value in facts.items()}
        record(op, level=level, by=broker.events.user, **facts)


def _place(session: Session) -> dict[str, Any]:
    return {"peer": session.name}


def _readable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _readable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return plain(value) if isinstance(value, Field) else value
