"""Commands of RabbitMQ's tools that have no meaning here: each says why, and what to do instead.

Owns: `REASONS`, and the command made for each name there. They are commands all the same, so that
scripts find out at once and `help` explains; they end with the exit code of wrong usage.
"""

from __future__ import annotations

from typing import Any

import click

from broker.admin.failure import EX_USAGE, Failure

_ONE_NODE = "Leveret is one node: there is no cluster to join or leave; queues have one replica."
_NO_ERLANG = (
    "Leveret does not run Erlang: `help` lists commands, and the management API does the rest."
)
_NO_ENCRYPTION = (
    "Settings are not encrypted: keep secrets in a file that only the broker may read, or name an "
    "environment variable in it: $(NAME)."
)
_NO_APP = (
    "The broker is its process: `stop` ends it and its service manager starts it, `drain` only "
    "turns clients away."
)
_ANEW = (
    "The broker runs on its data directory: to begin anew, `stop` it, move the directory away and "
    "start it. delete_vhost and import_definitions change what is there."
)
_THE_SYSTEM = "The operating system knows: see `ip address`, or `ps` and /proc/PID/cmdline."

REASONS = {
    "join_cluster forget_cluster_node change_cluster_node_type rename_cluster_node force_boot "
    "update_cluster_nodes sync_queue cancel_sync_queue grow shrink add_member delete_member "
    "add_replica delete_replica restart_stream transfer_leadership": _ONE_NODE,
    "eval eval_file exec remote_shell observer runtime_thread_stats maybe_stuck "
    "schema_info metadata_store_status force_standalone_khepri_boot": _NO_ERLANG,
    "erlang_cookie_hash erlang_cookie_sources": "There is no Erlang cookie: whoever may open "
    "admin.sock in the data directory administers the broker.",
    "encode decode list_ciphers list_hashes": _NO_ENCRYPTION,
    "stop_app": _NO_APP,
    "reset force_reset": _ANEW,
    "rotate_logs": "Logs rotate by themselves: see log.file.rotation.*, or use logrotate.",
    "command_line_arguments list_network_interfaces": _THE_SYSTEM,
    "consume_event_stream": "Bind a queue to the exchange amq.rabbitmq.event and consume it.",
    "enable_auth_attempt_source_tracking disable_auth_attempt_source_tracking": "Logins are "
    "counted by protocol only (list_node_auth_attempt_stats); the log has each with its "
    "source, in the category audit.",
    "list_stream_connections list_stream_consumers list_stream_publishers "
    "list_stream_consumer_groups list_stream_group_consumers list_stream_tracking "
    "add_super_stream delete_super_stream": "Streams are classic queues: list_queues and "
    "list_consumers show them.",
    "activate_free_disk_space_monitoring deactivate_free_disk_space_monitoring": "Free disk space "
    "is always looked at: `set_disk_free_limit 0` blocks nobody.",
    "set_stream_retention_policy": "Set the policy keys max-length-bytes and message-ttl.",
    "reclaim_quorum_memory": "Memory and disk are given back without being asked.",
}
"""Names of commands -> why they are not possible, and what is."""

REFUSED = {name: why for names, why in REASONS.items() for name in names.split()}


ANY_ARGUMENTS: dict[str, Any] = {
    "ignore_unknown_options": True,
    "help_option_names": ["-h", "--help"],
}
"""Settings of a command that says no whatever it is asked."""


def refusal(name: str) -> click.Command:
    """Make the command that refuses, whatever its arguments."""

    @click.command(
        name,
        help=REFUSED[name],
        short_help=REFUSED[name],
        context_settings=ANY_ARGUMENTS,
    )
    @click.argument("words", metavar="...", nargs=-1)
    def refuse(words: tuple[str, ...]) -> None:
        raise Failure(f"{name} is not possible. {REFUSED[name]}", EX_USAGE)

    return refuse
