"""One channel of a raw-frame connection: the verbs most tests use.

Owns nothing but a channel number; frames go through the connection, which keeps what arrived for
other channels until their own reader asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.codec import (
    BODY,
    HEADER,
    METHOD,
    Body,
    Event,
    Header,
    Method,
    encode_header,
    encode_method,
    frame,
)

if TYPE_CHECKING:
    from conformance.wire import Connection

TIMEOUT = 10.0
"""Seconds a test waits for a frame that must come; only failing tests wait that long."""


@dataclass
class Content:
    """A message as it came: the method, its header and the assembled body."""

    method: Method
    header: Header
    body: bytes
    body_frames: list[int]

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def props(self) -> dict[str, Any]:
        return self.header.props

    @property
    def headers(self) -> dict[str, Any]:
        headers: dict[str, Any] = self.header.props.get("headers", {})
        return headers

    def __getitem__(self, name: str) -> Any:
        return self.method.args[name]


def check(event: Event, name: str, args: dict[str, Any]) -> Method:
    """The event is method ``name`` with at least these arguments."""
    assert isinstance(event, Method), f"expected {name}, got {event}"
    assert event.name == name, f"expected {name} {args}, got {event.name} {event.args}"
    got = {key: event.args[key] for key in args}
    assert got == args, f"{name}: expected {args}, got {got}"
    return event


class Channel:
    """One channel of a connection; the verbs most tests use."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number

    def send(self, name: str, /, **args: Any) -> None:
        """Send one method on this channel."""
        self.connection.send(name, channel=self.number, **args)

    def call(self, name: str, /, **args: Any) -> Method:
        """Send a method and expect its -ok."""
        self.send(name, **args)
        return self.expect(f"{name}-ok")

    def expect(self, name: str, /, timeout: float = TIMEOUT, **args: Any) -> Method:
        """The next frame of this channel is this method, with these arguments."""
        return check(self.connection.next(self.number, timeout), name, args)

    def next(self, timeout: float = TIMEOUT) -> Event:
        """The next frame of this channel, whatever it is."""
        return self.connection.next(self.number, timeout)

    # -- content

    def publish(
        self,
        exchange: str = "",
        routing_key: str | bytes = "",
        body: bytes | str = b"",
        *,
        mandatory: bool = False,
        immediate: bool = False,
        split: Iterable[int] | int | None = None,
        **props: Any,
    ) -> None:
        """Publish a message; ``split`` sets the size of each body frame."""
        octets = body.encode() if isinstance(body, str) else body
        publish = encode_method(
            "basic.publish",
            {
                "exchange": exchange,
                "routing_key": routing_key,
                "mandatory": mandatory,
                "immediate": immediate,
            },
        )
        out = [
            frame(METHOD, self.number, publish),
            frame(HEADER, self.number, encode_header(len(octets), props)),
        ]
        if split is None or isinstance(split, int):
            size = split or self.connection.frame_max - 8
            cuts = [size] * -(-len(octets) // size)
        else:
            cuts = list(split)
        at = 0
        for size in cuts:
            out.append(frame(BODY, self.number, octets[at : at + size]))
            at += size
        assert at >= len(octets), "split does not cover the body"
        self.connection.send_raw(b"".join(out))

    def header(self, body_size: int, class_id: int = 60, **props: Any) -> None:
        """Send a content header frame alone."""
        self.connection.send_frame(HEADER, self.number, encode_header(body_size, props, class_id))

    def body(self, octets: bytes) -> None:
        """Send one content body frame alone."""
        self.connection.send_frame(BODY, self.number, octets)

    def expect_content(
        self,
        name: str = "basic.deliver",
        /,
        body: bytes | str | None = None,
        timeout: float = TIMEOUT,
        **args: Any,
    ) -> Content:
        """A method with content: header and body frames follow it at once on this channel."""
        content = self.content_of(self.expect(name, timeout=timeout, **args))
        if body is not None:
            assert content.body == (body.encode() if isinstance(body, str) else body)
        return content

    def content_of(self, method: Event) -> Content:
        """Read the content that follows a method."""
        assert isinstance(method, Method)
        header = self.next()
        assert isinstance(header, Header), f"expected a content header, got {header}"
        assert header.class_id == 60
        parts: list[bytes] = []
        while sum(map(len, parts)) < header.body_size:
            part = self.next()
            assert isinstance(part, Body), f"expected a content body, got {part}"
            parts.append(part.data)
        content = Content(method, header, b"".join(parts), [len(part) for part in parts])
        assert len(content.body) == header.body_size
        return content

    def get(self, queue: str, /, *, no_ack: bool = True, **args: Any) -> Content:
        """basic.get that finds a message."""
        self.send("basic.get", queue=queue, no_ack=no_ack)
        return self.expect_content("basic.get-ok", **args)

    def get_empty(self, queue: str) -> None:
        """basic.get that finds nothing."""
        self.send("basic.get", queue=queue)
        self.expect("basic.get-empty", cluster_id="")

    # -- closing

    def expect_channel_close(
        self, code: int, text: str, class_id: int, method_id: int, *, answer: bool = True
    ) -> None:
        """The server closes the channel so; answer with close-ok unless told not to."""
        self.expect(
            "channel.close",
            reply_code=code,
            reply_text=text,
            class_id=class_id,
            method_id=method_id,
        )
        if answer:
            self.send("channel.close-ok")

    def expect_closed_with(self, code: int) -> str:
        """The server closes the channel with this code; returns the text. Answers close-ok."""
        text: str = self.expect("channel.close", reply_code=code)["reply_text"]
        self.send("channel.close-ok")
        return text

    def reopen(self) -> None:
        """Open the channel again after it was closed."""
        self.call("channel.open")

    def close(self) -> None:
        """Close the channel from this side; frames that cross the close are dropped."""
        self.send("channel.close", reply_code=200, reply_text="")
        while True:
            event = self.next()
            if isinstance(event, Method) and event.name == "channel.close-ok":
                return

    def sync(self) -> None:
        """Return when the server has worked off all this channel sent; nothing came meanwhile."""
        self.call("channel.flow", active=True)

    def expect_confirms(self, *tags: int) -> dict[int, str]:
        """Read acks and nacks until each of these tags is covered once; how each was answered."""
        waiting = set(tags)
        answers: dict[int, str] = {}
        while waiting:
            event = self.next()
            assert isinstance(event, Method), f"expected a confirm, got {event}"
            assert event.name in ("basic.ack", "basic.nack"), f"expected a confirm, got {event}"
            last: int = event["delivery_tag"]
            covered = {tag for tag in waiting if tag <= last} if event["multiple"] else {last}
            assert last in waiting, f"{event} answers nothing of {waiting}"
            answers |= dict.fromkeys(covered, event.name.split(".")[1])
            waiting -= covered
        return answers

    # -- short forms for what every test does

    def fill(self, queue: str, *bodies: str, **props: Any) -> None:
        """Put messages in a queue and return when they are in it; on a channel apart."""
        publisher = Channel(self.connection, 999)
        publisher.call("channel.open")
        publisher.call("confirm.select")
        for body in bodies:
            publisher.publish("", queue, body, **props)
        publisher.expect_confirms(*range(1, len(bodies) + 1))
        publisher.close()

    def drain(self, queue: str) -> list[str]:
        """Take every ready message of a queue; their bodies in order."""
        bodies: list[str] = []
        while True:
            self.send("basic.get", queue=queue, no_ack=True)
            event = self.next()
            if isinstance(event, Method) and event.name == "basic.get-empty":
                return bodies
            check(event, "basic.get-ok", {})
            bodies.append(self.content_of(event).body.decode())

    def deliveries(self, count: int) -> list[Content]:
        """The next deliveries of this channel, which must follow one another."""
        return [self.expect_content() for _ in range(count)]

    def declare(self, queue: str = "", **args: Any) -> str:
        """queue.declare; returns the name."""
        name: str = self.call("queue.declare", queue=queue, **args)["queue"]
        return name

    def bind(self, queue: str, exchange: str, routing_key: str = "", **args: Any) -> None:
        """queue.bind."""
        self.call("queue.bind", queue=queue, exchange=exchange, routing_key=routing_key, **args)

    def consume(self, queue: str, **args: Any) -> str:
        """basic.consume; returns the consumer tag."""
        tag: str = self.call("basic.consume", queue=queue, **args)["consumer_tag"]
        return tag

    def counts(self, queue: str) -> tuple[int, int]:
        """Ready messages and consumers, by passive declare."""
        ok = self.call("queue.declare", queue=queue, passive=True)
        return ok["message_count"], ok["consumer_count"]
