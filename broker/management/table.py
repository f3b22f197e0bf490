"""The table of all paths: who may, and what answers each method.

A path stands once; its parts in braces are what ``Call.path`` gives. ``/api/index.html`` is made of
this table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from broker.management import (
    bindings,
    browse,
    certificates,
    channels,
    connections,
    definitions,
    exchanges,
    health,
    held,
    maintenance,
    messages,
    nodes,
    overview,
    permissions,
    policies,
    queues,
    settings,
    topology,
    users,
    vhosts,
)
from broker.management.access import (
    ADMINISTRATOR,
    ANYBODY,
    IN_VHOST,
    MANAGER,
    MONITOR,
    POLICYMAKER,
    POLICYMAKER_IN_VHOST,
    Rule,
)

if TYPE_CHECKING:
    from broker.management.call import Call

Handler = Callable[["Call"], Awaitable[web.StreamResponse]]


class Path(NamedTuple):
    """One path: the rule for whoever asks, and a handler for each method."""

    path: str
    rule: Rule
    handlers: dict[str, Handler]


def _path(path: str, rule: Rule, **handlers: Handler) -> Path:
    return Path(path, rule, {method.upper(): handler for method, handler in handlers.items()})


_POLICIES = policies.handlers(operator=False)
_OPERATOR_POLICIES = policies.handlers(operator=True)
_NOTHING, _DO_NOTHING = overview.get_nothing, overview.do_nothing

_BROKER = (
    _path("/overview", MANAGER, get=overview.get),
    _path("/cluster-name", MANAGER, get=overview.get_cluster_name, put=overview.put_cluster_name),
    _path("/version", MANAGER, get=overview.get_version),
    _path("/whoami", MANAGER, get=overview.get_whoami),
    _path("/auth", ANYBODY, get=overview.get_auth),
    _path(
        "/auth/attempts/{node}",
        MONITOR.but(delete=ADMINISTRATOR),
        get=nodes.get_attempts,
        delete=nodes.reset_attempts,
    ),
    _path(
        "/auth/attempts/{node}/source",
        MONITOR.but(delete=ADMINISTRATOR),
        get=nodes.get_attempts_by_source,
        delete=nodes.reset_attempts,
    ),
    _path("/auth/hash_password/{password}", ADMINISTRATOR, get=users.hash_password),
    _path("/extensions", MANAGER, get=overview.get_extensions),
    _path("/nodes", MONITOR, get=nodes.get_nodes),
    _path("/nodes/{node}", MONITOR, get=nodes.get_node),
    _path("/nodes/{node}/maintenance/{step}", ADMINISTRATOR, post=maintenance.post),
    _path("/nodes/{node}/memory", MONITOR, get=nodes.get_memory),
    _path("/nodes/{node}/memory/relative", MONITOR, get=nodes.get_memory_relative),
    _path("/feature-flags", ADMINISTRATOR, get=overview.get_feature_flags),
    _path("/feature-flags/{flag}/enable", ADMINISTRATOR, put=overview.enable_feature_flag),
    _path("/deprecated-features", ADMINISTRATOR, get=_NOTHING),
    _path("/deprecated-features/used", ADMINISTRATOR, get=_NOTHING),
    _path("/definitions", ADMINISTRATOR, get=definitions.get, post=definitions.post),
    _path("/definitions/{vhost}", ADMINISTRATOR, get=definitions.get, post=definitions.post),
    _path("/all-configuration", ADMINISTRATOR, get=definitions.get, post=definitions.post),
    _path("/rebalance/queues", ADMINISTRATOR, post=_DO_NOTHING),
    _path("/reset", ADMINISTRATOR, delete=_DO_NOTHING),
    _path("/reset/{node}", ADMINISTRATOR, delete=_DO_NOTHING),
    _path("/shovels", MONITOR, get=_NOTHING),
    _path("/shovels/{vhost}", MONITOR, get=_NOTHING),
    _path("/federation-links", MONITOR, get=_NOTHING),
    _path("/federation-links/{vhost}", MONITOR, get=_NOTHING),
)

_OBJECTS = (
    _path("/connections", MANAGER, get=connections.get_all),
    _path(
        "/connections/username/{user}",
        MANAGER,
        get=connections.get_of_user,
        delete=connections.delete_of_user,
    ),
    _path("/connections/{connection}", MANAGER, get=connections.get, delete=connections.delete),
    _path("/connections/{connection}/channels", MANAGER, get=channels.get_of_connection),
    _path("/vhosts/{vhost}/connections", IN_VHOST, get=connections.get_all),
    _path("/channels", MANAGER, get=channels.get_all),
    _path("/channels/{channel}", MANAGER, get=channels.get),
    _path("/vhosts/{vhost}/channels", IN_VHOST, get=channels.get_all),
    _path("/consumers", MANAGER, get=channels.get_consumers),
    _path("/consumers/{vhost}", IN_VHOST, get=channels.get_consumers),
    _path("/exchanges", MANAGER, get=exchanges.get_all),
    _path("/exchanges/{vhost}", IN_VHOST, get=exchanges.get_all),
    _path(
        "/exchanges/{vhost}/{exchange}",
        IN_VHOST,
        get=exchanges.get,
        put=exchanges.put,
        delete=exchanges.delete,
    ),
    _path("/exchanges/{vhost}/{exchange}/bindings/source", IN_VHOST, get=exchanges.bindings_from),
    _path(
        "/exchanges/{vhost}/{exchange}/bindings/destination", IN_VHOST, get=exchanges.bindings_to
    ),
    _path("/exchanges/{vhost}/{exchange}/publish", IN_VHOST, post=messages.publish),
    _path("/queues", MANAGER, get=queues.get_all),
    _path("/queues/detailed", MANAGER, get=queues.get_all),
    _path("/queues/{vhost}", IN_VHOST, get=queues.get_all),
    _path("/queues/quorum/{vhost}/{queue}/status", IN_VHOST, get=queues.quorum_status),
    _path(
        "/queues/{vhost}/{queue}",
        IN_VHOST,
        get=queues.get,
        put=queues.put,
        delete=queues.delete,
    ),
    _path("/queues/{vhost}/{queue}/bindings", IN_VHOST, get=queues.bindings),
    _path("/queues/{vhost}/{queue}/contents", IN_VHOST, delete=queues.purge),
    _path("/queues/{vhost}/{queue}/actions", IN_VHOST, post=queues.act),
    _path("/queues/{vhost}/{queue}/get", IN_VHOST, post=messages.get),
    _path("/bindings", MANAGER, get=bindings.get_all),
    _path("/bindings/{vhost}", IN_VHOST, get=bindings.get_all),
    _path(
        "/bindings/{vhost}/e/{source}/q/{queue}",
        IN_VHOST,
        get=bindings.get_between,
        post=bindings.post,
    ),
    _path(
        "/bindings/{vhost}/e/{source}/e/{destination}",
        IN_VHOST,
        get=bindings.get_between,
        post=bindings.post,
    ),
    _path(
        "/bindings/{vhost}/e/{source}/q/{queue}/{key}",
        IN_VHOST,
        get=bindings.get,
        delete=bindings.delete,
    ),
    _path(
        "/bindings/{vhost}/e/{source}/e/{destination}/{key}",
        IN_VHOST,
        get=bindings.get,
        delete=bindings.delete,
    ),
)

_ADMINISTRATION = (
    _path("/vhosts", MANAGER, get=vhosts.get_all),
    _path(
        "/vhosts/{vhost}",
        MANAGER.but(put=ADMINISTRATOR, delete=ADMINISTRATOR, get=IN_VHOST),
        get=vhosts.get,
        put=vhosts.put,
        delete=vhosts.delete,
    ),
    _path("/vhosts/{vhost}/permissions", ADMINISTRATOR, get=vhosts.get_permissions),
    _path("/vhosts/{vhost}/topic-permissions", ADMINISTRATOR, get=vhosts.get_topic_permissions),
    _path("/vhosts/{vhost}/start/{node}", ADMINISTRATOR, post=vhosts.start),
    _path(
        "/vhosts/{vhost}/deletion/protection",
        ADMINISTRATOR,
        post=vhosts.protect,
        delete=vhosts.unprotect,
    ),
    _path("/vhost-limits", MANAGER, get=vhosts.get_limits),
    _path("/vhost-limits/{vhost}", IN_VHOST, get=vhosts.get_limits),
    _path(
        "/vhost-limits/{vhost}/{limit}",
        ADMINISTRATOR,
        put=vhosts.put_limit,
        delete=vhosts.delete_limit,
    ),
    _path("/users", ADMINISTRATOR, get=users.get_all),
    _path("/users/without-permissions", ADMINISTRATOR, get=users.get_without_permissions),
    _path("/users/bulk-delete", ADMINISTRATOR, post=users.bulk_delete),
    _path("/users/{user}", ADMINISTRATOR, get=users.get, put=users.put, delete=users.delete),
    _path("/users/{user}/permissions", ADMINISTRATOR, get=permissions.get_of_user),
    _path("/users/{user}/topic-permissions", ADMINISTRATOR, get=permissions.get_topics_of_user),
    _path("/user-limits", ADMINISTRATOR, get=users.get_limits),
    _path("/user-limits/{user}", ADMINISTRATOR, get=users.get_limits),
    _path(
        "/user-limits/{user}/{limit}",
        ADMINISTRATOR,
        put=users.put_limit,
        delete=users.delete_limit,
    ),
    _path("/permissions", ADMINISTRATOR, get=permissions.get_all),
    _path(
        "/permissions/{vhost}/{user}",
        ADMINISTRATOR,
        get=permissions.get,
        put=permissions.put,
        delete=permissions.delete,
    ),
    _path("/topic-permissions", ADMINISTRATOR, get=permissions.get_all_topics),
    _path(
        "/topic-permissions/{vhost}/{user}",
        ADMINISTRATOR,
        get=permissions.get_topics,
        put=permissions.put_topics,
        delete=permissions.delete_topics,
    ),
    _path(
        "/topic-permissions/{vhost}/{user}/{exchange}",
        ADMINISTRATOR,
        get=permissions.get_topics,
        delete=permissions.delete_topics,
    ),
    _path("/policies", MANAGER, get=_POLICIES[0]),
    _path("/policies/{vhost}", IN_VHOST, get=_POLICIES[0]),
    _path(
        "/policies/{vhost}/{policy}",
        POLICYMAKER_IN_VHOST,
        get=_POLICIES[1],
        put=_POLICIES[2],
        delete=_POLICIES[3],
    ),
    _path("/operator-policies", MANAGER, get=_OPERATOR_POLICIES[0]),
    _path("/operator-policies/{vhost}", IN_VHOST, get=_OPERATOR_POLICIES[0]),
    _path(
        "/operator-policies/{vhost}/{policy}",
        POLICYMAKER_IN_VHOST.but(put=ADMINISTRATOR, delete=ADMINISTRATOR),
        get=_OPERATOR_POLICIES[1],
        put=_OPERATOR_POLICIES[2],
        delete=_OPERATOR_POLICIES[3],
    ),
    _path("/parameters", POLICYMAKER, get=policies.get_parameters),
    _path("/parameters/{component}", POLICYMAKER, get=policies.get_parameters),
    _path("/parameters/{component}/{vhost}", POLICYMAKER, get=policies.get_parameters),
    _path("/global-parameters", POLICYMAKER, get=policies.get_global_parameters),
    _path(
        "/global-parameters/{name}",
        POLICYMAKER,
        get=policies.get_global_parameter,
        put=policies.put_global_parameter,
        delete=policies.delete_global_parameter,
    ),
    _path(
        "/parameters/{component}/{vhost}/{name}",
        POLICYMAKER,
        get=policies.get_parameter,
        put=policies.put_parameter,
        delete=policies.delete_parameter,
    ),
)

_HEALTH = (
    _path("/aliveness-test/{vhost}", IN_VHOST, get=health.aliveness),
    _path("/healthchecks/node", MONITOR, get=health.node),
    _path("/healthchecks/node/{node}", MONITOR, get=health.node),
    _path("/health/checks/alarms", MANAGER, get=health.alarms),
    _path("/health/checks/local-alarms", MANAGER, get=health.local_alarms),
    _path(
        "/health/checks/certificate-expiration/{within}/{unit}",
        MANAGER,
        get=health.certificate_expiration,
    ),
    _path("/health/checks/port-listener/{port}", MANAGER, get=health.port_listener),
    _path("/health/checks/protocol-listener/{protocol}", MANAGER, get=health.protocol_listener),
    _path("/health/checks/virtual-hosts", MANAGER, get=health.ok),
    _path("/health/checks/node-is-mirror-sync-critical", MANAGER, get=health.single_node),
    _path("/health/checks/node-is-quorum-critical", MANAGER, get=health.single_node),
    _path("/health/checks/is-in-service", MANAGER, get=health.in_service),
    _path("/health/checks/ready-to-serve-clients", MANAGER, get=health.in_service),
    _path("/health/checks/metadata-store/initialized", MANAGER, get=health.ok),
    _path("/health/checks/below-node-connection-limit", MANAGER, get=health.below_connection_limit),
)

_BEYOND_RABBITMQ = (
    _path("/queues/{vhost}/{queue}/peek", IN_VHOST, post=browse.peek),
    _path("/queues/{vhost}/{queue}/unacked", IN_VHOST, get=held.get),
    _path("/queues/{vhost}/{queue}/move", IN_VHOST, post=browse.move),
    _path("/queues/{vhost}/{queue}/delete-messages", IN_VHOST, post=browse.delete_messages),
    _path("/delayed/{vhost}", IN_VHOST, get=browse.get_delayed),
    _path("/delayed/{vhost}/{id}", IN_VHOST, delete=browse.delete_delayed),
    _path("/topology/{vhost}", IN_VHOST, get=topology.get),
    _path("/settings", ADMINISTRATOR, get=settings.get, put=settings.put),
    _path("/environment", ADMINISTRATOR, get=settings.get_environment),
    _path("/certificates", MONITOR, get=certificates.get),
    _path("/logs", MONITOR, get=browse.get_logs),
    _path("/logs/stream", MONITOR, get=browse.tail_logs),
)

PATHS: tuple[Path, ...] = (
    *_BROKER,
    *_OBJECTS,
    *_ADMINISTRATION,
    *_HEALTH,
    *_BEYOND_RABBITMQ,
)
