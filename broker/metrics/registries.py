"""Which families each path has, as RabbitMQ's registries do.

``DETAILED`` are the families that ``/metrics/detailed`` gives for ``family=``; ``LEFT_OUT`` what
RabbitMQ exports and we do not, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from broker.metrics import clients, messages, node, queues, topology
from broker.metrics.family import Scope, Steps

Family = Callable[[Scope], Steps]

_BY_OBJECT: Mapping[str, Family] = {
    "queue_coarse_metrics": queues.queue_coarse_metrics,
    "queue_metrics": queues.queue_metrics,
    "queue_delivery_metrics": queues.queue_delivery_metrics,
    "channel_queue_exchange_metrics": queues.channel_queue_exchange_metrics,
    "channel_metrics": clients.channel_metrics,
    "channel_exchange_metrics": clients.channel_exchange_metrics,
    "channel_queue_metrics": clients.channel_queue_metrics,
    "connection_coarse_metrics": clients.connection_coarse_metrics,
    "connection_metrics": clients.connection_metrics,
    "exchange_metrics": topology.exchange_metrics,
    "queue_exchange_metrics": queues.queue_exchange_metrics,
}

_OF_NODE: Mapping[str, Family] = {
    "connection_churn_metrics": node.connection_churn_metrics,
    "node_coarse_metrics": node.node_coarse_metrics,
    "node_metrics": node.node_metrics,
    "node_persister_metrics": node.node_persister_metrics,
    "auth_attempt_metrics": node.auth_attempt_metrics,
}

DETAILED: Mapping[str, Family] = {
    **_BY_OBJECT,
    **_OF_NODE,
    "queue_consumer_count": queues.queue_consumer_count,
    "vhost_status": topology.vhost_status,
    "exchange_names": topology.exchange_names,
    "exchange_bindings": topology.exchange_bindings,
}

WITH_QUEUE_INFO = frozenset({"queue_coarse_metrics", "queue_consumer_count", "queue_metrics"})

LEFT_OUT: Mapping[str, str] = {
    "erlang_": "Erlang's virtual machine and database",
    "rabbitmq_erlang_": "Erlang's virtual machine, but for the uptime",
    "rabbitmq_raft_": "replication",
    "rabbitmq_schema_db_": "Erlang's database",
    "rabbitmq_msg_store_": "files that the log does not have",
    "rabbitmq_queue_index_": "files that the log does not have",
    "rabbitmq_io_seek_": "the log is written in order",
    "rabbitmq_io_reopen_": "the log keeps its file open",
    "rabbitmq_global_stream_error_": "errors of the stream protocol",
    "rabbitmq_connection_pending_packets": "output is one buffer, not packets",
    "process_reductions": "work that Erlang counts for each of its processes",
    "auth_attempts_detailed_": "RabbitMQ has them empty unless it is told to track sources",
    "queue_messages_persistent": "what is persistent is counted when it is published only",
    "queue_disk_reads_": "reads are counted for the node only",
    "queue_head_message_timestamp": "the age of the oldest message says more",
}


def default(scope: Scope) -> Steps:
    """``/metrics``: sums over all objects, or each, and all there is about the node."""
    first: Iterable[Family] = (node.process, node.alarms)
    return _all(scope, chain(first, _everything(scope)))


def per_object(scope: Scope) -> Steps:
    """``/metrics/per-object``."""
    return _all(scope, _everything(scope))


def detailed(scope: Scope, families: Iterable[str]) -> Steps:
    """``/metrics/detailed``: what is asked for; unknown names are ignored."""
    wanted = dict.fromkeys(families)
    found = [DETAILED[name] for name in wanted if name in DETAILED]
    if not WITH_QUEUE_INFO.isdisjoint(wanted):
        found.append(queues.queue_info)
    return _all(scope, found)


def _everything(scope: Scope) -> Iterable[Family]:
    of_all = (node.totals, node.latency, messages.global_metrics)
    by_queue = (queues.queue_info,) if scope.per_object else ()
    return chain(_OF_NODE.values(), _BY_OBJECT.values(), of_all, by_queue)


def _all(scope: Scope, families: Iterable[Family]) -> Steps:
    for family in families:
        yield from family(scope)
    yield from node.identity(scope)
