"""Policies: after any program of changes, everything has the settings its names and arguments give.

The rule is written once more here, from scratch and without regard for what was before.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broker.core.broker import Broker
from broker.core.operations import apply, decode_operation
from broker.core.policies import delete_policy, set_policy
from broker.core.vhost import Vhost
from protocol.tables import table
from tests.core.doubles import ListeningLog, fill, make_exchange, make_queue, make_vhost

NAMES = ["a", "b", "c"]
QUEUES = ["qa", "qb", "é", "x1"]
EXCHANGES = ["x1", "x2", "qa"]
PATTERNS = ["", "^q", "a$", "x", "^é", "b|1", "never"]
APPLY_TO = ["all", "queues", "classic_queues", "quorum_queues", "exchanges"]
LIMITS = {"max-length": "max_length", "message-ttl": "message_ttl_ms", "expires": "expires_ms"}
WORDS = {"overflow": "overflow", "dead-letter-exchange": "dead_letter_exchange"}
ONLY_QUORUM = {"delivery-limit": "delivery_limit"}

limits = st.fixed_dictionaries(
    {}, optional={key: st.integers(1, 6) for key in (*LIMITS, *ONLY_QUORUM)}
)
words = st.fixed_dictionaries(
    {},
    optional={
        "overflow": st.sampled_from(["drop-head", "reject-publish"]),
        "dead-letter-exchange": st.sampled_from(["", "nowhere"]),
    },
)
alternates = st.fixed_dictionaries(
    {}, optional={"alternate-exchange": st.sampled_from(["amq.fanout", "nowhere"])}
)
durable = st.booleans()


def definitions(*, operator: bool) -> st.SearchStrategy[dict[str, Any]]:
    """A definition that is in order."""
    more = st.just({}) if operator else st.tuples(words, alternates).map(lambda t: t[0] | t[1])
    joined = st.tuples(limits, more).map(lambda t: t[0] | t[1])
    return joined.filter(bool)


@st.composite
def steps(draw: st.DrawFn) -> tuple[Any, ...]:
    """One change."""
    kind = draw(st.sampled_from(["set", "set", "delete", "queue", "fill", "gone", "exchange"]))
    operator = draw(st.booleans())
    if kind == "set":
        options = {
            "pattern": draw(st.sampled_from(PATTERNS)),
            "priority": draw(st.integers(-1, 2)),
            "apply_to": draw(st.sampled_from(APPLY_TO)),
            "definition": draw(definitions(operator=operator)),
        }
        return (kind, operator, draw(st.sampled_from(NAMES)), options)
    if kind == "delete":
        return (kind, operator, draw(st.sampled_from(NAMES)))
    if kind == "exchange":
        arguments = draw(alternates)
        return (kind, draw(st.sampled_from(EXCHANGES)), draw(durable), arguments)
    if kind == "queue":
        arguments = {f"x-{key}": value for key, value in draw(words).items()}
        arguments |= {f"x-{key}": value for key, value in draw(limits).items()}
        quorum = draw(st.booleans())
        if quorum:
            arguments["x-queue-type"] = "quorum"
        else:
            arguments.pop("x-delivery-limit", None)
        return (kind, draw(st.sampled_from(QUEUES)), quorum or draw(durable), arguments)
    return (kind, draw(st.sampled_from(QUEUES)))


@dataclass
class Model:
    """What was set and declared, as plain values."""

    policies: dict[tuple[bool, str], dict[str, Any]] = field(default_factory=dict)
    queues: dict[str, tuple[bool, dict[str, Any]]] = field(default_factory=dict)
    exchanges: dict[str, tuple[bool, dict[str, Any]]] = field(default_factory=dict)

    def holding(self, operator: bool, kind: str, name: str) -> dict[str, Any]:
        """The definition of the policy that holds for an object; empty if none does."""
        kinds = {
            "all": {"classic", "quorum", "exchange"},
            "queues": {"classic", "quorum"},
            "classic_queues": {"classic"},
            "quorum_queues": {"quorum"},
            "exchanges": {"exchange"},
        }
        found = [
            (-policy["priority"], policy_name, policy["definition"])
            for (is_operator, policy_name), policy in self.policies.items()
            if is_operator == operator
            and kind in kinds[policy["apply_to"]]
            and re.search(policy["pattern"], name)
            and not (kind == "classic" and set(policy["definition"]) & set(ONLY_QUORUM))
        ]
        return min(found)[2] if found else {}

    def settings(self, name: str) -> dict[str, Any]:
        """What a queue's settings have to be, for the keys used here."""
        _, arguments = self.queues[name]
        kind = arguments.get("x-queue-type", "classic")
        sources = [
            {key.removeprefix("x-"): value for key, value in arguments.items()},
            self.holding(True, kind, name),
            self.holding(False, kind, name),
        ]
        expected: dict[str, Any] = {}
        for key, setting in (LIMITS | ONLY_QUORUM).items():
            stated = [source[key] for source in sources if key in source]
            expected[setting] = min(stated) if stated else None
        for key, setting in WORDS.items():
            stated = [source[key] for source in sources if key in source]
            default = "drop-head" if key == "overflow" else None
            expected[setting] = stated[0] if stated else default
        return expected

    def alternate(self, name: str) -> str | None:
        """What an exchange's alternate has to be."""
        _, arguments = self.exchanges[name]
        both = self.holding(False, "exchange", name) | arguments
        alternate: str | None = both.get("alternate-exchange")
        return alternate


def take(step: tuple[Any, ...], vhost: Vhost, model: Model) -> None:
    """Carry out one step on both sides."""
    match step:
        case ("set", operator, name, options):
            is_new = (operator, name) not in model.policies
            assert set_policy(vhost, name, operator=operator, **options) == is_new
            model.policies[operator, name] = options
        case ("delete", operator, name):
            known = model.policies.pop((operator, name), None) is not None
            assert delete_policy(vhost, name, operator=operator) == known
        case ("queue", name, is_durable, arguments) if name not in model.queues:
            make_queue(vhost, name, durable=is_durable, arguments=arguments)
            model.queues[name] = (is_durable, arguments)
        case ("exchange", name, is_durable, arguments) if name not in model.exchanges:
            make_exchange(vhost, name, durable=is_durable, arguments=table(arguments))
            model.exchanges[name] = (is_durable, arguments)
        case ("gone", name):
            vhost.delete_queue(name)
            model.queues.pop(name, None)
        case ("fill", name) if name in model.queues:
            fill(vhost.queues[name], 3)
            vhost.queues[name].refresh()


def check(vhost: Vhost, model: Model, *, restarted: bool = False) -> None:
    """Settings, alternates and policies are what the model says; nothing is above a limit."""
    for name, (is_durable, _) in model.queues.items():
        if is_durable or not restarted:
            queue = vhost.queues[name]
            expected = model.settings(name)
            assert {key: getattr(queue.settings, key) for key in expected} == expected
            limit = queue.settings.max_length
            assert queue.settings.rejects_publishes or limit is None or len(queue) <= limit
    for name, (is_durable, _) in model.exchanges.items():
        if is_durable or not restarted:
            assert vhost.exchanges[name].alternate == model.alternate(name)
    for operator, policies in ((False, vhost.policies), (True, vhost.operator_policies)):
        assert {
            policy.name: {
                "pattern": policy.pattern,
                "priority": policy.priority,
                "apply_to": policy.apply_to,
                "definition": policy.definition,
            }
            for policy in policies
        } == {
            name: options for (is_op, name), options in model.policies.items() if is_op == operator
        }


@given(st.lists(steps(), max_size=25))
def test_settings_are_what_the_rule_gives(program: list[tuple[Any, ...]]) -> None:
    """After each step, and after a restart from the snapshot or the log, the rule holds."""
    log = ListeningLog()
    vhost, model = make_vhost(log), Model()
    for step in program:
        take(step, vhost, model)
        check(vhost, model)
    from_snapshot, from_log = Broker(), Broker()
    for octets in vhost.broker.snapshot():
        apply(from_snapshot, decode_operation(octets))
    for operation in log.operations:
        apply(from_log, operation)
    check(from_snapshot.vhosts["/"], model, restarted=True)
    check(from_log.vhosts["/"], model, restarted=True)
