"""The programs: which commands each has, in which section of its help, and how one is run.

Owns: `ADMINISTRATION`, the table of all commands; `Program`; and the entry points of the stand-ins
for rabbitmqctl and rabbitmq-diagnostics. Those have names of their own, `leveret-rabbitmqctl` and
`leveret-rabbitmq-diagnostics`: on a machine that has RabbitMQ too, installing Leveret may not
change what a script administers. Where there is no RabbitMQ, an image for example, link the usual
names to them.

A command's module is imported when the command is run or its help is shown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from broker import __version__
from broker.admin.command import CONTEXT, Session, common_options, list_options
from broker.admin.failure import EX_DATAERR, EX_INTERRUPTED, EX_PIPE, EX_USAGE, Failure
from broker.admin.telling import tell, tell_usage
from broker.admin.values import Voice

ADMINISTRATION: Mapping[str, tuple[str, str]] = {
    "Node": (
        "status",
        "status cluster_status listeners memory_breakdown server_version"
        " erlang_version version log_location log_tail list_feature_flags enable_feature_flag",
    ),
    "Settings": (
        "settings",
        "environment set_vm_memory_high_watermark set_disk_free_limit set_log_level",
    ),
    "Health checks": (
        "health",
        "ping check_running is_running is_booting alarms check_alarms check_local_alarms"
        " check_port_connectivity check_port_listener check_protocol_listener"
        " check_virtual_hosts check_certificate_expiration check_if_node_is_quorum_critical"
        " check_if_node_is_mirror_sync_critical node_health_check await_startup"
        " await_online_nodes wait",
    ),
    "What is there": (
        "listings",
        "list_queues list_exchanges list_bindings list_connections list_channels list_consumers",
    ),
    "Users and permissions": (
        "users",
        "list_users add_user change_password clear_password delete_user set_user_tags"
        " authenticate_user list_permissions list_user_permissions set_permissions"
        " clear_permissions list_topic_permissions list_user_topic_permissions"
        " set_topic_permissions clear_topic_permissions list_user_limits set_user_limits"
        " clear_user_limits",
    ),
    "Virtual hosts": (
        "vhosts",
        "list_vhosts add_vhost delete_vhost list_vhost_limits set_vhost_limits"
        " clear_vhost_limits trace_on trace_off",
    ),
    "Policies and parameters": (
        "policies",
        "list_policies set_policy clear_policy list_operator_policies set_operator_policy"
        " clear_operator_policy list_parameters set_parameter clear_parameter"
        " list_global_parameters set_global_parameter clear_global_parameter",
    ),
    "Operations": (
        "operations",
        "purge_queue delete_queue close_connection close_all_connections"
        " close_all_user_connections export_definitions import_definitions set_cluster_name stop",
    ),
}
"""Section of the help -> module of `broker.admin` and its commands. Modules and sections agree."""

MODULES = {
    name: f"broker.admin.{module}"
    for module, names in ADMINISTRATION.values()
    for name in names.split()
}

NOT_HERE = {
    "join_cluster forget_cluster_node change_cluster_node_type rename_cluster_node force_boot"
    " update_cluster_nodes sync_queue cancel_sync_queue": "Leveret is one node",
    "eval eval_file exec remote_shell observer": "Leveret does not run Erlang",
    "start_app stop_app reset force_reset": "the broker is its process: stop it, and delete or "
    "move its data directory to start anew",
    "encode decode list_ciphers list_hashes": "settings are not encrypted: keep secrets in a file "
    "that only the broker may read",
}
"""Commands of rabbitmqctl that cannot have a meaning here -> why."""


class Program(click.Group):
    """A program whose commands are imported when they are needed; `-` and `_` are the same.

    `commands` are its own, besides those of administration; a text is the module of one.
    """

    def __init__(self, name: str, meaning: str, **commands: click.Command | str) -> None:
        super().__init__(
            name, help=meaning, params=[*common_options()], context_settings=dict(CONTEXT)
        )
        version = f"%(prog)s {__version__}"
        click.version_option(__version__, message=version)(self)
        self._own = {**commands, "help": _help, "completion": _completion}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names of all commands."""
        return [*self._own, *MODULES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        name = cmd_name.replace("-", "_")
        found: click.Command | str | None = self._own.get(name, MODULES.get(name))
        return getattr(import_module(found), name) if isinstance(found, str) else found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command that is meant, or say what might be meant."""
        name = args[0].replace("-", "_")
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            reasons = (why for names, why in NOT_HERE.items() if name in names.split())
            near = get_close_matches(name, self.list_commands(ctx))
            more = next(reasons, f"Did you mean '{near[0]}'?" if near else "See --help.")
            raise click.UsageError(f"Command '{args[0]}' not found. {more}", ctx)
        return super().resolve_command(ctx, [name, *args[1:]])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options, then the commands."""
        list_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section."""
        sections = {"Program": [*self._own]} | {
            title: names.split() for title, (_, names) in ADMINISTRATION.items()
        }
        for title, names in sections.items():
            with formatter.section(title):
                found = {name: self.get_command(ctx, name) for name in names}
                formatter.write_dl(
                    [(name, made.get_short_help_str(80)) for name, made in found.items() if made]
                )


@click.command("help", context_settings=CONTEXT)
@click.argument("command_name", metavar="[COMMAND]", required=False)
@click.pass_context
def _help(context: click.Context, command_name: str | None) -> None:
    """Show the commands, or how to use one."""
    parent = context.parent
    assert parent is not None
    program = parent.command
    if command_name is None or not isinstance(program, click.Group):
        click.echo(parent.get_help())
        return
    name, command, _ = program.resolve_command(parent, [command_name])
    if command is not None:
        click.echo(command.get_help(click.Context(command, parent, name)))


@click.command("completion", context_settings=CONTEXT)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def _completion(context: click.Context, shell: str) -> None:
    """Print completion for a shell: eval "$(leveret completion bash)"."""
    from click.shell_completion import get_completion_class

    program = context.find_root()
    name = program.info_name or ""
    variable = f"_{name}_COMPLETE".replace("-", "_").upper()
    completer = get_completion_class(shell)
    assert completer is not None
    click.echo(completer(program.command, {}, name, variable).source())


def run(program: Program, voice: Voice, arguments: Sequence[str]) -> int:
    """Run one command and return the exit code; whatever fails is told in one line or two."""
    name = program.name or ""
    session = Session(name, voice)
    try:
        code = program.main(list(arguments), name, standalone_mode=False, obj=session)
    except Failure as failure:
        tell(session, failure)
        return failure.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EX_USAGE
    except click.UsageError as error:
        tell_usage(session, error)
        return EX_USAGE
    except UnicodeEncodeError:
        click.echo(f"{name}: arguments have to be UTF-8", err=True)
        return EX_DATAERR
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_PIPE
    except click.Abort:
        return EX_INTERRUPTED
    return code if isinstance(code, int) else 0


STAND_INS = ("rabbitmqctl", "rabbitmq-diagnostics")


def rabbitmqctl() -> int:
    """Run the stand-in for rabbitmqctl."""
    return stand_in("rabbitmqctl", sys.argv[1:])


def rabbitmq_diagnostics() -> int:
    """Run the stand-in for rabbitmq-diagnostics."""
    return stand_in("rabbitmq-diagnostics", sys.argv[1:])


def stand_in(original: str, arguments: Sequence[str]) -> int:
    """Run what takes the place of one of RabbitMQ's programs."""
    meaning = f"Administer Leveret with the commands, output and exit codes of {original}."
    return run(Program(f"leveret-{original}", meaning), Voice.RABBITMQ, arguments)
