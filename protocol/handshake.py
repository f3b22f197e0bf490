"""Channel 0: the handshake's methods in their order, update-secret and close.

``METHODS`` says which method is expected in which state and what it does to the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pamqp import commands

from protocol import events
from protocol.constants import CLOSED, FRAME_MIN_SIZE, OPENING, RUNNING, STARTING, TUNING
from protocol.errors import NotAllowed
from protocol.events import Event
from protocol.tables import Table

if TYPE_CHECKING:
    from protocol.connection import Connection


def _start_ok(connection: Connection, method: commands.Connection.StartOk) -> Iterator[Event]:
    properties: Table = method.client_properties  # type: ignore[assignment]
    connection.client_properties = properties
    capabilities = properties.get("capabilities")
    if capabilities is not None and capabilities.tag == "F":
        connection.capabilities = frozenset(
            name for name, value in capabilities.value.items() if value.value is True
        )
    response: bytes = method.response  # type: ignore[assignment]
    yield events.LoginReceived(method.mechanism, response, properties)


def _tune_ok(connection: Connection, method: commands.Connection.TuneOk) -> Iterator[Event]:
    for name, wanted, offered, least in (
        ("frame_max", method.frame_max, connection.offer.frame_max, FRAME_MIN_SIZE),
        ("channel_max", method.channel_max, connection.offer.channel_max, 1),
    ):
        # An offer of 0 is no limit; a client's 0 would lift a limit that was offered.
        if (offered and (wanted == 0 or wanted > offered)) or 0 < wanted < least:
            raise NotAllowed(f"negotiated {name} = {wanted} is out of range")
    connection.frame_max = method.frame_max or 1 << 31
    connection.channel_max = method.channel_max or 65535
    connection.heartbeat_s = method.heartbeat
    connection.state = OPENING
    yield events.Tuned()


def _open(connection: Connection, method: commands.Connection.Open) -> Iterator[Event]:
    yield events.OpenReceived(method.virtual_host)


def _update_secret(
    connection: Connection, method: commands.Connection.UpdateSecret
) -> Iterator[Event]:
    secret: bytes = method.new_secret  # type: ignore[assignment]
    yield events.SecretReceived(secret)


def _close(connection: Connection, _: commands.Connection.Close) -> Iterator[Event]:
    connection.send(0, commands.Connection.CloseOk)
    connection.state, connection.scan = CLOSED, None
    yield events.Closed()


METHODS: dict[tuple[int, int], Callable[..., Iterator[Event]]] = {
    # (state, method): what happens; a missing row is 504 "unexpected method".
    (STARTING, commands.Connection.StartOk.index): _start_ok,
    (TUNING, commands.Connection.TuneOk.index): _tune_ok,
    (OPENING, commands.Connection.Open.index): _open,
    (RUNNING, commands.Connection.UpdateSecret.index): _update_secret,
    (RUNNING, commands.Connection.Close.index): _close,
}
