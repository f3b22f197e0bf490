"""Definitions: what RabbitMQ and Amazon MQ export comes in whole, or nothing of it does."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.config import ConfigError, load
from broker.core.broker import Broker
from broker.core.limits import Limits
from broker.core.operations import snapshot
from broker.core.policies import set_policy
from broker.core.users import MD5
from broker.core.vhost import Vhost
from broker.definitions import (
    DefinitionError,
    at_once,
    boot,
    export_all,
    export_vhost,
    import_all,
    import_vhost,
)

# As RabbitMQ 3.10 exports it, shortened.
OLD: dict[str, Any] = {
    "rabbit_version": "3.10.8",
    "rabbitmq_version": "3.10.8",
    "product_name": "RabbitMQ",
    "product_version": "3.10.8",
    "users": [
        {
            "name": "ann",
            "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["management", "policymaker"],
            "limits": {"max-channels": 50},
        }
    ],
    "vhosts": [{"name": "/"}, {"name": "v"}],
    "permissions": [
        {"user": "ann", "vhost": "v", "configure": "^x", "write": ".*", "read": ""},
    ],
    "topic_permissions": [
        {"user": "ann", "vhost": "v", "exchange": "t", "write": "^ok", "read": ".*"},
    ],
    "parameters": [
        {
            "value": {
                "pattern": "^q",
                "definition": {"expires": 36000000},
                "priority": 0,
                "apply-to": "queues",
            },
            "vhost": "v",
            "component": "operator_policy",
            "name": "op",
        },
        {
            "value": {"max-connections": 100},
            "vhost": "v",
            "component": "vhost-limits",
            "name": "limits",
        },
        {
            "value": {"src-uri": "amqp://", "dest-uri": "amqp://"},
            "vhost": "v",
            "component": "shovel",
            "name": "s",
        },
    ],
    "global_parameters": [
        {"name": "internal_cluster_id", "value": "rabbitmq-cluster-id-x"},
        {"name": "own", "value": {"a": 1}},
    ],
    "policies": [
        {
            "vhost": "v",
            "name": "p",
            "pattern": "^q",
            "apply-to": "queues",
            "definition": {"max-length": 100000},
            "priority": 1,
        }
    ],
    "queues": [
        {
            "name": "q",
            "vhost": "v",
            "type": "classic",
            "durable": True,
            "auto_delete": False,
            "arguments": {"x-max-priority": 5, "x-dead-letter-exchange": "t"},
        }
    ],
    "exchanges": [
        {
            "name": "t",
            "vhost": "v",
            "type": "topic",
            "durable": True,
            "auto_delete": False,
            "internal": False,
            "arguments": {"alternate-exchange": "amq.fanout"},
        }
    ],
    "bindings": [
        {
            "source": "t",
            "vhost": "v",
            "destination": "q",
            "destination_type": "queue",
            "routing_key": "a.#",
            "arguments": {},
        },
        {
            "source": "amq.headers",
            "vhost": "v",
            "destination": "t",
            "destination_type": "exchange",
            "routing_key": "",
            "arguments": {"x-match": "all", "n": 1, "f": 1.5, "l": [True, None]},
        },
    ],
}

# What RabbitMQ 4 and Amazon MQ have more.
NEW: dict[str, Any] = {
    "rabbitmq_version": "4.1.0",
    "rabbitmq_definition_format": "cluster",
    "original_cluster_name": "rabbit@elsewhere",
    "explanation": "Definitions of cluster 'rabbit@elsewhere'",
    "amazon_mq": {"broker": "b-1"},
    "users": [{"name": "aws", "password_hash": "", "tags": "monitoring, a"}],
    "vhosts": [
        {
            "name": "v",
            "description": "Old place of the name",
            "limits": [],
            "metadata": {
                "description": "New place",
                "tags": ["t"],
                "default_queue_type": "quorum",
                "protected_from_deletion": True,
                "owner": "ops",
            },
        }
    ],
    "queues": [
        {
            "name": "n",
            "vhost": "v",
            "type": "classic",
            "durable": True,
            "auto_delete": "false",
            "arguments": {},
            "leader": "here",
        }
    ],
}


def salt(count: int) -> bytes:
    """No chance."""
    return bytes(count)


def broker_with(*documents: dict[str, Any]) -> Broker:
    """A broker that took in definitions."""
    broker = Broker()
    for document in documents:
        at_once(import_all(broker, document, salt))
    return broker


def by_name(document: dict[str, Any]) -> dict[str, Any]:
    """Definitions without versions, in an order of their own."""
    return {
        section: sorted(values, key=lambda value: json.dumps(value, sort_keys=True))
        for section, values in document.items()
        if isinstance(values, list)
    }


def plain_vhosts(document: dict[str, Any]) -> dict[str, Any]:
    """The same with nothing but the names of vhosts."""
    return document | {"vhosts": [{"name": vhost["name"]} for vhost in document["vhosts"]]}


# -- what comes in ---------------------------------------------------------------------


def test_what_rabbitmq_exported_is_exported_again() -> None:
    """Every definition comes back as it was."""
    exported = export_all(broker_with(OLD), "3.13.7")
    assert plain_vhosts(by_name(exported)) == by_name(OLD)
    assert exported["rabbit_version"] == "3.13.7"


def test_an_import_is_complete() -> None:
    """Import of an export changes nothing."""
    broker = broker_with(OLD, NEW)
    again = broker_with(export_all(broker, "3.13.7"))
    assert export_all(again, "x") == export_all(broker, "x")
    assert list(snapshot(again)) == list(snapshot(broker))


def test_definitions_of_newer_brokers() -> None:
    """Metadata of vhosts is taken from its old place or its new one; types of queues are kept."""
    broker = broker_with(NEW)
    vhost = broker.vhosts["v"]
    assert (vhost.description, vhost.tags) == ("Old place of the name", ("t",))
    assert vhost.default_queue_type == "quorum"
    assert vhost.protected
    assert vhost.queues["n"].type == "classic"
    assert broker.users["aws"].tags == ("monitoring", "a")


def test_what_is_unknown_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """It is named in a warning and exported again, at its place."""
    exported = export_all(broker_with(NEW), "x")
    assert exported["amazon_mq"] == {"broker": "b-1"}
    assert exported["vhosts"][0]["metadata"]["owner"] == "ops"
    assert exported["queues"][0]["leader"] == "here"
    for name in ("amazon_mq", "leader", "metadata"):
        assert f"{name}: unknown" in caplog.text


def test_what_exists_stays() -> None:
    """A queue or exchange that is there keeps its arguments; policies and users are replaced."""
    broker = broker_with(OLD)
    document = copy.deepcopy(OLD)
    document["queues"][0]["arguments"] = {"x-max-priority": 9}
    document["exchanges"][0]["type"] = "fanout"
    document["policies"][0]["definition"] = {"max-length": 1}
    document["users"][0]["tags"] = []
    at_once(import_all(broker, document, salt))
    exported = export_all(broker, "x")
    assert exported["queues"] == OLD["queues"]
    assert exported["exchanges"] == OLD["exchanges"]
    assert exported["policies"] == document["policies"]
    assert exported["users"] == document["users"]


def test_passwords_in_plain_text_are_hashed() -> None:
    """A file made by hand may have them."""
    document = {"users": [{"name": "ann", "password": "sécret", "tags": ""}]}
    (user,) = broker_with(document).users.values()
    assert user.has_password("sécret".encode())
    assert "sécret" not in json.dumps(export_all(broker_with(document), "x"))


def test_hashes_of_old_brokers_are_md5() -> None:
    """RabbitMQ before 3.6 did not name its algorithm."""
    users = [{"name": "ann", "password_hash": "AAAAAAAA", "tags": ""}]
    for version, expected in (("3.5.7", True), ("3.6.0", False), ("x", False)):
        broker = broker_with({"rabbit_version": version, "users": users})
        assert (broker.users["ann"].hashing_algorithm == MD5) == expected


def test_reserved_and_missing_things_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """RabbitMQ exports bindings of queues that it does not export, and takes that in itself."""
    queue = {"vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    exchange = {**queue, "type": "topic", "internal": False}
    binding = {"vhost": "/", "destination_type": "queue", "routing_key": "", "arguments": {}}
    broker = broker_with(
        {
            "vhosts": [{"name": "/"}],
            "queues": [{**queue, "name": "amq.gen-x"}],
            "exchanges": [{**exchange, "name": "amq.x"}, {**exchange, "name": ""}],
            "bindings": [
                {**binding, "source": "amq.topic", "destination": "amq.gen-x"},
                {**binding, "source": "", "destination": "q"},
            ],
        }
    )
    vhost = broker.vhosts["/"]
    assert not vhost.queues
    assert "amq.x" not in vhost.exchanges
    assert caplog.text.count("not imported") == 4


# -- faults ----------------------------------------------------------------------------


def set_in(section: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Spoil the first object of a section."""
    return lambda document: document[section][0].__setitem__(key, value)


def without(section: str, key: str) -> Callable[[dict[str, Any]], None]:
    """Take a key from the first object of a section."""
    return lambda document: document[section][0].pop(key)


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


FAULTS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (set_in("users", "password_hash", "***"), "users[0] ('ann') has a password_hash that is not"),
    (set_in("users", "hashing_algorithm", "x"), "users[0] ('ann') has an unknown hashing_algo"),
    (without("users", "tags"), "users[0] ('ann') has no 'tags'"),
    (without("users", "name"), "users[0] has no 'name'"),
    (set_in("users", "limits", {"max-x": 1}), "users[0] ('ann') is refused: Validation failed"),
    (set_in("users", "password", "p"), "users[0] ('ann') has both a password and"),
    (set_in("vhosts", "name", 5), "vhosts[0] has a 'name' that is no text"),
    (set_in("permissions", "vhost", "w"), "permissions[0] ('ann') is in vhost 'w', which does"),
    (set_in("permissions", "user", "bob"), "permissions[0] ('bob') is for user 'bob', who does"),
    (set_in("permissions", "read", "("), "permissions[0] ('ann') is refused: '(' is not a regular"),
    (set_in("topic_permissions", "write", "["), "topic_permissions[0] ('ann') is refused: '['"),
    (set_in("parameters", "value", {"pattern": "("}), "parameters[0] ('op') is refused:"),
    (set_in("policies", "definition", {"zzz": 1}), "policies[0] ('p') is refused: Validation"),
    (set_in("queues", "arguments", {"x-message-ttl": -1}), "queues[0] ('q') is refused: invalid"),
    (set_in("queues", "arguments", [1]), "queues[0] ('q') has 'arguments' that are no object"),
    (set_in("queues", "durable", "perhaps"), "queues[0] ('q') has a 'durable' that is neither"),
    (set_in("queues", "name", "q" * 256), "has a 'name' of more than 255 octets"),
    (set_in("exchanges", "type", "x-jms"), "exchanges[0] ('t') is refused:"),
    (set_in("bindings", "destination_type", "x"), "bindings[0] has destination_type 'x' instead"),
    (lambda document: document["bindings"].append(5), "bindings[2] is no object"),
    (set_in("queues", "name", "q\ud800"), "is refused: 'utf-8' codec can't encode character"),
    (set_in("queues", "arguments", {"a": 1 << 63}), "queues[0] ('q') has 'arguments' that AMQP"),
    (set_in("queues", "arguments", {"a": nested(70)}), "queues[0] ('q') is refused: nested too"),
    (set_in("queues", "arguments", {"a": nested(900)}), "queues[0] ('q') is "),
    (set_in("queues", "arguments", {"a" * 256: 1}), "queues[0] ('q') is refused: "),
    (
        set_in("bindings", "arguments", {"a": "\ud800"}),
        "bindings[0] has 'arguments' that AMQP cannot say",
    ),
    (lambda document: document.update(queues={}), "queues is no list"),
]


@pytest.mark.parametrize(("spoil", "told"), FAULTS, ids=[told for _, told in FAULTS])
def test_a_fault_changes_nothing(spoil: Callable[[Any], Any], told: str) -> None:
    """It is told with its place, and what was in order before it is not taken in either."""
    broker = broker_with(NEW)
    before = list(snapshot(broker))
    document = copy.deepcopy(OLD)
    spoil(document)
    with pytest.raises(DefinitionError) as caught:
        at_once(import_all(broker, document, salt))
    assert told in str(caught.value)
    assert list(snapshot(broker)) == before


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(queues=4), "queues[2] ('o') is refused: cannot declare queue 'o': queue limit"),
        (Limits(exchanges=9), "exchanges[0] ('t') is refused: cannot declare exchange 't'"),
        (Limits(vhosts=2), "vhosts[2] ('w') is refused: cannot create vhost 'w': vhost limit"),
    ],
)
def test_limits_of_the_node_hold(limits: Limits, told: str) -> None:
    """One thing too many is a fault like any other; what clients have for themselves counts."""
    broker = broker_with({"vhosts": [{"name": "v"}]})
    for name in ("mine", "own"):
        broker.vhosts["v"].declare_queue(
            name, durable=False, exclusive=True, auto_delete=False, arguments={}, owner=object()
        )
    broker.limits = limits
    before = list(snapshot(broker))
    document = copy.deepcopy(OLD)
    document["queues"] += [{**document["queues"][0], "name": name} for name in "no"]
    document["vhosts"].append({"name": "w"})
    with pytest.raises(DefinitionError) as caught:
        at_once(import_all(broker, document, salt))
    assert told in str(caught.value)
    assert list(snapshot(broker)) == before


@pytest.mark.parametrize("document", [[], 5, None, "x"])
def test_what_is_no_object_is_refused(document: Any) -> None:
    """A file is an object."""
    with pytest.raises(DefinitionError, match="no JSON object"):
        at_once(import_all(Broker(), document, salt))


# -- one vhost -------------------------------------------------------------------------


def test_a_vhost_is_copied_into_another() -> None:
    """All that is in it, and nothing else; vhosts that the file names do not matter."""
    broker = broker_with(OLD)
    other = broker.declare_vhost("other")
    exported = export_vhost(broker.vhosts["v"], "3.13.7")
    assert "vhost" not in json.dumps(list(exported["queues"]))
    at_once(import_vhost(other, exported))
    assert contents(other) == contents(broker.vhosts["v"])
    at_once(import_vhost(other, OLD))
    assert contents(other) == contents(broker.vhosts["v"])
    assert set(broker.users) == {"ann"}


def contents(vhost: Vhost) -> dict[str, Any]:
    """What is exported of a vhost."""
    exported = export_vhost(vhost, "x")
    return {section: values for section, values in exported.items() if isinstance(values, list)}


def test_what_clients_declared_for_themselves_is_not_exported() -> None:
    """Exclusive queues and their bindings belong to a connection."""
    broker = broker_with(OLD)
    vhost = broker.vhosts["v"]
    before = contents(vhost)
    queue = vhost.declare_queue(
        "mine", durable=False, exclusive=True, auto_delete=False, arguments={}, owner=object()
    )
    vhost.bind("t", queue, "k", {})
    assert contents(vhost) == before


# -- at the start ----------------------------------------------------------------------


def test_definitions_at_the_start(tmp_path: Path) -> None:
    """A directory's files are loaded in the order of their names."""
    (tmp_path / "1.json").write_text(json.dumps({"vhosts": [{"name": "v"}]}))
    queue = {"name": "q", "vhost": "v", "arguments": {}}
    (tmp_path / "2.json").write_text(json.dumps({"queues": [queue]}))
    (tmp_path / "readme.txt").write_text("{")
    config, _ = load(None, (f"load_definitions={tmp_path}",), {})
    broker = Broker()
    boot.load(broker, config, salt)
    assert list(broker.vhosts["v"].queues) == ["q"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"users": [}', "line 1 column 12"),
        ('{"queues": [5]}', "queues[0] is no object"),
        ("\udcff", "utf-8"),
        ("[" * 100_000, "recursion"),
        (None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_loaded_ends_the_start(
    tmp_path: Path, text: str | None, told: str
) -> None:
    """One line says which file, and what is wrong with it."""
    path = tmp_path / "d.json"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    config, _ = load(None, (f"load_definitions={path}",), {})
    with pytest.raises(ConfigError) as caught:
        boot.load(Broker(), config, salt)
    (line,) = caught.value.faults
    assert line.startswith(f"load_definitions: {path}: ")
    assert told in line


def test_definitions_may_be_loaded_only_when_they_change(tmp_path: Path) -> None:
    """With skip_if_unchanged an operator's changes outlive a restart, until the file changes."""
    path = tmp_path / "d.json"
    path.write_text(json.dumps(OLD))
    loaded, _ = load(None, (f"definitions.local.path={path}",), {})
    config = replace(loaded, definitions_skip_if_unchanged=True)
    broker = Broker()
    boot.load(broker, config, salt)
    vhost = broker.vhosts["v"]
    definition = {"max-length": 7}
    set_policy(vhost, "p", pattern="^q", definition=definition, apply_to="queues")
    boot.load(broker, config, salt)
    assert next(iter(vhost.policies)).definition == definition
    path.write_text(json.dumps(OLD) + " ")
    boot.load(broker, config, salt)
    assert next(iter(vhost.policies)).definition == {"max-length": 100000}
