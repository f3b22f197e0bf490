"""Requests to the management API: paths and JSON in, JSON or a failure out.

Owns: `Api`. One connection, one request at a time, no retries: a command asks for a few things and
ends.

http.client and not a client with pools and sessions: those cost more to import than a command
takes, and a health check is a command that starts every few seconds.
"""

from __future__ import annotations

import base64
import html
import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from broker import local_socket
from broker.admin.failure import EX_TEMPFAIL, EX_UNAVAILABLE, Failure, WrongArgument
from broker.admin.target import Target

Json = Any
"""Whatever JSON can say; the shapes are the management API's."""


class Refused(Failure):
    """The broker answered, and the answer is no; `text` is for a person who may change that."""

    def __init__(self, status: int, reason: str, text: str | None = None) -> None:
        super().__init__(text or reason)
        self.status = status
        self.reason = reason


class NotFound(Refused):
    """What the path names does not exist."""


class Unreachable(Failure):
    """There was no answer."""


@contextmanager
def absent_is(failure: Failure) -> Iterator[None]:
    """Fail with this where the path of a request names what does not exist."""
    try:
        yield
    except NotFound:
        raise failure from None


class Api:
    """The management API of one broker. Path segments are given apart and as they are.

    With ``only_reads`` nothing is changed: other requests are not sent.
    """

    def __init__(self, target: Target, timeout_s: float, *, only_reads: bool = False) -> None:
        self.target = target
        self._only_reads = only_reads
        self._connection = _connection(target, timeout_s)
        self._prefix = "" if target.data_dir else urlsplit(target.url).path

    def get(self, *path: str, **query: str) -> Json:
        """Read something; `NotFound` if it does not exist."""
        return self._request("GET", path, query)

    def find(self, *path: str, **query: str) -> Json | None:
        """Read something, None if it does not exist."""
        try:
            return self.get(*path, **query)
        except NotFound:
            return None

    def put(self, *path: str, body: Json) -> None:
        """Create or replace something."""
        self._request("PUT", path, {}, body)

    def post(self, *path: str, body: Json, changes: bool = True) -> Json:
        """Ask for an action, or with a question that is too long for a path."""
        if self._only_reads and changes:
            return None
        return self._request("POST", path, {}, body)

    def delete(
        self, *path: str, query: Mapping[str, str] = {}, headers: Mapping[str, str | bytes] = {}
    ) -> None:
        """Delete something; `NotFound` if it does not exist."""
        self._request("DELETE", path, query, headers=headers)

    def _request(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, str],
        body: Json = None,
        headers: Mapping[str, str | bytes] = {},
    ) -> Json:
        if "" in path:  # would name the list that it is missing from
            raise WrongArgument("a name cannot be an empty string")
        if self._only_reads and method in ("PUT", "DELETE"):
            return None
        url = "/".join([f"{self._prefix}/api", *(quote(part, safe="") for part in path)])
        if query:
            url += f"?{urlencode(query)}"
        sent = None if body is None else json.dumps(body).encode()
        kind = {} if sent is None else {"Content-Type": "application/json"}
        try:
            self._connection.request(method, url, sent, {**self._credentials(), **kind, **headers})
            response = self._connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            code = EX_TEMPFAIL if isinstance(error, TimeoutError) else EX_UNAVAILABLE
            raise Unreachable(_unreachable(self.target, error), code) from None
        if status >= 400:
            raise _refusal(status, text, self.target)
        return _decoded(text, self.target) if text else None

    def _credentials(self) -> dict[str, str]:
        target = self.target
        if target.token is not None:
            return {"Authorization": f"Bearer {target.token}"}
        if target.username is None:
            return {}
        pair = base64.b64encode(f"{target.username}:{target.password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket of a data directory."""

    def __init__(self, directory: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._directory = directory

    def connect(self) -> None:
        self.sock: socket.socket = local_socket.connect(self._directory, self.timeout)


def _connection(target: Target, timeout_s: float) -> http.client.HTTPConnection:
    if target.data_dir is not None:
        return _LocalConnection(target.data_dir, timeout_s)
    parts = urlsplit(target.url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port or 15672, timeout=timeout_s)
    try:
        context = ssl.create_default_context(cafile=target.ca_file)
    except OSError as error:
        raise Failure(f"cannot use the certificates in {target.ca_file}: {error}") from None
    return http.client.HTTPSConnection(host, port or 15671, timeout=timeout_s, context=context)


def _unreachable(target: Target, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{target} is not trusted ({error.verify_message}); see --ca-file"
    if isinstance(error, TimeoutError):
        return f"no answer from {target} in time; see --timeout"
    if isinstance(error, PermissionError):
        return f"not allowed to use the socket in {target}: be the broker's user or root"
    if isinstance(error, FileNotFoundError):
        return f"no broker runs in the {target}: there is no {local_socket.NAME}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {target}: is the broker running, with its management API?"
    return f"no connection to {target}: {error or type(error).__name__}"


def _refusal(status: int, text: bytes, target: Target) -> Refused:
    try:
        answer = json.loads(text)
        reason = answer["reason"]
    except (ValueError, KeyError, TypeError):
        reason = f"HTTP status {status}"
    # The API escapes what a page might show.
    shown = html.unescape(reason) if isinstance(reason, str) else json.dumps(reason)
    if status == 404:
        return NotFound(status, shown)
    return Refused(status, shown, _advice(shown, target) if status == 401 else None)


def _advice(reason: str, target: Target) -> str:
    """Say what to change where the broker does not let this user do that."""
    who = f"user '{target.username}'" if target.username else "you"
    refused = f"{target} refused {who}: {reason}"
    if tag := re.fullmatch(r"Not (\w+) user", reason):
        return f"{refused}; it takes the tag {tag[1]} (see set_user_tags)"
    if "login failed" in reason.lower():
        return f"{refused}; check the name (-U) and the password (--password-file)"
    return refused


def _decoded(text: bytes, target: Target) -> Json:
    try:
        return json.loads(text)
    except ValueError:
        raise Failure(f"{target} did not answer with JSON: is it a management API?") from None
