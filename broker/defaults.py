"""What a new vhost gets, from the configuration: the only place that knows both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from broker.config import Config
from broker.core.vhost_settings import DefaultLimits, DefaultPolicy, VhostDefaults


def vhost_defaults(config: Config) -> VhostDefaults:
    """The defaults that the settings of ``broker.config.table_defaults`` make."""
    policies = (_policy(name, rows) for name, rows in config.default_operator_policies.items())
    return VhostDefaults(
        queue_type=config.default_queue_type,
        operator_policies=tuple(policy for policy in policies if policy.definition),
        limits=tuple(_limits(rows) for rows in config.default_vhost_limits.values()),
    )


def _policy(name: str, rows: Mapping[str, Any]) -> DefaultPolicy:
    given = dict(rows)
    return DefaultPolicy(
        name=name,
        vhost_pattern=re.compile(given.pop("vhost_pattern", "")),
        queue_pattern=given.pop("queue_pattern", ""),
        apply_to=given.pop("apply_to", "all"),
        definition={_key(name): value for name, value in given.items()},
    )


def _limits(rows: Mapping[str, Any]) -> DefaultLimits:
    return DefaultLimits(
        vhost_pattern=re.compile(rows.get("pattern", "")),
        limits={
            _key(name): value
            for name, value in rows.items()
            if name != "pattern" and value is not None
        },
    )


def _key(part: str) -> str:
    """``max_length`` is ``max-length`` everywhere but in the configuration."""
    return part.replace("_", "-")
