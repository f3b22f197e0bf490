"""Commands: what each asks the API to do, what it says, and with which exit code it ends."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.admin.api import NODE, FakeApi
from tests.admin.conftest import Run

USER = {
    "name": "ann",
    "password_hash": "aGFzaA==",
    "hashing_algorithm": "rabbit_password_hashing_sha256",
    "tags": ["monitoring"],
    "limits": {},
}


@pytest.fixture
def known(api: FakeApi) -> FakeApi:
    """An API that knows the user ann, the vhost / and the queue q."""
    api.answers |= {
        "GET /api/users/ann": (200, USER),
        "GET /api/vhosts/%2F": (200, {"name": "/"}),
        "GET /api/queues/%2F/q": (200, {"name": "q", "messages_ready": 3}),
        "GET /api/connections?columns=name%2Cvhost": (
            200,
            [{"name": "1 -> 2", "vhost": "/"}, {"name": "3 -> 4", "vhost": "other"}],
        ),
        "GET /api/connections?columns=name%2Cuser": (200, [{"name": "1 -> 2", "user": "ann"}]),
    }
    for path in (
        "users/ann",
        "vhosts/v%2F1",
        "permissions/%2F/ann",
        "policies/%2F/p",
        "queues/%2F/q",
        "queues/%2F/q?if-empty=true&if-unused=true",
        "queues/%2F/q/contents",
        "connections/1%20-%3E%202",
        "vhost-limits/%2F/max-queues",
        "user-limits/ann/max-channels",
        "topic-permissions/%2F/ann/amq.topic",
        "global-parameters/g",
        "parameters/shovel/%2F/s",
    ):
        api.answers[f"DELETE /api/{path}"] = (204, None)
    return api


@pytest.mark.parametrize(
    ("line", "request_", "body"),
    [
        ("add_user bob secret --tags a,b", "PUT users/bob", {"password": "secret", "tags": "a,b"}),
        (
            "add_user bob aGFzaA== --pre-hashed-password",
            "PUT users/bob",
            {"password_hash": "aGFzaA==", "tags": ""},
        ),
        ("change_password ann new", "PUT users/ann", {"password": "new", "tags": "monitoring"}),
        ("clear_password ann", "PUT users/ann", {"password_hash": "", "tags": "monitoring"}),
        (
            "set_user_tags ann administrator x",
            "PUT users/ann",
            {
                "password_hash": USER["password_hash"],
                "hashing_algorithm": USER["hashing_algorithm"],
                "tags": "administrator,x",
            },
        ),
        ("delete_user ann", "DELETE users/ann", None),
        (
            "set_permissions ann ^c w r",
            "PUT permissions/%2F/ann",
            {"configure": "^c", "write": "w", "read": "r"},
        ),
        ("clear_permissions ann", "DELETE permissions/%2F/ann", None),
        (
            "set_topic_permissions ann amq.topic w r",
            "PUT topic-permissions/%2F/ann",
            {"exchange": "amq.topic", "write": "w", "read": "r"},
        ),
        (
            "clear_topic_permissions ann amq.topic",
            "DELETE topic-permissions/%2F/ann/amq.topic",
            None,
        ),
        (
            'set_user_limits ann {"max-channels":7}',
            "PUT user-limits/ann/max-channels",
            {"value": 7},
        ),
        ("clear_user_limits ann max-channels", "DELETE user-limits/ann/max-channels", None),
        (
            "add_vhost v/1 --description words --tags a,b --default-queue-type quorum",
            "PUT vhosts/v%2F1",
            {"description": "words", "tags": "a,b", "default_queue_type": "quorum"},
        ),
        (
            "update_vhost_metadata / --default-queue-type quorum",
            "PUT vhosts/%2F",
            {"default_queue_type": "quorum"},
        ),
        (
            "enable_vhost_protection_from_deletion v",
            "POST vhosts/v/deletion/protection",
            {},
        ),
        ("delete_vhost v/1", "DELETE vhosts/v%2F1", None),
        ('set_vhost_limits {"max-queues":5}', "PUT vhost-limits/%2F/max-queues", {"value": 5}),
        ("trace_on", "PUT vhosts/%2F", {"tracing": True}),
        ("trace_off", "PUT vhosts/%2F", {"tracing": False}),
        (
            'set_policy p ^q {"expires":5} --priority 3 --apply-to queues',
            "PUT policies/%2F/p",
            {"pattern": "^q", "definition": {"expires": 5}, "priority": 3, "apply-to": "queues"},
        ),
        (
            'set_operator_policy p ^q {"expires":5}',
            "PUT operator-policies/%2F/p",
            {"pattern": "^q", "definition": {"expires": 5}, "priority": 0, "apply-to": "all"},
        ),
        ("clear_policy p", "DELETE policies/%2F/p", None),
        (
            'set_parameter shovel s {"a":1}',
            "PUT parameters/shovel/%2F/s",
            {"component": "shovel", "vhost": "/", "name": "s", "value": {"a": 1}},
        ),
        ("clear_parameter shovel s", "DELETE parameters/shovel/%2F/s", None),
        ("set_global_parameter g [1]", "PUT global-parameters/g", {"name": "g", "value": [1]}),
        ("clear_global_parameter g", "DELETE global-parameters/g", None),
        ("purge_queue q", "DELETE queues/%2F/q/contents", None),
        ("delete_queue q -e -u", "DELETE queues/%2F/q?if-empty=true&if-unused=true", None),
        ("close_all_connections bye", "DELETE connections/1%20-%3E%202", None),
        ("close_all_user_connections ann bye", "DELETE connections/1%20-%3E%202", None),
        ("set_cluster_name c", "PUT cluster-name", {"name": "c"}),
        (
            "set_vm_memory_high_watermark 0.5",
            "PUT settings",
            {
                "vm_memory_high_watermark.relative": "0.5",
                "vm_memory_high_watermark.absolute": None,
            },
        ),
        (
            "set_vm_memory_high_watermark absolute 2GB",
            "PUT settings",
            {"vm_memory_high_watermark.absolute": "2GB"},
        ),
        (
            "set_disk_free_limit 64MiB",
            "PUT settings",
            {"disk_free_limit.absolute": "64MiB", "disk_free_limit.relative": None},
        ),
        (
            "set_disk_free_limit mem_relative 1.5",
            "PUT settings",
            {"disk_free_limit.relative": "1.5"},
        ),
        (
            "set_log_level debug",
            "PUT settings",
            {"log.level": "debug", "log.console.level": None, "log.file.level": None},
        ),
        ("change_setting log.level debug", "PUT settings", {"log.level": "debug"}),
        ("change_setting log.level", "PUT settings", {"log.level": None}),
        ("set_log_level debug queue", "PUT settings", {"log.queue.level": "debug"}),
    ],
)
def test_a_command_is_one_change(
    line: str, request_: str, body: Any, known: FakeApi, ctl: Run
) -> None:
    """A command that changes something asks for that one change, and ends with 0."""
    ran = ctl(*line.split(" "))
    assert (ran.code, ran.err) == (0, "")
    method, path = request_.split(" ")
    assert known.written == [(method, f"/api/{path}", body)]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("add_user ann x", 70, 'User "ann" already exists'),
        ("change_password bob x", 67, 'User "bob" does not exist'),
        ("delete_user bob", 67, 'User "bob" does not exist'),
        ("set_permissions bob . . .", 67, 'User "bob" does not exist'),
        ("set_permissions -p nov ann . . .", 69, "Virtual host nov does not exist"),
        ("list_permissions -p nov", 65, "Virtual host 'nov' does not exist"),
        ("delete_vhost nov", 65, "Virtual host 'nov' does not exist"),
        ("set_vhost_limits -p nov {}", 65, "Virtual host 'nov' does not exist"),
        ("set_policy p x {bad", 69, "JSON decoding error"),
        ("set_policy p x []", 69, "is not a JSON object"),
        ("clear_policy none", 69, "Parameter does not exist"),
        ("purge_queue none", 69, "not_found"),
        ("delete_queue none", 64, "Queue not found"),
        ("close_connection none bye", 69, 'no connection "none"'),
        ("list_queues nonsense", 64, "Info key(s) nonsense are not supported"),
        ("list_queues --nonsense", 64, "Invalid options for this command:\n--nonsense : "),
        ("list_users a", 64, "(argument validation): too many arguments."),
        ("set_permissions x .*", 64, "(argument validation): not enough arguments.\nMissing"),
        ("set_vm_memory_high_watermark 1.5", 65, "Bad argument: The threshold should be a fra"),
        ("set_vm_memory_high_watermark abc", 65, "Error (argument validation): Bad argument"),
        ("set_vm_memory_high_watermark 0.4 2", 64, "too many arguments."),
        ("set_vm_memory_high_watermark absolute", 64, "not enough arguments."),
        ("set_vm_memory_high_watermark absolute 1.5GB", 65, "should be an integer"),
        ("set_vm_memory_high_watermark absolute 1XB", 65, "Invalid units."),
        ("set_disk_free_limit 2XB", 65, "Bad argument"),
        ("set_disk_free_limit mem_relative", 64, "not enough arguments."),
        ("set_disk_free_limit mem_relative x", 65, "Bad argument"),
        ("set_log_level loud", 69, "level loud is not supported. Try one of debug, "),
        ("await_online_nodes 2", 70, "there is one node"),
        ("check_port_listener x", 65, "Error (argument validation): Bad argument: "),
        ("delete_user ", 65, "Bad argument: a name cannot be an empty string"),
        ("list_policies -p nov", 65, "Virtual host 'nov' does not exist"),
        ("update_vhost_metadata nov --tags a", 65, "Virtual host 'nov' does not exist"),
        ("update_vhost_metadata /", 65, "name at least one of --description"),
        ("disable_vhost_protection_from_deletion nov", 65, "Virtual host 'nov' does not exist"),
        ("set_vhost_tags nov a", 65, "Virtual host 'nov' does not exist"),
        ("import_definitions nosuchfile", 65, "cannot read nosuchfile"),
        ("ping -n other@host", 69, f"is node {NODE}, not other@host"),
        ("-n other@host list_users", 69, f"is node {NODE}, not other@host"),
    ],
)
def test_failures_have_rabbitmqctls_codes(
    line: str, code: int, words: str, known: FakeApi, ctl: Run
) -> None:
    """What cannot be done ends with rabbitmqctl's exit code, words on stderr and no change."""
    ran = ctl(*line.split(" "))
    assert (ran.code, words in ran.err) == (code, True), ran.err
    assert known.written in ([], [asked for asked in known.written if asked[0] == "DELETE"])


@pytest.mark.parametrize("line", ["delete_user ann", "add_vhost v", "close_all_connections bye"])
def test_a_dry_run_changes_nothing(line: str, known: FakeApi, ctl: Run) -> None:
    """With --dry-run, before or behind the command, it says what it would do, and asks for none."""
    words = line.split()
    for given in (["--dry-run", *words], [*words, "--dry-run"]):
        ran = ctl(*given)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.endswith("\n")
    assert known.written == []


def test_hash_password(ctl: Run) -> None:
    """The hash is a salt of four octets and SHA-256 of it and the password; no broker is asked."""
    ran = ctl("hash_password", stdin="secret\n")
    octets = base64.b64decode(ran.out)
    assert octets[4:] == hashlib.sha256(octets[:4] + b"secret").digest()
    assert ctl("hash_password", stdin="secret\n").out != ran.out


def test_peek(known: FakeApi, ctl: Run, leveret: Run) -> None:
    """Messages are looked at from a position on, which begins with 1; there has to be one."""
    message = {
        "position": 4,
        "exchange": "",
        "routing_key": "q",
        "redelivered": False,
        "properties": {"delivery_mode": 2},
        "payload": "a\tb",
    }
    known.answers["POST /api/queues/%2F/q/peek"] = (200, {"messages": [message], "total": 9})
    ran = ctl("-s", "peek", "q", "5", "--count", "3", "--dry-run")
    assert (ran.code, ran.out) == (0, '5\t\tq\tfalse\t{"delivery_mode":2}\ta\\tb\n')
    assert known.asked[-1][2] == {"offset": 4, "count": 3}
    known.answers["POST /api/queues/%2F/q/peek"] = (200, {"messages": [], "total": 9})
    assert ctl("peek", "q").code == 69
    known.answers["POST /api/queues/%2F/q/peek"] = (404, {"reason": "Not Found"})
    assert "there is no queue 'q' in vhost '/'" in leveret("peek", "q").err
    assert ctl("peek", "q", "0").code == 65


@pytest.mark.parametrize("node", [NODE, NODE.partition("@")[0]])
def test_a_node_may_be_named(node: str, known: FakeApi, ctl: Run) -> None:
    """The node's name is right with its host and without, as tools of configuration give it."""
    assert ctl("-n", node, "-q", "ping").out == "Ping succeeded\n"


def test_refusals_are_shown(known: FakeApi, ctl: Run) -> None:
    """What the broker says against a change is what the operator reads."""
    reason = "Validation failed\n\nno such key\x1b[31m"
    known.answers["PUT /api/policies/%2F/p"] = (400, {"error": "bad_request", "reason": reason})
    ran = ctl("set_policy", "p", "x", '{"nonsense":1}')
    assert ran.code == 69
    assert ran.err == "Error:\nValidation failed\n\nno such key\\x1b[31m\n"


def test_leveret_takes_no_password_from_its_arguments(known: FakeApi, leveret: Run) -> None:
    """Arguments are public, so a password comes from a pipe or a prompt."""
    ran = leveret("add_user", "bob", "secret")
    assert ran.code == 65
    assert "others can read" in ran.err
    assert "secret" not in ran.out + ran.err
    assert known.written == []
    assert leveret("add_user", "bob", stdin="secret\n").code == 0
    assert known.written == [("PUT", "/api/users/bob", {"password": "secret", "tags": ""})]
    assert leveret("change_password", "ann").code == 65


def test_authenticate_user_asks_as_that_user(api: FakeApi, ctl: Run) -> None:
    """The password is checked by logging in with it; a user without tags proves it too."""
    api.answers["GET /api/whoami"] = (401, {"error": "not_authorized", "reason": "Login failed"})
    ran = ctl("authenticate_user", "ann", "bad")
    assert ran.code == 65
    assert "invalid credentials" in ran.err
    refused = {"error": "not_authorised", "reason": "Not management user"}
    api.answers["GET /api/whoami"] = (401, refused)
    ran = ctl("authenticate_user", "ann", "good")
    assert (ran.code, ran.out) == (0, 'Authenticating user "ann" ...\nSuccess\n')
    assert api.headers[-1]["Authorization"] == "Basic YW5uOmdvb2Q="


def test_definitions_go_to_a_private_file_and_back(api: FakeApi, ctl: Run, tmp_path: Path) -> None:
    """An export holds password hashes: nobody else may read it. An import sends it as it is."""
    api.answers["GET /api/definitions"] = (200, {"users": [USER]})
    file = tmp_path / "all.json"
    assert ctl("export_definitions", str(file)).code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == {"users": [USER]}
    assert ctl("import_definitions", str(file)).code == 0
    assert api.written == [("POST", "/api/definitions", {"users": [USER]})]
    assert json.loads(ctl("export_definitions", "-").out) == {"users": [USER]}
    assert ctl("import_definitions", "-", stdin='{"vhosts":[]}').code == 0
    assert api.written[-1] == ("POST", "/api/definitions", {"vhosts": []})


def test_close_connection_gives_the_reason(known: FakeApi, ctl: Run) -> None:
    """The reason reaches the client in connection.close."""
    assert ctl("close_connection", "1 -> 2", "going\ndöwn").code == 0
    reason = known.headers[-1]["X-Reason"].encode("latin-1").decode()
    assert reason == "going\\ndöwn"


def test_no_broker_is_69(ctl: Run, leveret: Run) -> None:
    """Without a broker every command ends with 69 and says where it looked."""
    ran = leveret("list_queues")
    assert ran.code == 69
    assert "--data-dir" in ran.err
    ran = ctl("--data-dir", "nowhere", "ping")
    assert ran.code == 69
    assert "no broker runs in the data directory nowhere" in ran.err
    ran = leveret("list_queues", "--url", "http://127.0.0.1:1", "-U", "u", "--password-file", "p")
    assert (ran.code, "cannot read the password" in ran.err) == (65, True)
    Path("p").write_text("word")
    ran = leveret("list_queues", "--url", "http://127.0.0.1:1", "-U", "u", "--password-file", "p")
    assert (ran.code, "nothing listens at http://127.0.0.1:1" in ran.err) == (69, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_for_three_shells(shell: str, leveret: Run) -> None:
    """`leveret completion SHELL` prints what the shell reads."""
    ran = leveret("completion", shell)
    assert ran.code == 0
    assert "_LEVERET_COMPLETE" in ran.out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("leveret list_q", {"list_queues"}),
        ("leveret list_queues messages_un", {"messages_unacknowledged"}),
        ("leveret list_queues --form", {"--formatter"}),
        ("leveret list_queues --formatter pre", {"pretty_table"}),
    ],
)
def test_completion_offers(
    typed: str,
    offered: set[str],
    leveret: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The shell completes commands, columns, options and their values, without a broker."""
    monkeypatch.setenv("_LEVERET_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    with pytest.raises(SystemExit):
        leveret()
    lines = capsys.readouterr().out.splitlines()
    found = {line.split(",")[1] for line in lines}
    assert offered <= found
    assert all(each.startswith(typed.split()[-1]) for each in found)


@pytest.mark.parametrize(
    ("typed", "asked", "offered"),
    [
        ("leveret purge_queue a", "queues/%2F", ["ab", "ac"]),
        ("leveret -p v delete_queue a", "queues/v", ["ab", "ac"]),
        ("leveret delete_user a", "users", ["ab", "ac"]),
        ("leveret clear_policy a", "policies/%2F", ["ab", "ac"]),
        ("leveret purge_queue a", "nothing", []),
    ],
)
def test_completion_of_names(
    typed: str,
    asked: str,
    offered: list[str],
    api: FakeApi,
    leveret: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The shell completes names of what there is, of as many as fit; without an answer none."""
    query = "columns=name&page=1&page_size=100&name=%5Ea&use_regex=true"
    items = [{"name": name} for name in ("ab", "ac", "b")]
    api.answers[f"GET /api/{asked}?{query}"] = (200, {"items": items})
    monkeypatch.setenv("_LEVERET_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    with pytest.raises(SystemExit):
        leveret()
    lines = capsys.readouterr().out.split()
    assert [line.split(",")[1] for line in lines] == offered


def test_log_tail(api: FakeApi, leveret: Run) -> None:
    """The newest lines of the log, where the API gives it out."""
    assert leveret("log_tail").code == 69
    line = {"seq": 1, "time": "T", "level": "info", "category": "queue", "message": "m"}
    api.answers["GET /api/logs"] = (200, {"lines": [line, line | {"message": "n"}], "last": 2})
    assert leveret("log_tail", "-N", "1").out == "T [info] queue: n\n"


@pytest.mark.parametrize("timeout", ["0", "-1", "infinity", "1e30", "nan", "5"])
def test_any_timeout_will_do(timeout: str, known: FakeApi, ctl: Run) -> None:
    """As long as it likes, without end included."""
    assert ctl("ping", "--timeout", timeout).code == 0
