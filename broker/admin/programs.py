"""The programs: which commands each has, in which section of its help, and how one is run.

Owns: `ADMINISTRATION`, the table of all commands; `Program`; and the entry points of the stand-ins
for RabbitMQ's programs. Those have names of their own, `leveret-rabbitmqctl` and so on: on a
machine that has RabbitMQ too, installing Leveret may not change what a script administers. Where
there is no RabbitMQ, an image for example, link the usual names to them.

A command's module is imported when the command is run or its help is shown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from broker import __version__
from broker.admin.command import CONTEXT, Session, common_options, list_options
from broker.admin.failure import EX_DATAERR, EX_INTERRUPTED, EX_PIPE, EX_USAGE, Failure
from broker.admin.refused import REASONS, REFUSED, refusal
from broker.admin.telling import tell, tell_usage
from broker.admin.values import Voice

LEVERET = "leveret"
ADMINISTRATION: Mapping[str, tuple[str, str]] = {
    "Node": (
        "status",
        "status cluster_status listeners memory_breakdown server_version erlang_version version"
        " log_location log_tail log_tail_stream list_feature_flags enable_feature_flag",
    ),
    "Settings": (
        "settings",
        "environment set_vm_memory_high_watermark set_disk_free_limit set_log_level change_setting",
    ),
    "Looking closer": (
        "diagnostics",
        "report os_env resolve_hostname resolver_info certificates tls_versions cipher_suites"
        " list_node_auth_attempt_stats reset_node_auth_attempt_metrics list_unresponsive_queues"
        " list_deprecated_features check_if_any_deprecated_features_are_used discover_peers",
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
        " authenticate_user hash_password list_permissions list_user_permissions set_permissions"
        " clear_permissions list_topic_permissions list_user_topic_permissions"
        " set_topic_permissions clear_topic_permissions list_user_limits set_user_limits"
        " clear_user_limits",
    ),
    "Virtual hosts": (
        "vhosts",
        "list_vhosts add_vhost update_vhost_metadata delete_vhost set_vhost_tags"
        " enable_vhost_protection_from_deletion disable_vhost_protection_from_deletion"
        " list_vhost_limits set_vhost_limits"
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
        "peek purge_queue delete_queue close_connection close_all_connections"
        " close_all_user_connections export_definitions import_definitions set_cluster_name",
    ),
    "Replicated queues": ("replicas", "quorum_status stream_status rebalance"),
    "Life of the broker": (
        "maintenance",
        "stop shutdown drain revive suspend_listeners resume_listeners start_app restart_vhost"
        " force_gc hipe_compile await_online_quorum_plus_one await_online_synchronized_mirror"
        " post_upgrade",
    ),
}
"""Section of the help -> module of `broker.admin` and its commands. Modules and sections agree."""

FOR_SCRIPTS = """
    autocomplete await_online_nodes await_online_quorum_plus_one await_online_synchronized_mirror
    check_if_any_deprecated_features_are_used check_if_node_is_mirror_sync_critical
    check_if_node_is_quorum_critical discover_peers enable_feature_flag erlang_version force_gc
    hipe_compile is_booting list_deprecated_features list_feature_flags list_unresponsive_queues
    node_health_check post_upgrade rebalance resolve_hostname resolver_info restart_vhost shutdown
    start_app
"""
"""Commands that a person who has Leveret does not need; `leveret --help` names them only."""


class Program(click.Group):
    """A program whose commands are imported when they are needed; `-` and `_` are the same.

    It has the commands of `sections`, and `commands`, its own; a text is the module of one.
    """

    def __init__(
        self, name: str, meaning: str, sections: Sequence[str], **commands: click.Command | str
    ) -> None:
        super().__init__(
            name, help=meaning, params=[*common_options()], context_settings=dict(CONTEXT)
        )
        version = f"%(prog)s {__version__}"
        click.version_option(__version__, message=version)(self)
        common = {"help": _help, "completion": _completion, "autocomplete": _autocomplete}
        self._own = {**commands, **common}
        self._sections = {title: ADMINISTRATION[title] for title in sections}
        self._modules = {
            name: f"broker.admin.{module}"
            for module, names in self._sections.values()
            for name in names.split()
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names of all commands."""
        return [*self._own, *self._modules]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        name = cmd_name.replace("-", "_")
        found: click.Command | str | None = self._own.get(name, self._modules.get(name))
        if found is None and self._sections and name in REFUSED:
            return refusal(name)
        return getattr(import_module(found), name) if isinstance(found, str) else found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command that is meant, or say what might be meant."""
        name = args[0].replace("-", "_")
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            near = get_close_matches(name, self.list_commands(ctx))
            more = f"Did you mean '{near[0]}'?" if near else "See --help."
            raise click.UsageError(f"Command '{args[0]}' not found. {more}", ctx)
        return super().resolve_command(ctx, [name, *args[1:]])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options, then the commands."""
        list_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section."""
        sections = {"Program": [*self._own]} | {
            title: names.split() for title, (_, names) in self._sections.items()
        }
        brief = FOR_SCRIPTS.split() if self.name == LEVERET else []
        for title, names in sections.items():
            with formatter.section(title):
                found = {name: self.get_command(ctx, name) for name in names if name not in brief}
                formatter.write_dl(
                    [(name, made.get_short_help_str(80)) for name, made in found.items() if made]
                )
        if brief:
            with formatter.section("Also there, for scripts written for RabbitMQ"):
                formatter.write_text(", ".join(brief))
        elif self._sections:
            with formatter.section("Not possible"):
                for refused, why in REASONS.items():
                    formatter.write_text(f"{', '.join(refused.split())}: {why}")


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


@click.command("autocomplete", context_settings=CONTEXT)
@click.argument("prefix", default="")
@click.pass_context
def _autocomplete(context: click.Context, prefix: str) -> None:
    """Print the names of commands that begin with PREFIX."""
    program = context.find_root()
    assert isinstance(program.command, click.Group)
    for name in sorted(program.command.list_commands(program)):
        if name.startswith(prefix):
            click.echo(name)


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
        return tell_usage(session, error)
    except UnicodeEncodeError:
        click.echo(f"{name}: arguments have to be UTF-8", err=True)
        return EX_DATAERR
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_PIPE
    except click.Abort:
        return EX_INTERRUPTED
    return code if isinstance(code, int) else 0


STAND_INS: Mapping[str, Sequence[str]] = {
    "rabbitmqctl": [*ADMINISTRATION],
    "rabbitmq-diagnostics": [*ADMINISTRATION],
    "rabbitmq-plugins": [],
    "rabbitmq-queues": ["Replicated queues", "Operations", "Health checks"],
    "rabbitmq-streams": ["Replicated queues"],
    "rabbitmq-upgrade": ["Life of the broker"],
}
"""Program of RabbitMQ -> the sections whose commands its stand-in has."""


def stand_in(original: str, arguments: Sequence[str]) -> int:
    """Run what takes the place of one of RabbitMQ's programs."""
    meaning = f"Administer Leveret with the commands, output and exit codes of {original}."
    own: Mapping[str, click.Command | str] = {}
    if original == "rabbitmqctl":
        own = {"eval": "broker.admin.evaluation"}
    if original == "rabbitmq-plugins":
        own = import_module("broker.admin.plugins").COMMANDS
    program = Program(f"leveret-{original}", meaning, STAND_INS[original], **own)
    return run(program, Voice.RABBITMQ, arguments)


def _entry(original: str) -> Callable[[], int]:
    return lambda: stand_in(original, sys.argv[1:])


rabbitmqctl = _entry("rabbitmqctl")
rabbitmq_diagnostics = _entry("rabbitmq-diagnostics")
rabbitmq_plugins = _entry("rabbitmq-plugins")
rabbitmq_queues = _entry("rabbitmq-queues")
rabbitmq_streams = _entry("rabbitmq-streams")
rabbitmq_upgrade = _entry("rabbitmq-upgrade")
