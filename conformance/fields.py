"""Field sets of JSON: which fields an answer has and of which types, to compare brokers.

Owns ``flatten`` and ``missing``, and the recorded fields of RabbitMQ 3.10.8's management API in
recorded/http_fields.json. Run as a program it compares a broker's answers with what was recorded:
``python -m conformance.fields http://guest:guest@127.0.0.1:15672``.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

RECORDED = Path(__file__).parent / "recorded"
FREE_FORM = frozenset(
    (
        "arguments",
        "backing_queue_status",
        "client_properties",
        "cluster_state",
        "definition",
        "effective_policy_definition",
        "garbage_collection",
        "limits",
        "metrics_gc_queue_length",
        "open_files",
        "ra_open_file_metrics",
        "readers",
        "socket_opts",
        "value",
    )
)
"""Objects whose fields depend on what people put into them, or on Erlang."""

Fields = dict[str, list[str]]


def flatten(value: Any, path: str = "") -> Fields:
    """Every field of an answer as a path, with the types it has; ``[]`` is any item of a list."""
    found: dict[str, set[str]] = {}
    _flatten(value, path, found)
    return {name: sorted(types) for name, types in sorted(found.items())}


def _flatten(value: Any, path: str, found: dict[str, set[str]]) -> None:
    if isinstance(value, Mapping) and path.rpartition(".")[2] not in FREE_FORM:
        for name, inner in value.items():
            _flatten(inner, f"{path}.{name}" if path else name, found)
    elif isinstance(value, list) and value:
        for item in value:
            _flatten(item, f"{path}[]", found)
    else:
        found.setdefault(path, set()).add(_kind(value))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "text", list: "list", dict: "object"}[type(value)]


def missing(recorded: Fields, ours: Fields) -> list[str]:
    """What was recorded and is not there, or is of another type."""
    faults = []
    for path, types in recorded.items():
        there = ours.get(path)
        if there is None:
            if types != ["list"] or not any(name.startswith(f"{path}[]") for name in ours):
                faults.append(path)
        elif not {*types, "null"} >= set(there) and not {*there, "null"} >= set(types):
            faults.append(f"{path}: {'/'.join(there)} instead of {'/'.join(types)}")
    return faults


class Api:
    """A management API; ``origin`` is http://user:password@host:port."""

    def __init__(self, origin: str) -> None:
        parts = urlsplit(origin)
        self.origin = f"{parts.scheme}://{parts.hostname}:{parts.port}"
        self.user = f"{parts.username}:{parts.password}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str | None = "",
        headers: Mapping[str, str] = {},
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, decoded body and headers of the answer to a request below /api."""
        sent = dict(headers)
        credentials = self.user if user == "" else user
        if credentials is not None:
            sent["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        octets = body if isinstance(body, bytes) else None
        if body is not None and octets is None:
            octets = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        url = f"{self.origin}/api{path}"
        request = urllib.request.Request(url, octets, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, _decoded(response.read()), response.headers
        except urllib.error.HTTPError as error:
            return error.code, _decoded(error.read()), error.headers

    def get(self, path: str) -> Any:
        """The body of a GET that has to succeed."""
        status, body, _ = self.ask("GET", path)
        assert status == 200, (path, status, body)
        return body


def _decoded(octets: bytes) -> Any:
    try:
        return json.loads(octets) if octets else None
    except ValueError:
        return octets


def recorded_fields() -> dict[str, Fields]:
    """RabbitMQ's fields by path, with names in braces where a path names an object."""
    fields: dict[str, Fields] = json.loads((RECORDED / "http_fields.json").read_text())
    return fields


def expanded(template: str, names: Mapping[str, str]) -> str:
    """A recorded path with the names of objects put in."""
    for name, value in names.items():
        template = template.replace(f"{{{name}}}", quote(value, safe=""))
    return template


def main(argv: Sequence[str] | None = None) -> int:
    """Compare a running broker's fields with the recorded ones; print what is missing."""
    parser = argparse.ArgumentParser(prog="conformance.fields", description=main.__doc__)
    parser.add_argument("origin", help="such as http://guest:guest@127.0.0.1:15672")
    api = Api(parser.parse_args(argv).origin)
    faults = 0
    for template, recorded in recorded_fields().items():
        if "{" in template:
            continue
        status, body, _ = api.ask("GET", template)
        lines = missing(recorded, flatten(body)) if status == 200 else [f"status {status}"]
        faults += len(lines)
        for line in lines:
            print(f"{template}: {line}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
