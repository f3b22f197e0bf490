"""Whether what an operator states makes sense: limits, and the words in which it does not.

An operator's wish that makes no sense is an ``InvalidParameter``; its text is what RabbitMQ's
management API puts into ``reason``, values written as Erlang terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class InvalidParameter(ValueError):
    """What was wrong, one line for each fault."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        lines = "\n".join(self.faults)
        super().__init__(f"Validation failed\n\n{lines}\n")


def term(value: Any) -> str:
    """A value that came as JSON, as Erlang writes it."""
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'<<"{quoted}">>' if value.isascii() else f'<<"{quoted}"/utf8>>'
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Mapping):
        pairs = ",".join(f"{term(name)} => {term(item)}" for name, item in value.items())
        return f"#{{{pairs}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(term, value))}]"
    return str(value)


def pairs_term(pairs: Iterable[tuple[str, Any]]) -> str:
    """Names and values, as Erlang writes a list of pairs."""
    return f"[{','.join(f'{{{term(name)},{term(value)}}}' for name, value in pairs)}]"


def check_limits(limits: Mapping[str, Any], known: Sequence[str], kind: str) -> None:
    """Raise ``InvalidParameter`` unless all are numbers of known names."""
    unknown = [(name, value) for name, value in limits.items() if name not in known]
    faults = [f"Unrecognised terms {pairs_term(unknown)} in {kind}"] if unknown else []
    faults += [
        f"{name} should be a number, actually was {term(limits[name])}"
        for name in reversed(known)
        if name in limits and not is_whole(limits[name])
    ]
    if faults:
        raise InvalidParameter(faults)


def is_whole(value: Any) -> bool:
    """Whether a value that came as JSON is an integer that a field table can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63
