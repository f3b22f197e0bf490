"""Metrics of the node: what came and went, resources, the disk, logins, and messages in all."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import PROCESS_COLLECTOR

from broker import __version__
from broker.alarms import DISK, MEMORY, free_disk_bytes, resident_bytes
from broker.core.counters import Deliveries, Publishes
from broker.identity import cluster_id, cluster_name, node_name
from broker.metrics.clients import channels_of, sessions_of
from broker.metrics.family import (
    COUNTER,
    GAUGE,
    UNTYPED,
    Labels,
    Scope,
    Steps,
    histogram,
    info,
    single,
)
from broker.metrics.family import family as make_family
from broker.metrics.queues import queues_of
from broker.resources import open_files, open_files_max

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PROTOCOL: Labels = {"protocol": "amqp091"}
QUEUE_TYPES = ("classic", "quorum", "stream")
OTHER_FILES = 100  # descriptors kept for the log and the like, which are no sockets
