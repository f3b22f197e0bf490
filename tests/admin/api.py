"""A management API on a Unix socket that answers what a test says and remembers what was asked."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from broker import local_socket

NODE = "rabbit@here"
Asked = tuple[str, str, Any]


class FakeApi:
    """Serves each connection in a thread; `answers` maps "METHOD path" to a status and JSON.

    What is not there is 404 for GET and DELETE, and 204 for the rest.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.answers: dict[str, tuple[int, Any]] = {
            "GET /api/overview?columns=node": (200, {"node": NODE})
        }
        self.asked: list[Asked] = []
        self.headers: list[dict[str, str]] = []
        self._listening = local_socket.listen(directory)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def written(self) -> list[Asked]:
        """What was asked but GET."""
        return [asked for asked in self.asked if asked[0] != "GET"]

    def close(self) -> None:
        """End; the socket's file stays, as after a crash."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            _Handler(self, connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, api: FakeApi, connection: socket.socket) -> None:
        self._api = api
        super().__init__(connection, ("local", 0), None)  # type: ignore[arg-type]

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size)) if size else None
        self._api.asked.append((self.command, self.path, body))
        self._api.headers.append(dict(self.headers))
        missing = self.command in ("GET", "DELETE")
        absent = (404, {"error": "Object Not Found", "reason": "Not Found"})
        known = self._api.answers.get(f"{self.command} {self.path}")
        status, answer = known or (absent if missing else (204, None))
        text = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if text:
            self.wfile.write(text)

    do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
