"""What a new broker and a new vhost get from the configuration: the only place that knows both."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

from broker.config import Config
from broker.core.broker import Broker
from broker.core.limits import Limits
from broker.core.pattern import Pattern
from broker.core.permissions import set_permissions
from broker.core.users import SALT_OCTETS, hash_password, put_user
from broker.core.vhost_settings import (
    DefaultLimits,
    DefaultPolicy,
    VhostDefaults,
    set_metadata,
)
from broker.definitions import boot
from broker.identity import node_name


def new_broker(config: Config) -> Broker:
    """A broker with nothing in it, but with the limits and defaults of its settings."""
    broker = Broker()
    broker.vhost_defaults = vhost_defaults(config)
    broker.limits = limits(config, f"leveret@{socket.gethostname()}")
    broker.events.place = config.event_exchange_vhost or config.default_vhost
    broker.events.node = node_name()
    return broker


def complete(broker: Broker, config: Config, random: Callable[[int], bytes]) -> None:
    """Add to what was recovered what each start loads, or what a new broker begins with."""
    if not broker.vhosts and not boot.has_any(config):
        make_default_user(broker, config, random)
    boot.load(broker, config, random)


def vhost_defaults(config: Config) -> VhostDefaults:
    """The defaults that the settings of ``broker.config.table_defaults`` make."""
    policies = (_policy(name, rows) for name, rows in config.default_operator_policies.items())
    return VhostDefaults(
        queue_type=config.default_queue_type,
        operator_policies=tuple(policy for policy in policies if policy.definition),
        limits=tuple(_limits(rows) for rows in config.default_vhost_limits.values()),
    )


def limits(config: Config, node: str) -> Limits:
    """The limits of the whole broker; ``node`` is its name."""
    return Limits(
        vhosts=config.vhost_max,
        exchanges=config.exchange_max,
        queues=config.queue_max,
        channels=config.node_channel_max,
        consumers_per_channel=config.channel_consumer_max,
        node=node,
    )


def make_default_user(broker: Broker, config: Config, random: Callable[[int], bytes]) -> None:
    """What a broker without any data begins with: one vhost, and one user who may do all in it."""
    vhost = broker.declare_vhost(config.default_vhost)
    set_metadata(vhost, "Default virtual host", ())
    put_user(
        broker,
        config.default_user,
        password_hash=hash_password(config.default_pass, random(SALT_OCTETS)),
        tags=config.default_user_tags,
    )
    set_permissions(
        vhost,
        config.default_user,
        configure=config.default_permissions_configure,
        write=config.default_permissions_write,
        read=config.default_permissions_read,
    )


def _policy(name: str, rows: Mapping[str, Any]) -> DefaultPolicy:
    given = dict(rows)
    return DefaultPolicy(
        name=name,
        vhost_pattern=Pattern(given.pop("vhost_pattern", "")),
        queue_pattern=given.pop("queue_pattern", ""),
        apply_to=given.pop("apply_to", "all"),
        definition={_key(name): value for name, value in given.items()},
    )


def _limits(rows: Mapping[str, Any]) -> DefaultLimits:
    return DefaultLimits(
        vhost_pattern=Pattern(rows.get("pattern", "")),
        limits={
            _key(name): value
            for name, value in rows.items()
            if name != "pattern" and value is not None
        },
    )


def _key(part: str) -> str:
    """``max_length`` is ``max-length`` everywhere but in the configuration."""
    return part.replace("_", "-")
