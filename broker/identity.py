"""What this node and its cluster of one are called, for clients, tools and metrics."""

from __future__ import annotations

import base64
import hashlib
import os
import socket

from broker.config import Config


def node_name() -> str:
    """The node, under the name that tools guess for RabbitMQ on this machine."""
    return os.environ.get("RABBITMQ_NODENAME") or f"rabbit@{socket.gethostname().partition('.')[0]}"


def cluster_name(config: Config) -> str:
    """What the operator calls the cluster, or the node's name."""
    return config.cluster_name or node_name()


def cluster_id(config: Config) -> str:
    """A name for the cluster that does not change while its name does not."""
    digest = hashlib.sha256(cluster_name(config).encode()).digest()[:16]
    return f"rabbitmq-cluster-id-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
