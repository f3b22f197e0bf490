"""Listings of what the broker holds: queues, exchanges, bindings, connections, channels, consumers.

Owns: the columns, under rabbitmqctl's names, and where the API has them. What the API does not
have, because it is about Erlang processes, is empty or the name of what the process stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from broker.admin.api import Json, NotFound
from broker.admin.command import Session, command
from broker.admin.failure import EX_USAGE, Failure, WrongArgument
from broker.admin.values import Kind, Voice

_Function = TypeVar("_Function", bound=Callable[..., None])


@dataclass(frozen=True)
class Column:
    """One column: the path of its value in the API's object, and what kind of value that is."""

    path: str
    kind: Kind = Kind.PLAIN

    def of(self, item: Json) -> Any:
        """Take the value out of one object; None if it is not there."""
        for name in self.path.split("."):
            if not isinstance(item, dict):
                return None
            item = item.get(name)
        return item


def _plain(names: str) -> dict[str, Column]:
    return {name: Column(name) for name in names.split()}


_ARGUMENTS = {"arguments": Column("arguments", Kind.ARGUMENTS)}

QUEUES = {
    **_plain(
        "auto_delete consumer_capacity consumer_utilisation consumers disk_reads disk_writes"
        " durable exclusive exclusive_consumer_tag head_message_timestamp leader memory"
        " message_bytes message_bytes_persistent message_bytes_ram message_bytes_ready"
        " message_bytes_unacknowledged messages messages_persistent messages_ram messages_ready"
        " messages_ready_ram messages_unacknowledged messages_unacknowledged_ram name policy"
        " state type vhost idle_since operator_policy node"
    ),
    **_ARGUMENTS,
    "pid": Column("name"),
    "owner_pid": Column("owner_pid_details.name"),
    "exclusive_consumer_pid": Column("single_active_consumer_tag"),
    "slave_pids": Column("slave_nodes"),
    "synchronised_slave_pids": Column("synchronised_slave_nodes"),
    "members": Column("members"),
    "online": Column("online"),
    "publish_rate": Column("message_stats.publish_details.rate"),
    "deliver_rate": Column("message_stats.deliver_get_details.rate"),
    "ack_rate": Column("message_stats.ack_details.rate"),
}
EXCHANGES = {
    **_plain("auto_delete durable internal name policy type vhost"),
    **_ARGUMENTS,
    "publish_in_rate": Column("message_stats.publish_in_details.rate"),
    "publish_out_rate": Column("message_stats.publish_out_details.rate"),
}
BINDINGS = {
    "source_name": Column("source"),
    "source_kind": Column("source_kind"),
    "destination_name": Column("destination"),
    "destination_kind": Column("destination_type"),
    "routing_key": Column("routing_key"),
    **_ARGUMENTS,
    "vhost": Column("vhost"),
}
CONNECTIONS = {
    **_plain(
        "auth_mechanism channel_max channels connected_at frame_max host name peer_cert_issuer"
        " peer_cert_subject peer_cert_validity peer_port port recv_cnt recv_oct send_cnt send_oct"
        " send_pend ssl ssl_cipher ssl_hash ssl_key_exchange ssl_protocol state timeout user vhost"
        " user_provided_name node"
    ),
    "peer_host": Column("peer_host", Kind.ADDRESS),
    "protocol": Column("protocol", Kind.PROTOCOL),
    "client_properties": Column("client_properties", Kind.ARGUMENTS),
    "pid": Column("name"),
}
CHANNELS = {
    **_plain(
        "acks_uncommitted confirm consumer_count global_prefetch_count messages_unacknowledged"
        " messages_uncommitted messages_unconfirmed name number prefetch_count transactional user"
        " vhost state node"
    ),
    "connection": Column("connection_details.name"),
    "pid": Column("name"),
}
CONSUMERS = {
    **_plain("ack_required active activity_status consumer_tag exclusive prefetch_count"),
    **_ARGUMENTS,
    "queue_name": Column("queue.name"),
    "channel_pid": Column("channel_details.name"),
    "user": Column("channel_details.user"),
    "vhost": Column("queue.vhost"),
}


def _columns(table: Mapping[str, Column]) -> Callable[[_Function], _Function]:
    """Let a command take columns by name, and the shell complete them."""

    def complete(
        _context: click.Context, _parameter: click.Parameter, typed: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in sorted(table) if name.startswith(typed)]

    return click.argument("columns", metavar="[COLUMN]...", nargs=-1, shell_complete=complete)


@command
@_columns(QUEUES)
@click.option("--online", is_flag=True, hidden=True)
@click.option("--offline", is_flag=True, help="Queues whose node is down: none, on one node.")
@click.option("--local", is_flag=True, hidden=True)
def list_queues(
    session: Session, columns: Sequence[str], online: bool, offline: bool, local: bool
) -> None:
    """List the queues of a virtual host.

    COLUMNs are name and messages if none is given.
    """
    chosen = choose(QUEUES, columns, "name messages")
    session.out.heading(f"Timeout: {session.timeout_s:.1f} seconds ...")
    session.out.heading(f"Listing queues for vhost {session.vhost} ...")
    found = [] if offline else _of_vhost(session, "queues", chosen)
    show(session, chosen, found)


@command
@_columns(EXCHANGES)
def list_exchanges(session: Session, columns: Sequence[str]) -> None:
    """List the exchanges of a virtual host."""
    chosen = choose(EXCHANGES, columns, "name type")
    session.out.heading(f"Listing exchanges for vhost {session.vhost} ...")
    show(session, chosen, _of_vhost(session, "exchanges", chosen))


@command
@_columns(BINDINGS)
def list_bindings(session: Session, columns: Sequence[str]) -> None:
    """List the bindings of a virtual host."""
    usual = "source_name source_kind destination_name destination_kind routing_key arguments"
    chosen = choose(BINDINGS, columns, usual)
    session.out.heading(f"Listing bindings for vhost {session.vhost}...")
    found = _of_vhost(session, "bindings", chosen)
    for item in found:
        item["source_kind"] = "exchange"
        if "arguments" in item:  # a binding's are sorted, whatever their order was
            item["arguments"] = dict(sorted(item["arguments"].items()))
    show(session, chosen, found)


@command
@_columns(CONNECTIONS)
def list_connections(session: Session, columns: Sequence[str]) -> None:
    """List the connections of all virtual hosts."""
    chosen = choose(CONNECTIONS, columns, "user peer_host peer_port state")
    session.out.heading("Listing connections ...")
    show(session, chosen, session.api.get("connections", columns=_paths(chosen)))


@command
@_columns(CHANNELS)
def list_channels(session: Session, columns: Sequence[str]) -> None:
    """List the channels of all connections."""
    chosen = choose(CHANNELS, columns, "pid user consumer_count messages_unacknowledged")
    session.out.heading("Listing channels ...")
    show(session, chosen, session.api.get("channels", columns=_paths(chosen)))


@command
@_columns(CONSUMERS)
def list_consumers(session: Session, columns: Sequence[str]) -> None:
    """List the consumers of a virtual host."""
    usual = "queue_name channel_pid consumer_tag ack_required prefetch_count active arguments"
    chosen = choose(CONSUMERS, columns, usual)
    session.out.heading(f"Listing consumers in vhost {session.vhost} ...")
    show(session, chosen, _of_vhost(session, "consumers", chosen))


def choose(table: Mapping[str, Column], asked: Sequence[str], usual: str) -> dict[str, Column]:
    """Give the columns that were asked for, by blanks or commas, or the usual ones."""
    names = [name for word in asked for name in word.split(",") if name] or usual.split()
    if unknown := [name for name in names if name not in table]:
        raise WrongArgument(
            f"Info key(s) {','.join(unknown)} are not supported; "
            f"there are {', '.join(sorted(table))}",
            EX_USAGE,
        )
    return {name: table[name] for name in names}


def show(session: Session, columns: Mapping[str, Column], found: Iterable[Json]) -> None:
    """Show objects of the API as a table."""
    rows = ([column.of(item) for column in columns.values()] for item in found)
    session.out.table({name: column.kind for name, column in columns.items()}, rows)


def _paths(columns: Mapping[str, Column]) -> str:
    """Name what the API should send; a large listing is mostly what nobody asked for."""
    return ",".join(sorted({column.path for column in columns.values()}))


def _of_vhost(session: Session, what: str, columns: Mapping[str, Column]) -> list[Json]:
    try:
        found: list[Json] = session.api.get(what, session.vhost, columns=_paths(columns))
    except NotFound:
        if session.voice is Voice.RABBITMQ:
            return []  # as rabbitmqctl: an unknown vhost has nothing in it
        raise Failure(f'no virtual host "{session.vhost}"') from None
    return found
