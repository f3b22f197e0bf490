"""JSON that an operator gives: as an argument, in a file or by a pipe."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from broker.admin.failure import EX_DATAERR, EX_UNAVAILABLE, Failure


def parse(text: str) -> dict[str, Any]:
    """Read an argument that has to be a JSON object."""
    value = parse_value(text)
    if not isinstance(value, dict):
        raise Failure(f"{text} is not a JSON object such as {{}}", EX_UNAVAILABLE)
    return value


def parse_value(text: str) -> Any:
    """Read an argument that may be any JSON."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failure(f"JSON decoding error. Reason: {error}", EX_UNAVAILABLE) from None


def load(path: str) -> Any:
    """Read a file of JSON; `-` is standard input."""
    try:
        return json.loads(sys.stdin.read() if path == "-" else Path(path).read_text("utf-8"))
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", EX_DATAERR) from None
    except ValueError as error:
        raise Failure(f"{path} is not JSON: {error}", EX_DATAERR) from None
