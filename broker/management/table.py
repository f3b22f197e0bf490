"""The table of all paths: who may, and what answers each method.

A path stands once; its parts in braces are what ``Call.path`` gives. ``/api/index.html`` is made of
this table.
"""

from __future__ import annotations

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
)
from broker.management.route import Path, path
from broker.management.table_plugins import PLUGIN_PATHS

_POLICIES = policies.handlers(operator=False)
_OPERATOR_POLICIES = policies.handlers(operator=True)
_NOTHING, _DO_NOTHING = overview.get_nothing, overview.do_nothing

_BROKER = (
    path("/overview", MANAGER, get=overview.get),
    path(
        "/cluster-name",
        MANAGER.but(put=ADMINISTRATOR),
        get=overview.get_cluster_name,
        put=overview.put_cluster_name,
    ),
    path("/version", MANAGER, get=overview.get_version),
    path("/whoami", MANAGER, get=overview.get_whoami),
    path("/auth", ANYBODY, get=overview.get_auth),
    path(
        "/auth/attempts/{node}",
        MONITOR,
        get=nodes.get_attempts,
        delete=nodes.reset_attempts,
    ),
    path(
        "/auth/attempts/{node}/source",
        MONITOR,
        get=nodes.get_attempts_by_source,
        delete=nodes.reset_attempts,
    ),
    path("/auth/hash_password/{password}", ADMINISTRATOR, get=users.hash_password),
    path("/extensions", MANAGER, get=overview.get_extensions),
    path("/nodes", MONITOR, get=nodes.get_nodes),
    path("/nodes/{node}", MONITOR, get=nodes.get_node),
    path("/nodes/{node}/maintenance/{step}", ADMINISTRATOR, post=maintenance.post),
    path("/nodes/{node}/memory", MONITOR, get=nodes.get_memory),
    path("/nodes/{node}/memory/relative", MONITOR, get=nodes.get_memory_relative),
    path("/feature-flags", ADMINISTRATOR, get=overview.get_feature_flags),
    path("/feature-flags/{flag}/enable", ADMINISTRATOR, put=overview.enable_feature_flag),
    path("/deprecated-features", ADMINISTRATOR, get=_NOTHING),
    path("/deprecated-features/used", ADMINISTRATOR, get=_NOTHING),
    path("/definitions", ADMINISTRATOR, get=definitions.get, post=definitions.post),
    path("/definitions/{vhost}", ADMINISTRATOR, get=definitions.get, post=definitions.post),
    path("/all-configuration", ADMINISTRATOR, get=definitions.get, post=definitions.post),
    path("/rebalance/queues", ADMINISTRATOR, post=_DO_NOTHING),
    path("/config/effective", ADMINISTRATOR, get=settings.get_as_text),
    path("/reset", ADMINISTRATOR, delete=_DO_NOTHING),
    path("/reset/{node}", ADMINISTRATOR, delete=_DO_NOTHING),
)

_OBJECTS = (
    path("/connections", MANAGER, get=connections.get_all),
    path(
        "/connections/username/{user}",
        MANAGER,
        get=connections.get_of_user,
        delete=connections.delete_of_user,
    ),
    path("/connections/{connection}", MANAGER, get=connections.get, delete=connections.delete),
    path("/connections/{connection}/channels", MANAGER, get=channels.get_of_connection),
    path("/vhosts/{vhost}/connections", IN_VHOST, get=connections.get_all),
    path("/channels", MANAGER, get=channels.get_all),
    path("/channels/{channel}", MANAGER, get=channels.get),
    path("/vhosts/{vhost}/channels", IN_VHOST, get=channels.get_all),
    path("/consumers", MANAGER, get=channels.get_consumers),
    path("/consumers/{vhost}", IN_VHOST, get=channels.get_consumers),
    path("/exchanges", MANAGER, get=exchanges.get_all),
    path("/exchanges/{vhost}", IN_VHOST, get=exchanges.get_all),
    path(
        "/exchanges/{vhost}/{exchange}",
        IN_VHOST,
        get=exchanges.get,
        put=exchanges.put,
        delete=exchanges.delete,
    ),
    path("/exchanges/{vhost}/{exchange}/bindings/source", IN_VHOST, get=exchanges.bindings_from),
    path("/exchanges/{vhost}/{exchange}/bindings/destination", IN_VHOST, get=exchanges.bindings_to),
    path("/exchanges/{vhost}/{exchange}/publish", IN_VHOST, post=messages.publish),
    path("/queues", MANAGER, get=queues.get_all),
    path("/queues/detailed", MANAGER, get=queues.get_all),
    path("/queues/{vhost}", IN_VHOST, get=queues.get_all),
    path("/queues/quorum/{vhost}/{queue}/status", IN_VHOST, get=queues.quorum_status),
    path(
        "/queues/{vhost}/{queue}",
        IN_VHOST,
        get=queues.get,
        put=queues.put,
        delete=queues.delete,
    ),
    path("/queues/{vhost}/{queue}/bindings", IN_VHOST, get=queues.bindings),
    path("/queues/{vhost}/{queue}/contents", IN_VHOST, delete=queues.purge),
    path("/queues/{vhost}/{queue}/actions", ADMINISTRATOR, post=queues.act),
    path("/queues/{vhost}/{queue}/get", IN_VHOST, post=messages.get),
    path("/bindings", MANAGER, get=bindings.get_all),
    path("/bindings/{vhost}", IN_VHOST, get=bindings.get_all),
    path(
        "/bindings/{vhost}/e/{source}/q/{queue}",
        IN_VHOST,
        get=bindings.get_between,
        post=bindings.post,
    ),
    path(
        "/bindings/{vhost}/e/{source}/e/{destination}",
        IN_VHOST,
        get=bindings.get_between,
        post=bindings.post,
    ),
    path(
        "/bindings/{vhost}/e/{source}/q/{queue}/{key}",
        IN_VHOST,
        get=bindings.get,
        delete=bindings.delete,
    ),
    path(
        "/bindings/{vhost}/e/{source}/e/{destination}/{key}",
        IN_VHOST,
        get=bindings.get,
        delete=bindings.delete,
    ),
)

_ADMINISTRATION = (
    path("/vhosts", MANAGER, get=vhosts.get_all),
    path(
        "/vhosts/{vhost}",
        MANAGER.but(put=ADMINISTRATOR, delete=ADMINISTRATOR, get=IN_VHOST),
        get=vhosts.get,
        put=vhosts.put,
        delete=vhosts.delete,
    ),
    path("/vhosts/{vhost}/permissions", ADMINISTRATOR, get=vhosts.get_permissions),
    path("/vhosts/{vhost}/topic-permissions", ADMINISTRATOR, get=vhosts.get_topic_permissions),
    path("/vhosts/{vhost}/start/{node}", ADMINISTRATOR, post=vhosts.start),
    path(
        "/vhosts/{vhost}/deletion/protection",
        ADMINISTRATOR,
        post=vhosts.protect,
        delete=vhosts.unprotect,
    ),
    path("/vhost-limits", MANAGER, get=vhosts.get_limits),
    path("/vhost-limits/{vhost}", IN_VHOST, get=vhosts.get_limits),
    path(
        "/vhost-limits/{vhost}/{limit}",
        ADMINISTRATOR,
        put=vhosts.put_limit,
        delete=vhosts.delete_limit,
    ),
    path("/users", ADMINISTRATOR, get=users.get_all),
    path("/users/without-permissions", ADMINISTRATOR, get=users.get_without_permissions),
    path("/users/bulk-delete", ADMINISTRATOR, post=users.bulk_delete),
    path("/users/{user}", ADMINISTRATOR, get=users.get, put=users.put, delete=users.delete),
    path("/users/{user}/permissions", ADMINISTRATOR, get=permissions.get_of_user),
    path("/users/{user}/topic-permissions", ADMINISTRATOR, get=permissions.get_topics_of_user),
    path("/user-limits", ADMINISTRATOR, get=users.get_limits),
    path("/user-limits/{user}", ADMINISTRATOR, get=users.get_limits),
    path(
        "/user-limits/{user}/{limit}",
        ADMINISTRATOR,
        put=users.put_limit,
        delete=users.delete_limit,
    ),
    path("/permissions", ADMINISTRATOR, get=permissions.get_all),
    path(
        "/permissions/{vhost}/{user}",
        ADMINISTRATOR,
        get=permissions.get,
        put=permissions.put,
        delete=permissions.delete,
    ),
    path("/topic-permissions", ADMINISTRATOR, get=permissions.get_all_topics),
    path(
        "/topic-permissions/{vhost}/{user}",
        ADMINISTRATOR,
        get=permissions.get_topics,
        put=permissions.put_topics,
        delete=permissions.delete_topics,
    ),
    path(
        "/topic-permissions/{vhost}/{user}/{exchange}",
        ADMINISTRATOR,
        get=permissions.get_topics,
        delete=permissions.delete_topics,
    ),
    path("/policies", MANAGER, get=_POLICIES[0]),
    path("/policies/{vhost}", IN_VHOST, get=_POLICIES[0]),
    path(
        "/policies/{vhost}/{policy}",
        POLICYMAKER_IN_VHOST,
        get=_POLICIES[1],
        put=_POLICIES[2],
        delete=_POLICIES[3],
    ),
    path("/operator-policies", MANAGER, get=_OPERATOR_POLICIES[0]),
    path("/operator-policies/{vhost}", IN_VHOST, get=_OPERATOR_POLICIES[0]),
    path(
        "/operator-policies/{vhost}/{policy}",
        POLICYMAKER_IN_VHOST.but(put=ADMINISTRATOR, delete=ADMINISTRATOR),
        get=_OPERATOR_POLICIES[1],
        put=_OPERATOR_POLICIES[2],
        delete=_OPERATOR_POLICIES[3],
    ),
    path("/parameters", POLICYMAKER, get=policies.get_parameters),
    path("/parameters/{component}", POLICYMAKER, get=policies.get_parameters),
    path("/parameters/{component}/{vhost}", POLICYMAKER_IN_VHOST, get=policies.get_parameters),
    path("/global-parameters", POLICYMAKER, get=policies.get_global_parameters),
    path(
        "/global-parameters/{name}",
        POLICYMAKER,
        get=policies.get_global_parameter,
        put=policies.put_global_parameter,
        delete=policies.delete_global_parameter,
    ),
    path(
        "/parameters/{component}/{vhost}/{name}",
        POLICYMAKER_IN_VHOST,
        get=policies.get_parameter,
        put=policies.put_parameter,
        delete=policies.delete_parameter,
    ),
)

_HEALTH = (
    path("/aliveness-test/{vhost}", IN_VHOST, get=health.aliveness),
    path("/healthchecks/node", MANAGER, get=health.node),
    path("/healthchecks/node/{node}", MANAGER, get=health.node),
    path("/health/checks/alarms", MANAGER, get=health.alarms),
    path("/health/checks/local-alarms", MANAGER, get=health.local_alarms),
    path(
        "/health/checks/certificate-expiration/{within}/{unit}",
        MANAGER,
        get=health.certificate_expiration,
    ),
    path("/health/checks/port-listener/{port}", MANAGER, get=health.port_listener),
    path("/health/checks/protocol-listener/{protocol}", MANAGER, get=health.protocol_listener),
    path("/health/checks/virtual-hosts", MANAGER, get=health.ok),
    path("/health/checks/node-is-mirror-sync-critical", MANAGER, get=health.single_node),
    path("/health/checks/node-is-quorum-critical", MANAGER, get=health.single_node),
    path("/health/checks/is-in-service", MANAGER, get=health.in_service),
    path("/health/checks/ready-to-serve-clients", MANAGER, get=health.in_service),
    path("/health/checks/metadata-store/initialized", MANAGER, get=health.ok),
    path("/health/checks/metadata-store/initialized/with-data", MANAGER, get=health.ok),
    path("/health/checks/reached-target-cluster-size", MANAGER, get=health.ok),
    *(
        path(f"/health/checks/quorum-queues-without-elected-leaders/{place}", rule, get=health.ok)
        for scope, rule in (("all-vhosts", MANAGER), ("vhost/{vhost}", IN_VHOST))
        for place in (scope, f"{scope}/pattern/{{pattern}}")
    ),
    path("/health/checks/below-node-connection-limit", MANAGER, get=health.below_connection_limit),
)

_BEYOND_RABBITMQ = (
    path("/queues/{vhost}/{queue}/peek", IN_VHOST, post=browse.peek),
    path("/queues/{vhost}/{queue}/unacked", IN_VHOST, get=held.get),
    path("/queues/{vhost}/{queue}/move", IN_VHOST, post=browse.move),
    path("/queues/{vhost}/{queue}/delete-messages", IN_VHOST, post=browse.delete_messages),
    path("/delayed/{vhost}", IN_VHOST, get=browse.get_delayed),
    path("/delayed/{vhost}/{id}", IN_VHOST, delete=browse.delete_delayed),
    path("/topology/{vhost}", IN_VHOST, get=topology.get),
    path("/settings", ADMINISTRATOR, get=settings.get, put=settings.put),
    path("/environment", ADMINISTRATOR, get=settings.get_environment),
    path("/certificates", MONITOR, get=certificates.get),
    path("/logs", MONITOR, get=browse.get_logs),
    path("/logs/stream", MONITOR, get=browse.tail_logs),
)

PATHS: tuple[Path, ...] = (
    *_BROKER,
    *_OBJECTS,
    *_ADMINISTRATION,
    *_HEALTH,
    *PLUGIN_PATHS,
    *_BEYOND_RABBITMQ,
)
