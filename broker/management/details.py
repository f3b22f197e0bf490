"""Rows as RabbitMQ's JSON: each counter ``x`` with ``x_details``, grouped as message_stats.

A counter is shown once it or one of its group has counted something, as in RabbitMQ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.management import rows
from broker.management.series import Row, Track, Window

LENGTHS_QUERY, MESSAGES_QUERY, OCTETS_QUERY, NODE_QUERY = (
    "lengths",
    "msg_rates",
    "data_rates",
    "node_stats",
)
SAMPLES_MAX = 2000
_GROUPS = (
    frozenset({*rows.PUBLISHES, "publish_in", "publish_out"}),
    frozenset(rows.DELIVERIES),
    frozenset(rows.DISK),
)


def window_of(query: Mapping[str, str], kind: str) -> Window | None:
    """What part of the history the query asks for, such as lengths_age=60&lengths_incr=5."""
    try:
        age_s, step_s = int(query[f"{kind}_age"]), int(query[f"{kind}_incr"])
    except (KeyError, ValueError):
        return None
    if step_s <= 0 or age_s < 0 or age_s // step_s > SAMPLES_MAX:
        return None
    return Window(age_s * 1000, step_s * 1000)


def shown(
    names: tuple[str, ...],
    row: Row,
    track: Track,
    wanted: tuple[str, ...],
    window: Window | None = None,
) -> dict[str, Any]:
    """Some columns with their details."""
    found: dict[str, Any] = {}
    for column, name in enumerate(names):
        if name in wanted:
            found[name] = row[column]
            found[f"{name}_details"] = track.details(column, window)
    return found


def message_stats(
    names: tuple[str, ...], row: Row, track: Track, window: Window | None = None
) -> dict[str, Any]:
    """The message_stats of an object, empty if nothing has happened to it."""
    values = dict(zip(names, row, strict=True))
    found: dict[str, Any] = {}
    for group in _GROUPS:
        if any(values.get(name) for name in group):
            wanted = tuple(name for name in names if name in group)
            found |= shown(names, row, track, wanted, window)
    return found
