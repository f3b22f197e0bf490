"""rabbitmqctl and rabbitmq-diagnostics, as scripts and health checks use them.

On RabbitMQ these are Debian's own programs, on Leveret the stand-ins: exit codes, output and what
becomes of it have to be the same. Rows are compared without regard to their order, which is that
of a hash table in RabbitMQ; the node's name is written NODE.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.brokers import Broker, speaks_amqp
from conformance.channel import Channel
from conformance.conftest import Target
from conformance.wire import Connection


@dataclass
class Ran:
    """What a program wrote, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> set[str]:
        """The lines of the output."""
        return set(self.out.splitlines())


Ctl = Callable[..., Ran]


@pytest.fixture
def ctl(broker: Target) -> Ctl:
    """Run rabbitmqctl, or ``program``, on the broker."""
    if broker.process is None:
        pytest.skip("the programs are on the machine of the broker")
    if broker.kind == "slow":
        pytest.skip("the programs do not meet the fast path")
    return ctl_of(broker.process)


def ctl_of(process: Broker) -> Ctl:
    """What runs the programs on a broker."""

    def run(*words: str, program: str = "rabbitmqctl", stdin: str = "") -> Ran:
        command, environment = process.command(program)
        done = subprocess.run(
            [*command, *words],
            env={**os.environ, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def test_users(ctl: Ctl, name: Callable[[str], str]) -> None:
    """A user is made once, logs in with the newest password, has tags, and is deleted once."""
    user = name("user")
    made = ctl("add_user", user, "one")
    assert (made.code, made.out.splitlines()[0]) == (0, f'Adding user "{user}" ...')
    again = ctl("add_user", user, "one")
    assert (again.code, again.err.strip()) == (70, f'Error:\nUser "{user}" already exists')
    assert ctl("authenticate_user", user, "one").code == 0
    assert ctl("authenticate_user", "guest", "guest").code == 0  # who is of this machine
    changed = ctl("change_password", user, stdin="two\n")
    heading = f'Changing password for user "{user}" ...\n'
    assert (changed.code, changed.out.startswith(heading)) == (0, True)
    refused = ctl("authenticate_user", user, "one")
    assert (refused.code, f"user '{user}' - invalid credentials" in refused.err) == (65, True)
    ctl("set_user_tags", user, "monitoring", "own")
    assert f"{user}\t[monitoring, own]" in ctl("list_users").lines
    rows = json.loads(ctl("list_users", "--formatter", "json").out)
    assert {"user": user, "tags": ["monitoring", "own"]} in rows
    assert ctl("delete_user", user).code == 0
    gone = ctl("delete_user", user)
    assert (gone.code, gone.err.strip()) == (67, f'Error:\nUser "{user}" does not exist')


def test_vhosts_and_permissions(ctl: Ctl, name: Callable[[str], str]) -> None:
    """A vhost may be added twice; permissions are rows of its own; deleting needs it to exist."""
    vhost = name("vhost")
    assert ctl("add_vhost", vhost).code == ctl("add_vhost", vhost).code == 0
    assert f"{vhost}\tfalse" in ctl("list_vhosts", "name", "tracing").lines
    assert ctl("set_permissions", "-p", vhost, "guest", "^a", "", r"b\.c").code == 0
    assert ctl("list_permissions", "-p", vhost).out.splitlines() == [
        f'Listing permissions for vhost "{vhost}" ...',
        "user\tconfigure\twrite\tread",
        "guest\t^a\t\tb\\.c",
    ]
    assert ctl("set_vhost_limits", "-p", vhost, '{"max-queues": 5}').code == 0
    limits = json.loads(ctl("list_vhost_limits", "--global", "--formatter", "json").out)
    assert {"vhost": vhost, "limits": '{"max-queues":5}'} in limits
    assert ctl("clear_permissions", "-p", vhost, "guest").code == 0
    assert ctl("-q", "list_permissions", "-p", vhost).out.strip() == ""
    assert ctl("delete_vhost", vhost).code == 0
    gone = ctl("delete_vhost", vhost)
    assert (gone.code, f"Virtual host '{vhost}' does not exist" in gone.err) == (65, True)


def test_policies(ctl: Ctl, name: Callable[[str], str]) -> None:
    """A policy is listed with its definition as JSON; bad JSON and a missing one are 69."""
    policy = name("policy")
    definition = '{"max-length":5}'
    made = ctl("set_policy", policy, "^no-such", definition, "--apply-to", "queues")
    assert made.out == (
        f'Setting policy "{policy}" for pattern "^no-such" to "{definition}" '
        'with priority "0" for vhost "/" ...\n'
    )
    row = f"/\t{policy}\t^no-such\tqueues\t{definition}\t0"
    assert row in ctl("list_policies").lines
    bad = ctl("set_policy", policy, "^no-such", "{bad")
    assert (bad.code, "JSON decoding error" in bad.err) == (69, True)
    refused = ctl("set_policy", policy, "^no-such", '{"max-length":"a"}')
    assert (refused.code, "Validation failed" in refused.err) == (69, True)
    assert ctl("clear_policy", policy).code == 0
    gone = ctl("clear_policy", policy)
    assert (gone.code, gone.err.strip()) == (69, "Error:\nParameter does not exist")


def test_queues(ctl: Ctl, ch: Channel, name: Callable[[str], str]) -> None:
    """Queues are listed by columns in each format; purge and delete want the queue to exist."""
    queue = name("q")
    arguments = {"x-dead-letter-exchange": 'a"b', "x-expires": 600000}
    ch.declare(queue, durable=True, arguments=arguments)
    ch.fill(queue, "one", "two")
    columns = ("name", "messages", "durable", "auto_delete", "arguments")
    listed = ctl("list_queues", *columns)
    assert listed.out.splitlines()[:3] == [
        "Timeout: 60.0 seconds ...",
        "Listing queues for vhost / ...",
        "\t".join(columns),
    ]
    terms = '[{"x-dead-letter-exchange","a\\"b"},{"x-expires",600000}]'
    assert f"{queue}\t2\ttrue\tfalse\t{terms}" in listed.lines
    silent = ctl("list_queues", "--silent", "name", "messages")
    assert f"{queue}\t2" in silent.lines
    assert not silent.out.startswith("name")
    quoted = ctl("list_queues", "-q", "--formatter", "csv", "name", "messages")
    assert quoted.out.startswith('"name","messages"\n')
    assert f'"{queue}","2"' in quoted.lines
    rows = json.loads(ctl("--formatter", "json", "list_queues").out)
    assert {"name": queue, "messages": 2} in rows
    purged = ctl("purge_queue", queue)
    assert (purged.code, purged.out) == (0, f"Purging queue '{queue}' in vhost '/' ...\n")
    deleted = ctl("delete_queue", queue, "--if-empty")
    assert deleted.code == 0
    assert "Queue was successfully deleted with 0 ready messages" in deleted.lines
    gone = ctl("delete_queue", queue)
    assert (gone.code, gone.err.strip()) == (64, "Error:\nQueue not found")
    gone = ctl("purge_queue", queue)
    assert (gone.code, gone.err.strip()) == (69, "Error:\nnot_found")


def test_a_vhost_that_is_not_there_has_no_queues(ctl: Ctl) -> None:
    """list_queues of an unknown vhost is empty, and 0; scripts rely on it."""
    ran = ctl("-q", "list_queues", "-p", "no such vhost")
    assert (ran.code, ran.out) == (0, "")


def test_exchanges_and_bindings(
    ctl: Ctl, ch: Channel, queue: str, exchange: Callable[..., str]
) -> None:
    """Exchanges have their type, bindings their ends; the default exchange's name is empty."""
    headers = exchange("headers")
    ch.call("queue.bind", queue=queue, exchange=headers, arguments={"x-match": "all", "n": 3})
    lines = ctl("list_exchanges", "name", "type", "durable").lines
    assert {"\tdirect\ttrue", "amq.topic\ttopic\ttrue", f"{headers}\theaders\tfalse"} <= lines
    listed = ctl("list_bindings")
    assert listed.out.splitlines()[:2] == [
        "Listing bindings for vhost /...",
        "source_name\tsource_kind\tdestination_name\tdestination_kind\trouting_key\targuments",
    ]
    assert f"\texchange\t{queue}\tqueue\t{queue}\t[]" in listed.lines
    terms = '[{"n",3},{"x-match","all"}]'
    assert f"{headers}\texchange\t{queue}\tqueue\t\t{terms}" in listed.lines


def test_connections_channels_consumers(ctl: Ctl, ch: Channel, queue: str) -> None:
    """Who is connected and consumes; a connection is closed by its pid, with the reason."""
    ch.consume(queue, consumer_tag="tag")
    ch.sync()
    port = ch.connection.sock.getsockname()[1]
    rows = json.loads(ctl("list_connections", "--formatter", "json", "user", "peer_port").out)
    assert {"user": "guest", "peer_port": port} in rows
    lines = ctl("-q", "list_connections", "peer_host", "peer_port", "vhost", "protocol").lines
    assert f"127.0.0.1\t{port}\t/\t{{0,9,1}}" in lines
    lines = ctl("-q", "list_channels", "user", "consumer_count", "number").lines
    assert "guest\t1\t1" in lines
    columns = ("queue_name", "consumer_tag", "ack_required", "prefetch_count", "active")
    assert f"{queue}\ttag\ttrue\t0\ttrue" in ctl("-q", "list_consumers", *columns).lines
    found = [line.split("\t") for line in ctl("-s", "list_connections", "peer_port", "pid").lines]
    (pid,) = [columns[1] for columns in found if columns[0] == str(port)]
    assert ctl("close_connection", pid, "by hand").code == 0
    text = "CONNECTION_FORCED - by hand"
    ch.connection.expect_connection_close(320, text, 0, 0)


def test_definitions_go_out_and_in(ctl: Ctl, name: Callable[[str], str], tmp_path: Path) -> None:
    """An exported vhost comes back when the file is imported."""
    vhost, file = name("vhost"), tmp_path / "definitions.json"
    ctl("add_vhost", vhost)
    exported = ctl("export_definitions", str(file))
    text = f'Exporting definitions in JSON to a file at "{file}" ...\n'
    assert (exported.code, exported.out) == (0, text)
    assert vhost in [each["name"] for each in json.loads(file.read_text())["vhosts"]]
    ctl("delete_vhost", vhost)
    assert ctl("import_definitions", str(file)).code == 0
    assert vhost in ctl("list_vhosts").lines
    ctl("delete_vhost", vhost)


def test_health_checks(ctl: Ctl, broker: Target) -> None:
    """What runs every few seconds beside a broker: 0 and words when all is well, else 69."""
    assert broker.process is not None
    port = broker.process.port

    def diagnostics(*words: str) -> Ran:
        return ctl(*words, program="rabbitmq-diagnostics")

    assert diagnostics("-q", "ping").out == "Ping succeeded\n"
    running = diagnostics("check_running")
    heading, outcome = running.out.splitlines()
    node = heading.removeprefix("Checking if RabbitMQ is running on node ").removesuffix(" ...")
    assert outcome == f"RabbitMQ on node {node} is fully booted and running"
    quiet = diagnostics("-q", "check_local_alarms")
    assert quiet.out == f"Node {node} reported no local alarms\n"
    assert json.loads(diagnostics("check_alarms", "--formatter", "json").out) == {"result": "ok"}
    listening = diagnostics("check_port_listener", str(port), "--formatter", "json")
    assert json.loads(listening.out) == {"node": node, "port": str(port), "result": "ok"}
    absent = diagnostics("-q", "check_port_listener", "1")
    assert (absent.code, absent.out) == (69, "")
    assert (
        absent.err.strip()
        .split("\n")[-1]
        .startswith(
            f"No listener for port 1 is active on node {node}. Found listeners that use the "
        )
    )
    assert diagnostics("-q", "check_protocol_listener", "amqp").code == 0
    connected = diagnostics("-q", "check_port_connectivity").out
    assert connected.startswith("Successfully connected to ports ")
    assert str(port) in connected
    assert diagnostics("-q", "check_virtual_hosts").code == 0


def test_health_checks_during_an_alarm(broker: Target) -> None:
    """An alarm fails the checks of alarms with 69, and neither ping nor check_running."""
    if broker.process is None or broker.kind == "slow":
        pytest.skip("once, on a broker of its own")
    settings = {"vm_memory_high_watermark.absolute": "1MB"}
    with type(broker.process)(settings=settings) as starved:
        ctl = ctl_of(starved)
        while "Memory alarm" not in (told := ctl("alarms", program="rabbitmq-diagnostics")).out:
            assert told.code == 0  # the memory is looked at once in a while
        local = ctl("-q", "check_local_alarms", program="rabbitmq-diagnostics")
        assert (local.code, local.out) == (69, "")
        assert re.fullmatch(r"Error:\nMemory alarm on node \S+", local.err.strip())
        found = ctl("check_alarms", "--formatter", "json", program="rabbitmq-diagnostics")
        assert (found.code, found.out.strip()) == (69, "")
        assert json.loads(found.err)["result"] == "error"
        assert ctl("ping", program="rabbitmq-diagnostics").code == 0
        assert ctl("check_running", program="rabbitmq-diagnostics").code == 0


def test_a_watermark_that_is_set_while_it_runs(broker: Target, restartable: Broker) -> None:
    """set_vm_memory_high_watermark raises and clears the alarm at once, until the broker ends."""
    if broker.kind == "slow":
        pytest.skip("the programs do not meet the fast path")
    ctl = ctl_of(restartable)
    wanted = ("set_vm_memory_high_watermark", "absolute", "1000")
    node = json.loads(ctl("set_log_level", "info", "--formatter", "json").out)["node"]
    ran = ctl(*wanted)
    assert (ran.code, ran.out) == (0, f"Setting memory threshold on {node} to 1000 bytes ...\n")
    assert ctl("check_local_alarms", program="rabbitmq-diagnostics").code == 69
    status = json.loads(ctl("status", "--formatter", "json").out)
    assert status["vm_memory_high_watermark_setting"] == {"absolute": 1000}
    assert status["vm_memory_high_watermark_limit"] == 1000
    ran = ctl("set_vm_memory_high_watermark", "0.9")
    assert (ran.code, ran.out) == (0, f"Setting memory threshold on {node} to 0.9 ...\n")
    assert ctl("check_local_alarms", program="rabbitmq-diagnostics").code == 0
    assert ctl("set_disk_free_limit", "-q", "1MB").code == 0
    assert json.loads(ctl("status", "--formatter", "json").out)["disk_free_limit"] == 10**6
    restartable.stop()
    restartable.start()
    status = json.loads(ctl("status", "--formatter", "json").out)
    assert status["vm_memory_high_watermark_setting"] == {"relative": 0.4}
    assert status["disk_free_limit"] == 50 * 10**6


def test_status(ctl: Ctl, broker: Target) -> None:
    """status is for people, or one object of JSON."""
    assert broker.process is not None
    lines = ctl("status").out
    assert "OS PID: " in lines
    assert "Totals" in lines
    status = json.loads(ctl("status", "--formatter", "json").out)
    assert status["pid"] == broker.process.pid
    assert status["alarms"] == []
    assert broker.process.port in [listener["port"] for listener in status["listeners"]]


def test_cluster_name(broker: Target, restartable: Broker) -> None:
    """A cluster is named while it runs: new connections are told, and it lasts."""
    if broker.kind == "slow":
        pytest.skip("the programs do not meet the fast path")
    ctl = ctl_of(restartable)
    ran = ctl("set_cluster_name", "höme")
    assert (ran.code, ran.out) == (0, "Setting cluster name to höme ...\n")
    for _ in range(2):
        with Connection(restartable.url) as connection:
            name = connection.server["server_properties"]["cluster_name"]["S"]
            assert name == "höme"
        assert 'cluster_name\t"höme"' in ctl("list_global_parameters").lines
        status = json.loads(ctl("cluster_status", "--formatter", "json").out)
        assert status["cluster_name"] == "höme"
        restartable.stop()
        restartable.start()


def test_waiting_for_a_pid_file(broker: Target, tmp_path: Path) -> None:
    """wait ends when the broker of the file is up; scripts of images begin with it."""
    if broker.process is None or broker.kind == "slow":
        pytest.skip("once, on a broker of its own")
    place = tmp_path / "made" / "pid"
    with type(broker.process)(env={"RABBITMQ_PID_FILE": str(place)}) as process:
        ran = ctl_of(process)("wait", "--timeout", "30", str(place))
        assert (ran.code, ran.err) == (0, "")
        first, second, *_, last = ran.out.splitlines()
        assert first == f"Waiting for pid file '{place}' to appear"
        assert second == f"pid is {process.pid}"
        assert last.startswith("Applications 'rabbit_and_plugins' are running on node ")
        process.stop()
        assert not place.exists()


def test_maintenance(broker: Target, restartable: Broker) -> None:
    """A drained broker has closed its connections and lets nobody in until it is revived."""
    if broker.kind == "slow":
        pytest.skip("the programs do not meet the fast path")
    ctl = ctl_of(restartable)
    connection = Connection(restartable.url)
    assert ctl("drain", program="rabbitmq-upgrade").code == 0
    text = "CONNECTION_FORCED - Node was put into maintenance mode"
    connection.expect_connection_close(320, text, 0, 0)
    assert not speaks_amqp(restartable.port)
    assert json.loads(ctl("status", "--formatter", "json").out)["is_under_maintenance"] is True
    assert ctl("ping").code == ctl("check_running", program="rabbitmq-diagnostics").code == 0
    assert ctl("check_port_connectivity", program="rabbitmq-diagnostics").code == 69
    assert ctl("revive", program="rabbitmq-upgrade").code == 0
    assert speaks_amqp(restartable.port)
    assert json.loads(ctl("status", "--formatter", "json").out)["is_under_maintenance"] is False
    assert ctl("suspend_listeners").code == 0
    assert not speaks_amqp(restartable.port)
    assert ctl("resume_listeners").code == 0
    assert speaks_amqp(restartable.port)


def test_stop(broker: Target, restartable: Broker) -> None:
    """stop ends the broker in order."""
    if broker.kind == "slow":
        pytest.skip("the programs do not meet the fast path")
    ran = ctl_of(restartable)("stop")
    assert (ran.code, ran.err) == (0, "")
    assert restartable.wait() == 0


@pytest.mark.parametrize(
    "words",
    [("nosuchcommand",), ("add_user",), ("list_queues", "nosuchcolumn"), ("list_users", "--foo")],
)
def test_wrong_usage(ctl: Ctl, words: tuple[str, ...]) -> None:
    """What is no command, argument, column or option is exit code 64, with nothing on stdout."""
    ran = ctl(*words)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err


@pytest.mark.parametrize(("password", "answer"), [("guest", "{ok,{user,<<"), ("no", "{refused,<<")])
def test_what_puppet_evaluates(ctl: Ctl, password: str, answer: str) -> None:
    """Puppet's module asks by an Erlang expression whether a password is a user's."""
    login = f'check_user_pass_login(list_to_binary("guest"), list_to_binary("{password}"))'
    ran = ctl("eval", f"rabbit_access_control:{login}.")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(answer)
