"""Programs: which commands they have, what their help says, and RabbitMQ's own list of commands."""

from __future__ import annotations

import shlex

import click
import pytest

from broker.admin import programs
from broker.admin.command import Session
from broker.admin.examples import EXAMPLES
from broker.admin.refused import REFUSED
from broker.admin.values import Voice
from tests.admin.conftest import Run, StandIn

RABBITMQS = {
    "rabbitmqctl": """
        add_user add_vhost authenticate_user autocomplete await_online_nodes
        await_startup cancel_sync_queue change_cluster_node_type change_password
        clear_global_parameter clear_operator_policy clear_parameter clear_password
        clear_permissions clear_policy clear_topic_permissions clear_user_limits
        clear_vhost_limits close_all_connections close_all_user_connections
        close_connection cluster_status decode delete_queue delete_user delete_vhost
        enable_feature_flag encode environment eval eval_file exec export_definitions
        force_boot force_gc force_reset forget_cluster_node help hipe_compile
        import_definitions join_cluster list_bindings list_channels list_ciphers
        list_connections list_consumers list_exchanges list_feature_flags
        list_global_parameters list_hashes list_node_auth_attempt_stats
        list_operator_policies list_parameters list_permissions list_policies
        list_queues list_topic_permissions list_unresponsive_queues list_user_limits
        list_user_permissions list_user_topic_permissions list_users list_vhost_limits
        list_vhosts node_health_check ping purge_queue rename_cluster_node report reset
        restart_vhost resume_listeners rotate_logs schema_info set_cluster_name
        set_disk_free_limit set_global_parameter set_log_level set_operator_policy
        set_parameter set_permissions set_policy set_topic_permissions set_user_limits
        set_user_tags set_vhost_limits set_vhost_tags set_vm_memory_high_watermark
        shutdown start_app status stop stop_app suspend_listeners sync_queue trace_off
        trace_on update_cluster_nodes version wait
    """,
    "rabbitmq-diagnostics": """
        alarms autocomplete certificates check_alarms check_certificate_expiration
        check_if_node_is_mirror_sync_critical check_if_node_is_quorum_critical
        check_local_alarms check_port_connectivity check_port_listener
        check_protocol_listener check_running check_virtual_hosts cipher_suites
        cluster_status command_line_arguments consume_event_stream
        disable_auth_attempt_source_tracking discover_peers
        enable_auth_attempt_source_tracking environment erlang_cookie_hash
        erlang_cookie_sources erlang_version help is_booting is_running list_bindings
        list_channels list_ciphers list_connections list_consumers list_exchanges
        list_feature_flags list_global_parameters list_hashes list_network_interfaces
        list_node_auth_attempt_stats list_operator_policies list_parameters
        list_permissions list_policies list_queues list_topic_permissions
        list_unresponsive_queues list_user_limits list_user_permissions
        list_user_topic_permissions list_users list_vhost_limits list_vhosts listeners
        log_location log_tail log_tail_stream maybe_stuck memory_breakdown
        node_health_check observer os_env ping quorum_status reclaim_quorum_memory
        remote_shell report reset_node_auth_attempt_metrics resolve_hostname
        resolver_info runtime_thread_stats schema_info server_version status
        stream_status tls_versions version wait
    """,
    "rabbitmq-plugins": """
        autocomplete directories disable enable help is_enabled list set version
    """,
    "rabbitmq-queues": """
        add_member autocomplete check_if_node_is_mirror_sync_critical
        check_if_node_is_quorum_critical delete_member grow help peek quorum_status
        rebalance reclaim_quorum_memory shrink stream_status
    """,
    "rabbitmq-streams": """
        add_replica delete_replica set_stream_retention_policy stream_status
    """,
    "rabbitmq-upgrade": """
        await_online_quorum_plus_one await_online_synchronized_mirror drain help
        post_upgrade revive
    """,
}
"""Program -> the commands its help lists, in RabbitMQ 3.10.8."""
NAMES = sorted({n for _, names in programs.ADMINISTRATION.values() for n in names.split()})


@pytest.mark.parametrize("original", sorted(RABBITMQS))
def test_every_command_of_rabbitmqs_is_known(original: str, stand_in: StandIn) -> None:
    """What RabbitMQ's program can do is possible, or refused with a reason; help names it."""
    run = stand_in(original)
    listed = [word.strip(",:") for word in run("--help").out.split()]
    unknown = [name for name in RABBITMQS[original].split() if name not in listed]
    assert unknown == []


def test_what_is_not_possible_says_what_is(stand_in: StandIn) -> None:
    """A refused command ends with 64 and its reason, whatever its arguments; help explains it."""
    ctl = stand_in("rabbitmqctl")
    for name, why in REFUSED.items():
        ran = ctl(name, "a", "--odd", "-n", "b")
        assert (ran.code, ran.out) == (64, "")
        assert why in ran.err
        assert why.split()[0] in ctl("help", name).out
    assert not REFUSED.keys() & set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_there_and_explains_itself(name: str, leveret: Run) -> None:
    """Each name of the table is a command with help; `-` may stand for `_`."""
    ran = leveret("help", name)
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: leveret {name}")
    example = f"\nExample:\n  leveret {EXAMPLES[name]}\n" if name in EXAMPLES else ""
    assert ran.out.endswith(example)
    assert leveret(name.replace("_", "-"), "--help").code == 0


def test_help_is_not_cut(leveret: Run, stand_in: StandIn) -> None:
    """What a command does fits into the list of commands."""
    for run in (leveret, stand_in("rabbitmq-plugins"), stand_in("rabbitmqctl")):
        words = run("--help").out.partition("\n")[2].split()
        assert [word for word in words if word.endswith("...")] == []


def test_a_command_of_another_program(stand_in: StandIn) -> None:
    """Programs have the commands of their topic only, and say what is near."""
    ran = stand_in("rabbitmq-plugins")("list_queues")
    assert (ran.code, "Command 'list_queues' not found" in ran.err) == (64, True)
    ran = stand_in("rabbitmqctl")("list_queus")
    assert (ran.code, "Did you mean 'list_queues'?" in ran.err) == (64, True)


def test_examples_are_true() -> None:
    """Every command with words or options of its own has an example, which its parser takes."""
    program = programs.Program("leveret", "", [*programs.ADMINISTRATION])
    context = click.Context(program, info_name="leveret", obj=Session("leveret", Voice.LEVERET))
    for name in NAMES:
        command = program.get_command(context, name)
        assert command is not None
        shown = [p for p in command.params if not (p.name or "").startswith("common_")]
        shown = [p for p in shown if not getattr(p, "hidden", False)]
        assert bool(shown) == (name in EXAMPLES), name
        if name in EXAMPLES:
            first, *words = shlex.split(EXAMPLES[name])
            assert first == name
            command.make_context(name, words, context)
