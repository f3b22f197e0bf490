"""The smallest server around a `protocol.Connection`: accepts every login, executes nothing."""

from dataclasses import dataclass, field

from protocol.connection import Connection
from protocol.errors import AmqpError, Drop
from protocol.events import ChannelOpened, Event, LoginReceived, OpenReceived
from protocol.offer import Offer
from tests.frames import (
    PROTOCOL_HEADER,
    channel_open,
    commands_in,
    connection_open,
    start_ok,
    tune_ok,
)

OFFER = Offer(server_properties={}, initial_frame_max=4096)


@dataclass
class Peer:
    """Feeds octets to a connection and keeps what it said: events, frames, and how it ended."""

    offer: Offer = OFFER
    events: list[Event] = field(default_factory=list)
    out: list[bytes] = field(default_factory=list)
    dropped: Drop | None = None
    refuse: AmqpError | None = None
    """Raised by the server for the next event it is asked to act on."""

    def __post_init__(self) -> None:
        self.connection = Connection(self.offer, self.out)

    def feed(self, octets: bytes) -> list[Event]:
        """Give the connection octets; return the events they completed."""
        before = len(self.events)
        if self.dropped is not None:
            return []
        try:
            while True:
                for event in self.connection.receive(octets):
                    self.events.append(event)
                    self._act(event)
                if not self.connection.behind:
                    break
                octets = b""
        except Drop as drop:
            self.dropped = drop
        return self.events[before:]

    def _act(self, event: Event) -> None:
        if self.refuse is not None:
            error, self.refuse = self.refuse, None
            self.connection.close_for(error)
        elif isinstance(event, LoginReceived):
            self.connection.tune()
        elif isinstance(event, OpenReceived):
            self.connection.open_ok()
        elif isinstance(event, ChannelOpened):
            self.connection.channel_open_ok(event.channel)

    def said(self) -> list[str]:
        """The names of the methods written since the last call, with the channel if not 0."""
        return [f"{c.name}@{channel}" if channel else c.name for channel, c in self.commands()]

    def commands(self) -> list[tuple[int, object]]:
        """The methods written since the last call, as (channel, pamqp command)."""
        found = commands_in(self.out)
        self.out.clear()
        return found

    def close_text(self) -> tuple[int, str, int, int]:
        """Code, text, class and method of the one close method written since the last call."""
        ((_, close),) = self.commands()
        return (close.reply_code, close.reply_text, close.class_id, close.method_id)  # type: ignore[attr-defined]


def opened(
    *channels: int, offer: Offer = OFFER, frame_max: int = 131072, channel_max: int = 2047
) -> Peer:
    """Give a peer past the handshake, with some channels open and nothing left to read."""
    peer = Peer(offer)
    peer.feed(PROTOCOL_HEADER)
    peer.feed(start_ok() + tune_ok(channel_max, frame_max) + connection_open())
    for channel in channels:
        peer.feed(channel_open(channel))
    assert peer.dropped is None
    peer.events.clear()
    peer.out.clear()
    return peer
