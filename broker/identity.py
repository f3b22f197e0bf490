"""What this node and its cluster of one are called, for clients, tools and metrics."""

from __future__ import annotations

import base64
import hashlib
import os
import socket

from broker.config import Config
from broker.core.broker import Broker

CLUSTER_NAME = "cluster_name"  # the global parameter, as in RabbitMQ


def node_name() -> str:
    """The node, under the name that tools guess for RabbitMQ on this machine."""
    return os.environ.get("RABBITMQ_NODENAME") or f"rabbit@{socket.gethostname().partition('.')[0]}"


def cluster_name(config: Config, broker: Broker) -> str:
    """What operators call the cluster: set while it runs, in the settings, or the node's name."""
    chosen = broker.global_parameters.get(CLUSTER_NAME)
    return chosen if chosen and isinstance(chosen, str) else _first_name(config)


def cluster_id(config: Config) -> str:
    """A name for the cluster that stays when it is renamed while it runs."""
    digest = hashlib.sha256(_first_name(config).encode()).digest()[:16]
    return f"rabbitmq-cluster-id-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _first_name(config: Config) -> str:
    return config.cluster_name or node_name()
