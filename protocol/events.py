"""What a peer did, in the order it did it: the events that ``Connection.receive`` yields."""

from dataclasses import dataclass

from protocol.methods import Method
from protocol.tables import Table


@dataclass(slots=True, frozen=True)
class LoginReceived:
    """connection.start-ok: answer with ``Connection.tune`` or raise ``LoginRefused``."""

    mechanism: str
    response: bytes
    client_properties: Table


@dataclass(slots=True, frozen=True)
class Tuned:
    """connection.tune-ok was acceptable: frame-max and heartbeat now hold."""


@dataclass(slots=True, frozen=True)
class OpenReceived:
    """connection.open: answer with ``Connection.open_ok`` or raise ``NotAllowed``."""

    vhost: str


@dataclass(slots=True, frozen=True)
class SecretReceived:
    """connection.update-secret; answer with ``update_secret_ok``."""

    secret: bytes


@dataclass(slots=True, frozen=True)
class ChannelOpened:
    """channel.open: answer with ``Connection.channel_open_ok`` or raise ``NotAllowed``."""

    channel: int


@dataclass(slots=True, frozen=True)
class ChannelClosed:
    """The peer closed a channel; answered."""

    channel: int


@dataclass(slots=True, frozen=True)
class MethodReceived:
    """A method for the broker to execute on an open channel."""

    channel: int
    method: Method


@dataclass(slots=True, frozen=True)
class PublishReceived:
    """basic.publish with its whole content.

    ``frame`` is the raw method frame, the key of the fast path; ``address`` the exchange and
    routing key as two short strings; ``content`` framed as ``protocol.content`` says, with
    the body in one frame; ``size`` octets of body. A body over the size limit is not kept:
    then ``size`` is what was sent and ``content`` holds the header alone.
    """

    channel: int
    frame: bytes
    exchange: str
    routing_key: str
    mandatory: bool
    immediate: bool
    address: bytes
    content: bytes
    size: int


@dataclass(slots=True, frozen=True)
class Closed:
    """Nothing more will be said: the peer asked to close, or confirmed our close."""

    confirmed: bool = False  # it was our close


Event = (
    LoginReceived
    | Tuned
    | OpenReceived
    | SecretReceived
    | ChannelOpened
    | ChannelClosed
    | MethodReceived
    | PublishReceived
    | Closed
)
