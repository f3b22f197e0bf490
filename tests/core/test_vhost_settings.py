"""What an operator sets for a vhost: limits, the default type of queue, what new vhosts get."""

import re
from typing import Any

import pytest

from broker.core.broker import Broker
from broker.core.operations import apply, decode_operation
from broker.core.pattern import Pattern
from broker.core.validation import InvalidParameter
from broker.core.vhost import Vhost
from broker.core.vhost_settings import (
    DefaultLimits,
    DefaultPolicy,
    VhostDefaults,
    clear_limit,
    set_default_queue_type,
    set_limit,
    set_limits,
)
from protocol.errors import PreconditionFailed
from tests.core.doubles import make_queue, make_vhost


def restarted(vhost: Vhost) -> Vhost:
    """The vhost of a broker made from the snapshot."""
    broker = Broker()
    for octets in vhost.broker.snapshot():
        apply(broker, decode_operation(octets))
    return broker.vhosts[vhost.name]


def test_a_queue_above_the_limit_is_refused() -> None:
    """A new queue is refused at the limit; declaring one that exists is not."""
    vhost = make_vhost().broker.declare_vhost("bv")
    set_limit(vhost, "max-queues", 1)
    make_queue(vhost, "bvq1")
    make_queue(vhost, "bvq1")
    text = "cannot declare queue 'bvq2': queue limit in vhost 'bv' (1) is reached"
    with pytest.raises(PreconditionFailed, match=re.escape(text)):
        make_queue(vhost, "bvq2")
    vhost.delete_queue("bvq1")
    make_queue(vhost, "bvq2")


@pytest.mark.parametrize("lift", ["negative", "clear"])
def test_a_limit_can_be_lifted(lift: str) -> None:
    """A negative limit is none, like one that was cleared; lowering it deletes nothing."""
    vhost = make_vhost()
    make_queue(vhost, "q1")
    set_limits(vhost, {"max-queues": 0, "max-connections": 3})
    assert list(vhost.queues) == ["q1"]
    if lift == "clear":
        clear_limit(vhost, "max-queues")
        clear_limit(vhost, "max-queues")
    else:
        set_limit(vhost, "max-queues", -1)
    make_queue(vhost, "q2")
    assert vhost.limits["max-connections"] == 3


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ({"zzz": 5}, 'Unrecognised terms [{<<"zzz">>,5}] in limits'),
        ({"max-queues": "a"}, 'max-queues should be a number, actually was <<"a">>'),
        ({"max-connections": None}, "max-connections should be a number, actually was null"),
    ],
)
def test_faults_are_told_in_the_words_of_rabbitmq(limits: dict[str, Any], fault: str) -> None:
    """What makes no sense is refused with RabbitMQ's text, and changes nothing."""
    vhost = make_vhost()
    with pytest.raises(InvalidParameter) as caught:
        set_limits(vhost, limits)
    assert str(caught.value) == f"Validation failed\n\n{fault}\n"
    assert vhost.limits == {}


@pytest.mark.parametrize(
    ("options", "queue_type"),
    [
        ({"durable": True}, "quorum"),
        ({"durable": True, "arguments": {"x-queue-type": "classic"}}, "classic"),
        ({}, "classic"),
        ({"durable": True, "exclusive": True}, "classic"),
        ({"durable": True, "auto_delete": True}, "classic"),
    ],
)
def test_the_default_type_is_for_queues_that_can_have_it(
    options: dict[str, Any], queue_type: str
) -> None:
    """A durable queue that names no type gets the default; it is an argument like any other."""
    vhost = make_vhost()
    set_default_queue_type(vhost, "quorum")
    queue = make_queue(vhost, **options)
    assert queue.type == queue_type
    assert make_queue(vhost, **options) is queue
    assert ("x-queue-type" in queue.arguments) == (queue_type == "quorum" or "arguments" in options)


def test_a_new_default_type_does_not_refuse_old_queues() -> None:
    """Declaring a queue again without a type means the type it has; another type is refused."""
    vhost = make_vhost()
    old = make_queue(vhost, "old", durable=True)
    set_default_queue_type(vhost, "quorum")
    assert make_queue(vhost, "old", durable=True) is old
    with pytest.raises(PreconditionFailed, match="inequivalent arg 'x-queue-type'"):
        make_queue(vhost, "old", durable=True, arguments={"x-queue-type": "quorum"})
    set_default_queue_type(vhost, None)
    assert make_queue(vhost, "new", durable=True).type == "classic"


def test_no_queue_is_of_a_type_nobody_knows() -> None:
    """A default type nobody knows is refused."""
    vhost = make_vhost()
    with pytest.raises(InvalidParameter):
        set_default_queue_type(vhost, "zzz")
    assert vhost.default_queue_type is None


def test_settings_survive_a_restart() -> None:
    """Limits and default type are in the snapshot."""
    vhost = make_vhost()
    assert (restarted(vhost).limits, restarted(vhost).default_queue_type) == ({}, None)
    set_limits(vhost, {"max-queues": 7})
    set_default_queue_type(vhost, "quorum")
    again = restarted(vhost)
    assert (again.limits, again.default_queue_type) == ({"max-queues": 7}, "quorum")


def test_new_vhosts_get_what_their_name_matches() -> None:
    """Defaults are set up once, when a vhost is made: of limits the first that matches."""
    broker = Broker()
    broker.vhost_defaults = VhostDefaults(
        queue_type="quorum",
        limits=(
            DefaultLimits(vhost_pattern=Pattern("^a"), limits={"max-queues": 1}),
            DefaultLimits(vhost_pattern=Pattern(""), limits={"max-queues": 2}),
        ),
        operator_policies=(
            DefaultPolicy(
                name="d",
                vhost_pattern=Pattern("^a"),
                queue_pattern="^q",
                apply_to="queues",
                definition={"max-length": 5},
            ),
        ),
    )
    first, second = broker.declare_vhost("a"), broker.declare_vhost("b")
    assert (first.limits, second.limits) == ({"max-queues": 1}, {"max-queues": 2})
    assert make_queue(first, "q").settings.max_length == 5
    assert make_queue(second, "q", durable=True).settings.max_length is None
    assert second.queues["q"].type == "quorum"
    clear_limit(first, "max-queues")
    assert broker.declare_vhost("a").limits == {}
    assert restarted(first).limits == {}
