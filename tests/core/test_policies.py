"""Policies: which one holds, what it does to queues and exchanges that live, and for how long."""

from typing import Any

import pytest

from broker.core.broker import Broker
from broker.core.operations import apply, decode_operation
from broker.core.policies import delete_policy, effective_definition, set_policy
from broker.core.policy_keys import KEYS
from broker.core.queue import Queue
from broker.core.settings import QueueSettings
from broker.core.validation import InvalidParameter
from broker.core.vhost import Vhost
from protocol.tables import table
from tests.core.doubles import (
    ListeningLog,
    fill,
    make_exchange,
    make_queue,
    make_vhost,
    settle_down,
    subscribe,
)


def define(vhost: Vhost, name: str = "p", pattern: str = "^q", **options: Any) -> bool:
    """Set a policy; what is not an option of `set_policy` is a key of its definition."""
    known = {
        key: options.pop(key) for key in ("priority", "apply_to", "operator") if key in options
    }
    definition = {key.replace("_", "-"): value for key, value in options.items()}
    return set_policy(vhost, name, pattern=pattern, definition=definition, **known)


def ready_ids(queue: Queue) -> list[int]:
    """The ids of the ready messages."""
    return [message.id for message in queue.backlog]


def restarted(broker: Broker, log: ListeningLog | None = None) -> Vhost:
    """The vhost `/` of a broker made from the snapshot, and from what a log was told since."""
    new = Broker()
    for octets in broker.snapshot():
        apply(new, decode_operation(octets))
    for operation in log.operations if log is not None else ():
        apply(new, operation)
    return new.vhosts["/"]


# -- which policy holds ----------------------------------------------------------------


@pytest.mark.parametrize("first", ["policy", "queue"])
def test_a_policy_holds_for_queues_old_and_new(first: str) -> None:
    """Whether queue or policy was there first makes no difference."""
    vhost = make_vhost()
    if first == "queue":
        make_queue(vhost)
    assert define(vhost, max_length=3)
    if first == "policy":
        make_queue(vhost)
    assert vhost.queues["q"].settings == QueueSettings(max_length=3)
    assert make_queue(vhost, "other").settings == QueueSettings()


def test_the_highest_priority_wins_alone() -> None:
    """One policy holds for a queue: the others add nothing, whatever the order they came in."""
    vhost = make_vhost()
    queue = make_queue(vhost)
    define(vhost, "high", max_length=9, priority=2)
    define(vhost, "low", message_ttl=1000, max_length=1, priority=-1)
    assert queue.settings == QueueSettings(max_length=9)
    define(vhost, "higher", overflow="reject-publish", priority=2.5)
    assert queue.settings == QueueSettings(overflow="reject-publish")


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_among_equals_the_first_by_name_wins(order: str) -> None:
    """Among policies of equal priority the name decides, not the order they came in."""
    vhost = make_vhost()
    queue = make_queue(vhost)
    for name in order:
        define(vhost, name, max_length=ord(name))
    assert queue.settings.max_length == ord("a")


@pytest.mark.parametrize(
    ("apply_to", "matched"),
    [
        ("all", {"classic", "quorum", "exchange"}),
        ("queues", {"classic", "quorum"}),
        ("classic_queues", {"classic"}),
        ("quorum_queues", {"quorum"}),
        ("streams", set()),
        ("exchanges", {"exchange"}),
    ],
)
def test_apply_to_chooses_kinds(apply_to: str, matched: set[str]) -> None:
    """A policy holds only for the kinds of objects it applies to."""
    vhost = make_vhost()
    make_queue(vhost, "classic", durable=True)
    make_queue(vhost, "quorum", durable=True, arguments={"x-queue-type": "quorum"})
    make_exchange(vhost, "exchange")
    define(vhost, pattern="", apply_to=apply_to, consumer_timeout=5, alternate_exchange="ae")
    found = {name for name, queue in vhost.queues.items() if queue.settings.consumer_timeout_ms}
    found |= {name for name, x in vhost.exchanges.items() if x.alternate and name == "exchange"}
    assert found == matched


def test_a_policy_with_a_key_of_another_type_does_not_apply() -> None:
    """A delivery limit keeps the whole policy off classic queues, queue-mode off quorum queues."""
    vhost = make_vhost()
    classic = make_queue(vhost, "q1", durable=True)
    quorum = make_queue(vhost, "q2", durable=True, arguments={"x-queue-type": "quorum"})
    define(vhost, "a", delivery_limit=3, max_length=5, priority=1)
    define(vhost, "b", queue_mode="lazy", max_length=6)
    assert classic.settings.max_length == 6
    assert (quorum.settings.max_length, quorum.settings.delivery_limit) == (5, 3)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("", "anything", True),
        ("b", "abc", True),
        ("^b", "abc", False),
        (r"^a\.\d+$", "a.12", True),
        (r"^(?!amq\.).*", "amq.gen-1", False),
        ("^é", "é", True),
        (r"^\w$", "é", False),  # octets, as in RabbitMQ: an accented letter is no word character
        ("^..$", "é", True),
    ],
)
def test_patterns_match_anywhere_in_the_octets(pattern: str, name: str, matches: bool) -> None:
    """A pattern matches octets of a name, anywhere unless anchored."""
    vhost = make_vhost()
    queue = make_queue(vhost, name, owner=1, exclusive=True) if name[:3] != "amq" else None
    define(vhost, pattern=pattern, max_length=1)
    assert (vhost.policies.match("classic", name) is not None) == matches
    assert queue is None or (queue.settings.max_length == 1) == matches


def test_policies_stay_in_their_vhost() -> None:
    """A policy of one vhost does nothing in another."""
    vhost = make_vhost()
    other = vhost.broker.declare_vhost("other")
    define(vhost, max_length=1)
    assert make_queue(other).settings == QueueSettings()


# -- together with arguments and operator policies -------------------------------------


@pytest.mark.parametrize(
    ("argument", "policy", "operator", "effective"),
    [
        (None, 5, None, 5),
        (3, 5, None, 3),
        (5, 3, None, 3),
        (None, 5, 3, 3),
        (None, 3, 5, 3),
        (2, 3, 5, 2),
        (7, None, 6, 6),
        (None, None, 6, 6),
        (7, None, None, 7),
        (0, 1, 1, 0),
    ],
)
def test_the_lowest_limit_holds(
    argument: int | None, policy: int | None, operator: int | None, effective: int
) -> None:
    """Of argument, policy and operator policy the lowest limit holds."""
    vhost = make_vhost()
    arguments = {} if argument is None else {"x-max-length": argument}
    queue = make_queue(vhost, arguments=arguments)
    if policy is not None:
        define(vhost, max_length=policy)
    if operator is not None:
        define(vhost, operator=True, max_length=operator)
    assert queue.settings.max_length == effective


def test_arguments_win_where_nothing_is_lower() -> None:
    """Names and words: the argument, then the operator policy, then the policy."""
    vhost = make_vhost()
    stated = {"x-dead-letter-exchange": "mine", "x-overflow": "drop-head"}
    one, two = make_queue(vhost, "q1", arguments=stated), make_queue(vhost, "q2")
    define(vhost, dead_letter_exchange="theirs", dead_letter_routing_key="k", overflow="drop-head")
    define(vhost, operator=True, overflow="reject-publish")
    assert (one.settings.dead_letter_exchange, one.settings.overflow) == ("mine", "drop-head")
    assert one.settings.dead_letter_routing_key == "k"
    assert (two.settings.dead_letter_exchange, two.settings.overflow) == (
        "theirs",
        "reject-publish",
    )


@pytest.mark.parametrize(("argument", "policy", "operator", "effective"), [
    (-1, 5, None, 5), (5, -1, None, 5), (None, -1, None, None), (None, -1, 4, 4),
])  # fmt: skip
def test_no_delivery_limit_lifts_no_other(
    argument: int | None, policy: int, operator: int | None, effective: int | None
) -> None:
    """-1 in a delivery limit states no limit; it does not lift one stated elsewhere."""
    vhost = make_vhost()
    arguments: dict[str, object] = {"x-queue-type": "quorum"}
    if argument is not None:
        arguments["x-delivery-limit"] = argument
    queue = make_queue(vhost, durable=True, arguments=arguments)
    define(vhost, delivery_limit=policy)
    if operator is not None:
        define(vhost, operator=True, delivery_limit=operator)
    assert queue.settings.delivery_limit == effective


def test_the_effective_definition_joins_both() -> None:
    """Policy and operator policy together: every key, the lower limit."""
    vhost = make_vhost()
    queue = make_queue(vhost)
    assert effective_definition(queue) == {}
    define(vhost, max_length=5, dead_letter_exchange="x")
    define(vhost, operator=True, max_length=4, expires=1000)
    assert effective_definition(queue) == {
        "dead-letter-exchange": "x",
        "expires": 1000,
        "max-length": 4,
    }


# -- effect on what lives --------------------------------------------------------------


def test_a_lower_limit_drops_the_oldest_at_once() -> None:
    """What is above a new limit goes to the dead-letter exchange of the same policy."""
    vhost = make_vhost()
    dead, queue = make_queue(vhost, "dead"), make_queue(vhost)
    ids = [message.id for message in fill(queue, 5)]
    define(vhost, max_length=2, dead_letter_exchange="", dead_letter_routing_key="dead")
    assert ready_ids(queue) == ids[3:]
    assert len(dead) == 3
    fill(queue, 4)
    settle_down(vhost.broker)
    assert (len(queue), len(dead)) == (2, 7)


def test_a_ready_consumer_comes_before_a_new_limit() -> None:
    """Messages that a consumer has room for are delivered, not dropped."""
    vhost = make_vhost()
    queue = make_queue(vhost)
    consumer = subscribe(queue, credit=3)
    ids = [message.id for message in fill(queue, 5)]
    define(vhost, max_length=0)
    assert consumer.ids == ids[:3]
    assert len(queue) == 0


def test_a_queue_that_refuses_publishes_keeps_what_it_has() -> None:
    """Under reject-publish a lower limit drops nothing; the queue is full."""
    vhost = make_vhost()
    queue = make_queue(vhost)
    fill(queue, 5)
    define(vhost, max_length=2, overflow="reject-publish")
    assert len(queue) == 5
    assert queue.rejects(1)
    delete_policy(vhost, "p")
    assert not queue.rejects(1)


def test_a_ttl_counts_from_publishing() -> None:
    """A new TTL expires at once what is older, and the rest in time; removing it ends that."""
    vhost = make_vhost()
    broker, queue = vhost.broker, make_queue(vhost)
    fill(queue, 2)
    broker.now_ms = 1000
    younger = fill(queue, 1)[0]
    define(vhost, message_ttl=500)
    assert ready_ids(queue) == [younger.id]
    broker.now_ms = 1500
    broker.timers.run(broker.now_ms)
    assert ready_ids(queue) == []
    fill(queue, 1)
    delete_policy(vhost, "p")
    broker.now_ms = 9000
    broker.timers.run(broker.now_ms)
    assert len(queue) == 1


def test_expires_by_policy_counts_from_its_change() -> None:
    """An unused queue goes when the new time is over; other changes do not prolong it."""
    vhost = make_vhost()
    broker = vhost.broker
    make_queue(vhost)
    make_queue(vhost, "q2")
    broker.now_ms = 1000
    define(vhost, pattern="^q$", expires=500)
    broker.now_ms = 1400
    define(vhost, pattern="^q$", expires=500, max_length=3)
    broker.now_ms = 1500
    broker.timers.run(broker.now_ms)
    assert list(vhost.queues) == ["q2"]


def test_removing_expires_keeps_the_queue() -> None:
    """A queue whose expiry was lifted in time stays."""
    vhost = make_vhost()
    make_queue(vhost)
    define(vhost, expires=500)
    delete_policy(vhost, "p")
    vhost.broker.now_ms = 10_000
    vhost.broker.timers.run(10_000)
    assert "q" in vhost.queues


def test_removing_a_policy_restores_the_arguments() -> None:
    """Without the policy the queue does what its arguments say."""
    vhost = make_vhost()
    queue = make_queue(vhost, arguments={"x-max-length": 5})
    before = queue.settings
    define(vhost, max_length=2, message_ttl=1, expires=9)
    define(vhost, operator=True, max_length=1)
    assert queue.settings != before
    assert delete_policy(vhost, "p")
    assert delete_policy(vhost, "p", operator=True)
    assert queue.settings == before
    assert queue.policies == (None, None)
    assert not delete_policy(vhost, "p")


def test_an_expiration_survives_changes_of_policy() -> None:
    """A message's own expiration holds before, under and after a TTL by policy."""
    vhost = make_vhost()
    broker, queue = vhost.broker, make_queue(vhost)
    for message in fill(queue, 2):
        message.ttl_ms = 100
    queue.expect_expiring()
    define(vhost, message_ttl=5000)
    delete_policy(vhost, "p")
    broker.now_ms = 100
    broker.timers.run(100)
    assert len(queue) == 0


def test_an_alternate_exchange_by_policy() -> None:
    """A policy gives an exchange its alternate unless an argument does, predeclared ones too."""
    vhost = make_vhost()
    make_queue(vhost)
    make_exchange(vhost, "x1")
    make_exchange(vhost, "x2", arguments=table({"alternate-exchange": "other"}))
    vhost.bind("amq.fanout", vhost.queues["q"], "", {})
    for exchange in ("x1", "amq.direct"):
        assert vhost.route(vhost.exchanges[exchange], "k", b"") == []
    define(vhost, pattern="^x|direct", apply_to="exchanges", alternate_exchange="amq.fanout")
    make_exchange(vhost, "x3")
    for exchange in ("x1", "x3", "amq.direct"):
        assert vhost.route(vhost.exchanges[exchange], "k", b"") == [vhost.queues["q"]]
    assert vhost.exchanges["x2"].alternate == "other"
    delete_policy(vhost, "p")
    assert vhost.route(vhost.exchanges["x1"], "k", b"") == []
    assert vhost.exchanges["x2"].alternate == "other"


def test_a_change_voids_cached_routes() -> None:
    """Setting and deleting a policy move the vhost's generation on."""
    vhost = make_vhost()
    seen = {vhost.generation}
    define(vhost, max_length=1)
    seen.add(vhost.generation)
    delete_policy(vhost, "p")
    seen.add(vhost.generation)
    assert len(seen) == 3


# -- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"definition": {}}, "no policy provided"),
        ({"definition": {"zzz": 1}}, '[{<<"zzz">>,1}] are not recognised policy settings'),
        ({"definition": {"max-length": -1}}, "-1 is not a valid maximum length"),
        ({"definition": {"max-length": True}}, "true is not a valid maximum length"),
        ({"definition": {"ha-mode": "zzz"}}, '<<"zzz">> is not a valid ha-mode value'),
        ({"definition": {"expires": 0}}, "0 is not a valid queue expiry"),
        ({"definition": {"message-ttl": 1.5}}, "1.5 is not a valid message TTL"),
        (
            {"definition": {"message-ttl": 315_360_000_001}},
            "315360000001 is not a valid message TTL",
        ),
        (
            {"definition": {"expires": 315_360_000_001}},
            "315360000001 is not a valid queue expiry",
        ),
        (
            {"definition": {"delayed-message": "yes"}},
            '<<"yes">> is not a valid delayed message flag',
        ),
        ({"definition": "x"}, 'definition must be a dictionary: <<"x">>'),
        ({"priority": "a"}, 'priority should be a number, actually was <<"a">>'),
        (
            {"pattern": "("},
            'pattern should be regular expression but is invalid: {"missing )",1}',
        ),
        (
            {"apply_to": "zzz"},
            "apply-to 'zzz' unrecognised; should be one of: 'queues', 'classic_queues', "
            "'quorum_queues', 'streams', 'exchanges', or 'all'",
        ),
        (
            {"pattern": 1, "definition": {}},
            "no policy provided\npattern should be a binary but was 1",
        ),
        (
            {"operator": True, "definition": {"dead-letter-exchange": "x"}},
            '[{<<"dead-letter-exchange">>,<<"x">>}] are not recognised policy settings',
        ),
    ],
)
def test_faults_are_told_in_the_words_of_rabbitmq(wrong: dict[str, Any], fault: str) -> None:
    """What makes no sense is refused with RabbitMQ's text, and changes nothing."""
    vhost = make_vhost()
    options: dict[str, Any] = {"pattern": "x", "definition": {"max-length": 5}}
    with pytest.raises(InvalidParameter) as caught:
        set_policy(vhost, "p", **(options | wrong))
    assert str(caught.value) == f"Validation failed\n\n{fault}\n"
    assert not list(vhost.policies)


VALUES: dict[str, Any] = {
    "alternate-exchange": "x",
    "overflow": "reject-publish-dlx",
    "dead-letter-exchange": "x",
    "dead-letter-routing-key": "",
    "dead-letter-strategy": "at-least-once",
    "delayed-message": True,
    "delayed-retry-type": "failed",
    "delayed-retry-strategy": "exponential",
    "max-age": "7D",
    "queue-leader-locator": "balanced",
    "queue-master-locator": "min-masters",
    "queue-mode": "lazy",
    "queue-version": 2,
    "stream-filter-size-bytes": 16,
    "ha-mode": "exactly",
    "ha-params": ["rabbit@a"],
    "ha-sync-mode": "automatic",
    "ha-promote-on-shutdown": "always",
    "ha-promote-on-failure": "when-synced",
    "federation-upstream": "u",
    "federation-upstream-set": "all",
    "federation-upstream-pattern": "^u",
}


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_key_is_accepted_and_kept(key: str) -> None:
    """Each key takes a value that makes sense, keeps it over a restart, and refuses another."""
    vhost = make_vhost()
    value = VALUES.get(key, 5000)
    set_policy(vhost, "p", pattern="x", definition={key: value})
    kept = restarted(vhost.broker).policies.get("p")
    assert kept is not None
    assert kept.definition == {key: value}
    with pytest.raises(InvalidParameter, match="is not a valid"):
        set_policy(vhost, "p", pattern="x", definition={key: {"no": "sense"}})


# -- restarts --------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["snapshot", "log"])
def test_policies_survive_a_restart(source: str) -> None:
    """Policies and their effect are rebuilt from the snapshot, and from the log's operations."""
    log = ListeningLog()
    vhost = make_vhost(log)
    make_queue(vhost, "q", durable=True)
    define(vhost, "gone", max_length=1, priority=9)
    define(vhost, "p", max_length=7, priority=1.5, apply_to="queues")
    define(vhost, "p", operator=True, message_ttl=9, pattern="")
    delete_policy(vhost, "gone")
    make_queue(vhost, "q2", durable=True)
    empty = Broker()
    again = restarted(vhost.broker) if source == "snapshot" else restarted(empty, log)
    assert [*again.policies, *again.operator_policies] == [
        *vhost.policies,
        *vhost.operator_policies,
    ]
    assert len(list(again.policies)) == len(list(again.operator_policies)) == 1
    for name in ("q", "q2"):
        assert again.queues[name].settings == QueueSettings(max_length=7, message_ttl_ms=9)
