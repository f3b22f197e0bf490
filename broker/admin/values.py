"""How one value looks: to a person, to a program, and as rabbitmqctl writes it.

Owns: `Voice`, `Kind` and the functions from a value of the API to text or to JSON.

rabbitmqctl shows Erlang terms in tables (`[{"x-expires",5}]`), and in JSON arguments as triples of
name, type and value. The API says no types, so they are told from the values; an integer is
`signedint` or `long` by its size.

Invariant: text has no control characters; a tab or a newline would break a table for whoever reads
it by machine, an escape sequence for whoever reads it on a terminal.
"""

import ipaddress
import json
import re
from enum import Enum, auto
from typing import Any

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Voice(Enum):
    """For whom a program writes."""

    LEVERET = auto()
    RABBITMQ = auto()


class Kind(Enum):
    """What a column holds, where rabbitmqctl writes it otherwise than the API."""

    PLAIN = auto()
    ARGUMENTS = auto()
    """An AMQP table: an object in the API."""
    TAGS = auto()
    DOCUMENT = auto()
    """JSON that was given as JSON, such as a policy's definition."""
    ADDRESS = auto()
    PROTOCOL = auto()


def text(value: Any, kind: Kind, voice: Voice) -> str:
    """Write a value in a cell of a table."""
    if voice is Voice.RABBITMQ:
        return printable(_ctl_text(value, kind))
    if kind is Kind.TAGS:
        return printable(", ".join(tags(value)))
    if value in ({}, []):
        return ""
    simple = _simple_text(value)
    return printable(compact(value) if simple is None else simple)


def document(value: Any, kind: Kind, voice: Voice) -> Any:
    """Give what stands for a value in JSON."""
    if kind is Kind.TAGS:
        return tags(value)
    return _ctl_document(value, kind) if voice is Voice.RABBITMQ else value


def compact(value: Any) -> str:
    """Write JSON in one line, without blanks, as RabbitMQ does."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def printable(shown: str) -> str:
    """Write control characters, and those that turn the writing direction, as escapes."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), shown)


def tags(value: Any) -> list[str]:
    """Give tags as a list: old answers have them in one string."""
    if isinstance(value, str):
        return [tag.strip() for tag in value.split(",") if tag.strip()]
    return [str(tag) for tag in value or ()]


def _simple_text(value: Any) -> str | None:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _ctl_text(value: Any, kind: Kind) -> str:
    if kind is Kind.TAGS:
        return f"[{', '.join(tags(value))}]"
    if kind is Kind.DOCUMENT:
        return compact(value)
    if kind is Kind.ARGUMENTS:
        return _term(value or {})
    if kind is Kind.PROTOCOL:
        return f"{{{','.join(map(str, _version(value)))}}}"
    simple = _simple_text(value)
    return _term(value) if simple is None else simple


def _ctl_document(value: Any, kind: Kind) -> Any:
    if kind is Kind.DOCUMENT:
        return compact(value)
    if kind is Kind.ARGUMENTS:
        return [[name, *_typed(inner)] for name, inner in (value or {}).items()]
    if kind is Kind.PROTOCOL:
        return _version(value)
    if kind is Kind.ADDRESS:
        return _address(value)
    return "" if value is None else value


def _term(value: Any) -> str:
    """Write a value inside a table as an Erlang term."""
    if isinstance(value, dict):
        return f"[{','.join(f'{{{_quoted(name)},{_term(v)}}}' for name, v in value.items())}]"
    if isinstance(value, list):
        return f"[{','.join(map(_term, value))}]"
    if isinstance(value, str):
        return _quoted(value)
    return _simple_text(value) or ""


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _typed(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return ["table", [[name, *_typed(inner)] for name, inner in value.items()]]
    if isinstance(value, list):
        return ["array", [_typed(inner) for inner in value]]
    if isinstance(value, bool):
        return ["bool", value]
    if isinstance(value, int):
        return ["signedint" if -(2**31) <= value < 2**31 else "long", value]
    return ["double", value] if isinstance(value, float) else ["longstr", value]


def _version(value: Any) -> list[Any]:
    found = re.findall(r"\d+", str(value or ""))
    return [int(part) for part in found]


def _address(value: Any) -> Any:
    try:
        packed = ipaddress.ip_address(str(value)).packed
    except ValueError:
        return value
    if len(packed) == 4:
        return list(packed)
    return [int.from_bytes(packed[at : at + 2]) for at in range(0, 16, 2)]
