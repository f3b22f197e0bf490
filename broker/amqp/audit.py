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
    _write(event, level, facts, {})


def _write(event: str, level: int, facts: dict[str, Any], whose: dict[str, str]) -> None:
    if _log.isEnabledFor(level):
        text = json.dumps({"event": event, **facts}, default=str)
        _log.log(level, "%s", text, extra={"kind": event, **whose})


def _refused(session: Session, event: str, **facts: Any) -> None:
    """One line about what a client may try as often as it likes: it is told of only so often."""
    facts["peer"] = session.name
    _write(event, logging.INFO, facts, {"source": session.peer_host})


def logged_in(session: Session) -> None:
    """A client proved who it is."""
    record("login", user=session.user, mechanism=session.mechanism, peer=session.name)


def login_refused(session: Session, mechanism: str, error: Exception) -> None:
    """A client did not; the operator is told why."""
    reason = str(error.__cause__ or error)
    _refused(session, "login_refused", mechanism=mechanism, reason=reason)


def access_refused(session: Session, question: Question) -> None:
    """A client may not do what it wants to."""
    what = "vhost_access" if isinstance(question, VhostAccess) else "access"
    user = session.access.identity.name
    _refused(session, f"{what}_refused", user=user, **question._asdict())


def changed(broker: Broker, operation: Operation) -> None:
    """Definitions change; by whom is what the event exchange says too."""
    op = operation["op"]
    level = logging.DEBUG if op.startswith(_FREQUENT) else logging.INFO
    if _log.isEnabledFor(level):
        facts = {name: value for name, value in operation.items() if name not in _SECRET}
        facts = {name: _readable(value) for name, value in facts.items()}
        record(op, level=level, by=broker.events.user, **facts)


def _readable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _readable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return plain(value) if isinstance(value, Field) else value
