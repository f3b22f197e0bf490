"""Settings of new vhosts in the configuration, and the defaults of vhosts that they make."""

from pathlib import Path

import pytest

from broker.config import ConfigError, load
from broker.core.broker import Broker
from broker.defaults import vhost_defaults
from tests.core.doubles import make_queue

TEXT = """\
default_queue_type = quorum
default_policies.operator.dev.vhost_pattern = ^dev
default_policies.operator.dev.queue_pattern = ^q
default_policies.operator.dev.apply_to = classic_queues
default_policies.operator.dev.max_length = 10
default_policies.operator.dev.message_ttl = 5000
default_policies.operator.all.expires = 9000
default_policies.operator.empty.queue_pattern = x
default_limits.vhosts.1.pattern = ^dev
default_limits.vhosts.1.max_queues = 2
default_limits.vhosts.1.max_connections = -1
default_limits.vhosts.2.max_queues = 3
"""


def broker_of(tmp_path: Path, text: str) -> Broker:
    """A broker with the defaults that a file makes; nothing is warned of."""
    file = tmp_path / "rabbitmq.conf"
    file.write_text(text)
    config, warnings = load(str(file), (), {})
    assert warnings == []
    broker = Broker()
    broker.vhost_defaults = vhost_defaults(config)
    return broker


def test_new_vhosts_get_the_configured_defaults(tmp_path: Path) -> None:
    """Each policy and limit goes to the vhosts whose names match; one that says nothing to none."""
    broker = broker_of(tmp_path, TEXT)
    dev, other = broker.declare_vhost("dev1"), broker.declare_vhost("prod")
    assert [policy.name for policy in dev.operator_policies] == ["all", "dev"]
    assert [policy.name for policy in other.operator_policies] == ["all"]
    assert (dev.limits, other.limits) == ({"max-queues": 2}, {"max-queues": 3})
    assert make_queue(other, "q", durable=True).type == "quorum"
    policy = dev.operator_policies.get("dev")
    assert policy is not None
    assert (policy.pattern, policy.apply_to) == ("^q", "classic_queues")
    assert policy.definition == {"max-length": 10, "message-ttl": 5000}


def test_without_settings_a_vhost_gets_nothing(tmp_path: Path) -> None:
    """The defaults of a fresh broker set nothing up."""
    vhost = broker_of(tmp_path, "").declare_vhost("/")
    assert list(vhost.operator_policies) == []
    assert (vhost.limits, vhost.default_queue_type) == ({}, None)


@pytest.mark.parametrize(
    "line",
    [
        "default_queue_type = zzz",
        "default_policies.operator.a.max_length = -1",
        "default_policies.operator.a.expires = 0",
        "default_policies.operator.a.vhost_pattern = (",
        "default_policies.operator.a.queue_pattern = [[:alfa:]]",
        "default_limits.vhosts.1.max_queues = many",
    ],
)
def test_what_makes_no_sense_is_a_fault(tmp_path: Path, line: str) -> None:
    """A value that cannot be used is told at the start, not when a vhost is made."""
    with pytest.raises(ConfigError, match=line.partition(" ")[0]):
        broker_of(tmp_path, line)
