"""Control methods against pamqp, an independent codec, and against RabbitMQ's answers."""

from typing import Any

import pytest
from pamqp import commands

from protocol import methods
from protocol.errors import Drop, FrameError
from protocol.tables import Field, plain
from tests.frames import method_payload

SAMPLES: list[Any] = [
    commands.Connection.TuneOk(2047, 131072, 60),
    commands.Connection.Open("vhost"),
    commands.Connection.Close(200, "bye", 60, 40),
    commands.Connection.CloseOk(),
    commands.Connection.UpdateSecret("new", "because"),
    commands.Channel.Open(),
    commands.Channel.Flow(True),
    commands.Channel.Close(404, "reason", 50, 10),
    commands.Exchange.Declare(0, "x", "topic", False, True, False, True, False, {"a": 1}),
    commands.Exchange.Delete(0, "x", True, False),
    commands.Exchange.Bind(0, "d", "s", "k", False, {}),
    commands.Exchange.Unbind(0, "d", "s", "k", True, {}),
    commands.Queue.Declare(0, "q", True, False, True, False, True, {"x-expires": 5}),
    commands.Queue.Bind(0, "q", "x", "k", False, {"x-match": "all"}),
    commands.Queue.Unbind(0, "q", "x", "k", {}),
    commands.Queue.Purge(0, "q", True),
    commands.Queue.Delete(0, "q", True, False, True),
    commands.Basic.Qos(0, 10, True),
    commands.Basic.Consume(0, "q", "tag", False, True, False, True, {"x-priority": 3}),
    commands.Basic.Cancel("tag", True),
    commands.Basic.Publish(0, "x", "k", True, False),
    commands.Basic.Get(0, "q", True),
    commands.Basic.Ack((1 << 63) - 1, True),
    commands.Basic.Nack(7, True, False),
    commands.Basic.Reject(7, False),
    commands.Basic.Recover(True),
    commands.Tx.Select(),
    commands.Confirm.Select(True),
]


def arguments_of(command: Any) -> dict[str, Any]:
    """A method's arguments in plain values."""
    found = {}
    for name in command.__slots__:
        value = getattr(command, name)
        if isinstance(value, dict):
            value = {key: plain(v) if isinstance(v, Field) else v for key, v in value.items()}
        found[name] = value.decode() if isinstance(value, bytes) else value
    return found


@pytest.mark.parametrize("command", SAMPLES, ids=lambda command: command.name)
def test_what_pamqp_writes_is_read(command: Any) -> None:
    """Each method a client sends decodes to the arguments pamqp encoded."""
    decoded = methods.decode(method_payload(command))
    assert type(decoded) is type(command)
    assert arguments_of(decoded) == arguments_of(command)


@pytest.mark.parametrize("command", SAMPLES, ids=lambda command: command.name)
def test_what_we_write_is_what_pamqp_writes(command: Any) -> None:
    """Encoding a decoded method gives the octets back."""
    payload = method_payload(command)
    decoded = methods.decode(payload)
    arguments = {name: getattr(decoded, name) for name in command.__slots__}
    assert methods.encode(type(command), **arguments) == payload


@pytest.mark.parametrize("command", SAMPLES, ids=lambda command: command.name)
def test_truncated_or_surplus_arguments_are_refused(command: Any) -> None:
    """A method with octets missing or left over is 501, with its arguments shown."""
    payload = method_payload(command)
    for broken in [payload[:end] for end in range(4, len(payload))] + [payload + b"z"]:
        with pytest.raises(FrameError) as caught:
            methods.decode(broken)
        assert caught.value.text == f"cannot decode {methods.erlang_binary(broken[4:])}"


def test_left_out_arguments_are_empty() -> None:
    """Arguments not given are zero, empty or false."""
    decoded: Any = methods.decode(methods.encode(commands.Queue.Declare, queue="q"))
    assert arguments_of(decoded) == {
        "ticket": 0,
        "queue": "q",
        "passive": False,
        "durable": False,
        "exclusive": False,
        "auto_delete": False,
        "nowait": False,
        "arguments": {},
    }


def test_long_names_and_tickets_are_read() -> None:
    """A name of 255 octets and a ticket other than 0 are in order, whatever pamqp thinks."""
    payload = (
        b"\x00\x3c\x00\x28" + b"\x00\x01" + b"\xff" + b"x" * 255 + b"\x02" + "é".encode() + b"\x00"
    )
    decoded: Any = methods.decode(payload)
    assert (decoded.ticket, decoded.exchange, decoded.routing_key) == (1, "x" * 255, "é")


def test_wire_types_of_arguments_are_kept() -> None:
    """Arguments keep their wire type, which equivalence and error texts are about."""
    payload = method_payload(commands.Queue.Declare(queue="q"))[:-4] + (
        b"\x00\x00\x00\x05\x01as\x00\x05"
    )
    decoded: Any = methods.decode(payload)
    assert decoded.arguments == {"a": Field("s", 5)}


@pytest.mark.parametrize("ids", [(60, 99), (61, 10), (0, 0), (85, 1)])
def test_unknown_methods_drop_the_connection(ids: tuple[int, int]) -> None:
    """A class or method nobody knows drops the socket, as RabbitMQ does."""
    with pytest.raises(Drop):
        methods.decode(ids[0].to_bytes(2, "big") + ids[1].to_bytes(2, "big"))


def test_unknown_field_type_drops_the_connection() -> None:
    """An argument of a type nobody knows drops the socket, as RabbitMQ does."""
    payload = method_payload(commands.Queue.Declare(queue="q"))[:-4]
    with pytest.raises(Drop):
        methods.decode(payload + b"\x00\x00\x00\x06\x01kZabc")


def test_access_request_of_old_clients_is_read() -> None:
    """access.request, which 0-9-1 dropped, decodes with its five flags."""
    decoded: Any = methods.decode(b"\x00\x1e\x00\x0a\x05/data\x15")
    assert isinstance(decoded, methods.AccessRequest)
    assert (decoded.realm, decoded.exclusive, decoded.active, decoded.read) == (
        "/data",
        True,
        True,
        True,
    )
    assert (decoded.passive, decoded.write) == (False, False)
    assert methods.encode(methods.AccessRequestOk, ticket=1) == b"\x00\x1e\x00\x0b\x00\x01"


def test_text_that_is_not_utf8_is_refused() -> None:
    """A name that is not UTF-8 is 501 without class and method, as RabbitMQ answers it."""
    with pytest.raises(FrameError) as caught:
        methods.decode(b"\x00\x32\x00\x1e\x00\x00\x02\xff\xfe\x00")
    assert caught.value.reply_text == b"FRAME_ERROR - Malformed UTF-8 in shortstr"
    assert not caught.value.about_method


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (b"abc", '<<"abc">>'),
        (b"\x00\x3c", "<<0,60>>"),
        (b"", "<<>>"),
        (b"a\n", "<<97,10>>"),
    ],
)
def test_octets_are_shown_as_erlang_shows_them(octets: bytes, shown: str) -> None:
    """Error texts show octets as text if all are printable, as numbers otherwise."""
    assert methods.erlang_binary(octets) == shown


def test_what_a_client_may_not_send() -> None:
    """Replies of servers and methods of the connection class are not for a server's channels."""
    for command in (
        commands.Queue.DeclareOk,
        commands.Basic.Return,
        commands.Basic.Deliver,
        commands.Basic.GetEmpty,
        commands.Connection.Open,
        commands.Channel.OpenOk,
        commands.Channel.CloseOk,
        methods.AccessRequestOk,
        commands.Channel.FlowOk,
    ):
        assert command.index in methods.NOT_FOR_SERVERS
    for command in (
        commands.Basic.CancelOk,
        commands.Basic.Ack,
        commands.Basic.Nack,
        methods.AccessRequest,
    ):
        assert command.index not in methods.NOT_FOR_SERVERS
