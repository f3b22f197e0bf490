"""Where the examples find the broker: two environment variables, or the usual places."""

import json
import os
import urllib.request
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

import pika

URL = os.environ.get("LEVERET_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
API = os.environ.get("LEVERET_API", "http://127.0.0.1:15672/api")


def connect() -> Any:
    """A connection."""
    return pika.BlockingConnection(pika.URLParameters(URL))


def call(verb: str, path: str, body: Any = None) -> Any:
    """A request to the management API, as the same user; what it answers."""
    where = urlsplit(URL)
    login = b64encode(f"{where.username}:{where.password}".encode()).decode()
    request = urllib.request.Request(
        API + path,
        method=verb,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        text = response.read()
    return json.loads(text) if text else None
