"""A tour of RabbitMQ's command line programs: exit code, standard output and error, word for word.

Commands that change nothing, or fail: what succeeds and changes something is in test_50. They run
beside each other, for each takes RabbitMQ's programs a second. Of errors TOUR has the beginning:
the rest is Erlang there and advice here.
"""

from __future__ import annotations

import shlex
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from conformance.conftest import Target
from conformance.test_50_rabbitmqctl import Ran, ctl_of

AT_ONCE = 4


class Stop(NamedTuple):
    """One command, and what comes of it; NODE is the node's name."""

    line: str
    code: int = 0
    out: str = ""
    err: str = ""


INVALID = "Error (argument validation): "
NO_VHOST = "Virtual host 'nosuch' does not exist\n"
TOUR = (
    Stop(
        "rabbitmqctl list_permissions -p tour",
        0,
        'Listing permissions for vhost "tour" ...\n'
        "user\tconfigure\twrite\tread\nguest\t.*\t.*\t.*\n",
    ),
    Stop(
        "rabbitmqctl list_permissions -p tour --formatter json",
        0,
        '[\n{"user":"guest","configure":".*","write":".*","read":".*"}\n]\n',
    ),
    Stop("rabbitmqctl list_permissions -p tour -s", 0, "guest\t.*\t.*\t.*\n"),
    Stop("rabbitmqctl -p tour -q list_permissions --no-table-headers", 0, "guest\t.*\t.*\t.*\n"),
    Stop(
        "rabbitmqctl list_permissions -p tour --formatter csv",
        0,
        '"user","configure","write","read"\n"guest",".*",".*",".*"\n',
    ),
    Stop(
        "rabbitmqctl list_policies -p nosuch",
        65,
        'Listing policies for vhost "nosuch" ...\n',
        NO_VHOST,
    ),
    Stop(
        "rabbitmqctl list_operator_policies -p nosuch",
        65,
        'Listing operator policy overrides for vhost "nosuch" ...\n',
        NO_VHOST,
    ),
    Stop(
        "rabbitmqctl list_parameters -p nosuch",
        65,
        'Listing runtime parameters for vhost "nosuch" ...\n',
        NO_VHOST,
    ),
    Stop(
        "rabbitmqctl list_vhost_limits -p nosuch",
        65,
        'Listing limits for vhost "nosuch" ...\n',
        NO_VHOST,
    ),
    Stop("rabbitmqctl list_exchanges -p nosuch", 0, "Listing exchanges for vhost nosuch ...\n"),
    Stop("rabbitmqctl list_consumers -p nosuch", 0, "Listing consumers in vhost nosuch ...\n"),
    Stop("rabbitmqctl delete_vhost nosuch", 65, 'Deleting vhost "nosuch" ...\n', NO_VHOST),
    Stop(
        "rabbitmqctl delete_user nosuch",
        67,
        'Deleting user "nosuch" ...\n',
        'Error:\nUser "nosuch" does not exist\n',
    ),
    Stop(
        "rabbitmqctl set_permissions -p nosuch guest . . .",
        69,
        'Setting permissions for user "guest" in vhost "nosuch" ...\n',
        "Error:\nVirtual host nosuch does not exist\n",
    ),
    Stop(
        "rabbitmqctl clear_policy nosuch",
        69,
        'Clearing policy "nosuch" on vhost "/" ...\n',
        "Error:\nParameter does not exist\n",
    ),
    Stop(
        "rabbitmqctl set_policy -p nosuch p ^a '{\"max-length\":1}'",
        65,
        'Setting policy "p" for pattern "^a" to "{"max-length":1}" with priority "0" '
        'for vhost "nosuch" ...\n',
        NO_VHOST,
    ),
    Stop(
        "rabbitmqctl set_policy p ^a '{\"nosuch\":1}'",
        69,
        'Setting policy "p" for pattern "^a" to "{"nosuch":1}" with priority "0" '
        'for vhost "/" ...\n',
        'Error:\nValidation failed\n\n[{<<"nosuch">>,1}] are not recognised policy settings\n',
    ),
    Stop(
        "rabbitmqctl set_parameter nosuch s {}",
        69,
        'Setting runtime parameter "s" for component "nosuch" to "{}" in vhost "/" ...\n',
        "Error:\nValidation failed\n\ncomponent nosuch not found\n",
    ),
    Stop(
        "rabbitmqctl delete_queue -p nosuch q",
        64,
        "Deleting queue 'q' on vhost 'nosuch' ...\n",
        "Error:\nQueue not found\n",
    ),
    Stop(
        "rabbitmqctl close_all_connections -p nosuch bye --limit 5",
        0,
        "Closing 5 connections in vhost nosuch, reason: bye...\nClosed 0 connections\n",
    ),
    Stop(
        "rabbitmqctl close_all_user_connections nosuch bye",
        0,
        "Closing connections of user nosuch, reason: bye...\n",
    ),
    Stop("rabbitmqctl --dry-run delete_user guest", 0, 'Deleting user "guest" ...\n'),
    Stop("rabbitmqctl await_startup"),
    Stop(
        "rabbitmqctl restart_vhost",
        0,
        "Trying to restart vhost '/' on node 'NODE' ...\n"
        "Vhost '/' is already running on node 'NODE'\n",
    ),
    Stop(
        "rabbitmqctl enable_feature_flag nosuch",
        64,
        'Enabling feature flag "nosuch" ...\n',
        "Error:\nThis feature flag is not supported by node NODE\n",
    ),
    Stop("rabbitmqctl ping --formatter json", 0, '{"message":"Ping succeeded"}\n'),
    Stop("rabbitmqctl set_log_level nosuch", 69, "", "Error:\nlevel nosuch is not supported. "),
    Stop(
        "rabbitmqctl set_vm_memory_high_watermark 1.5",
        65,
        "",
        f"{INVALID}Bad argument: The threshold should be a fraction between 0.0 and 1.0\n",
    ),
    Stop("rabbitmqctl set_disk_free_limit 2XB", 65, "", f"{INVALID}Bad argument"),
    Stop("rabbitmqctl await_online_nodes x", 65, "", f"{INVALID}Bad argument: "),
    Stop("rabbitmqctl add_user", 64, "", f"{INVALID}not enough arguments.\n"),
    Stop("rabbitmqctl list_users a", 64, "", f"{INVALID}too many arguments.\n"),
    Stop(
        "rabbitmqctl list_queues nosuch", 64, "", f"{INVALID}Info key(s) nosuch are not supported"
    ),
    Stop(
        "rabbitmq-diagnostics is_running --formatter json",
        0,
        '{"message":"RabbitMQ on node NODE is fully booted and running","result":true}\n',
    ),
    Stop(
        "rabbitmq-diagnostics alarms",
        0,
        "Asking node NODE to report any known resource alarms ...\n"
        "Node NODE reported no alarms, local or clusterwide\n",
    ),
    Stop("rabbitmq-diagnostics check_certificate_expiration --unit bad", 64, "", INVALID),
    Stop(
        "rabbitmq-diagnostics quorum_status nosuch",
        69,
        "Status of quorum queue nosuch on node NODE ...\n",
        "Error:\nnot_found\n",
    ),
    Stop(
        "rabbitmq-queues check_if_node_is_quorum_critical -q",
        0,
        "Node NODE seems to be the only one in a single node cluster, the check does not apply\n",
    ),
    Stop(
        "rabbitmq-queues rebalance bad",
        69,
        "",
        "Error:\ntype bad is not supported. Try one of all, classic, quorum",
    ),
    Stop(
        "rabbitmq-upgrade await_online_quorum_plus_one",
        0,
        "Will wait for a quorum + 1 of nodes to be online for all quorum queues for 120 "
        "seconds...\nTarget node seems to be the only one in a single node cluster, the command "
        "does not apply\n",
    ),
)


def test_tour(broker: Target) -> None:
    """Each command ends with the same code and says the same on both brokers."""
    if broker.process is None or broker.kind == "slow":
        pytest.skip("once, on the machine of the broker")
    ctl = ctl_of(broker.process)

    def run(stop: Stop) -> Ran:
        program, *words = shlex.split(stop.line)
        return ctl(*words, program=program)

    for line in ("add_vhost tour", "set_permissions -p tour guest .* .* .*"):
        assert ctl(*line.split()).code == 0
    node = ctl("-q", "restart_vhost").out.split("'")[3]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(run, TOUR))
    assert ctl("delete_vhost", "tour").code == 0
    differences = [
        (stop.line, ran)
        for stop, ran in zip(TOUR, found, strict=True)
        if (ran.code, ran.out) != (stop.code, stop.out.replace("NODE", node))
        or not ran.err.startswith(stop.err.replace("NODE", node))
        or bool(ran.err) != bool(stop.err)
    ]
    assert differences == []
