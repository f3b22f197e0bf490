"""The event exchange: what the model tells of its changes."""

from typing import Any

from broker.core.broker import Broker
from broker.core.events import EVENT
from broker.core.permissions import (
    clear_permissions,
    clear_topic_permissions,
    set_permissions,
    set_topic_permissions,
)
from broker.core.policies import delete_policy, set_policy
from broker.core.runtime_parameters import (
    clear_global_parameter,
    clear_parameter,
    set_global_parameter,
    set_parameter,
)
from broker.core.users import (
    clear_user_limit,
    delete_user,
    hash_password,
    put_user,
    set_user_limit,
)
from broker.core.vhost import Vhost
from broker.core.vhost_settings import clear_limit, set_limit
from protocol.content import body_size, decode_properties, header_payload
from protocol.tables import Field, plain
from tests.core.doubles import make_exchange, make_queue, make_vhost

NOW_MS = 1_700_000_000_123


def listening() -> tuple[Vhost, Any]:
    """A vhost, and what returns the events since the last call as routing keys and headers."""
    vhost = make_vhost()
    vhost.broker.now_ms = NOW_MS
    queue = make_queue(vhost, "events")
    vhost.bind(EVENT, queue, "#", {})

    def heard() -> list[tuple[str, dict[str, Any]]]:
        messages = sorted(queue.backlog, key=lambda each: each.id)
        queue.purge()
        found = []
        for message in messages:
            properties = decode_properties(header_payload(message.content))
            assert body_size(message.content) == 0
            assert (properties["delivery_mode"], properties["timestamp"]) == (2, NOW_MS // 1000)
            headers = {name: plain(value) for name, value in properties["headers"].items()}
            assert headers.pop("timestamp_in_ms") == NOW_MS
            found.append((message.routing_key, headers))
        return found

    heard()
    return vhost, heard


def test_topology() -> None:
    """Queues, exchanges and bindings tell when they come and when they go, in RabbitMQ's order."""
    vhost, heard = listening()
    queue = make_queue(vhost, "q", arguments={"x-max-length": 5})
    make_exchange(vhost, "x", "topic")
    vhost.bind("x", queue, "k", {"a": Field("S", b"b")})
    created = heard()
    assert [key for key, _ in created] == ["queue.created", "exchange.created", "binding.created"]
    assert created[0][1] == {
        "name": "q",
        "vhost": "/",
        "durable": False,
        "auto_delete": False,
        "exclusive": False,
        "owner_pid": "",
        "arguments": ['{<<"x-max-length">>,signedint,5}'],
        "user_who_performed_action": "rmq-internal",
    }
    assert created[2][1]["arguments"] == ['{<<"a">>,longstr,<<"b">>}']
    vhost.delete_queue("q")
    vhost.delete_exchange("x")
    deleted = heard()
    assert [key for key, _ in deleted] == ["binding.deleted", "queue.deleted", "exchange.deleted"]
    assert deleted[0][1] | {"user_who_performed_action": "rmq-internal"} == created[2][1]


def test_what_changes_nothing_is_no_event() -> None:
    """A redeclaration, a binding that exists and the deletion of what is missing are not told."""
    vhost, heard = listening()
    queue = make_queue(vhost, "q")
    vhost.bind("amq.topic", queue, "k", {})
    heard()
    make_queue(vhost, "q")
    vhost.bind("amq.topic", queue, "k", {})
    vhost.delete_queue("nothing")
    vhost.delete_exchange("nothing")
    assert heard() == []


def test_settings() -> None:
    """Policies, operator policies and limits are told; the last two as runtime parameters too."""
    vhost, heard = listening()
    for operator in (False, True):
        set_policy(vhost, "p", pattern="^q", definition={"max-length": 3}, operator=operator)
        delete_policy(vhost, "p", operator=operator)
    set_limit(vhost, "max-queues", 9)
    clear_limit(vhost, "max-queues")
    events = heard()
    assert [key for key, _ in events] == [
        "policy.set",
        "policy.cleared",
        "parameter.set",
        "policy.set",
        "parameter.cleared",
        "operator.policy.cleared",
        "parameter.set",
        "vhost.limits.set",
        "parameter.cleared",
        "vhost.limits.cleared",
    ]
    stated = {
        "pattern": "^q",
        "definition": {"max-length": 3},
        "priority": 0,
        "apply-to": "all",
    }
    named = {"vhost": "/", "name": "p", "user_who_performed_action": "rmq-internal"}
    assert events[0][1] == named | stated
    assert events[2][1] == named | {"component": "operator_policy", "value": stated}
    assert events[7][1]["max-queues"] == 9


def test_policies_of_queues() -> None:
    """Who gets another policy is told, and nobody else, whatever policies there are."""
    vhost, heard = listening()
    for name in ("q1", "q2", "r"):
        make_queue(vhost, name)
    set_policy(vhost, "high", pattern="^q1", definition={"max-length": 9}, priority=9)
    heard()

    def told() -> list[tuple[str, str]]:
        return [(key, facts["name"]) for key, facts in heard() if key.startswith("queue.policy")]

    set_policy(vhost, "low", pattern="^q", definition={"max-length": 3})
    assert told() == [("queue.policy.updated", "q2")]
    set_policy(vhost, "low", pattern="^r", definition={"max-length": 3})
    assert told() == [("queue.policy.updated", "q2"), ("queue.policy.updated", "r")]
    delete_policy(vhost, "low")
    assert told() == [("queue.policy.cleared", "r")]
    delete_policy(vhost, "high")
    assert told() == [("queue.policy.cleared", "q1")]


def test_vhosts() -> None:
    """A vhost tells when it comes and goes; the exchange tells of other vhosts too."""
    vhost, heard = listening()
    broker = vhost.broker
    make_queue(broker.declare_vhost("v"), "q")
    broker.change({"op": "vhost.delete", "name": "v"}, durable=True)
    events = [(key, facts["name"]) for key, facts in heard()]
    exchanges = [name for key, name in events if key == "exchange.created"]
    assert len(exchanges) == 7
    assert [event for event in events if not event[0].startswith("exchange.")] == [
        ("vhost.created", "v"),
        ("queue.created", "q"),
        ("queue.deleted", "q"),
        ("vhost.deleted", "v"),
        ("vhost.down", "v"),
    ]
    assert sorted(name for key, name in events if key == "exchange.deleted") == sorted(exchanges)
    assert EVENT not in broker.declare_vhost("w").exchanges


def test_parameters() -> None:
    """Parameters tell their value; those of the whole broker have no vhost."""
    vhost, heard = listening()
    set_parameter(vhost, "shovel", "s", {"a": [1]})
    clear_parameter(vhost, "shovel", "s")
    set_global_parameter(vhost.broker, "g", "v")
    clear_global_parameter(vhost.broker, "g")
    events = [(key, facts | {"user_who_performed_action": ""}) for key, facts in heard()]
    nobody = {"user_who_performed_action": ""}
    shovel = {"vhost": "/", "component": "shovel", "name": "s"} | nobody
    of_broker = {"component": "global", "name": "g"} | nobody
    assert events == [
        ("parameter.set", shovel | {"value": {"a": [1]}}),
        ("parameter.cleared", shovel),
        ("parameter.set", of_broker | {"value": "v"}),
        ("parameter.cleared", of_broker),
    ]


def test_users_and_permissions() -> None:
    """Users tell what of them changes, permissions what they are; no password is told."""
    vhost, heard = listening()
    broker = vhost.broker
    with broker.events.acting("admin"):
        first = hash_password("a", b"salt")
        put_user(broker, "u", password_hash=first, tags=["monitoring"])
        put_user(broker, "u", password_hash=hash_password("b", b"salt"), tags=["monitoring"])
        set_user_limit(broker, "u", "max-channels", 5)
        clear_user_limit(broker, "u", "max-channels")
        set_permissions(vhost, "u", configure="c", write="w", read="r")
        set_topic_permissions(vhost, "u", "amq.topic", write="w", read="r")
        clear_topic_permissions(vhost, "u")
        clear_permissions(vhost, "u")
        delete_user(broker, "u")
    events = heard()
    on = {"user": "u", "vhost": "/"}
    admin = {"user_who_performed_action": "admin"}
    limits = {"name": "limits", "username": "u"}
    assert events == [
        ("user.created", {"name": "u"} | admin),
        ("user.tags.set", {"name": "u", "tags": ["monitoring"]} | admin),
        ("user.password.changed", {"name": "u"} | admin),
        ("user.limits.set", limits | {"max-channels": 5} | admin),
        ("user.limits.cleared", limits | admin),
        ("permission.created", on | {"configure": "c", "write": "w", "read": "r"} | admin),
        (
            "topic.permission.created",
            on | {"exchange": "amq.topic", "write": "w", "read": "r"} | admin,
        ),
        ("permission.deleted", on | admin),
        ("permission.deleted", on | admin),
        ("user.deleted", {"name": "u"} | admin),
    ]


def test_the_exchange_goes_with_its_vhost() -> None:
    """With its vhost deleted, nobody is told of anything, and nothing goes wrong."""
    broker = Broker()
    broker.events.place = "v"
    vhost = broker.declare_vhost("v")
    vhost.bind(EVENT, make_queue(vhost, "events"), "#", {})
    assert broker.events.wanted
    broker.change({"op": "vhost.delete", "name": "v"}, durable=True)
    assert not broker.events.wanted
    broker.declare_vhost("w")
