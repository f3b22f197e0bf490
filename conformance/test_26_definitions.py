"""Definitions that travel: from RabbitMQ to Leveret, by each way in, and on to a fresh RabbitMQ.

What is compared is what each broker exports, field by field, and that users log in as before.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.brokers import REPOSITORY, Broker, Leveret, RabbitMQ
from conformance.conftest import PRIVATE, URL
from conformance.test_26_users import SEED, as_seeded, await_management, http
from conformance.wire import Connection

pytestmark = [
    pytest.mark.skipif(bool(URL) or PRIVATE != "leveret", reason="needs Leveret and RabbitMQ"),
    pytest.mark.skipif(not RabbitMQ.available(), reason="needs RabbitMQ"),
]
PLUGINS = [
    "rabbitmq_management",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
    "rabbitmq_federation",
]
HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512, "md5": hashlib.md5}


def _user(kind: str) -> dict[str, Any]:
    """A user whose name and password are the kind of the hash."""
    salted = b"salt" + HASHES[kind](b"salt" + kind.encode()).digest()
    return {
        "name": kind,
        "password_hash": base64.b64encode(salted).decode(),
        "hashing_algorithm": f"rabbit_password_hashing_{kind}",
        "tags": "monitoring,policymaker,impersonator,own",
        "limits": {"max-connections": 7, "max-channels": 9},
    }


def _queue(name: str, **arguments: Any) -> dict[str, Any]:
    rest = {"durable": True, "auto_delete": False, "arguments": arguments}
    return {"vhost": "all", "name": name, **rest}


def _exchange(kind: str, **arguments: Any) -> dict[str, Any]:
    flags = {"durable": True, "auto_delete": kind == "fanout", "internal": kind == "topic"}
    return {"vhost": "all", "name": f"x {kind}", "type": kind, **flags, "arguments": arguments}


def _binding(source: str, kind: str, to: str, key: str, **arguments: Any) -> dict[str, Any]:
    target = {"destination": to, "destination_type": kind, "routing_key": key}
    return {"vhost": "all", "source": source, **target, "arguments": arguments}


def _parameter(component: str, name: str, **value: Any) -> dict[str, Any]:
    return {"vhost": "all", "component": component, "name": name, "value": value}


EVERY = {"configure": ".*", "write": "", "read": r"^[äé\\]"}
MORE: dict[str, Any] = {
    "vhosts": [{"name": "all", "metadata": {"description": "Everything", "tags": ["a", "b"]}}],
    "users": [_user(kind) for kind in HASHES],
    "permissions": [{"user": kind, "vhost": "all", **EVERY} for kind in HASHES],
    "topic_permissions": [
        {"user": "md5", "vhost": "all", "exchange": x, "write": "{client_id}", "read": "^(?!a)"}
        for x in ("amq.topic", "none")
    ],
    "global_parameters": [{"name": "text", "value": "é"}, {"name": "none", "value": [1.5, True]}],
    "parameters": [
        _parameter("federation-upstream", "up", uri="amqp://127.0.0.1:1", **{"max-hops": 2}),
        _parameter("vhost-limits", "limits", **{"max-connections": -1, "max-queues": 99}),
        _parameter(
            "operator_policy",
            "op",
            **{
                "pattern": ".*",
                "apply-to": "queues",
                "priority": -3,
                "definition": {"expires": 900_000},
            },
        ),
    ],
    "policies": [
        {
            "vhost": "all",
            "name": kind,
            "pattern": "^q",
            "apply-to": kind,
            "priority": 5,
            "definition": {"message-ttl": 10, "overflow": "reject-publish", "queue-mode": "lazy"}
            if kind != "exchanges"
            else {"alternate-exchange": "amq.fanout"},
        }
        for kind in ("all", "queues", "exchanges")
    ],
    "exchanges": [
        *map(_exchange, ("direct", "fanout", "topic", "headers", "x-random", "x-modulus-hash")),
        _exchange("x-consistent-hash", **{"hash-header": "h"}),
        _exchange("x-recent-history", **{"x-recent-history-length": 5}),
    ],
    "queues": [
        _queue("q classic", **{"x-queue-type": "classic", "x-queue-mode": "lazy"}),
        _queue("q quorum", **{"x-queue-type": "quorum", "x-delivery-limit": 3}),
        _queue("q stream", **{"x-queue-type": "stream", "x-max-age": "1D"}),
        _queue("q limits", **{"x-max-length": 1, "x-overflow": "drop-head", "x-expires": 90_000}),
        _queue("q odd", **{"x-odd": {"a": [1, "b"], "c": True}, "x-message-ttl": 0}),
        {**_queue("q brief"), "auto_delete": True},
    ],
    "bindings": [
        _binding("x direct", "queue", "q classic", ""),
        _binding("x direct", "queue", "q classic", "k" * 255),
        _binding("x direct", "exchange", "x fanout", "é", n=1, l=[1, "t"]),
        _binding("x headers", "queue", "q quorum", "", **{"x-match": "all-with-x", "a": 1}),
        _binding("x x-consistent-hash", "queue", "q odd", "10"),
    ],
}
FULL = {section: [*SEED.get(section, []), *MORE.get(section, [])] for section in SEED | MORE}
OWN = {"cluster_name", "internal_cluster_id"}  # global parameters that each broker has of its own


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """What is the same at both brokers, in one order; 3.10 says less of queues and vhosts."""
    sections = {
        section: sorted(
            (_plain(section, value) for value in values),
            key=lambda value: json.dumps(value, sort_keys=True),
        )
        for section, values in document.items()
        if isinstance(values, list)
    }
    mine = [one for one in sections["global_parameters"] if one["name"] not in OWN]
    return {**sections, "global_parameters": mine}


def _plain(section: str, value: dict[str, Any]) -> dict[str, Any]:
    left_out = {"queues": {"type"}, "vhosts": {"metadata", "description", "tags"}}.get(
        section, set()
    )
    return {key: item for key, item in value.items() if key not in left_out}


def logins(broker: Broker) -> None:
    """Each user logs in with the old password."""
    as_seeded(broker)
    for kind in HASHES:
        with Connection(broker.url, user=kind, password=kind, vhost="all") as connection:
            connection.channel().call("queue.declare", queue="q classic", passive=True)
        with pytest.raises(AssertionError, match="ACCESS_REFUSED"):
            Connection(broker.url, user=kind, password="other", vhost="all")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What RabbitMQ exports."""
    path = tmp_path_factory.mktemp("definitions") / "full.json"
    path.write_text(json.dumps(FULL))
    with RabbitMQ(settings={"load_definitions": path}, plugins=PLUGINS) as rabbitmq:
        yield http(await_management(rabbitmq), "GET", "definitions")


def _by_http(broker: Leveret, path: Path) -> None:
    http(broker, "POST", "definitions", json.loads(path.read_text()))


def _by_command(broker: Leveret, path: Path) -> None:
    program, environment = broker.command("rabbitmqctl")
    words = [*program, "import_definitions", str(path)]
    subprocess.run(words, cwd=REPOSITORY, env={**os.environ, **environment}, check=True)


WAYS: dict[str, Callable[[Leveret, Path], None] | None] = {
    "boot": None,
    "http": _by_http,
    "command": _by_command,
}


@pytest.mark.parametrize("way", WAYS)
def test_from_rabbitmq(way: str, exported: dict[str, Any], tmp_path: Path) -> None:
    """Everything is taken and exported as it came, and the users log in with their passwords."""
    path = tmp_path / "exported.json"
    path.write_text(json.dumps(exported))
    take = WAYS[way]
    with Leveret(settings={"load_definitions": path} if take is None else {}) as broker:
        if take is not None:
            take(broker, path)
        logins(broker)
        assert comparable(http(broker, "GET", "definitions")) == comparable(exported)


def test_back_to_rabbitmq(exported: dict[str, Any], tmp_path: Path) -> None:
    """What Leveret exports, a fresh RabbitMQ takes, exports as it was, and lets the same in."""
    with Leveret() as broker:
        http(broker, "POST", "definitions", exported)
        ours = http(broker, "GET", "definitions")
    path = tmp_path / "ours.json"
    path.write_text(json.dumps(ours))
    with RabbitMQ(settings={"load_definitions": path}, plugins=PLUGINS) as rabbitmq:
        again = http(await_management(rabbitmq), "GET", "definitions")
        logins(rabbitmq)
    assert comparable(again) == comparable(exported)
