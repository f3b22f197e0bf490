"""The management API, to prepare what a test of the page looks at, and to check what it did."""

import base64
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

_GUEST = "Basic " + base64.b64encode(b"guest:guest").decode()


class Api:
    """Calls as guest; ``url`` is where the page is."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; give the decoded answer, None for 404."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": _GUEST, "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"{self.url}api{path}", data=data, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from error
        return json.loads(text) if text else None

    @property
    def amqp_port(self) -> int:
        """Where the broker speaks AMQP."""
        listeners = self.call("GET", "/overview")["listeners"]
        return int(next(one["port"] for one in listeners if one["protocol"] == "amqp"))

    def queue(self, name: str, **arguments: Any) -> None:
        """Declare a durable queue."""
        body = {"durable": True, "arguments": arguments}
        self.call("PUT", f"/queues/%2F/{quote(name, safe='')}", body)

    def bind(self, exchange: str, queue: str, key: str) -> None:
        """Bind a queue to a new topic exchange."""
        source, destination = quote(exchange, safe=""), quote(queue, safe="")
        self.call("PUT", f"/exchanges/%2F/{source}", {"type": "topic", "durable": True})
        self.call("POST", f"/bindings/%2F/e/{source}/q/{destination}", {"routing_key": key})

    def publish(self, key: str, payload: str, exchange: str = "amq.default") -> None:
        """Publish a persistent message."""
        body = {
            "routing_key": key,
            "payload": payload,
            "payload_encoding": "string",
            "properties": {"delivery_mode": 2, "headers": {"tenant": "t1"}},
        }
        answer = self.call("POST", f"/exchanges/%2F/{quote(exchange, safe='')}/publish", body)
        assert answer["routed"]

    def take(self, queue: str) -> list[dict[str, Any]]:
        """Look at up to 50 messages as RabbitMQ's API does, and put them back."""
        body = {"count": 50, "ackmode": "ack_requeue_true", "encoding": "auto"}
        messages: list[dict[str, Any]] = self.call(
            "POST", f"/queues/%2F/{quote(queue, safe='')}/get", body
        )
        return messages

    def payloads(self, queue: str) -> list[str]:
        """Give what is in a queue; afterwards it counts as delivered."""
        return [message["payload"] for message in self.take(queue)]
